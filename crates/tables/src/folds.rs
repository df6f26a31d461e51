//! `metrics.json` of folds: the result of a cross-validation. Defines the fields; computes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::Confusion;
use crate::figure::Figure;
use crate::note::Note;

/// One fold: a model tested on series that it has never seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fold {
    /// Label that tells it from the others, such as `fold=0`; empty where there is only one fold.
    pub label: String,
    /// Threshold of this fold, chosen on its validation set.
    pub threshold: f64,
    /// Number of series in its test set.
    pub samples: u64,
    /// Number of patients in its test set.
    pub patients: u64,
    /// Area under the ROC curve.
    pub auc: Figure,
    /// Share of the pathological series predicted as pathological, at the fold's threshold.
    pub sensitivity: Figure,
    /// Share of the normal series predicted as normal, at the fold's threshold.
    pub specificity: Figure,
}

/// One statistic of the three figures over the folds. It is undefined for the reason of the first
/// fold without the figure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OverFolds {
    /// For the AUC.
    pub auc: Figure,
    /// For the sensitivity.
    pub sensitivity: Figure,
    /// For the specificity.
    pub specificity: Figure,
}

/// The series of all folds together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pooled {
    /// Number of series.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Counts at each fold's own threshold; null where there is no series.
    pub confusion: Option<Confusion>,
    /// AUC of the raw probabilities. They come from different models, so it is usually below the
    /// mean (Forman and Scholz 2010).
    pub auc: Figure,
    /// Sensitivity of the decisions at each fold's own threshold.
    pub sensitivity: Figure,
    /// Specificity of the decisions at each fold's own threshold.
    pub specificity: Figure,
}

/// `metrics.json` of folds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoldsFile {
    /// Version of this file's schema; 1.
    pub schema_version: u32,
    /// Number of bootstrap replicates; the bootstrap resamples patients.
    pub n_bootstrap: u64,
    /// Confidence level of the intervals of `pooled`.
    pub confidence_level: f64,
    /// The folds in the order of their labels; numbers are ordered by value.
    pub folds: Vec<Fold>,
    /// The mean over the folds.
    pub mean: OverFolds,
    /// The standard deviation over the folds, with n - 1. It is not a standard error and gives no
    /// interval, because the models of the folds share training data (Bengio and Grandvalet 2004).
    pub standard_deviation: OverFolds,
    /// The series of all folds together, with bootstrap intervals.
    pub pooled: Pooled,
    /// Why this is not a complete cross-validation by models that have never seen their test sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

impl FoldsFile {
    /// The file's name in the artifact, which history, compare and gates read.
    pub const FILE: &str = "metrics.json";
    /// Version of the file's schema.
    pub const SCHEMA_VERSION: u32 = 1;
}
