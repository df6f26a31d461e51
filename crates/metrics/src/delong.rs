//! The variance of an AUC, and of the difference between two AUCs on the same samples, without
//! resampling.

use serde::Serialize;

use crate::clusters::Clusters;
use crate::interval::Interval;
use crate::placements::Placements;
use crate::ranking::Ranking;
use crate::roc::both_classes;
use crate::{Class, Part, Resampling, Undefined, Why, normal};

/// An AUC with its standard error. In JSON `auc`, `standard_error`, `ci_low`, `ci_high`, and
/// `undefined` where there is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "FlatDeLong")]
pub struct DeLong {
    /// See [`auc`](crate::auc).
    pub auc: f64,
    /// The square root of the variance.
    pub standard_error: f64,
    /// AUC +- z standard errors, clipped to 0 and 1. Undefined where the standard error is 0, as it
    /// is for a perfect order.
    pub interval: Result<Interval, Undefined>,
}

/// The difference between two AUCs on the same samples. In JSON `auc_a`, `auc_b`, `delta`,
/// `standard_error`,
/// `ci_low`, `ci_high`, `z`, `p_value`, and `undefined` where one of them is `null`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "FlatPairedDeLong")]
pub struct PairedDeLong {
    /// AUC of the first scores.
    pub auc_a: f64,
    /// AUC of the second scores.
    pub auc_b: f64,
    /// AUC of a - AUC of b.
    pub delta: f64,
    /// Standard error of delta.
    pub standard_error: f64,
    /// delta +- z standard errors, clipped to -1 and 1. Undefined where the standard error is 0.
    pub interval: Result<Interval, Undefined>,
    /// delta / standard error. Undefined where the standard error is 0.
    pub z: Result<f64, Undefined>,
    /// P(|Z| >= |z|), two-sided. Where delta is 0 it is 1 whatever the standard error, because no
    /// difference is smaller. Undefined where the standard error is 0 and delta is not.
    pub p_value: Result<f64, Undefined>,
}

/// The AUC with the standard error of `DeLong`, `DeLong` and Clarke-Pearson (1988). With several
/// samples of a patient it is that of Obuchowski (1997), which is the same where each patient has
/// one sample. O(n log n) by midranks, as in Sun and Xu (2014).
///
/// Let V10 of a Pathology sample be the share of Normal samples below it, V01 of a Normal sample
/// the share of Pathology samples above it, M and N the numbers of samples of the classes, and x
/// and y the sums of V10 - AUC and of V01 - AUC over a patient's samples. The variance is
/// m / (m - 1) sum x^2 / M^2 + n / (n - 1) sum y^2 / N^2 + 2 k / (k - 1) sum x y / (M N), where m,
/// n and k are the numbers of patients with a Pathology sample, with a Normal one, and with any.
///
/// # Errors
///
/// [`Undefined::OneClass`]; [`Undefined::AllScoresEqual`]; [`Undefined::TooFewPatientsOf`] a class;
/// [`Undefined::ConfidenceLevel`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn delong(part: &Part<'_>, confidence_level: f64) -> Result<DeLong, Undefined> {
    let clusters = Clusters::new(part.patients).stratified(part.labels, Resampling::Patients)?;
    let placements = placements(part.labels, part.scores, &clusters)?;
    let auc = placements.auc()?;
    let standard_error = standard_error(&placements, &deviations(&placements))?;
    let interval = around(auc, standard_error, confidence_level, (0.0, 1.0))?;
    Ok(DeLong { auc, standard_error, interval })
}

/// The difference between the AUCs of two scores of the same samples. The variance is that of
/// [`delong`], with the components of a minus those of b.
///
/// # Errors
///
/// As [`delong`].
pub fn delong_paired(
    labels: &[bool],
    scores_a: &[f64],
    scores_b: &[f64],
    patients: &[usize],
    confidence_level: f64,
) -> Result<PairedDeLong, Undefined> {
    let clusters = Clusters::new(patients).stratified(labels, Resampling::Patients)?;
    let a = placements(labels, scores_a, &clusters)?;
    let b = placements(labels, scores_b, &clusters)?;
    let (auc_a, auc_b) = (a.auc()?, b.auc()?);
    let differences: Vec<Deviation> = (deviations(&a).iter().zip(deviations(&b)))
        .map(|(a, b)| Deviation { above: a.above - b.above, below: a.below - b.below })
        .collect();
    let standard_error = standard_error(&a, &differences)?;

    let delta = auc_a - auc_b;
    let interval = around(delta, standard_error, confidence_level, (-1.0, 1.0))?;
    let z = interval.map(|_| delta / standard_error);
    let p_value = if a.twice_right == b.twice_right { Ok(1.0) } else { z.map(normal::two_sided) };
    Ok(PairedDeLong { auc_a, auc_b, delta, standard_error, interval, z, p_value })
}

/// The conditions that [`auc`](crate::auc) requires.
fn both_classes_and_an_order(labels: &[bool], ranking: &Ranking) -> Result<(), Undefined> {
    let positives = labels.iter().filter(|&&label| label).count();
    both_classes(positives as u64, (labels.len() - positives) as u64)?;
    ranking.is_an_order()
}

fn placements(labels: &[bool], scores: &[f64], clusters: &Clusters) -> Result<Placements, Undefined> {
    let ranking = Ranking::new(labels, scores)?.by_patient(&clusters.of_sample);
    both_classes_and_an_order(labels, &ranking)?;
    Ok(Placements::new(&ranking, clusters.count()))
}

/// An interval that may be undefined only because there is no variance.
fn around(
    estimate: f64,
    standard_error: f64,
    confidence_level: f64,
    ends: (f64, f64),
) -> Result<Result<Interval, Undefined>, Undefined> {
    match Interval::around(estimate, standard_error, confidence_level, ends) {
        Err(reason) if reason != Undefined::NoVariance => Err(reason),
        interval => Ok(interval),
    }
}

/// x and y of a patient, see [`delong`], both times 2 M N: integers, so that terms that cancel give
/// 0.
struct Deviation {
    above: i128,
    below: i128,
}

fn deviations(placements: &Placements) -> Vec<Deviation> {
    // What a patient's samples reach, minus what as many average samples would reach.
    let minus_average = |reached: u128, of: u64, samples: u64| {
        reached.cast_signed() * i128::from(of) - i128::from(samples) * placements.twice_right.cast_signed()
    };
    let of_patient = placements.patients.iter();
    of_patient
        .map(|patient| Deviation {
            above: minus_average(patient.twice_above, placements.positives, patient.positives),
            below: minus_average(patient.twice_below, placements.negatives, patient.negatives),
        })
        .collect()
}

/// The square root of the variance in the documentation of [`delong`], rearranged into squares: c
/// sum (x / M + y / N)^2 + (a - c) sum (x / M)^2 + (b - c) sum (y / N)^2 with a = m / (m - 1) and
/// so on. It cannot be negative, because c is the smallest of the three.
fn standard_error(placements: &Placements, deviations: &[Deviation]) -> Result<f64, Undefined> {
    let (positives, negatives) = (placements.positives, placements.negatives);
    // k / (k - 1) - 1, for the k patients that have a sample of the class or of any class.
    let correction = |patients: usize| 1.0 / (patients as f64 - 1.0);
    let of_class = |class, has: fn(&(u64, u64)) -> bool| {
        let counts = placements.patients.iter().map(|patient| (patient.positives, patient.negatives));
        match counts.filter(has).count() {
            patients @ 0..2 => Err(Undefined::TooFewPatientsOf { class, patients }),
            patients => Ok(correction(patients)),
        }
    };
    let a = of_class(Class::Pathology, |&(positives, _)| positives > 0)?;
    let b = of_class(Class::Normal, |&(_, negatives)| negatives > 0)?;
    let c = correction(placements.patients.len());

    // x / M and y / N times 2 (M N)^2.
    let above = |patient: &Deviation| patient.above * i128::from(negatives);
    let below = |patient: &Deviation| patient.below * i128::from(positives);
    let squares = |of: &dyn Fn(&Deviation) -> i128| -> f64 {
        deviations.iter().map(|patient| of(patient) as f64).map(|deviation| deviation * deviation).sum()
    };
    let pairs = positives as f64 * negatives as f64;
    let variance = (1.0 + c) * squares(&|patient| above(patient) + below(patient))
        + (a - c) * squares(&above)
        + (b - c) * squares(&below);
    Ok(variance.sqrt() / (2.0 * pairs * pairs))
}

#[derive(Serialize)]
struct FlatDeLong {
    auc: f64,
    standard_error: f64,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    #[serde(flatten)]
    why: Option<Why>,
}

impl From<DeLong> for FlatDeLong {
    fn from(DeLong { auc, standard_error, interval }: DeLong) -> Self {
        let (ci_low, ci_high) = (interval.map(|i| i.low).ok(), interval.map(|i| i.high).ok());
        Self { auc, standard_error, ci_low, ci_high, why: interval.err().map(Why::from) }
    }
}

#[derive(Serialize)]
struct FlatPairedDeLong {
    auc_a: f64,
    auc_b: f64,
    delta: f64,
    standard_error: f64,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    z: Option<f64>,
    p_value: Option<f64>,
    #[serde(flatten)]
    why: Option<Why>,
}

impl From<PairedDeLong> for FlatPairedDeLong {
    fn from(paired: PairedDeLong) -> Self {
        let PairedDeLong { auc_a, auc_b, delta, standard_error, interval, z, p_value } = paired;
        Self {
            auc_a,
            auc_b,
            delta,
            standard_error,
            ci_low: interval.map(|i| i.low).ok(),
            ci_high: interval.map(|i| i.high).ok(),
            z: z.ok(),
            p_value: p_value.ok(),
            why: interval.err().map(Why::from),
        }
    }
}
