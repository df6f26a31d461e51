//! The ROC curve and the area under it. Knows no threshold that a decision is made at.

use serde::Serialize;

use crate::ranking::{Cut, Ranking};
use crate::{Class, Undefined};

/// A point of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// Samples with `score >= threshold` are predicted as Pathology. The first point has +inf, which
    /// JSON writes as `null`.
    pub threshold: f64,
    /// FP / (FP + TN) = 1 - specificity.
    pub false_positive_rate: f64,
    /// TP / (TP + FN) = sensitivity.
    pub true_positive_rate: f64,
}

/// Area under the ROC curve: the probability that a random Pathology sample scores higher than a
/// random Normal one, a tie counting one half.
///
/// With P and N samples of the classes and R the sum of the (mid)ranks of the Pathology samples,
/// AUC = (R - P (P + 1) / 2) / (P N): the statistic U of Mann and Whitney (1947) over P N, as
/// Bamber (1975) showed. It is computed as a sum of integers, so the only rounding is in the
/// final division. O(n log n).
///
/// # Errors
///
/// [`Undefined::OneClass`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn auc(labels: &[bool], scores: &[f64]) -> Result<f64, Undefined> {
    let mut area = Area::default();
    for cut in Ranking::new(labels, scores)?.cuts(|_| 1) {
        area.add(&cut);
    }
    area.auc()
}

/// The ROC curve from (0, 0) to (1, 1), thresholds descending from +inf.
///
/// A point that lies midway between its neighbours is left out, by the rule of scikit-learn's
/// `roc_curve(drop_intermediate=True)`: kept are the first and the last distinct score, and those at
/// which the second difference of TP or of FP is not zero. The area does not change. O(n log n).
///
/// # Errors
///
/// As [`auc`].
pub fn roc_curve(labels: &[bool], scores: &[f64]) -> Result<Vec<RocPoint>, Undefined> {
    let cuts: Vec<Cut> = Ranking::new(labels, scores)?.cuts(|_| 1).collect();
    let total = cuts.last().copied().unwrap_or(Cut::ABOVE_ALL);
    both_classes(&total)?;

    let is_corner = |i: usize| match i.checked_sub(1).map(|before| cuts.get(before..before + 3)) {
        Some(Some([before, at, after])) => {
            // Counts only grow along the curve, so a - 2 b + c = 0 is said without a sign.
            before.true_positives + after.true_positives != 2 * at.true_positives
                || before.false_positives + after.false_positives != 2 * at.false_positives
        }
        _ => true,
    };
    let corners = (cuts.iter().enumerate()).filter_map(|(i, cut)| is_corner(i).then_some(cut));
    let curve = std::iter::once(&Cut::ABOVE_ALL).chain(corners).map(|cut| RocPoint {
        threshold: cut.threshold,
        false_positive_rate: cut.false_positives as f64 / total.false_positives as f64,
        true_positive_rate: cut.true_positives as f64 / total.true_positives as f64,
    });
    Ok(curve.collect())
}

/// Twice the area under the steps of TP over FP, cut by cut.
#[derive(Default)]
pub(crate) struct Area {
    twice: u128,
    true_positives: u64,
    false_positives: u64,
}

impl Area {
    /// Adds the trapezium between the last cut and this one.
    pub(crate) fn add(&mut self, cut: &Cut) {
        let width = cut.false_positives - self.false_positives;
        let heights = cut.true_positives + self.true_positives;
        self.twice += u128::from(width) * u128::from(heights);
        self.true_positives = cut.true_positives;
        self.false_positives = cut.false_positives;
    }

    /// The AUC once every cut was added.
    pub(crate) fn auc(&self) -> Result<f64, Undefined> {
        both_classes(&Cut {
            threshold: f64::NEG_INFINITY,
            true_positives: self.true_positives,
            false_positives: self.false_positives,
        })?;
        let pairs = u128::from(self.true_positives) * u128::from(self.false_positives);
        Ok(self.twice as f64 / (2 * pairs) as f64)
    }
}

fn both_classes(total: &Cut) -> Result<(), Undefined> {
    let (class, samples) = match (total.true_positives, total.false_positives) {
        (0, 0) => return Err(Undefined::NoSamples),
        (0, normal) => (Class::Normal, normal),
        (pathology, 0) => (Class::Pathology, pathology),
        _ => return Ok(()),
    };
    Err(Undefined::OneClass { class, samples })
}
