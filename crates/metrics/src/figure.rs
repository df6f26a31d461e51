//! A figure with its intervals, made from a statistic over resamples.

use serde::Serialize;

use crate::bootstrap::Bootstrap;
use crate::clusters::Clusters;
use crate::interval::{Distribution, Interval, acceleration};
use crate::undefined::{Undefined, Why};

/// A figure and its confidence intervals.
///
/// In JSON `value`, `ci_low`, `ci_high`, `bca_low` and `bca_high` are `null` where there is none.
/// `undefined` (and `reason`, as data) says why there is no value or percentile interval;
/// `bca_undefined` says why there is no BCa interval where there is a percentile interval.
/// `wilson_low`, `wilson_high`, `wilson_patients_low` and `wilson_patients_high` are present for
/// proportions, and `undefined_replicates` where it is not 0. `unbounded` is true where `ci_high`
/// is infinite and therefore `null`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "FlatFigure")]
pub struct Figure {
    /// The figure on the original samples.
    pub value: Result<f64, Undefined>,
    /// The interval by percentiles of the bootstrap (Efron and Tibshirani 1993, chapter 13).
    /// Undefined for the reason of the value where that is undefined.
    pub interval: Result<Interval, Undefined>,
    /// The interval by percentiles corrected for bias and skewness, `BCa` (Efron 1987).
    pub bca: Result<Interval, Undefined>,
    /// The score interval of [`wilson`](crate::wilson) where the figure is a proportion of counts.
    /// It treats samples as independent, so it is too narrow where patients have several.
    pub wilson: Option<Interval>,
    /// The same with the number of patients instead of the number of samples, as if all samples of
    /// a patient were one. Where the bootstrap interval has no width, this is the honest one to
    /// show.
    pub wilson_patients: Option<Interval>,
    /// Replicates in which the figure has no value; both bootstrap intervals leave them out.
    pub undefined_replicates: usize,
}

impl Figure {
    /// A figure that has no value.
    pub(crate) fn undefined(reason: Undefined) -> Self {
        let (value, interval) = (Err(reason), Err(reason));
        Self { value, interval, bca: interval, wilson: None, wilson_patients: None, undefined_replicates: 0 }
    }
}

/// A statistic of the data, of every resample, and of the data without each patient. The figures
/// are computed from `T`.
pub(crate) struct Resampled<T> {
    observed: T,
    replicates: Result<Vec<T>, Undefined>,
    /// `[patients]`
    left_out: Vec<T>,
    strata: Vec<usize>,
    confidence_level: f64,
}

impl<T: Send> Resampled<T> {
    /// `statistic` receives how often each patient was drawn, `left_out` the statistic of the data.
    pub(crate) fn new(
        bootstrap: &Bootstrap,
        clusters: &Clusters,
        statistic: impl Fn(&[u32]) -> T + Sync,
        left_out: impl FnOnce(&T) -> Vec<T>,
    ) -> Self {
        let observed = statistic(&vec![1; clusters.count()]);
        Self {
            left_out: left_out(&observed),
            observed,
            replicates: bootstrap.replicates(&clusters.strata, statistic),
            strata: clusters.strata.clone(),
            confidence_level: bootstrap.confidence_level,
        }
    }

    pub(crate) fn observed(&self) -> &T {
        &self.observed
    }

    /// The figure that `of` computes from the statistic.
    pub(crate) fn figure(&self, of: impl Fn(&T) -> Result<f64, Undefined>) -> Figure {
        self.figure_of(&of, &of)
    }

    /// A ratio, which is infinite in a resample where its denominator is 0.
    pub(crate) fn ratio(&self, of: impl Fn(&T) -> Result<f64, Undefined>) -> Figure {
        let resampled = |statistic: &T| match of(statistic) {
            Err(Undefined::NoneOfPredictedAs { .. }) => Ok(f64::INFINITY),
            other => other,
        };
        self.figure_of(&of, &resampled)
    }

    fn figure_of(
        &self,
        of: &dyn Fn(&T) -> Result<f64, Undefined>,
        resampled: &dyn Fn(&T) -> Result<f64, Undefined>,
    ) -> Figure {
        let value = match of(&self.observed) {
            Ok(value) => value,
            Err(reason) => return Figure::undefined(reason),
        };
        let distribution = (self.replicates.as_ref().map_err(|reason| *reason)).and_then(|replicates| {
            Distribution::new(replicates.iter().map(resampled), self.confidence_level)
        });
        let (interval, bca, undefined_replicates) = match distribution {
            Ok(distribution) => (
                Ok(distribution.percentile()),
                acceleration(self.left_out.iter().map(of), &self.strata)
                    .and_then(|acceleration| distribution.bca(value, acceleration)),
                distribution.undefined_replicates,
            ),
            Err(reason) => (Err(reason), Err(reason), 0),
        };
        Figure { value: Ok(value), interval, bca, wilson: None, wilson_patients: None, undefined_replicates }
    }
}

#[derive(Serialize)]
struct FlatFigure {
    value: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    bca_low: Option<f64>,
    bca_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wilson_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wilson_high: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wilson_patients_low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wilson_patients_high: Option<f64>,
    #[serde(flatten)]
    why: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bca_undefined: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bca_reason: Option<Undefined>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undefined_replicates: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unbounded: bool,
}

impl From<Figure> for FlatFigure {
    fn from(figure: Figure) -> Self {
        let Figure { value, interval, bca, wilson, wilson_patients, undefined_replicates } = figure;
        let reason = value.err().or(interval.err());
        let bca_reason = bca.err().filter(|_| reason.is_none());
        // JSON has no infinity.
        let end = |end: f64| Some(end).filter(|end| end.is_finite());
        let ends = |interval: Option<Interval>| {
            (interval.and_then(|i| end(i.low)), interval.and_then(|i| end(i.high)))
        };
        let unbounded = interval.is_ok_and(|interval| interval.high == f64::INFINITY);
        let ((ci_low, ci_high), (bca_low, bca_high)) = (ends(interval.ok()), ends(bca.ok()));
        let (wilson_low, wilson_high) = ends(wilson);
        let (wilson_patients_low, wilson_patients_high) = ends(wilson_patients);
        Self {
            value: value.ok(),
            ci_low,
            ci_high,
            bca_low,
            bca_high,
            wilson_low,
            wilson_high,
            wilson_patients_low,
            wilson_patients_high,
            why: reason.map(Why::from),
            bca_undefined: bca_reason.map(|reason| reason.to_string()),
            bca_reason,
            undefined_replicates: Some(undefined_replicates).filter(|&count| count > 0),
            unbounded,
        }
    }
}
