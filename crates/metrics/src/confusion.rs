//! The four counts at a threshold, and the figures that follow from them.

use serde::Serialize;

use crate::interval::wilson_of_fewer;
use crate::ranking::{Cut, Ranking};
use crate::roc::both_classes;
use crate::undefined::{check_share, ensure};
use crate::{Class, Interval, Undefined, wilson};

/// Counts of samples by class and prediction; Pathology is positive. In JSON `tp`, `fp`, `tn`,
/// `fn`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
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
/// [`Undefined::NonFiniteScore`] for the input itself. An infinite threshold is allowed.
pub fn confusion(labels: &[bool], scores: &[f64], threshold: f64) -> Result<Confusion, Undefined> {
    let ranking = Ranking::new(labels, scores)?;
    check_threshold(threshold)?;
    let called = ranking.cuts(|_| 1).take_while(|cut| cut.threshold >= threshold).last();
    Ok(Confusion::between(&called.unwrap_or(Cut::ABOVE_ALL), &ranking.total(|_| 1)))
}

/// # Errors
///
/// [`Undefined::ThresholdNotANumber`].
pub(crate) fn check_threshold(threshold: f64) -> Result<(), Undefined> {
    ensure(!threshold.is_nan(), Undefined::ThresholdNotANumber)
}

impl Confusion {
    /// The counts where everything above a cut is predicted as Pathology, and `total` has all
    /// samples.
    pub(crate) fn between(called: &Cut, total: &Cut) -> Self {
        Self {
            true_positives: called.true_positives,
            false_positives: called.false_positives,
            true_negatives: total.false_positives - called.false_positives,
            false_negatives: total.true_positives - called.true_positives,
        }
    }

    /// The counts without those of some samples.
    pub(crate) fn without(&self, some: &Self) -> Self {
        Self {
            true_positives: self.true_positives - some.true_positives,
            false_positives: self.false_positives - some.false_positives,
            true_negatives: self.true_negatives - some.true_negatives,
            false_negatives: self.false_negatives - some.false_negatives,
        }
    }

    /// Adds a sample.
    pub(crate) fn count(&mut self, positive: bool, called: bool) {
        *match (positive, called) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (false, false) => &mut self.true_negatives,
            (true, false) => &mut self.false_negatives,
        } += 1;
    }

    /// TP / (TP + FN), the recall of Pathology.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSampleOf`] Pathology.
    pub fn sensitivity(&self) -> Result<f64, Undefined> {
        self.recall_of(Class::Pathology).value()
    }

    /// TN / (TN + FP), the recall of Normal.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSampleOf`] Normal.
    pub fn specificity(&self) -> Result<f64, Undefined> {
        self.recall_of(Class::Normal).value()
    }

    /// TP / (TP + FP), the positive predictive value at the prevalence of the samples.
    ///
    /// # Errors
    ///
    /// [`Undefined::OneClass`], where it would only describe the class that is present;
    /// [`Undefined::NoPredictionOf`] Pathology.
    pub fn precision(&self) -> Result<f64, Undefined> {
        self.predictive_value_of(Class::Pathology).value()
    }

    /// TN / (TN + FN), the negative predictive value at the prevalence of the samples.
    ///
    /// # Errors
    ///
    /// As [`Confusion::precision`], with [`Undefined::NoPredictionOf`] Normal.
    pub fn npv(&self) -> Result<f64, Undefined> {
        self.predictive_value_of(Class::Normal).value()
    }

    /// 2 TP / (2 TP + FP + FN), the harmonic mean of precision and sensitivity (van Rijsbergen
    /// 1979). Where nothing is predicted as Pathology although it occurs, this is 0 while precision
    /// is undefined.
    ///
    /// # Errors
    ///
    /// [`Undefined::OneClass`].
    pub fn f1(&self) -> Result<f64, Undefined> {
        self.both_classes()?;
        self.f1_of(Class::Pathology)
    }

    /// (TP + TN) / (TP + FP + TN + FN).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSamples`].
    pub fn accuracy(&self) -> Result<f64, Undefined> {
        self.right().value()
    }

    /// (sensitivity + specificity) / 2 (Brodersen et al. 2010).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSampleOf`] either class.
    pub fn balanced_accuracy(&self) -> Result<f64, Undefined> {
        Ok(f64::midpoint(self.sensitivity()?, self.specificity()?))
    }

    /// (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)), the correlation of label
    /// and prediction (Matthews 1975).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSampleOf`] and [`Undefined::NoPredictionOf`] either class, where scikit-learn
    /// returns 0.
    pub fn mcc(&self) -> Result<f64, Undefined> {
        let mut margins = 1.0;
        for share in [
            self.recall_of(Class::Pathology),
            self.recall_of(Class::Normal),
            self.precision_of(Class::Pathology),
            self.precision_of(Class::Normal),
        ] {
            share.value()?;
            margins *= (share.whole as f64).sqrt();
        }
        let product = |a: u64, b: u64| i128::from(a) * i128::from(b);
        let right = product(self.true_positives, self.true_negatives);
        Ok((right - product(self.false_positives, self.false_negatives)) as f64 / margins)
    }

    /// LR+ = sensitivity / (1 - specificity): the factor by which a prediction of Pathology raises
    /// the odds of Pathology (Deeks and Altman 2004).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoneOfPredictedAs`] where no Normal sample is predicted as Pathology: infinite,
    /// or 0/0. [`Undefined::NoSampleOf`] either class.
    pub fn positive_likelihood_ratio(&self) -> Result<f64, Undefined> {
        likelihood_ratio(self.sensitivity()?, self.miss_rate(Class::Normal)?, Class::Pathology)
    }

    /// LR- = (1 - sensitivity) / specificity: the factor by which a prediction of Normal changes
    /// the odds of Pathology (Deeks and Altman 2004).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoneOfPredictedAs`] where no Normal sample is predicted as Normal.
    /// [`Undefined::NoSampleOf`] either class.
    pub fn negative_likelihood_ratio(&self) -> Result<f64, Undefined> {
        likelihood_ratio(self.miss_rate(Class::Pathology)?, self.specificity()?, Class::Normal)
    }

    /// The positive predictive value where Pathology has a different prevalence from the samples',
    /// by Bayes: sensitivity p / (sensitivity p + (1 - specificity) (1 - p)).
    ///
    /// # Errors
    ///
    /// [`Undefined::OutOfRange`] where the prevalence is not within 0 to 1,
    /// [`Undefined::NoPredictionOf`] Pathology, [`Undefined::NoSampleOf`] either class.
    pub fn ppv_at(&self, prevalence: f64) -> Result<f64, Undefined> {
        check_share("prevalence", prevalence)?;
        let right = self.sensitivity()? * prevalence;
        let wrong = self.miss_rate(Class::Normal)? * (1.0 - prevalence);
        posterior(right, wrong, Class::Pathology)
    }

    /// The negative predictive value at a different prevalence of Pathology, by Bayes: specificity
    /// (1 - p) / (specificity (1 - p) + (1 - sensitivity) p).
    ///
    /// # Errors
    ///
    /// As [`Confusion::ppv_at`], with [`Undefined::NoPredictionOf`] Normal.
    pub fn npv_at(&self, prevalence: f64) -> Result<f64, Undefined> {
        check_share("prevalence", prevalence)?;
        let right = self.specificity()? * (1.0 - prevalence);
        let wrong = self.miss_rate(Class::Pathology)? * prevalence;
        posterior(right, wrong, Class::Normal)
    }

    /// The share of a class's samples that is predicted as the other class.
    fn miss_rate(&self, class: Class) -> Result<f64, Undefined> {
        let recall = self.recall_of(class);
        Share { part: recall.whole - recall.part, ..recall }.value()
    }

    /// The correctly predicted samples among all samples.
    pub(crate) fn right(&self) -> Share {
        let right = self.true_positives + self.true_negatives;
        let wrong = self.false_positives + self.false_negatives;
        Share { part: right, whole: right + wrong, otherwise: Undefined::NoSamples }
    }

    /// The samples predicted as the class among the samples of the class.
    pub(crate) fn recall_of(&self, class: Class) -> Share {
        let of = self.seen_from(class);
        Share { part: of.hits, whole: of.hits + of.misses, otherwise: Undefined::NoSampleOf { class } }
    }

    /// The samples of the class among the samples predicted as it.
    pub(crate) fn precision_of(&self, class: Class) -> Share {
        let of = self.seen_from(class);
        let otherwise = Undefined::NoPredictionOf { class };
        Share { part: of.hits, whole: of.hits + of.false_alarms, otherwise }
    }

    /// As [`Confusion::precision_of`], but for samples of both classes.
    pub(crate) fn predictive_value_of(&self, class: Class) -> Share {
        match self.both_classes() {
            Ok(()) => self.precision_of(class),
            Err(otherwise) => Share { part: 0, whole: 0, otherwise },
        }
    }

    fn both_classes(&self) -> Result<(), Undefined> {
        both_classes(self.support_of(Class::Pathology), self.support_of(Class::Normal))
    }

    pub(crate) fn f1_of(&self, class: Class) -> Result<f64, Undefined> {
        let of = self.seen_from(class);
        let part = 2 * of.hits;
        let whole = part + of.false_alarms + of.misses;
        Share { part, whole, otherwise: Undefined::ClassAbsent { class } }.value()
    }

    /// The number of samples of the class.
    pub(crate) fn support_of(&self, class: Class) -> u64 {
        self.recall_of(class).whole
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

/// A proportion of counts, and why it has no value where the whole is 0.
pub(crate) struct Share {
    part: u64,
    pub(crate) whole: u64,
    otherwise: Undefined,
}

impl Share {
    pub(crate) fn value(&self) -> Result<f64, Undefined> {
        ensure(self.whole > 0, self.otherwise)?;
        Ok(self.part as f64 / self.whole as f64)
    }

    pub(crate) fn wilson(&self, confidence_level: f64) -> Result<Interval, Undefined> {
        wilson(self.part, self.whole, confidence_level)
    }

    /// As [`Share::wilson`], for this many patients.
    pub(crate) fn wilson_of(&self, patients: u64, confidence_level: f64) -> Result<Interval, Undefined> {
        wilson_of_fewer((self.part, self.whole), patients, confidence_level)
    }
}

/// The share of Pathology samples with the prediction divided by the share of Normal samples with
/// it.
fn likelihood_ratio(of_pathology: f64, of_normal: f64, predicted: Class) -> Result<f64, Undefined> {
    ensure(of_normal > 0.0, Undefined::NoneOfPredictedAs { class: Class::Normal, predicted })?;
    Ok(of_pathology / of_normal)
}

fn posterior(right: f64, wrong: f64, class: Class) -> Result<f64, Undefined> {
    ensure(right + wrong > 0.0, Undefined::NoPredictionOf { class })?;
    Ok(right / (right + wrong))
}
