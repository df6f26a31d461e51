//! The threshold that a criterion chooses, and how far it spreads over resamples. Choosing it on
//! the test set is an error of the caller, and gives optimistic figures.

use serde::{Deserialize, Serialize};

use crate::bootstrap::Scheme;
use crate::clusters::Clusters;
use crate::confusion::check_threshold;
use crate::interval::Distribution;
use crate::ranking::{Cut, Ranking};
use crate::roc::both_classes;
use crate::undefined::{check_share, ensure};
use crate::{Class, Part, Undefined};

/// The goal that a threshold is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// The highest F1 = 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979).
    F1,
    /// The highest J = sensitivity + specificity - 1 (Youden 1950).
    Youden,
    /// The lowest mean cost of a sample, (FP times its cost + FN times its cost) / n.
    Cost {
        /// Cost of predicting a Normal sample as Pathology; 0 or more, finite.
        false_positive: f64,
        /// Cost of predicting a Pathology sample as Normal; 0 or more, finite.
        false_negative: f64,
    },
    /// The highest threshold with at least this sensitivity.
    Sensitivity {
        /// From 0 to 1.
        at_least: f64,
    },
    /// The lowest threshold with at least this specificity.
    Specificity {
        /// From 0 to 1.
        at_least: f64,
    },
    /// This threshold, whatever the data.
    Fixed(f64),
}

/// A threshold and its figure on the samples that it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chosen {
    /// Samples with `score >= threshold` are predicted as Pathology. It is one of the scores, or
    /// the next number above the highest score where it is best to predict nothing as Pathology
    /// (finite unless that score is `f64::MAX`).
    pub threshold: f64,
    /// F1, J, the mean cost, the sensitivity or the specificity at the threshold, depending on the
    /// criterion; `None` for a fixed threshold.
    pub objective: Option<f64>,
}

/// A threshold and its F1 on the samples that it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BestF1 {
    /// One of the scores: samples with `score >= threshold` are predicted as Pathology.
    pub threshold: f64,
    /// F1 = 2 TP / (2 TP + FP + FN) at that threshold.
    pub f1: f64,
}

/// Where a chosen threshold lies in resamples of the patients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median over the replicates.
    pub median: f64,
    /// The quantile at (1 - confidence level) / 2.
    pub low: f64,
    /// The quantile at (1 + confidence level) / 2.
    pub high: f64,
    /// Replicates left out because the criterion chooses nothing in them.
    pub undefined_replicates: usize,
}

/// The threshold that the criterion chooses. Candidates are the distinct scores and one above them
/// all; a value between two scores could not separate the samples differently. Among several
/// equally good thresholds, the highest wins, which predicts the fewest samples as Pathology. O(n
/// log n).
///
/// F1 and J are compared as integers or quotients of integers, so that ties are exact up to 2^25
/// samples; costs are compared as sums of products.
///
/// # Errors
///
/// [`Undefined::NoSampleOf`] Pathology for F1 and for a sensitivity, Normal for a specificity;
/// [`Undefined::OneClass`] for J; [`Undefined::OutOfRange`] and [`Undefined::ThresholdNotANumber`]
/// for the values in the criterion. [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`] for the input itself.
pub fn choose(labels: &[bool], scores: &[f64], criterion: Criterion) -> Result<Chosen, Undefined> {
    choose_weighted(&Ranking::new(labels, scores)?, criterion, |_| 1)
}

/// The threshold with the highest F1: [`choose`] with [`Criterion::F1`]. It is always one of the
/// scores, which are the thresholds of scikit-learn's `precision_recall_curve`.
///
/// # Errors
///
/// As [`choose`].
pub fn best_f1(labels: &[bool], scores: &[f64]) -> Result<BestF1, Undefined> {
    let Chosen { threshold, objective } = choose(labels, scores, Criterion::F1)?;
    Ok(BestF1 { threshold, f1: objective.unwrap_or_default() })
}

/// How the threshold that [`choose`] finds varies over resamples of the patients. It is seeded,
/// takes O(n) per replicate, and gives the same result on any number of threads.
///
/// # Errors
///
/// As [`choose`] on the data themselves; [`Undefined::TooFewReplicates`] and the errors of drawing
/// a bootstrap.
pub fn threshold_spread(
    part: &Part<'_>,
    criterion: Criterion,
    scheme: impl Into<Scheme>,
) -> Result<Spread, Undefined> {
    let Scheme { bootstrap, resampling } = scheme.into();
    let ranking = Ranking::new(part.labels, part.scores)?;
    let clusters = Clusters::new(part.patients).stratified(part.labels, resampling)?;
    choose_weighted(&ranking, criterion, |_| 1)?;
    let ranking = ranking.by_patient(&clusters.of_sample);
    let chosen = bootstrap.replicates(&clusters.strata, |drawn| {
        choose_weighted(&ranking, criterion, |patient| u64::from(drawn[patient]))
    })?;
    let thresholds = chosen.into_iter().map(|chosen| Ok(chosen?.threshold));
    let distribution = Distribution::new(thresholds, bootstrap.confidence_level)?;
    let interval = distribution.percentile();
    Ok(Spread {
        median: distribution.quantile(0.5),
        low: interval.low,
        high: interval.high,
        undefined_replicates: distribution.undefined_replicates,
    })
}

fn choose_weighted(
    ranking: &Ranking,
    criterion: Criterion,
    weight: impl Fn(usize) -> u64,
) -> Result<Chosen, Undefined> {
    if let Criterion::Fixed(threshold) = criterion {
        check_threshold(threshold)?;
        return Ok(Chosen { threshold, objective: None });
    }
    let total = ranking.total(&weight);
    criterion.check(&total)?;

    let mut best = Cut::ABOVE_ALL;
    let mut highest = None;
    let mut merit = criterion.merit(&best, &total);
    for cut in ranking.cuts(weight).filter(|cut| cut.called() > 0) {
        highest.get_or_insert(cut.threshold);
        let better = criterion.merit(&cut, &total);
        if better > merit {
            (best, merit) = (cut, better);
        }
    }
    let threshold = match best.called() {
        0 => highest.unwrap_or(f64::MAX).next_up(),
        _ => best.threshold,
    };
    Ok(Chosen { threshold, objective: Some(criterion.objective(&best, &total)) })
}

impl Criterion {
    /// Checks that the criterion makes sense, and has something to choose from.
    fn check(&self, total: &Cut) -> Result<(), Undefined> {
        let needs = |class, samples| ensure(samples > 0, Undefined::NoSampleOf { class });
        let cost = |what, value: f64| {
            let range = "from 0 up and be finite";
            ensure(value >= 0.0 && value.is_finite(), Undefined::OutOfRange { what, value, range })
        };
        match *self {
            Self::F1 => needs(Class::Pathology, total.true_positives),
            Self::Youden => both_classes(total.true_positives, total.false_positives),
            Self::Cost { false_positive, false_negative } => {
                cost("cost of a false positive", false_positive)?;
                cost("cost of a false negative", false_negative)
            }
            Self::Sensitivity { at_least } => {
                check_share("sensitivity", at_least)?;
                needs(Class::Pathology, total.true_positives)
            }
            Self::Specificity { at_least } => {
                check_share("specificity", at_least)?;
                needs(Class::Normal, total.false_positives)
            }
            Self::Fixed(_) => Ok(()),
        }
    }

    /// The figure that is highest at the best cut.
    fn merit(&self, cut: &Cut, total: &Cut) -> f64 {
        match *self {
            // J P N, an integer.
            Self::Youden => {
                let product = |a, b| i128::from(a) * i128::from(b);
                let gained = product(cut.true_positives, total.false_positives);
                (gained - product(cut.false_positives, total.true_positives)) as f64
            }
            Self::Cost { .. } => -self.objective(cut, total),
            // The first cut that reaches it is the highest threshold.
            Self::Sensitivity { at_least } => f64::from(u8::from(self.objective(cut, total) >= at_least)),
            // The cut that reaches it and predicts the most samples as Pathology is the lowest.
            Self::Specificity { at_least } if self.objective(cut, total) >= at_least => cut.called() as f64,
            Self::Specificity { .. } => -1.0,
            Self::F1 | Self::Fixed(_) => self.objective(cut, total),
        }
    }

    /// The value of [`Chosen::objective`].
    fn objective(&self, cut: &Cut, total: &Cut) -> f64 {
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let sensitivity = || share(cut.true_positives, total.true_positives);
        let specificity = || share(total.false_positives - cut.false_positives, total.false_positives);
        match *self {
            Self::F1 => share(2 * cut.true_positives, cut.called() + total.true_positives),
            Self::Youden => sensitivity() + specificity() - 1.0,
            Self::Cost { false_positive, false_negative } => {
                let missed = (total.true_positives - cut.true_positives) as f64;
                let cost = false_positive * cut.false_positives as f64 + false_negative * missed;
                cost / total.called() as f64
            }
            Self::Sensitivity { .. } => sensitivity(),
            Self::Specificity { .. } => specificity(),
            Self::Fixed(threshold) => threshold,
        }
    }
}
