//! `metrics.json` of folds: what the folds of a cross-validation come to. Says what each field is; computes nothing.

use serde_json::Value;

use crate::described::{file_schema, records};
use crate::evaluation::{Confusion, Figure};
use crate::note::Note;

records! {
    /// One fold: a model tested on the series that it knows nothing of.
    Fold {
        /// What tells it from the others, as `fold=0`; empty where there is one alone.
        label: String,
        /// Its own, chosen on its val.
        threshold: f64,
        /// Series of its test part.
        samples: u64,
        /// Patients of its test part.
        patients: u64,
        /// Area under the ROC curve.
        auc: Figure,
        /// Of the pathological, how many were found, at its threshold.
        sensitivity: Figure,
        /// Of the normal, how many were left alone, at its threshold.
        specificity: Figure,
    }

    /// The same of the three figures; undefined for the reason of the first fold that has none.
    OverFolds {
        /// Of the AUC.
        auc: Figure,
        /// Of the sensitivity.
        sensitivity: Figure,
        /// Of the specificity.
        specificity: Figure,
    }

    /// The series of all folds together.
    Pooled {
        /// Series.
        samples: u64,
        /// Patients.
        patients: u64,
        /// At each fold's own threshold; null where there is no series.
        confusion: Option<Confusion>,
        /// Of the probabilities as they are: of different models, so that it is mostly below the mean (Forman and Scholz 2010).
        auc: Figure,
        /// Of the decisions at each fold's own threshold.
        sensitivity: Figure,
        /// Of the decisions at each fold's own threshold.
        specificity: Figure,
    }

    /// `metrics.json` of folds.
    FoldsFile {
        /// Of this file; 1.
        schema_version: u32,
        /// Replicates of the bootstrap, which draws patients.
        n_bootstrap: u64,
        /// Confidence level of the intervals of `pooled`.
        confidence_level: f64,
        /// In the order of their labels, numbers by their size.
        folds: Vec<Fold>,
        /// The mean over folds.
        mean: OverFolds,
        /// The standard deviation over folds, with n - 1. It is no standard error, and no interval follows from it: the folds'
        /// models share what they learnt from (Bengio and Grandvalet 2004).
        standard_deviation: OverFolds,
        /// With intervals by the bootstrap.
        pooled: Pooled,
        /// What keeps this from being a whole cross-validation by models that know nothing of their test parts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<Note>,
    }
}

impl FoldsFile {
    /// Name in the artifact: what history, compare and gates read.
    pub const FILE: &str = "metrics.json";
    /// Of the shape of the file.
    pub const SCHEMA_VERSION: u32 = 1;

    /// JSON schema of the file, as `folds.schema.json` keeps it.
    pub fn schema() -> Value {
        file_schema::<FoldsFile>("FoldsFile", FoldsFile::SCHEMA_VERSION)
    }
}
