//! Decision curves: the net benefit of acting on a probability, at each threshold probability.

use serde::Serialize;

use crate::Undefined;
use crate::ranking::check_probabilities;
use crate::ranking::{Cut, Ranking};
use crate::undefined::ensure;

/// Net benefit at a threshold probability, in true positives per sample. Acting on no sample gives
/// 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NetBenefit {
    /// The threshold probability t: acting is worthwhile where the probability of Pathology is at
    /// least t.
    pub threshold: f64,
    /// Acting where `probability >= t`: TP / n - FP / n times t / (1 - t).
    pub model: f64,
    /// Acting on every sample.
    pub treat_all: f64,
}

/// Net benefit at each threshold, in the order given (Vickers and Elkin 2006). O((n + t) log n).
///
/// # Errors
///
/// [`Undefined::OutOfRange`] where a threshold is not at least 0 and below 1;
/// [`Undefined::NotAProbability`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn decision_curve(
    labels: &[bool],
    probabilities: &[f64],
    thresholds: &[f64],
) -> Result<Vec<NetBenefit>, Undefined> {
    check_probabilities(labels, probabilities)?;
    let ranking = Ranking::new(labels, probabilities)?;
    let cuts: Vec<Cut> = std::iter::once(Cut::ABOVE_ALL).chain(ranking.cuts(|_| 1)).collect();
    let at = |&threshold: &f64| {
        let (what, range) = ("threshold probability", "from 0 to below 1");
        let out_of_range = Undefined::OutOfRange { what, value: threshold, range };
        ensure((0.0..1.0).contains(&threshold), out_of_range)?;
        let benefit = |cut: &Cut| {
            let harm = cut.false_positives as f64 * (threshold / (1.0 - threshold));
            (cut.true_positives as f64 - harm) / labels.len() as f64
        };
        // The first cut has no threshold to compare: it is above all of them.
        let called = cuts.partition_point(|cut| cut.threshold >= threshold) - 1;
        let (model, treat_all) = (benefit(&cuts[called]), benefit(&cuts[cuts.len() - 1]));
        Ok(NetBenefit { threshold, model, treat_all })
    };
    thresholds.iter().map(at).collect()
}
