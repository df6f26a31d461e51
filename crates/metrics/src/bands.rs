//! Bootstrap bands of the ROC and the precision-recall curve. The curve of a resample is read at
//! fixed positions on its horizontal axis.

use serde::Serialize;

use crate::bootstrap::Scheme;
use crate::clusters::Clusters;
use crate::interval::Distribution;
use crate::precision_recall::average_of;
use crate::ranking::{Cut, Ranking};
use crate::roc::{both_classes, sensitivity_between};
use crate::undefined::check_share;
use crate::{Part, RocPoint, Undefined};

/// The interval of a curve at one position. It holds for that position alone: the whole curve stays
/// within the band with a probability below the confidence level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BandPoint {
    /// The false positive rate of a ROC band, the recall of a precision-recall band.
    pub at: f64,
    /// The quantile of the replicates at (1 - confidence level) / 2.
    pub low: f64,
    /// The quantile at (1 + confidence level) / 2.
    pub high: f64,
}

/// Sensitivity at each false positive rate of the grid, by percentiles over resamples of the
/// patients (vertical averaging, Fawcett 2006). A curve is read along its straight lines, and at
/// the upper end where it is vertical. The points are in ascending order. O(n) per replicate.
///
/// # Errors
///
/// [`Undefined::OutOfRange`] where the grid leaves the range from 0 to 1; [`Undefined::OneClass`],
/// [`Undefined::TooFewReplicates`], the errors of drawing a bootstrap, and the errors of
/// [`auc`](crate::auc) for the input itself.
pub fn roc_band(
    part: &Part<'_>,
    false_positive_rates: &[f64],
    scheme: impl Into<Scheme>,
) -> Result<Vec<BandPoint>, Undefined> {
    band(part, ("false positive rate", false_positive_rates), scheme.into(), |cuts, total, grid| {
        both_classes(total.true_positives, total.false_positives)?;
        let point = |cut: &Cut| RocPoint {
            threshold: cut.threshold,
            false_positive_rate: cut.false_positives as f64 / total.false_positives as f64,
            true_positive_rate: cut.true_positives as f64 / total.true_positives as f64,
        };
        let mut places = grid.iter().copied().peekable();
        let mut sensitivities = Vec::with_capacity(grid.len());
        let mut before = point(&Cut::ABOVE_ALL);
        for cut in cuts {
            let at = point(&cut);
            while let Some(place) = places.next_if(|&place| place < at.false_positive_rate) {
                sensitivities.push(sensitivity_between(&before, &at, place));
            }
            before = at;
        }
        sensitivities.extend(places.map(|_| 1.0));
        Ok(sensitivities)
    })
}

/// Precision at each recall of the grid, by percentiles over resamples of the patients. It is the
/// precision at the highest threshold that reaches the recall, because precision between two
/// thresholds is not on a straight line (Davis and Goadrich 2006). The points are in ascending
/// order. O(n) per replicate.
///
/// # Errors
///
/// As [`roc_band`], with [`Undefined::NoSampleOf`] Pathology instead of [`Undefined::OneClass`].
pub fn pr_band(
    part: &Part<'_>,
    recalls: &[f64],
    scheme: impl Into<Scheme>,
) -> Result<Vec<BandPoint>, Undefined> {
    band(part, ("recall", recalls), scheme.into(), |cuts, total, grid| {
        average_of(0.0, total.true_positives)?;
        let mut places = grid.iter().copied().peekable();
        let mut precisions = Vec::with_capacity(grid.len());
        for cut in cuts.filter(|cut| cut.called() > 0) {
            let recall = cut.true_positives as f64 / total.true_positives as f64;
            while places.next_if(|&place| place <= recall).is_some() {
                precisions.push(cut.true_positives as f64 / cut.called() as f64);
            }
        }
        Ok(precisions)
    })
}

/// `read` gives the height of the curve with these cuts at each position of the ascending grid.
fn band(
    part: &Part<'_>,
    (what, grid): (&'static str, &[f64]),
    Scheme { bootstrap, resampling }: Scheme,
    read: impl Fn(&mut dyn Iterator<Item = Cut>, &Cut, &[f64]) -> Result<Vec<f64>, Undefined> + Sync,
) -> Result<Vec<BandPoint>, Undefined> {
    grid.iter().try_for_each(|&place| check_share(what, place))?;
    let mut grid = grid.to_vec();
    grid.sort_by(f64::total_cmp);

    let ranking = Ranking::new(part.labels, part.scores)?;
    ranking.is_an_order()?;
    let clusters = Clusters::new(part.patients).stratified(part.labels, resampling)?;
    let ranking = ranking.by_patient(&clusters.of_sample);
    let curve = |drawn: &[u32]| {
        let weight = |patient: usize| u64::from(drawn[patient]);
        read(&mut ranking.cuts(weight), &ranking.total(weight), &grid)
    };
    curve(&vec![1; clusters.count()])?;
    let curves = bootstrap.replicates(&clusters.strata, curve)?;
    let point = |(i, &at): (usize, &f64)| {
        let heights = curves.iter().map(|curve| curve.as_ref().map(|heights| heights[i]).map_err(|why| *why));
        let interval = Distribution::new(heights, bootstrap.confidence_level)?.percentile();
        Ok(BandPoint { at, low: interval.low, high: interval.high })
    };
    grid.iter().enumerate().map(point).collect()
}
