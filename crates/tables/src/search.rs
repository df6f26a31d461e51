//! `search.json`: the models that a search chose among. Says what each field is; computes nothing.

use std::path::Path;

use serde_json::Value;

use crate::described::{file_schema, records};
use crate::error::Result;
use crate::json;
use crate::note::Note;

records! {
    /// A value of an axis of a matrix.
    AxisValue {
        /// The axis, as `lr`.
        name: String,
        /// As it stands in the label, as `0.001`.
        value: String,
    }

    /// One model.
    Candidate {
        /// From 1; null for one that cannot be compared.
        rank: Option<u32>,
        /// What tells it from the others, as `batch_size=4,lr=0.001`; empty where there is one alone.
        label: String,
        /// Is it the one whose weights are here?
        chosen: bool,
        /// The same as data.
        axes: Vec<AxisValue>,
        /// AUC on val in the epoch whose weights were kept; null where it is undefined.
        val_auc: Option<f64>,
        /// Loss on val in that epoch; null where val is empty.
        val_loss: Option<f64>,
        /// Loss on train in that epoch.
        train_loss: Option<f64>,
        /// That epoch, from 1.
        best_epoch: u32,
        /// Epochs that were run.
        epochs: u32,
        /// Why it cannot be compared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
    }

    /// `search.json`, beside the files of the model that was chosen.
    SearchFile {
        /// Of this file; 1.
        schema_version: u32,
        /// What the best is the best by: `val_auc` or `val_loss`.
        by: String,
        /// The label of the chosen one.
        chosen: String,
        /// Digest of the split that it learnt from, as in the manifest of its training; null where it has none.
        split: Option<String>,
        /// Digest of the volumes that it learnt from, likewise.
        #[serde(default)]
        volumes: Option<String>,
        /// Digest of the weights that its training began with; null where they were random.
        init_from: Option<String>,
        /// The best first; those that cannot be compared last.
        candidates: Vec<Candidate>,
    }
}

impl SearchFile {
    /// Name in the artifact.
    pub const FILE: &str = "search.json";
    /// Of the shape of the file.
    pub const SCHEMA_VERSION: u32 = 1;

    /// JSON schema of the file, as `search.schema.json` keeps it.
    pub fn schema() -> Value {
        file_schema::<SearchFile>("SearchFile", SearchFile::SCHEMA_VERSION)
    }

    /// What the chosen one's training read at a port, for which the search itself has none.
    pub fn learnt(&self, port: &str) -> Option<&String> {
        match port {
            "split" => self.split.as_ref(),
            "volumes" => self.volumes.as_ref(),
            "init_from" => self.init_from.as_ref(),
            _ => None,
        }
    }

    /// That of a model's folder, where the model came from a search.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn beside(model: &Path) -> Result<Option<SearchFile>> {
        let path = model.join(SearchFile::FILE);
        if path.exists() { json::read(&path).map(Some) } else { Ok(None) }
    }
}
