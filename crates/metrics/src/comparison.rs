//! Two models on the same samples: differences of their figures, by resampling both at once and by
//! tests. Does not know which model is the newer.

use serde::Serialize;

use crate::bootstrap::Scheme;
use crate::clusters::Clusters;
use crate::confusion::{Confusion, check_threshold};
use crate::figure::{Figure, Resampled};
use crate::ranking::check;
use crate::sums::{Samples, Sums};
use crate::undefined::value_or_reason;
use crate::{PairedDeLong, Undefined, delong_paired};

/// What a model says of the samples.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// `[n]`, finite; a higher score speaks for Pathology.
    pub scores: &'a [f64],
    /// Samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
}

/// How model a differs from model b. Every difference is a's figure minus b's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// See [`auc`](crate::auc).
    pub auc_a: Figure,
    /// See [`auc`](crate::auc).
    pub auc_b: Figure,
    /// By the bootstrap.
    pub delta_auc: Figure,
    /// The same without resampling. In JSON the result or `{"undefined": "undefined because ..."}`.
    #[serde(serialize_with = "value_or_reason")]
    pub delong: Result<PairedDeLong, Undefined>,
    /// See [`Confusion::sensitivity`].
    pub delta_sensitivity: Figure,
    /// See [`Confusion::specificity`].
    pub delta_specificity: Figure,
    /// Of right and wrong predictions. In JSON as `delong`.
    #[serde(serialize_with = "value_or_reason")]
    pub mcnemar: Result<McNemar, Undefined>,
}

/// The test of `McNemar` (1947): whether one model is right more often than the other. It takes the samples as
/// independent; with several of a patient the intervals over patients are the ones to read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Samples that a predicts rightly and b wrongly.
    pub only_a_right: u64,
    /// Samples that b predicts rightly and a wrongly.
    pub only_b_right: u64,
    /// Exact, two-sided: twice the probability of at most the smaller count of tosses of a fair coin, at
    /// most 1.
    pub p_value: f64,
    /// Without half the probability of the count itself on either side (mid-p; Fagerland, Lydersen and
    /// Laake 2013): the exact test is conservative, this one hardly.
    pub mid_p_value: f64,
}

/// Model a against model b on the same samples of the same patients.
///
/// Each resample of patients is taken for both models, so that what they share does not widen the
/// interval of a difference. O(n) a replicate, the same result on any number of threads.
pub fn compare(
    labels: &[bool],
    a: Model<'_>,
    b: Model<'_>,
    patients: &[usize],
    scheme: impl Into<Scheme>,
) -> Comparison {
    let Scheme { bootstrap, resampling } = scheme.into();
    let prepared = Clusters::new(patients).stratified(labels, resampling).and_then(|clusters| {
        let samples = |model: Model<'_>| Samples::new(labels, model.scores, model.threshold, &clusters);
        let (a, b) = (samples(a)?, samples(b)?);
        let resampled = Resampled::new(
            &bootstrap,
            &clusters,
            |drawn| (a.sums(drawn), b.sums(drawn)),
            |(of_a, of_b)| a.left_out(of_a).into_iter().zip(b.left_out(of_b)).collect(),
        );
        Ok((a, b, resampled))
    });

    let auc = |of: fn(&(Sums, Sums)) -> Result<f64, Undefined>| match &prepared {
        Ok((_, _, resampled)) => resampled.figure(of),
        Err(reason) => Figure::undefined(*reason),
    };
    let delta = |of: fn(&Confusion) -> Result<f64, Undefined>| match &prepared {
        Ok((a, b, resampled)) => {
            resampled.figure(|(of_a, of_b)| Ok(a.counts(of_a).and_then(|c| of(&c))? - of(&b.counts(of_b)?)?))
        }
        Err(reason) => Figure::undefined(*reason),
    };
    Comparison {
        auc_a: auc(|(a, _)| a.auc()),
        auc_b: auc(|(_, b)| b.auc()),
        delta_auc: auc(|(a, b)| Ok(a.auc()? - b.auc()?)),
        delong: delong_paired(labels, a.scores, b.scores, patients, bootstrap.confidence_level),
        delta_sensitivity: delta(Confusion::sensitivity),
        delta_specificity: delta(Confusion::specificity),
        mcnemar: mcnemar(labels, a, b),
    }
}

/// [`McNemar`]'s test of the predictions at the two thresholds.
///
/// # Errors
///
/// [`Undefined::ThresholdNotANumber`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn mcnemar(labels: &[bool], a: Model<'_>, b: Model<'_>) -> Result<McNemar, Undefined> {
    for model in [a, b] {
        check(labels, model.scores)?;
        check_threshold(model.threshold)?;
    }
    let (mut only_a_right, mut only_b_right) = (0, 0);
    for ((&label, &of_a), &of_b) in labels.iter().zip(a.scores).zip(b.scores) {
        let right = ((of_a >= a.threshold) == label, (of_b >= b.threshold) == label);
        only_a_right += u64::from(right == (true, false));
        only_b_right += u64::from(right == (false, true));
    }
    Ok(McNemar::new(only_a_right, only_b_right))
}

impl McNemar {
    /// The test of the two counts of samples on which the models disagree.
    pub fn new(only_a_right: u64, only_b_right: u64) -> Self {
        let (count, tosses) = (only_a_right.min(only_b_right), only_a_right + only_b_right);
        let at_count = toss_probability(count, tosses);
        // P(count - 1) = P(count) count / (tosses - count + 1), and so on down.
        let mut term = at_count;
        let below: f64 = (1..=count)
            .rev()
            .map(|k| {
                term *= k as f64 / (tosses - k + 1) as f64;
                term
            })
            .take_while(|&term| term > 0.0)
            .sum();
        Self {
            only_a_right,
            only_b_right,
            p_value: (2.0 * (below + at_count)).min(1.0),
            mid_p_value: (2.0 * below + at_count).min(1.0),
        }
    }
}

/// The probability of so many heads among tosses of a fair coin, `tosses` over `heads` / 2^`tosses`, with
/// a relative error of about 1e-16 times the root of the tosses. O(heads).
fn toss_probability(heads: u64, tosses: u64) -> f64 {
    let mut halvings = tosses;
    let mut product = 1.0_f64;
    for k in 1..=heads {
        product *= (tosses - heads + k) as f64 / k as f64;
        // Halved as it grows, so that it neither overflows nor underflows on the way.
        while product > 1.0 && halvings > 0 {
            product *= 0.5;
            halvings -= 1;
        }
    }
    product * 0.5_f64.powi(i32::try_from(halvings).unwrap_or(i32::MAX))
}
