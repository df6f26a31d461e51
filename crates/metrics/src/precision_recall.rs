//! The precision-recall curve and the average precision.

use serde::Serialize;

use crate::ranking::{Cut, Ranking};
use crate::undefined::ensure;
use crate::{Class, Undefined};

/// A point of the precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrPoint {
    /// One of the scores: samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
    /// TP / (TP + FN) = sensitivity.
    pub recall: f64,
    /// TP / (TP + FP).
    pub precision: f64,
}

/// Average precision: the sum over the distinct scores, highest first, of the precision at each
/// score times the gain of recall, as in scikit-learn's `average_precision_score`. There is no
/// interpolation, which would be optimistic (Davis and Goadrich 2006). O(n log n).
///
/// # Errors
///
/// [`Undefined::NoSampleOf`] Pathology; [`Undefined::AllScoresEqual`]; [`Undefined::NoSamples`],
/// [`Undefined::LengthMismatch`] and [`Undefined::NonFiniteScore`] for the input itself.
pub fn average_precision(labels: &[bool], scores: &[f64]) -> Result<f64, Undefined> {
    let ranking = Ranking::new(labels, scores)?;
    let sum = ranking.cuts(|_| 1).fold(PrecisionSum::default(), |sum, cut| sum.to(&cut));
    let average = average_of(sum.sum, sum.true_positives)?;
    ranking.is_an_order().map(|()| average)
}

/// The precision-recall curve from the highest score to recall 1, by descending threshold.
///
/// Points on a straight stretch between their two neighbours are left out: those with the recall of
/// both neighbours, and those with the precision of both. The point (0, 1) that scikit-learn
/// appends has no threshold and is not included. O(n log n).
///
/// # Errors
///
/// As [`average_precision`].
pub fn precision_recall_curve(labels: &[bool], scores: &[f64]) -> Result<Vec<PrPoint>, Undefined> {
    let ranking = Ranking::new(labels, scores)?;
    let cuts: Vec<Cut> = ranking.cuts(|_| 1).collect();
    let positives = cuts.last().map_or(0, |total| total.true_positives);
    average_of(0.0, positives)?;
    ranking.is_an_order()?;
    // Two precisions are equal where the ratios TP / FP are, which integers compare exactly.
    let same_precision = |a: &Cut, b: &Cut| {
        u128::from(a.true_positives) * u128::from(b.false_positives)
            == u128::from(b.true_positives) * u128::from(a.false_positives)
    };
    let is_straight = |i: usize| match i.checked_sub(1).map(|before| cuts.get(before..before + 3)) {
        Some(Some([before, at, after])) => {
            before.true_positives == after.true_positives
                || (same_precision(before, at) && same_precision(at, after))
        }
        _ => false,
    };
    let kept = (cuts.iter().enumerate()).filter_map(|(i, cut)| (!is_straight(i)).then_some(cut));
    Ok(kept
        .map(|cut| PrPoint {
            threshold: cut.threshold,
            recall: cut.true_positives as f64 / positives as f64,
            precision: cut.true_positives as f64 / cut.called() as f64,
        })
        .collect())
}

/// The sum over the cuts of the precision at each cut times the TP gained there.
#[derive(Clone, Copy, Default)]
pub(crate) struct PrecisionSum {
    pub(crate) sum: f64,
    true_positives: u64,
}

impl PrecisionSum {
    /// Adds what is gained between the previous cut and this one.
    pub(crate) fn to(self, cut: &Cut) -> Self {
        let number = |count: u64| count.cast_signed() as f64; // faster than unsigned
        let gained = number(cut.true_positives - self.true_positives);
        // Where a resample has no samples yet, nothing is gained and the precision does not matter.
        let gain = gained * number(cut.true_positives) / number(cut.called().max(1));
        Self { sum: self.sum + gain, true_positives: cut.true_positives }
    }
}

/// The average precision of a [`PrecisionSum`].
///
/// # Errors
///
/// [`Undefined::NoSampleOf`] Pathology.
pub(crate) fn average_of(precision_sum: f64, positives: u64) -> Result<f64, Undefined> {
    ensure(positives > 0, Undefined::NoSampleOf { class: Class::Pathology })?;
    Ok(precision_sum / positives as f64)
}
