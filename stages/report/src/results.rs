//! `training_results.json`: the figures of the three sets, the threshold and the training history,
//! for programs. Computes nothing.

use std::path::Path;

use ctpipe_tables::json::{self, PartMetrics};
use serde::Serialize;

use crate::error::Result;
use crate::inputs::Inputs;

/// Name in the artifact.
pub(crate) const FILE: &str = "training_results.json";

#[derive(Serialize)]
struct TrainingResults<'a> {
    train_metrics: &'a PartMetrics,
    val_metrics: &'a PartMetrics,
    test_metrics: &'a PartMetrics,
    optimal_threshold: f64,
    training_history: Vec<HistoryEntry>,
}

#[derive(Serialize)]
struct HistoryEntry {
    epoch: u32,
    train_loss: f64,
    val_loss: Option<f64>,
    val_auc: Option<f64>,
    lr: f64,
}

/// Writes the file into the artifact at `out`.
pub(crate) fn write(inputs: &Inputs, out: &Path) -> Result<()> {
    let epoch = |row: &ctpipe_tables::EpochRow| HistoryEntry {
        epoch: row.epoch,
        train_loss: row.train_loss,
        val_loss: row.val_loss,
        val_auc: row.val_auc,
        lr: row.lr,
    };
    let results = TrainingResults {
        train_metrics: &inputs.metrics.train,
        val_metrics: &inputs.metrics.val,
        test_metrics: &inputs.metrics.test,
        optimal_threshold: inputs.metrics.threshold.value,
        training_history: inputs.history.iter().map(epoch).collect(),
    };
    Ok(json::write(&results, &out.join(FILE))?)
}
