//! Confidence intervals: of a bootstrap distribution by percentiles and by `BCa`, of a proportion
//! by Wilson, and of an estimate with a standard error.

use rayon::prelude::*;
use serde::Serialize;

use crate::undefined::ensure;
use crate::{Undefined, normal};

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the value lies outside, as it does where a subgroup differs from the whole set.
    pub fn excludes(&self, value: f64) -> bool {
        value < self.low || self.high < value
    }

    /// estimate +- z times its standard error, clipped to the range of the figure.
    ///
    /// # Errors
    ///
    /// [`Undefined::ConfidenceLevel`]; [`Undefined::NoVariance`] where the standard error is 0.
    pub(crate) fn around(
        estimate: f64,
        standard_error: f64,
        confidence_level: f64,
        (least, most): (f64, f64),
    ) -> Result<Self, Undefined> {
        let reach = -normal::quantile(tail(confidence_level)?) * standard_error;
        ensure(standard_error > 0.0, Undefined::NoVariance)?;
        Ok(Self { low: (estimate - reach).max(least), high: (estimate + reach).min(most) })
    }
}

/// The probability outside an interval on either side, (1 - confidence level) / 2.
///
/// # Errors
///
/// [`Undefined::ConfidenceLevel`].
pub(crate) fn tail(confidence_level: f64) -> Result<f64, Undefined> {
    ensure(
        confidence_level > 0.0 && confidence_level < 1.0,
        Undefined::ConfidenceLevel { confidence_level },
    )?;
    Ok((1.0 - confidence_level) / 2.0)
}

/// The score interval of a proportion (Wilson 1927, without continuity correction; Newcombe 1998,
/// method 3): with p = successes / trials and z the normal quantile of the level,
/// (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n).
///
/// It treats the trials as independent: with several samples of a patient it is too narrow, and the
/// bootstrap over patients is the interval to read.
///
/// # Errors
///
/// [`Undefined::NoProportion`], [`Undefined::ConfidenceLevel`].
pub fn wilson(successes: u64, trials: u64, confidence_level: f64) -> Result<Interval, Undefined> {
    wilson_of_fewer((successes, trials), trials, confidence_level)
}

/// The same for a proportion with fewer independent trials than trials.
pub(crate) fn wilson_of_fewer(
    (successes, trials): (u64, u64),
    independent: u64,
    confidence_level: f64,
) -> Result<Interval, Undefined> {
    let z = -normal::quantile(tail(confidence_level)?);
    let sound = independent > 0 && trials > 0 && successes <= trials;
    ensure(sound, Undefined::NoProportion { successes, trials })?;
    let (n, p) = (independent as f64, successes as f64 / trials as f64);
    let centre = p + z * z / (2.0 * n);
    let reach = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    // The formula gives exactly 0 and 1 for no success and for nothing else, except for rounding.
    let low = if successes == 0 { 0.0 } else { (centre - reach) / whole };
    let high = if successes == trials { 1.0 } else { (centre + reach) / whole };
    Ok(Interval { low, high })
}

/// The values of a figure over the bootstrap replicates.
pub(crate) struct Distribution {
    /// Ascending, at least one.
    sorted: Vec<f64>,
    pub(crate) undefined_replicates: usize,
    tail: f64,
}

impl Distribution {
    /// Leaves out and counts replicates in which the figure has no value.
    ///
    /// # Errors
    ///
    /// [`Undefined::TooFewReplicates`] where more than half of them have no value;
    /// [`Undefined::ConfidenceLevel`].
    pub(crate) fn new(
        statistics: impl Iterator<Item = Result<f64, Undefined>>,
        confidence_level: f64,
    ) -> Result<Self, Undefined> {
        let tail = tail(confidence_level)?;
        let mut replicates = 0;
        let mut sorted: Vec<f64> = statistics.inspect(|_| replicates += 1).filter_map(Result::ok).collect();
        let undefined_replicates = replicates - sorted.len();
        let defined = sorted.len();
        let enough = defined > 0 && defined >= undefined_replicates;
        ensure(enough, Undefined::TooFewReplicates { defined, replicates })?;
        sorted.par_sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted, undefined_replicates, tail })
    }

    /// The quantile by linear interpolation (Hyndman and Fan 1996, definition 7, the default of
    /// `numpy.quantile`), for a level from 0 to 1.
    pub(crate) fn quantile(&self, level: f64) -> f64 {
        let last = self.sorted.len() - 1;
        let position = level * last as f64;
        let before = (position.floor() as usize).min(last);
        let after = (before + 1).min(last);
        if self.sorted[after].is_infinite() {
            // Everything on the way to infinity is infinite.
            return self.sorted[if position > before as f64 { after } else { before }];
        }
        self.sorted[before] + (position - before as f64) * (self.sorted[after] - self.sorted[before])
    }

    /// From the quantile at (1 - confidence level) / 2 to that at (1 + confidence level) / 2 (Efron
    /// and Tibshirani 1993, chapter 13).
    pub(crate) fn percentile(&self) -> Interval {
        Interval { low: self.quantile(self.tail), high: self.quantile(1.0 - self.tail) }
    }

    /// Bias-corrected and accelerated (Efron 1987): the quantiles at
    /// Phi(z0 + (z0 + z) / (1 - a (z0 + z))) for z = Phi^-1 of the two tails. Phi(z0) is the share
    /// of replicates below the value, where those equal to it count one half, and a is the
    /// [`acceleration`].
    ///
    /// # Errors
    ///
    /// [`Undefined::OneSided`], [`Undefined::Acceleration`].
    pub(crate) fn bca(&self, value: f64, acceleration: f64) -> Result<Interval, Undefined> {
        let replicates = self.sorted.len();
        let below = self.sorted.partition_point(|&replicate| replicate < value);
        let not_above = self.sorted.partition_point(|&replicate| replicate <= value);
        ensure(not_above > 0 && below < replicates, Undefined::OneSided { replicates })?;
        let bias = normal::quantile((below + not_above) as f64 / (2 * replicates) as f64);
        let end = |tail: f64| {
            let z = bias + normal::quantile(tail);
            let shrink = 1.0 - acceleration * z;
            ensure(shrink > 0.0, Undefined::Acceleration { acceleration })?;
            Ok(self.quantile(normal::cumulative(bias + z / shrink)))
        };
        Ok(Interval { low: end(self.tail)?, high: end(1.0 - self.tail)? })
    }
}

/// The acceleration of `BCa` by a jackknife over patients, from the figure without each of them.
/// With u the mean of a stratum minus such a value, times (n - 1) / n, it is sum u^3 / (6 (sum
/// u^2)^1.5) (Efron 1987; Efron and Tibshirani 1993, equation 14.15; strata as in
/// `scipy.stats.bootstrap`). A stratum of one patient does not vary between resamples and adds
/// nothing.
///
/// # Errors
///
/// [`Undefined::LeaveOneOut`], [`Undefined::NoAcceleration`].
pub(crate) fn acceleration(
    left_out: impl Iterator<Item = Result<f64, Undefined>>,
    strata: &[usize],
) -> Result<f64, Undefined> {
    let left_out: Vec<Result<f64, Undefined>> = left_out.collect();
    let (mut squares, mut cubes) = (0.0, 0.0);
    let mut rest = left_out.as_slice();
    for &patients in strata {
        let (stratum, after) = rest.split_at(patients.min(rest.len()));
        rest = after;
        if patients < 2 {
            continue;
        }
        let values = stratum.iter().map(|value| value.map_err(|_| Undefined::LeaveOneOut));
        let values = values.collect::<Result<Vec<f64>, _>>()?;
        // The mean is computed relative to the first value, so that equal values have no deviation
        // at all.
        let n = values.len() as f64;
        let mean = values[0] + values.iter().map(|value| value - values[0]).sum::<f64>() / n;
        for value in values {
            let influence = (mean - value) * (n - 1.0) / n;
            squares += influence * influence;
            cubes += influence * influence * influence;
        }
    }
    ensure(squares > 0.0, Undefined::NoAcceleration)?;
    Ok(cubes / (6.0 * squares.powf(1.5)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn distribution(values: &[f64], confidence_level: f64) -> Distribution {
        Distribution::new(values.iter().map(|&value| Ok(value)), confidence_level).unwrap()
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0, 0.025, 0.1, 0.5, 0.975, 1])
        let ours = distribution(&[16.0, 2.0, 4.0, 8.0, 1.0], 0.95);
        let levels = [0.0, 0.025, 0.1, 0.5, 0.975, 1.0];
        let expected = [1.0, 1.1, 1.4, 4.0, 15.2, 16.0];
        for (level, expected) in levels.into_iter().zip(expected) {
            assert!((ours.quantile(level) - expected).abs() < 1e-12, "{level}");
        }
        assert!((distribution(&[7.0], 0.95).quantile(0.3) - 7.0).abs() < 1e-12);
    }

    /// A replicate distribution, and the jackknife and the interval of `scipy.stats.bootstrap`.
    #[derive(serde::Deserialize)]
    struct Scipy {
        name: String,
        value: f64,
        confidence_level: f64,
        replicates: Vec<f64>,
        left_out: Vec<f64>,
        strata: Vec<usize>,
        percentile: [f64; 2],
        bca: [f64; 2],
    }

    #[test]
    fn both_intervals_of_a_given_distribution_are_those_of_scipy() {
        let cases: Vec<Scipy> = serde_json::from_str(include_str!("../tests/fixtures/bca.json")).unwrap();
        assert!(cases.len() > 3);
        for case in cases {
            let distribution = distribution(&case.replicates, case.confidence_level);
            let acceleration =
                acceleration(case.left_out.iter().map(|&value| Ok(value)), &case.strata).unwrap();
            let near = |ours: Interval, [low, high]: [f64; 2]| {
                assert!((ours.low - low).abs() < 1e-12, "{}: {} {low}", case.name, ours.low);
                assert!((ours.high - high).abs() < 1e-12, "{}: {} {high}", case.name, ours.high);
            };
            near(distribution.percentile(), case.percentile);
            near(distribution.bca(case.value, acceleration).unwrap(), case.bca);
        }
    }

    #[test]
    fn where_bca_has_no_value_it_says_why() {
        let ours = distribution(&[1.0, 2.0, 3.0], 0.95);
        assert_eq!(ours.bca(4.0, 0.0), Err(Undefined::OneSided { replicates: 3 }));
        assert_eq!(ours.bca(0.5, 0.0), Err(Undefined::OneSided { replicates: 3 }));
        assert_eq!(ours.bca(2.0, 0.6), Err(Undefined::Acceleration { acceleration: 0.6 }));
        let same = || [0.1 + 0.2; 7].into_iter().map(Ok);
        assert_eq!(acceleration(same(), &[7]), Err(Undefined::NoAcceleration));
        assert_eq!(acceleration(same(), &[1; 7]), Err(Undefined::NoAcceleration));
        let missing = || same().chain([Err(Undefined::NoSamples)]);
        assert_eq!(acceleration(missing(), &[8]), Err(Undefined::LeaveOneOut));
        assert_eq!(acceleration(missing(), &[7, 1]), Err(Undefined::NoAcceleration));
    }
}
