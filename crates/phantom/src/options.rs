//! The options of a set of phantoms, and their valid ranges.

use crate::{Error, Syntax};

/// The request to [`crate::write`]. The same options give the same bytes on any number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Number of patients, 1 to 9999. On average they have 1.25 studies each, and these 1.3 series.
    pub patients: usize,
    /// Seed of all random streams.
    pub seed: u64,
    /// Rows and columns of a slice, 64 to 512.
    pub matrix: u16,
    /// The share of series with a lesion, 0 to 1; their number is rounded to the nearest integer.
    pub prevalence: f64,
    /// How the files are coded. By default most are explicit and some are implicit. The pixels are
    /// the same.
    pub syntax: Option<Syntax>,
}

impl Default for Options {
    fn default() -> Self {
        Self { patients: 160, seed: 42, matrix: 96, prevalence: 0.5, syntax: None }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let outside = |name, value: String, range| Err(Error::OutOfRange { name, value, range });
        if !(1..=9999).contains(&self.patients) {
            return outside("patients", self.patients.to_string(), "1 to 9999");
        }
        if !(64..=512).contains(&self.matrix) {
            return outside("matrix", self.matrix.to_string(), "64 to 512");
        }
        if !(0.0..=1.0).contains(&self.prevalence) {
            return outside("prevalence", self.prevalence.to_string(), "0 to 1");
        }
        Ok(())
    }
}
