//! Says what a set of phantoms may be asked for, and refuses what cannot be made.
//!
//! It does not know how anything is drawn.

use crate::{Error, Syntax};

/// What is asked of [`crate::write`]. The same options give the same bytes, on any number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Patients, 1 to 9999. They have 1.25 studies and 1.3 series each on average.
    pub patients: usize,
    /// Where all random streams start.
    pub seed: u64,
    /// Rows and columns of a slice, 64 to 512.
    pub matrix: u16,
    /// The share of series with a lesion, 0 to 1; their number is rounded to the nearest whole one.
    pub prevalence: f64,
    /// How the files are coded; without one, most are explicit and some implicit. The pixels are the same.
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
