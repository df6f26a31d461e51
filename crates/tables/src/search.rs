//! `search.json`: the models that a search compared. Defines the fields; computes nothing.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::json_file;
use crate::note::Note;

/// A value on one axis of a matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AxisValue {
    /// Name of the axis, such as `lr`.
    pub name: String,
    /// The value as written in the label, such as `0.001`.
    pub value: String,
}

/// One model of the search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Rank from 1; null for a model that cannot be compared.
    pub rank: Option<u32>,
    /// Label that tells it from the others, such as `batch_size=4,lr=0.001`; empty where there is
    /// only one.
    pub label: String,
    /// Whether this is the model whose weights are in the artifact.
    pub chosen: bool,
    /// The label as data.
    pub axes: Vec<AxisValue>,
    /// AUC on the validation set in the epoch whose weights were kept; null where it is undefined.
    pub val_auc: Option<f64>,
    /// Loss on the validation set in that epoch; null where the set is empty.
    pub val_loss: Option<f64>,
    /// Loss on the training set in that epoch.
    pub train_loss: Option<f64>,
    /// Number of that epoch, from 1.
    pub best_epoch: u32,
    /// Number of epochs that were run.
    pub epochs: u32,
    /// Why the model cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// `search.json`, beside the files of the chosen model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchFile {
    /// Version of this file's schema; 1.
    pub schema_version: u32,
    /// Figure that decides which model is best: `val_auc` or `val_loss`.
    pub by: String,
    /// Label of the chosen model.
    pub chosen: String,
    /// Digest of the split that it was trained with, as in the manifest of its training; null
    /// without one.
    pub split: Option<String>,
    /// Digest of the volumes that it was trained on, as in the manifest of its training.
    #[serde(default)]
    pub volumes: Option<String>,
    /// Digest of the weights that its training started from; null where they were random.
    pub init_from: Option<String>,
    /// The models, best first; those that cannot be compared are last.
    pub candidates: Vec<Candidate>,
}

impl SearchFile {
    /// The file's name in the artifact.
    pub const FILE: &str = "search.json";
    /// Version of the file's schema.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Digest of what the chosen model's training read at a port that the search itself does not
    /// have.
    pub fn learnt(&self, port: &str) -> Option<&String> {
        match port {
            "split" => self.split.as_ref(),
            "volumes" => self.volumes.as_ref(),
            "init_from" => self.init_from.as_ref(),
            _ => None,
        }
    }

    /// The search file beside a model, where the model comes from a search.
    ///
    /// # Errors
    /// When the file exists but cannot be read.
    pub fn beside(model: &Path) -> Result<Option<SearchFile>> {
        let path = model.join(SearchFile::FILE);
        if path.exists() { json_file::read(&path).map(Some) } else { Ok(None) }
    }
}
