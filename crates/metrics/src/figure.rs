//! A figure with its intervals, made of a statistic over resamples. Does not know which figure.

use serde::Serialize;

use crate::bootstrap::Bootstrap;
use crate::clusters::Clusters;
use crate::interval::{Distribution, Interval, acceleration};
use crate::undefined::Undefined;

/// A figure and its confidence intervals.
///
/// In JSON `value`, `ci_low`, `ci_high`, `bca_low` and `bca_high`, `null` where there is none;
/// `undefined` says why of the value and the percentile interval, `bca_undefined` of the other where
/// the first is there. `wilson_low` and `wilson_high` are there for proportions, and
/// `undefined_replicates` where it is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "FlatFigure")]
pub struct Figure {
    /// The figure on the samples as they are.
    pub value: Result<f64, Undefined>,
    /// By percentiles of the bootstrap (Efron and Tibshirani 1993, chapter 13). Undefined for the
    /// value's reason where the value is.
    pub interval: Result<Interval, Undefined>,
    /// By percentiles corrected for bias and skewness, `BCa` (Efron 1987).
    pub bca: Result<Interval, Undefined>,
    /// The score interval of [`wilson`](crate::wilson) where the figure is a proportion of counts. It
    /// takes samples as independent: too narrow where patients have several.
    pub wilson: Option<Interval>,
    /// Replicates that are left out of both bootstrap intervals because the figure has no value in them.
    pub undefined_replicates: usize,
}

impl Figure {
    /// A figure that has no value.
    pub(crate) fn undefined(reason: Undefined) -> Self {
        let (value, interval) = (Err(reason), Err(reason));
        Self { value, interval, bca: interval, wilson: None, undefined_replicates: 0 }
    }
}

/// A statistic of the data, of every resample, and of the data without each patient. `T` is whatever
/// the figures are computed of.
pub(crate) struct Resampled<T> {
    observed: T,
    replicates: Result<Vec<T>, Undefined>,
    /// `[patients]`
    left_out: Vec<T>,
    strata: Vec<usize>,
    confidence_level: f64,
}

impl<T: Send> Resampled<T> {
    /// `statistic` is given how often each patient was drawn, `left_out` the statistic of the data.
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

    /// The figure that `of` computes of the statistic.
    pub(crate) fn figure(&self, of: impl Fn(&T) -> Result<f64, Undefined>) -> Figure {
        let value = match of(&self.observed) {
            Ok(value) => value,
            Err(reason) => return Figure::undefined(reason),
        };
        let distribution = (self.replicates.as_ref().map_err(|reason| *reason))
            .and_then(|replicates| Distribution::new(replicates.iter().map(&of), self.confidence_level));
        let (interval, bca, undefined_replicates) = match distribution {
            Ok(distribution) => (
                Ok(distribution.percentile()),
                acceleration(self.left_out.iter().map(&of), &self.strata)
                    .and_then(|acceleration| distribution.bca(value, acceleration)),
                distribution.undefined_replicates,
            ),
            Err(reason) => (Err(reason), Err(reason), 0),
        };
        Figure { value: Ok(value), interval, bca, wilson: None, undefined_replicates }
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
    undefined: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bca_undefined: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undefined_replicates: Option<usize>,
}

impl From<Figure> for FlatFigure {
    fn from(Figure { value, interval, bca, wilson, undefined_replicates }: Figure) -> Self {
        let reason = value.err().or(interval.err());
        let ends = |interval: Option<Interval>| (interval.map(|i| i.low), interval.map(|i| i.high));
        let ((ci_low, ci_high), (bca_low, bca_high)) = (ends(interval.ok()), ends(bca.ok()));
        let (wilson_low, wilson_high) = ends(wilson);
        Self {
            value: value.ok(),
            ci_low,
            ci_high,
            bca_low,
            bca_high,
            wilson_low,
            wilson_high,
            undefined: reason.map(|reason| reason.to_string()),
            bca_undefined: bca.err().filter(|_| reason.is_none()).map(|reason| reason.to_string()),
            undefined_replicates: Some(undefined_replicates).filter(|&count| count > 0),
        }
    }
}
