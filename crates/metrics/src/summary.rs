//! All figures of one part of the data with their intervals, from one sort and one pass a replicate.
//! Does not know whether the part is a test set, a site or a scanner.

use std::array;
use std::collections::HashMap;

use serde::Serialize;

use crate::bootstrap::{Bootstrap, Interval};
use crate::confusion::{Confusion, CountsAt};
use crate::ranking::Ranking;
use crate::roc::Area;
use crate::undefined::{Undefined, value_or_null};

/// Samples that are summarised together; the three slices are parallel.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// `[n]`, `true` where the sample is Pathology.
    pub labels: &'a [bool],
    /// `[n]`, finite; a higher score speaks for Pathology.
    pub scores: &'a [f64],
    /// `[n]`, equal where two samples are of one patient. Any numbers do: the intervals depend on the
    /// order in which patients first occur, and not on how they are numbered.
    pub patients: &'a [usize],
}

/// The figures of a [`Part`] at a fixed threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Samples in the part.
    pub samples: usize,
    /// Distinct patients in the part.
    pub patients: usize,
    /// Samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
    /// The counts at the threshold; `null` in JSON where undefined.
    #[serde(serialize_with = "value_or_null")]
    pub confusion: Result<Confusion, Undefined>,
    /// Area under the ROC curve, see [`auc`](crate::auc); does not depend on the threshold.
    pub auc: Figure,
    /// See [`Confusion::sensitivity`].
    pub sensitivity: Figure,
    /// See [`Confusion::specificity`].
    pub specificity: Figure,
    /// See [`Confusion::precision`].
    pub precision: Figure,
    /// See [`Confusion::f1`].
    pub f1: Figure,
    /// See [`Confusion::accuracy`].
    pub accuracy: Figure,
}

/// A figure and its confidence interval. In JSON `value`, `ci_low` and `ci_high`, `null` where there
/// is none; then `undefined` says why. `undefined_replicates` is there where it is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "FlatFigure")]
pub struct Figure {
    /// The figure on the samples as they are.
    pub value: Result<f64, Undefined>,
    /// Undefined for the value's reason where the value is.
    pub interval: Result<Interval, Undefined>,
}

/// The figures of `part` at `threshold`, each with a percentile interval over patients.
///
/// One sort, then O(n) a replicate; replicates run on the current rayon pool and give the same
/// result on any number of threads. A replicate in which a figure has no value (a resample of one
/// class) is left out of that figure's interval and counted; where that is more than half of them,
/// the interval is [`Undefined::TooFewReplicates`]. An unusable part (empty, lengths that differ, a
/// score that is not finite) makes every figure undefined for that reason.
pub fn summarise(part: &Part<'_>, threshold: f64, bootstrap: &Bootstrap) -> Summary {
    let clusters = Clusters::new(part.patients);
    let ranking = Ranking::new(part.labels, part.scores)
        .and_then(|ranking| clusters.check(part.labels.len()).map(|()| ranking));

    let at = |ranking: &Ranking, drawn: &[u32]| {
        let weight = |sample: usize| u64::from(drawn[clusters.of_sample[sample]]);
        Figures::new(ranking, threshold, weight)
    };
    let observed = match &ranking {
        Ok(ranking) => at(ranking, &vec![1; clusters.count]),
        Err(reason) => Figures::undefined(*reason),
    };
    let replicates =
        ranking.and_then(|ranking| bootstrap.replicates(clusters.count, |drawn| at(&ranking, drawn).figures));

    let [auc, sensitivity, specificity, precision, f1, accuracy] = array::from_fn(|k| {
        let value = observed.figures[k];
        let interval = value.and_then(|_| match &replicates {
            Ok(replicates) => bootstrap.interval(replicates.iter().map(|figures| figures[k])),
            Err(reason) => Err(*reason),
        });
        Figure { value, interval }
    });
    Summary {
        samples: part.labels.len(),
        patients: clusters.count,
        threshold,
        confusion: observed.confusion,
        auc,
        sensitivity,
        specificity,
        precision,
        f1,
        accuracy,
    }
}

/// The figures of one weighting of the samples.
struct Figures {
    confusion: Result<Confusion, Undefined>,
    /// In the order of [`Summary`]: AUC, sensitivity, specificity, precision, F1, accuracy.
    figures: [Result<f64, Undefined>; 6],
}

impl Figures {
    fn new(ranking: &Ranking, threshold: f64, weight: impl Fn(usize) -> u64) -> Self {
        let mut area = Area::default();
        let mut counts = CountsAt::new(threshold);
        for cut in ranking.cuts(weight) {
            area.add(&cut);
            counts.add(&cut);
        }
        let confusion = counts.confusion();
        Self {
            confusion,
            figures: [
                area.auc(),
                confusion.and_then(|counts| counts.sensitivity()),
                confusion.and_then(|counts| counts.specificity()),
                confusion.and_then(|counts| counts.precision()),
                confusion.and_then(|counts| counts.f1()),
                confusion.and_then(|counts| counts.accuracy()),
            ],
        }
    }

    fn undefined(reason: Undefined) -> Self {
        Self { confusion: Err(reason), figures: [Err(reason); 6] }
    }
}

/// Patients renumbered from 0 in the order in which they first occur.
struct Clusters {
    /// The patient of each sample, `[n]`.
    of_sample: Vec<usize>,
    count: usize,
}

impl Clusters {
    fn new(patients: &[usize]) -> Self {
        let mut renumbered = HashMap::new();
        let of_sample = (patients.iter())
            .map(|patient| {
                let next = renumbered.len();
                *renumbered.entry(patient).or_insert(next)
            })
            .collect();
        let count = renumbered.len();
        Self { of_sample, count }
    }

    fn check(&self, labels: usize) -> Result<(), Undefined> {
        match self.of_sample.len() {
            found if found == labels => Ok(()),
            found => Err(Undefined::LengthMismatch { labels, what: "patient indices", found }),
        }
    }
}

#[derive(Serialize)]
struct FlatFigure {
    value: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undefined: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undefined_replicates: Option<usize>,
}

impl From<Figure> for FlatFigure {
    fn from(Figure { value, interval }: Figure) -> Self {
        let reason = value.err().or(interval.err());
        let interval = interval.ok();
        Self {
            value: value.ok(),
            ci_low: interval.map(|interval| interval.low),
            ci_high: interval.map(|interval| interval.high),
            undefined: reason.map(|reason| reason.to_string()),
            undefined_replicates: interval
                .map(|interval| interval.undefined_replicates)
                .filter(|&count| count > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{auc, confusion};

    #[test]
    fn a_weighted_replicate_equals_the_materialised_resample() {
        // 60 samples of 17 patients, with ties: scores are multiples of 1/13.
        let patients: Vec<usize> = (0..60).map(|i| (i * i) % 17).collect();
        let labels: Vec<bool> = (0..60).map(|i| i % 5 < 2).collect();
        let scores: Vec<f64> = (0..60).map(|i| f64::from((i * 7) % 13) / 13.0).collect();
        let threshold = 6.0 / 13.0;
        let clusters = Clusters::new(&patients);
        let ranking = Ranking::new(&labels, &scores).unwrap();
        let bootstrap = Bootstrap { replicates: 200, confidence_level: 0.95, seed: 42 };
        let replicates = bootstrap.replicates(clusters.count, <[u32]>::to_vec).unwrap();

        for drawn in replicates {
            let times = |sample: usize| drawn[clusters.of_sample[sample]];
            let weighted = Figures::new(&ranking, threshold, |sample| u64::from(times(sample)));

            let (resampled_labels, resampled_scores): (Vec<bool>, Vec<f64>) =
                (0..60).flat_map(|i| (0..times(i)).map(move |_| i)).map(|i| (labels[i], scores[i])).unzip();
            let counts = confusion(&resampled_labels, &resampled_scores, threshold);
            assert_eq!(weighted.confusion, counts);
            assert_eq!(weighted.figures[0], auc(&resampled_labels, &resampled_scores));
            assert_eq!(weighted.figures[4], counts.and_then(|counts| counts.f1()));
        }
    }

    #[test]
    fn patients_are_numbered_as_they_come() {
        let clusters = Clusters::new(&[70, 3, 70, usize::MAX, 3]);
        assert_eq!(clusters.of_sample, [0, 1, 0, 2, 1]);
        assert_eq!(clusters.count, 3);
    }
}
