//! The threshold that maximises F1. Does not know on which part of the data it is chosen: choosing
//! it on the test set is the caller's error, and flatters.

use serde::Serialize;

use crate::ranking::{Cut, Ranking};
use crate::{Class, Undefined};

/// A threshold and what it reaches on the samples that it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestF1 {
    /// One of the scores: samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
    /// F1 = 2 TP / (2 TP + FP + FN) at that threshold.
    pub f1: f64,
}

/// The threshold of the highest F1. Candidates are the distinct scores, which are the thresholds of
/// scikit-learn's `precision_recall_curve`; no value between two scores could part the samples
/// otherwise. Of several thresholds with the same F1 the highest wins, the one that calls the fewest
/// samples Pathology; F1 values are compared exactly, as fractions of integers. O(n log n).
///
/// # Errors
///
/// [`Undefined::NoSampleOf`] Pathology: F1 would be 0 at every threshold. [`Undefined::NoSamples`],
/// [`Undefined::LengthMismatch`] and [`Undefined::NonFiniteScore`] for the input itself.
pub fn best_f1(labels: &[bool], scores: &[f64]) -> Result<BestF1, Undefined> {
    let ranking = Ranking::new(labels, scores)?;
    let positives = labels.iter().filter(|&&positive| positive).count() as u64;
    if positives == 0 {
        let class = Class::Pathology;
        return Err(Undefined::NoSampleOf { class });
    }

    let mut best = Cut::ABOVE_ALL;
    for cut in ranking.cuts(|_| 1) {
        if is_higher(f1_fraction(&cut, positives), f1_fraction(&best, positives)) {
            best = cut;
        }
    }
    let (numerator, denominator) = f1_fraction(&best, positives);
    Ok(BestF1 { threshold: best.threshold, f1: numerator as f64 / denominator as f64 })
}

/// F1 as a fraction; the denominator 2 TP + FP + FN is TP + FP + P, and not 0 when P is not.
fn f1_fraction(cut: &Cut, positives: u64) -> (u64, u64) {
    let predicted = cut.true_positives + cut.false_positives;
    (2 * cut.true_positives, predicted + positives)
}

fn is_higher((a, a_whole): (u64, u64), (b, b_whole): (u64, u64)) -> bool {
    u128::from(a) * u128::from(b_whole) > u128::from(b) * u128::from(a_whole)
}
