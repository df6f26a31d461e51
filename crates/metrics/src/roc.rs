//! The ROC curve and the area under it.

use serde::Serialize;

use crate::ranking::{Cut, Ranking};
use crate::undefined::ensure;
use crate::{Class, Undefined};

/// A point of the ROC curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// Samples with `score >= threshold` are predicted as Pathology. The first point has +inf,
    /// which JSON writes as `null`.
    pub threshold: f64,
    /// FP / (FP + TN) = 1 - specificity.
    pub false_positive_rate: f64,
    /// TP / (TP + FN) = sensitivity.
    pub true_positive_rate: f64,
}

/// Area under the ROC curve: the probability that a random Pathology sample scores higher than a
/// random Normal one, where a tie counts one half.
///
/// With P and N samples of the classes and R the sum of the (mid)ranks of the Pathology samples,
/// AUC = (R - P (P + 1) / 2) / (P N): the statistic U of Mann and Whitney (1947) over P N, as
/// Bamber (1975) showed. It is computed as a sum of integers, so the only rounding is in the final
/// division. O(n log n).
///
/// # Errors
///
/// [`Undefined::OneClass`]; [`Undefined::AllScoresEqual`], where chance would appear as a result;
/// [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and [`Undefined::NonFiniteScore`] for
/// the input itself.
pub fn auc(labels: &[bool], scores: &[f64]) -> Result<f64, Undefined> {
    let ranking = Ranking::new(labels, scores)?;
    let area = ranking.cuts(|_| 1).fold(Area::default(), |area, cut| area.to(&cut));
    let area = area_of(area.twice, area.true_positives, area.false_positives)?;
    ranking.is_an_order().map(|()| area)
}

/// The ROC curve from (0, 0) to (1, 1), with thresholds descending from +inf.
///
/// A point midway between its neighbours is left out, by the rule of scikit-learn's
/// `roc_curve(drop_intermediate=True)`: the first and the last distinct score are kept, and those
/// where the second difference of TP or of FP is not zero. The area does not change. O(n log n).
///
/// # Errors
///
/// As [`auc`].
pub fn roc_curve(labels: &[bool], scores: &[f64]) -> Result<Vec<RocPoint>, Undefined> {
    let ranking = Ranking::new(labels, scores)?;
    let cuts: Vec<Cut> = ranking.cuts(|_| 1).collect();
    let total = cuts.last().copied().unwrap_or(Cut::ABOVE_ALL);
    both_classes(total.true_positives, total.false_positives)?;
    ranking.is_an_order()?;

    let is_corner = |i: usize| match i.checked_sub(1).map(|before| cuts.get(before..before + 3)) {
        Some(Some([before, at, after])) => {
            // Counts only grow along the curve, so a - 2 b + c = 0 can be tested without signs.
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

/// The area under the ROC curve from no false positives to `max_false_positive_rate`, standardised
/// so that chance is 0.5 and a perfect order is 1 (`McClish` 1989). With A the area under that part
/// and m its width, it is (1 + (A - m^2 / 2) / (m - m^2 / 2)) / 2, as in scikit-learn's
/// `roc_auc_score(max_fpr=m)`; m = 1 gives the [`auc`]. O(n log n).
///
/// # Errors
///
/// [`Undefined::OutOfRange`] where m is not above 0 and at most 1; otherwise as [`auc`].
pub fn partial_auc(labels: &[bool], scores: &[f64], max_false_positive_rate: f64) -> Result<f64, Undefined> {
    let width = max_false_positive_rate;
    let (what, value, range) = ("largest false positive rate", width, "above 0 and at most 1");
    ensure(width > 0.0 && width <= 1.0, Undefined::OutOfRange { what, value, range })?;
    let mut area = 0.0;
    for pair in roc_curve(labels, scores)?.windows(2) {
        let (from, to) = (pair[0].false_positive_rate, pair[1].false_positive_rate.min(width));
        if from > width {
            break;
        }
        area +=
            (to - from) * (pair[0].true_positive_rate + sensitivity_between(&pair[0], &pair[1], to)) / 2.0;
    }
    let by_chance = width * width / 2.0;
    Ok(f64::midpoint(1.0, (area - by_chance) / (width - by_chance)))
}

/// The true positive rate on the line from one point to the next, at a false positive rate between
/// them; it is the upper end where the line is vertical.
pub(crate) fn sensitivity_between(a: &RocPoint, b: &RocPoint, false_positive_rate: f64) -> f64 {
    if false_positive_rate >= b.false_positive_rate {
        return b.true_positive_rate;
    }
    let run = b.false_positive_rate - a.false_positive_rate;
    let rise = b.true_positive_rate - a.true_positive_rate;
    a.true_positive_rate + rise * (false_positive_rate - a.false_positive_rate) / run
}

/// Twice the area under the steps of TP over FP, cut by cut.
#[derive(Clone, Copy, Default)]
pub(crate) struct Area {
    pub(crate) twice: u128,
    true_positives: u64,
    false_positives: u64,
}

impl Area {
    /// Adds the trapezium between the previous cut and this one.
    pub(crate) fn to(self, cut: &Cut) -> Self {
        let width = cut.false_positives - self.false_positives;
        let heights = cut.true_positives + self.true_positives;
        Self {
            twice: self.twice + u128::from(width) * u128::from(heights),
            true_positives: cut.true_positives,
            false_positives: cut.false_positives,
        }
    }
}

/// The AUC from twice the number of correctly ordered pairs, out of P N pairs.
///
/// # Errors
///
/// [`Undefined::OneClass`], [`Undefined::NoSamples`].
pub(crate) fn area_of(twice_right: u128, positives: u64, negatives: u64) -> Result<f64, Undefined> {
    both_classes(positives, negatives)?;
    let pairs = u128::from(positives) * u128::from(negatives);
    Ok(twice_right as f64 / (2 * pairs) as f64)
}

/// # Errors
///
/// [`Undefined::OneClass`], [`Undefined::NoSamples`].
pub(crate) fn both_classes(positives: u64, negatives: u64) -> Result<(), Undefined> {
    let (class, samples) = match (positives, negatives) {
        (0, 0) => return Err(Undefined::NoSamples),
        (0, normal) => (Class::Normal, normal),
        (pathology, 0) => (Class::Pathology, pathology),
        _ => return Ok(()),
    };
    Err(Undefined::OneClass { class, samples })
}
