//! Which patient each sample belongs to, with the patients numbered so that each stratum is a
//! range.

use std::collections::HashMap;

use crate::{Resampling, Undefined};

/// Patients renumbered from 0: by stratum, and within a stratum in the order of their first sample.
pub(crate) struct Clusters {
    /// The patient of each sample, `[n]`.
    pub(crate) of_sample: Vec<usize>,
    /// The number of patients in each stratum; their sum is the number of patients.
    pub(crate) strata: Vec<usize>,
}

impl Clusters {
    /// All patients in one stratum.
    pub(crate) fn new(patients: &[usize]) -> Self {
        let mut renumbered = HashMap::new();
        let of_sample = (patients.iter())
            .map(|patient| {
                let next = renumbered.len();
                *renumbered.entry(patient).or_insert(next)
            })
            .collect();
        Self { of_sample, strata: vec![renumbered.len()] }
    }

    /// The strata of the resampling.
    ///
    /// # Errors
    ///
    /// [`Undefined::LengthMismatch`] where labels and patient indices differ in length.
    pub(crate) fn stratified(mut self, labels: &[bool], resampling: Resampling) -> Result<Self, Undefined> {
        if labels.len() != self.of_sample.len() {
            let found = self.of_sample.len();
            return Err(Undefined::LengthMismatch { labels: labels.len(), what: "patient indices", found });
        }
        if resampling == Resampling::Patients {
            return Ok(self);
        }
        // Bit 0: has a Normal sample. Bit 1: has a Pathology sample.
        let mut classes = vec![0_usize; self.count()];
        for (&patient, &label) in self.of_sample.iter().zip(labels) {
            classes[patient] |= 1 << usize::from(label);
        }
        let mut order: Vec<usize> = (0..self.count()).collect();
        order.sort_by_key(|&patient| classes[patient]);
        self.strata = order.chunk_by(|&a, &b| classes[a] == classes[b]).map(<[usize]>::len).collect();
        let mut number = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            number[old] = new;
        }
        for patient in &mut self.of_sample {
            *patient = number[*patient];
        }
        Ok(self)
    }

    /// The number of patients.
    pub(crate) fn count(&self) -> usize {
        self.strata.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn patients_are_numbered_as_they_come() {
        let clusters = Clusters::new(&[70, 3, 70, usize::MAX, 3]);
        assert_eq!(clusters.of_sample, [0, 1, 0, 2, 1]);
        assert_eq!(clusters.strata, [3]);
    }

    #[test]
    fn strata_are_normal_then_pathology_then_mixed() {
        let patients = [7, 8, 7, 9, 10, 11];
        let labels = [true, true, false, false, true, false]; // 7 is mixed; 8, 10 sick; 9, 11 well
        let clusters = Clusters::new(&patients).stratified(&labels, Resampling::StratifiedByLabel).unwrap();
        assert_eq!(clusters.of_sample, [4, 2, 4, 0, 3, 1]);
        assert_eq!(clusters.strata, [2, 2, 1]);
    }
}
