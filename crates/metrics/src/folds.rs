//! Figures over the folds of a cross-validation.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::{Part, Undefined, Why, auc};

/// The AUC over folds. In JSON each figure is `{"value": ..}`, `null` where it is undefined;
/// `undefined` and `reason` then say why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossValidation {
    /// The AUC of each fold, in the order given.
    #[serde(serialize_with = "each")]
    pub folds: Vec<Result<f64, Undefined>>,
    /// Their mean. It is undefined for the reason of the first fold without an AUC: a mean of the
    /// others would describe different data.
    #[serde(serialize_with = "flat")]
    pub mean: Result<f64, Undefined>,
    /// Their standard deviation, with n - 1. The models of the folds share training data, so
    /// dividing it by the root of n does not give a standard error of the mean (Bengio and
    /// Grandvalet 2004).
    #[serde(serialize_with = "flat")]
    pub standard_deviation: Result<f64, Undefined>,
    /// The AUC of all folds' samples together. It compares scores of different models, and differs
    /// from the mean, usually downwards, where these are not on one scale (Forman and Scholz 2010).
    #[serde(serialize_with = "flat")]
    pub pooled: Result<f64, Undefined>,
}

/// A figure's mean and spread over folds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverFolds {
    /// Undefined for the reason of the first fold without a value: a mean of the others would
    /// describe different data.
    pub mean: Result<f64, Undefined>,
    /// With n - 1; not a standard error, see [`CrossValidation::standard_deviation`].
    pub standard_deviation: Result<f64, Undefined>,
}

/// The mean and the standard deviation of any figure over folds.
pub fn over_folds(values: &[Result<f64, Undefined>]) -> OverFolds {
    let values: Result<Vec<f64>, Undefined> = values.iter().copied().collect();
    let needed = |values: &Vec<f64>, needed| match values.len() {
        folds if folds < needed => Err(Undefined::TooFewFolds { folds, needed }),
        folds => Ok(folds as f64),
    };
    let mean = values.as_ref().map_err(|reason| *reason).and_then(|values| {
        let n = needed(values, 1)?;
        Ok(values.iter().sum::<f64>() / n)
    });
    let standard_deviation = values.and_then(|values| {
        let (n, mean) = (needed(&values, 2)?, mean?);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok((squares / (n - 1.0)).sqrt())
    });
    OverFolds { mean, standard_deviation }
}

/// The AUC of each fold and of all folds together, and the spread over folds. O(n log n).
pub fn cross_validation(folds: &[Part<'_>]) -> CrossValidation {
    let aucs: Vec<Result<f64, Undefined>> = folds.iter().map(|fold| auc(fold.labels, fold.scores)).collect();
    let OverFolds { mean, standard_deviation } = over_folds(&aucs);
    // A fold whose slices differ in length would shift the samples of the folds after it.
    let pooled = match aucs.iter().find(|auc| matches!(auc, Err(Undefined::LengthMismatch { .. }))) {
        Some(mismatch) => *mismatch,
        None => auc(
            &folds.iter().flat_map(|fold| fold.labels).copied().collect::<Vec<_>>(),
            &folds.iter().flat_map(|fold| fold.scores).copied().collect::<Vec<_>>(),
        ),
    };
    CrossValidation { folds: aucs, mean, standard_deviation, pooled }
}

#[derive(Serialize)]
struct Flat {
    value: Option<f64>,
    #[serde(flatten)]
    why: Option<Why>,
}

impl From<&Result<f64, Undefined>> for Flat {
    fn from(value: &Result<f64, Undefined>) -> Self {
        Self { value: value.ok(), why: value.err().map(Why::from) }
    }
}

fn flat<S: Serializer>(value: &Result<f64, Undefined>, serializer: S) -> Result<S::Ok, S::Error> {
    Flat::from(value).serialize(serializer)
}

fn each<S: Serializer>(values: &[Result<f64, Undefined>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(values.len()))?;
    for value in values {
        sequence.serialize_element(&Flat::from(value))?;
    }
    sequence.end()
}
