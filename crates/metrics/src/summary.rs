//! All figures of one set of samples with their intervals, from one sort and one pass per
//! replicate.

use serde::Serialize;

use crate::bootstrap::Scheme;
use crate::clusters::Clusters;
use crate::confusion::{Confusion, Share};
use crate::figure::{Figure, Resampled};
use crate::resample_totals::{Samples, Sums};
use crate::undefined::{Class, Undefined, value_or_null};

/// Samples that are summarised together; the three slices are parallel.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// `[n]`, `true` where the sample is Pathology.
    pub labels: &'a [bool],
    /// `[n]`, finite; a higher score means that Pathology is more likely.
    pub scores: &'a [f64],
    /// `[n]`, equal where two samples belong to one patient. Any numbers may be used: the intervals
    /// depend on the order in which patients first occur, and not on their numbers.
    pub patients: &'a [usize],
}

/// The decisions for which a [`Part`] is summarised; a bare threshold is accepted.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
    /// A prevalence for which predictive values are also wanted.
    pub prevalence: Option<f64>,
}

impl From<f64> for Cut {
    fn from(threshold: f64) -> Self {
        Self { threshold, prevalence: None }
    }
}

/// The figures of a [`Part`] at a fixed threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Number of samples in the part.
    pub samples: usize,
    /// Number of distinct patients in the part.
    pub patients: usize,
    /// Samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
    /// The counts at the threshold; `null` in JSON where undefined.
    #[serde(serialize_with = "value_or_null")]
    pub confusion: Result<Confusion, Undefined>,
    /// Area under the ROC curve, see [`auc`](crate::auc); does not depend on the threshold.
    pub auc: Figure,
    /// See [`average_precision`](crate::average_precision); does not depend on the threshold.
    pub average_precision: Figure,
    /// See [`Confusion::sensitivity`].
    pub sensitivity: Figure,
    /// See [`Confusion::specificity`].
    pub specificity: Figure,
    /// The positive predictive value, see [`Confusion::precision`].
    pub precision: Figure,
    /// The negative predictive value, see [`Confusion::npv`].
    pub npv: Figure,
    /// See [`Confusion::f1`].
    pub f1: Figure,
    /// See [`Confusion::accuracy`].
    pub accuracy: Figure,
    /// See [`Confusion::balanced_accuracy`].
    pub balanced_accuracy: Figure,
    /// See [`Confusion::mcc`].
    pub mcc: Figure,
    /// See [`Confusion::positive_likelihood_ratio`]. It is infinite in resamples without a false
    /// positive, and so the upper end of its interval may be infinite.
    pub positive_likelihood_ratio: Figure,
    /// See [`Confusion::negative_likelihood_ratio`].
    pub negative_likelihood_ratio: Figure,
    /// See [`Confusion::ppv_at`]; `None` where no prevalence was given. The prevalence is treated
    /// as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppv_at_prevalence: Option<Figure>,
    /// See [`Confusion::npv_at`]; otherwise as `ppv_at_prevalence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npv_at_prevalence: Option<Figure>,
    /// See [`brier`](crate::brier); does not depend on the threshold.
    pub brier: Figure,
}

/// The figures of `part` at a threshold, each with its intervals over patients.
///
/// One sort, then O(n) per replicate. Replicates run on the current rayon pool and give the same
/// result on any number of threads. A replicate in which a figure has no value (a resample of one
/// class) is left out of that figure's intervals and counted. Where that is more than half of the
/// replicates, the intervals are [`Undefined::TooFewReplicates`]. An unusable part (empty, with
/// different lengths, or with a score that is not finite) makes every figure undefined for that
/// reason.
pub fn summarise(part: &Part<'_>, cut: impl Into<Cut>, scheme: impl Into<Scheme>) -> Summary {
    let Cut { threshold, prevalence } = cut.into();
    let Scheme { bootstrap, resampling } = scheme.into();
    let clusters = Clusters::new(part.patients);
    let patients = clusters.count();
    let prepared = clusters.stratified(part.labels, resampling).and_then(|clusters| {
        let samples = Samples::new(part.labels, part.scores, threshold, &clusters)?;
        let resampled = Resampled::new(
            &bootstrap,
            &clusters,
            |drawn| samples.sums(drawn),
            |observed| samples.left_out(observed),
        );
        Ok((samples, resampled))
    });

    let figure = |of: &dyn Fn(&Samples, &Sums) -> Result<f64, Undefined>| match &prepared {
        Ok((samples, resampled)) => resampled.figure(|sums| of(samples, sums)),
        Err(reason) => Figure::undefined(*reason),
    };
    let confusion = match &prepared {
        Ok((samples, resampled)) => samples.counts(resampled.observed()),
        Err(reason) => Err(*reason),
    };
    let at_threshold =
        |of: fn(&Confusion) -> Result<f64, Undefined>| figure(&|samples, sums| of(&samples.counts(sums)?));
    let ratio = |of: fn(&Confusion) -> Result<f64, Undefined>| match &prepared {
        Ok((samples, resampled)) => resampled.ratio(|sums| of(&samples.counts(sums)?)),
        Err(reason) => Figure::undefined(*reason),
    };
    let by_patient = prepared.as_ref().map(|(samples, _)| samples.by_patient()).unwrap_or_default();
    let level = bootstrap.confidence_level;
    let proportion = |of: fn(&Confusion) -> Share| Figure {
        wilson: confusion.and_then(|counts| of(&counts).wilson(level)).ok(),
        wilson_patients: confusion
            .and_then(|counts| of(&counts).wilson_of(behind(&by_patient, of), level))
            .ok(),
        ..figure(&|samples, sums| of(&samples.counts(sums)?).value())
    };
    let predictive = |of: fn(&Confusion) -> Share, class: Class| {
        let figure = proportion(of);
        match confusion.and_then(|counts| counts.predictive_value_of(class).value()) {
            Ok(_) => figure,
            Err(reason) => Figure::undefined(reason),
        }
    };
    let at_prevalence = |of: fn(&Confusion, f64) -> Result<f64, Undefined>| {
        prevalence.map(|prevalence| figure(&|samples, sums| of(&samples.counts(sums)?, prevalence)))
    };
    Summary {
        samples: part.labels.len(),
        patients,
        threshold,
        confusion,
        auc: figure(&Samples::auc),
        average_precision: figure(&Samples::average_precision),
        sensitivity: proportion(|counts| counts.recall_of(Class::Pathology)),
        specificity: proportion(|counts| counts.recall_of(Class::Normal)),
        precision: predictive(|counts| counts.precision_of(Class::Pathology), Class::Pathology),
        npv: predictive(|counts| counts.precision_of(Class::Normal), Class::Normal),
        f1: at_threshold(Confusion::f1),
        accuracy: proportion(Confusion::right),
        balanced_accuracy: at_threshold(Confusion::balanced_accuracy),
        mcc: at_threshold(Confusion::mcc),
        positive_likelihood_ratio: ratio(Confusion::positive_likelihood_ratio),
        negative_likelihood_ratio: ratio(Confusion::negative_likelihood_ratio),
        ppv_at_prevalence: at_prevalence(Confusion::ppv_at),
        npv_at_prevalence: at_prevalence(Confusion::npv_at),
        brier: figure(&Samples::brier),
    }
}

/// The number of patients that have a sample in the denominator of the proportion.
fn behind(by_patient: &[Confusion], of: fn(&Confusion) -> Share) -> u64 {
    by_patient.iter().filter(|counts| of(counts).whole > 0).count() as u64
}
