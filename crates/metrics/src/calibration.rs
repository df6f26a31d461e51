//! Whether probabilities agree with observed frequencies: scores over all samples, and groups of
//! samples with similar probabilities. The probabilities themselves are not changed.

use serde::Serialize;

use crate::ranking::check_probabilities;
use crate::resample_totals::squared_error;
use crate::undefined::ensure;
use crate::{Interval, Undefined, wilson};

/// The mean of (probability - label)^2 (Brier 1950). 0 is best; a constant 0.5 gives 0.25.
///
/// # Errors
///
/// [`Undefined::NotAProbability`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn brier(labels: &[bool], probabilities: &[f64]) -> Result<f64, Undefined> {
    check_probabilities(labels, probabilities)?;
    Ok(mean(labels.iter().zip(probabilities).map(|(&label, &p)| squared_error(p, label))))
}

/// The mean of -ln of the probability of each sample's class (Good 1952). As in scikit-learn's
/// `log_loss`, this probability is at least 2.2e-16, `f64::EPSILON`: a certain but wrong sample
/// costs 36 and not infinity.
///
/// # Errors
///
/// As [`brier`].
pub fn log_loss(labels: &[bool], probabilities: &[f64]) -> Result<f64, Undefined> {
    check_probabilities(labels, probabilities)?;
    let of_class = |(&label, &p): (&bool, &f64)| if label { p } else { 1.0 - p };
    let clipped = |p: f64| p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    Ok(mean(labels.iter().zip(probabilities).map(of_class).map(|p| -clipped(p).ln())))
}

/// A group of samples with similar probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Number of samples in the bin.
    pub samples: u64,
    /// The mean of their probabilities.
    pub mean_predicted: f64,
    /// The share of them that is Pathology.
    pub observed_share: f64,
    /// The interval of the observed share, see [`wilson`].
    pub observed_interval: Interval,
}

/// Observed against predicted, in bins of about equally many samples, lowest probabilities first.
///
/// With n samples and B bins, bin k ends at the first gap between two probabilities at or after
/// sample k n / B. Equal probabilities are never separated, so there are fewer bins where there are
/// many ties.
///
/// # Errors
///
/// [`Undefined::NoBins`], [`Undefined::ConfidenceLevel`], otherwise as [`brier`].
pub fn reliability_curve(
    labels: &[bool],
    probabilities: &[f64],
    bins: usize,
    confidence_level: f64,
) -> Result<Vec<ReliabilityBin>, Undefined> {
    let binned = Binned::new(labels, probabilities, bins)?;
    let of_bin = |bin: &[(f64, bool)]| {
        let pathology = bin.iter().filter(|(_, label)| *label).count() as u64;
        let samples = bin.len() as u64;
        Ok(ReliabilityBin {
            samples,
            mean_predicted: mean_predicted(bin),
            observed_share: observed_share(bin),
            observed_interval: wilson(pathology, samples, confidence_level)?,
        })
    };
    binned.bins().map(of_bin).collect()
}

/// The mean distance between observed share and mean probability over the bins of
/// [`reliability_curve`], weighted by their samples (Naeini et al. 2015; equal-mass bins as in
/// Nguyen and O'Connor 2015). It is above 0 by chance alone, and more so with smaller bins.
///
/// # Errors
///
/// [`Undefined::NoBins`], otherwise as [`brier`].
pub fn expected_calibration_error(
    labels: &[bool],
    probabilities: &[f64],
    bins: usize,
) -> Result<f64, Undefined> {
    let binned = Binned::new(labels, probabilities, bins)?;
    Ok(binned.mean_of_bins(|bin| (observed_share(bin) - mean_predicted(bin)).abs()))
}

/// The Brier score in parts (Murphy 1973), with the two terms that binning leaves over (Stephenson,
/// Coelho and Jolliffe 2008). Except for rounding,
/// brier = reliability - resolution + uncertainty + within-bin variance - within-bin covariance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BrierDecomposition {
    /// See [`brier`].
    pub brier: f64,
    /// The mean of (mean probability - observed share)^2 over the bins: 0 means perfectly
    /// calibrated.
    pub reliability: f64,
    /// The mean of (observed share - share of Pathology)^2 over the bins: higher separates the
    /// classes better.
    pub resolution: f64,
    /// p (1 - p) for the share p of Pathology, which depends on the data alone.
    pub uncertainty: f64,
    /// The mean of (probability - its bin's mean)^2.
    pub within_bin_variance: f64,
    /// Twice the mean of (label - its bin's share) (probability - its bin's mean).
    pub within_bin_covariance: f64,
}

/// The parts of the Brier score over the bins of [`reliability_curve`].
///
/// # Errors
///
/// [`Undefined::NoBins`], otherwise as [`brier`].
pub fn brier_decomposition(
    labels: &[bool],
    probabilities: &[f64],
    bins: usize,
) -> Result<BrierDecomposition, Undefined> {
    let binned = Binned::new(labels, probabilities, bins)?;
    let pathology = observed_share(&binned.sorted);
    Ok(BrierDecomposition {
        brier: brier(labels, probabilities)?,
        reliability: binned.mean_of_bins(|bin| (mean_predicted(bin) - observed_share(bin)).powi(2)),
        resolution: binned.mean_of_bins(|bin| (observed_share(bin) - pathology).powi(2)),
        uncertainty: pathology * (1.0 - pathology),
        within_bin_variance: binned.mean_of_bins(|bin| {
            let centre = mean_predicted(bin);
            mean(bin.iter().map(|(p, _)| (p - centre).powi(2)))
        }),
        within_bin_covariance: binned.mean_of_bins(|bin| {
            let (centre, share) = (mean_predicted(bin), observed_share(bin));
            2.0 * mean(bin.iter().map(|&(p, label)| (as_number(label) - share) * (p - centre)))
        }),
    })
}

/// Samples by ascending probability, in the bins of [`reliability_curve`].
struct Binned {
    sorted: Vec<(f64, bool)>,
    /// The end of each bin in `sorted`.
    ends: Vec<usize>,
}

impl Binned {
    fn new(labels: &[bool], probabilities: &[f64], bins: usize) -> Result<Self, Undefined> {
        check_probabilities(labels, probabilities)?;
        ensure(bins > 0, Undefined::NoBins)?;
        let mut sorted: Vec<(f64, bool)> =
            probabilities.iter().copied().zip(labels.iter().copied()).collect();
        sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut ends = Vec::new();
        let (mut end, mut filled) = (0, 0);
        for ties in sorted.chunk_by(|(a, _), (b, _)| a == b) {
            end += ties.len();
            // How many bins this many samples fill.
            let fills = (end as u128 * bins as u128 / sorted.len() as u128) as usize;
            if fills > filled {
                ends.push(end);
                filled = fills;
            }
        }
        Ok(Self { sorted, ends })
    }

    fn bins(&self) -> impl Iterator<Item = &[(f64, bool)]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.sorted[start..end])
    }

    /// The mean of a figure over the bins, weighted by their samples.
    fn mean_of_bins(&self, of: impl Fn(&[(f64, bool)]) -> f64) -> f64 {
        self.bins().map(|bin| bin.len() as f64 * of(bin)).sum::<f64>() / self.sorted.len() as f64
    }
}

fn mean_predicted(bin: &[(f64, bool)]) -> f64 {
    mean(bin.iter().map(|&(p, _)| p))
}

fn observed_share(bin: &[(f64, bool)]) -> f64 {
    mean(bin.iter().map(|&(_, label)| as_number(label)))
}

fn as_number(label: bool) -> f64 {
    f64::from(u8::from(label))
}

/// The mean of one value or more.
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}
