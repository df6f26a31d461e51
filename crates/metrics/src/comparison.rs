//! Compares two models on the same samples: differences of their figures, by resampling both at
//! once and by tests.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bootstrap::Scheme;
use crate::clusters::Clusters;
use crate::confusion::{Confusion, check_threshold};
use crate::figure::{Figure, Resampled};
use crate::ranking::check;
use crate::resample_totals::{Samples, Sums};
use crate::undefined::{ensure, value_or_reason};
use crate::{PairedDeLong, Undefined, delong_paired};

/// The predictions of a model.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// `[n]`, finite; a higher score means that Pathology is more likely.
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
    /// The difference by the bootstrap.
    pub delta_auc: Figure,
    /// The difference without resampling. In JSON it is the result or
    /// `{"undefined": "undefined because ..."}`.
    #[serde(serialize_with = "value_or_reason")]
    pub delong: Result<PairedDeLong, Undefined>,
    /// See [`Confusion::sensitivity`].
    pub delta_sensitivity: Figure,
    /// See [`Confusion::specificity`].
    pub delta_specificity: Figure,
    /// The test of correct and incorrect predictions. In JSON as `delong`.
    #[serde(serialize_with = "value_or_reason")]
    pub mcnemar: Result<McNemar, Undefined>,
}

/// Whether one model is correct more often than the other: the exact test of `McNemar` (1947), by
/// patient.
///
/// If neither model is better, the model with more correct samples of a patient could equally well
/// have been the other one. So the sign of every patient's difference is tossed (Fisher's
/// randomisation test of paired observations), and the p-value is the share of all outcomes whose
/// sum is at least as far from 0. Where each patient has one sample, this is `McNemar`'s test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct McNemar {
    /// Samples that a predicts correctly and b incorrectly.
    pub only_a_right: u64,
    /// Samples that b predicts correctly and a incorrectly.
    pub only_b_right: u64,
    /// The exact two-sided p-value.
    pub p_value: f64,
    /// The p-value without half the probability of the difference itself on either side (mid-p;
    /// Fagerland, Lydersen and Laake 2013). The exact test is conservative, and this one hardly is.
    pub mid_p_value: f64,
}

/// Computes a figure of both models on a resample.
type Of<'a> = &'a dyn Fn(&Samples, &Samples, &(Sums, Sums)) -> Result<f64, Undefined>;

/// Compares model a with model b on the same samples of the same patients.
///
/// Each resample of patients is used for both models, so that what they share does not widen the
/// interval of a difference. O(n) per replicate, with the same result on any number of threads.
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

    let auc = |of: Of<'_>| match &prepared {
        Ok((a, b, resampled)) => resampled.figure(|sums| of(a, b, sums)),
        Err(reason) => Figure::undefined(*reason),
    };
    let delta = |of: fn(&Confusion) -> Result<f64, Undefined>| match &prepared {
        Ok((a, b, resampled)) => {
            resampled.figure(|(of_a, of_b)| Ok(a.counts(of_a).and_then(|c| of(&c))? - of(&b.counts(of_b)?)?))
        }
        Err(reason) => Figure::undefined(*reason),
    };
    Comparison {
        auc_a: auc(&|a, _, (of_a, _)| a.auc(of_a)),
        auc_b: auc(&|_, b, (_, of_b)| b.auc(of_b)),
        delta_auc: auc(&|a, b, (of_a, of_b)| Ok(a.auc(of_a)? - b.auc(of_b)?)),
        delong: delong_paired(labels, a.scores, b.scores, patients, bootstrap.confidence_level),
        delta_sensitivity: delta(Confusion::sensitivity),
        delta_specificity: delta(Confusion::specificity),
        mcnemar: mcnemar(labels, a, b, patients),
    }
}

/// [`McNemar`]'s test of the predictions at the two thresholds. `patients` is as in
/// [`Part`](crate::Part).
///
/// # Errors
///
/// [`Undefined::ThresholdNotANumber`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn mcnemar(
    labels: &[bool],
    a: Model<'_>,
    b: Model<'_>,
    patients: &[usize],
) -> Result<McNemar, Undefined> {
    for model in [a, b] {
        check(labels, model.scores)?;
        check_threshold(model.threshold)?;
    }
    let found = patients.len();
    let mismatch = Undefined::LengthMismatch { labels: labels.len(), what: "patient indices", found };
    ensure(found == labels.len(), mismatch)?;
    // For each patient: samples that only a predicts correctly, and samples that only b does.
    let mut counts: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (((&label, &of_a), &of_b), &patient) in labels.iter().zip(a.scores).zip(b.scores).zip(patients) {
        let right = ((of_a >= a.threshold) == label, (of_b >= b.threshold) == label);
        if right.0 != right.1 {
            let (only_a, only_b) = counts.entry(patient).or_default();
            *(if right.0 { only_a } else { only_b }) += 1;
        }
    }
    Ok(McNemar::of(counts.into_values()))
}

impl McNemar {
    /// The test for samples on which the models disagree, one for each patient.
    pub fn new(only_a_right: u64, only_b_right: u64) -> Self {
        let of = |count: u64, counts| (0..count).map(move |_| counts);
        Self::of(of(only_a_right, (1, 0)).chain(of(only_b_right, (0, 1))))
    }

    /// The test for each patient's samples that only a predicts correctly, and that only b does.
    fn of(patients: impl Iterator<Item = (u64, u64)>) -> Self {
        let (mut only_a_right, mut only_b_right) = (0, 0);
        let mut differences = Vec::new();
        for (only_a, only_b) in patients {
            only_a_right += only_a;
            only_b_right += only_b;
            differences.push(only_a.abs_diff(only_b));
        }
        let heads = tossed(&differences);
        // The sum of signed differences is twice that of the heads minus that of all.
        let all: u64 = differences.iter().sum();
        let observed = u64::midpoint(all, only_a_right.abs_diff(only_b_right)) as usize;
        let at = heads.get(observed).copied().unwrap_or_default();
        let beyond: f64 = heads.iter().skip(observed + 1).rev().sum();
        Self {
            only_a_right,
            only_b_right,
            p_value: (2.0 * (at + beyond)).min(1.0),
            mid_p_value: (2.0 * beyond + at).min(1.0),
        }
    }
}

/// `[k]`: the probability that the numbers for which a fair coin falls heads sum to k. O(n log n)
/// for ones, and O(sum) for each number above 1.
fn tossed(numbers: &[u64]) -> Vec<f64> {
    let ones = numbers.iter().filter(|&&number| number == 1).count();
    let mut of_sum = tosses(ones);
    for &number in numbers.iter().filter(|&&number| number > 1) {
        let mut next = vec![0.0; of_sum.len() + number as usize];
        for (sum, probability) in of_sum.iter().enumerate() {
            next[sum] += 0.5 * probability;
            next[sum + number as usize] += 0.5 * probability;
        }
        of_sum = next;
    }
    of_sum
}

/// `[k]`: the probability of k heads in n tosses of a fair coin, with a relative error of about
/// 1e-16 n.
fn tosses(n: usize) -> Vec<f64> {
    let mut of_heads = vec![0.0; n + 1];
    let middle = n / 2;
    let mut probability = in_the_middle(n);
    for heads in middle..=n {
        of_heads[heads] = probability;
        of_heads[n - heads] = probability;
        probability *= (n - heads) as f64 / (heads + 1) as f64;
    }
    of_heads
}

/// The probability of n / 2 heads, rounded down, in n tosses.
fn in_the_middle(n: usize) -> f64 {
    let heads = n / 2;
    let mut halvings = n;
    let mut product = 1.0_f64;
    for k in 1..=heads {
        product *= (n - heads + k) as f64 / k as f64;
        // Halved as it grows, so that it neither overflows nor underflows on the way.
        while product > 1.0 && halvings > 0 {
            product *= 0.5;
            halvings -= 1;
        }
    }
    product * 0.5_f64.powi(i32::try_from(halvings).unwrap_or(i32::MAX))
}
