//! The structural components of the AUC, summed by patient: how many pairs of a Pathology and a
//! Normal sample each patient's samples decide.
//!
//! All counts are doubled integers, so that a tie, which counts one half, is 1.

use crate::Undefined;
use crate::ranking::{Cut, Ranking};
use crate::roc::area_of;

/// The pairs of all patients.
pub(crate) struct Placements {
    /// `[patients]`
    pub(crate) patients: Vec<Placement>,
    /// P, the number of Pathology samples of all patients.
    pub(crate) positives: u64,
    /// N, the number of Normal samples of all patients.
    pub(crate) negatives: u64,
    /// Twice the number of correctly ordered pairs, out of P N pairs.
    pub(crate) twice_right: u128,
}

/// The pairs of one patient's samples with everybody's samples, including the patient's own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Placement {
    /// Number of Pathology samples of the patient.
    pub(crate) positives: u64,
    /// Number of Normal samples of the patient.
    pub(crate) negatives: u64,
    /// Twice the correctly ordered pairs of the patient's Pathology samples with all Normal
    /// samples: 2 N times the sum of their components V10 (`DeLong` et al. 1988).
    pub(crate) twice_above: u128,
    /// Twice the correctly ordered pairs of the patient's Normal samples with all Pathology
    /// samples: 2 P times the sum of their components V01.
    pub(crate) twice_below: u128,
    /// Twice the correctly ordered pairs among the patient's own samples, which are in both sums
    /// above.
    twice_within: u128,
}

impl Placements {
    /// One walk down the ranking, O(n): the midranks of Sun and Xu (2014) without ranks. The
    /// ranking must be weighted by patient.
    pub(crate) fn new(ranking: &Ranking, patients: usize) -> Self {
        let mut by_patient = vec![Placement::default(); patients];
        let total = ranking.total(|_| 1);
        let mut above = Cut::ABOVE_ALL;
        for (ties, cut) in ranking.ties().zip(ranking.cuts(|_| 1)) {
            // Half of the samples tied here count as above and half as below: once for each end.
            for sample in ties {
                let patient = &mut by_patient[sample.weighted_by()];
                if sample.is_positive() {
                    let below = 2 * total.false_positives - above.false_positives - cut.false_positives;
                    patient.twice_above += u128::from(below);
                } else {
                    patient.twice_below += u128::from(above.true_positives + cut.true_positives);
                    patient.twice_within += u128::from(patient.positives);
                }
            }
            for sample in ties {
                let patient = &mut by_patient[sample.weighted_by()];
                patient.positives += u64::from(sample.is_positive());
                patient.negatives += u64::from(!sample.is_positive());
            }
            for sample in ties.iter().filter(|sample| !sample.is_positive()) {
                let patient = &mut by_patient[sample.weighted_by()];
                patient.twice_within += u128::from(patient.positives);
            }
            above = cut;
        }
        Self {
            positives: total.true_positives,
            negatives: total.false_positives,
            twice_right: by_patient.iter().map(|patient| patient.twice_above).sum(),
            patients: by_patient,
        }
    }

    /// See [`auc`](crate::auc).
    ///
    /// # Errors
    ///
    /// [`Undefined::OneClass`].
    pub(crate) fn auc(&self) -> Result<f64, Undefined> {
        area_of(self.twice_right, self.positives, self.negatives)
    }

    /// Twice the correctly ordered pairs that remain without a patient.
    pub(crate) fn twice_right_without(&self, patient: &Placement) -> u128 {
        self.twice_right + patient.twice_within - patient.twice_above - patient.twice_below
    }
}
