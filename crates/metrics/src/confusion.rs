//! The four counts at a threshold, and the figures that follow from them. Does not know how the
//! threshold was chosen.

use serde::Serialize;

use crate::ranking::{Cut, Ranking};
use crate::{Class, Undefined};

/// Counts of samples by class and prediction; Pathology is positive. In JSON `tp`, `fp`, `tn`, `fn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// TP: Pathology, predicted as Pathology.
    #[serde(rename = "tp")]
    pub true_positives: u64,
    /// FP: Normal, predicted as Pathology.
    #[serde(rename = "fp")]
    pub false_positives: u64,
    /// TN: Normal, predicted as Normal.
    #[serde(rename = "tn")]
    pub true_negatives: u64,
    /// FN: Pathology, predicted as Normal.
    #[serde(rename = "fn")]
    pub false_negatives: u64,
}

/// The counts where a sample is predicted as Pathology if `score >= threshold`.
///
/// # Errors
///
/// [`Undefined::ThresholdNotANumber`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself. An infinite threshold is in order.
pub fn confusion(labels: &[bool], scores: &[f64], threshold: f64) -> Result<Confusion, Undefined> {
    let mut counts = CountsAt::new(threshold);
    for cut in Ranking::new(labels, scores)?.cuts(|_| 1) {
        counts.add(&cut);
    }
    counts.confusion()
}

impl Confusion {
    /// TP / (TP + FN), the recall of Pathology.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSampleOf`] Pathology.
    pub fn sensitivity(&self) -> Result<f64, Undefined> {
        self.recall_of(Class::Pathology)
    }

    /// TN / (TN + FP), the recall of Normal.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSampleOf`] Normal.
    pub fn specificity(&self) -> Result<f64, Undefined> {
        self.recall_of(Class::Normal)
    }

    /// TP / (TP + FP), the positive predictive value.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoPredictionOf`] Pathology.
    pub fn precision(&self) -> Result<f64, Undefined> {
        self.precision_of(Class::Pathology)
    }

    /// 2 TP / (2 TP + FP + FN), the harmonic mean of precision and sensitivity (van Rijsbergen 1979).
    /// Where nothing is predicted as Pathology though it occurs, this is 0 while precision is undefined.
    ///
    /// # Errors
    ///
    /// [`Undefined::ClassAbsent`] Pathology.
    pub fn f1(&self) -> Result<f64, Undefined> {
        self.f1_of(Class::Pathology)
    }

    /// (TP + TN) / (TP + FP + TN + FN).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSamples`].
    pub fn accuracy(&self) -> Result<f64, Undefined> {
        let right = self.true_positives + self.true_negatives;
        let wrong = self.false_positives + self.false_negatives;
        ratio(right, right + wrong, Undefined::NoSamples)
    }

    pub(crate) fn recall_of(&self, class: Class) -> Result<f64, Undefined> {
        let of = self.seen_from(class);
        ratio(of.hits, of.hits + of.misses, Undefined::NoSampleOf { class })
    }

    pub(crate) fn precision_of(&self, class: Class) -> Result<f64, Undefined> {
        let of = self.seen_from(class);
        ratio(of.hits, of.hits + of.false_alarms, Undefined::NoPredictionOf { class })
    }

    pub(crate) fn f1_of(&self, class: Class) -> Result<f64, Undefined> {
        let of = self.seen_from(class);
        let twice_hits = 2 * of.hits;
        ratio(twice_hits, twice_hits + of.false_alarms + of.misses, Undefined::ClassAbsent { class })
    }

    /// How many samples are of the class.
    pub(crate) fn support_of(&self, class: Class) -> u64 {
        let of = self.seen_from(class);
        of.hits + of.misses
    }

    fn seen_from(&self, class: Class) -> SeenFrom {
        match class {
            Class::Pathology => SeenFrom {
                hits: self.true_positives,
                misses: self.false_negatives,
                false_alarms: self.false_positives,
            },
            Class::Normal => SeenFrom {
                hits: self.true_negatives,
                misses: self.false_positives,
                false_alarms: self.false_negatives,
            },
        }
    }
}

/// The counts with one class taken as the positive one.
struct SeenFrom {
    hits: u64,
    misses: u64,
    false_alarms: u64,
}

fn ratio(part: u64, whole: u64, otherwise: Undefined) -> Result<f64, Undefined> {
    match whole {
        0 => Err(otherwise),
        _ => Ok(part as f64 / whole as f64),
    }
}

/// Finds the counts at one threshold among the cuts of a ranking.
pub(crate) struct CountsAt {
    threshold: f64,
    predicted: Cut,
    total: Cut,
}

impl CountsAt {
    pub(crate) fn new(threshold: f64) -> Self {
        Self { threshold, predicted: Cut::ABOVE_ALL, total: Cut::ABOVE_ALL }
    }

    /// Takes the cuts in their order, highest threshold first.
    pub(crate) fn add(&mut self, cut: &Cut) {
        if cut.threshold >= self.threshold {
            self.predicted = *cut;
        }
        self.total = *cut;
    }

    /// The counts once every cut was added.
    pub(crate) fn confusion(&self) -> Result<Confusion, Undefined> {
        if self.threshold.is_nan() {
            return Err(Undefined::ThresholdNotANumber);
        }
        let Self { predicted, total, .. } = self;
        Ok(Confusion {
            true_positives: predicted.true_positives,
            false_positives: predicted.false_positives,
            true_negatives: total.false_positives - predicted.false_positives,
            false_negatives: total.true_positives - predicted.true_positives,
        })
    }
}
