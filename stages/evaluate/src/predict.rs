//! The model's predictions for every series of the split. Judges nothing.

use ctpipe_network::{Config, Device, Loss, LossKind, Network, Voxels, Weights, probability};
use ctpipe_stage::{Level, StageError, Task};
use ctpipe_tables::json::ModelFile;
use ctpipe_tables::shards::Volumes;
use ctpipe_tables::{PredictionRow, SplitRow, Table};
use serde_json::Value;

/// Number of volumes in memory at a time.
const BATCH: usize = 16;

/// One row per series of the split, in its order; the decision is not made yet.
pub(crate) fn predict(task: &Task<'_>, network: &Network) -> Result<Vec<PredictionRow>, StageError> {
    let rows = SplitRow::read(task.input("split")?).map_err(StageError::failed)?;
    let volumes = Volumes::open(task.input("volumes")?).map_err(StageError::failed)?;
    let total = rows.len() as u64;
    let mut predictions = Vec::with_capacity(rows.len());
    for batch in rows.chunks(BATCH) {
        task.check_stop()?;
        let uids: Vec<&str> = batch.iter().map(|row| row.series_uid.as_str()).collect();
        let read = volumes.read(&uids).map_err(StageError::failed)?;
        let slices: Vec<&[u16]> = read.iter().map(Vec::as_slice).collect();
        let logits = network.logits(Voxels::Host(&slices)).map_err(StageError::failed)?;
        for (row, logits) in batch.iter().zip(logits) {
            predictions.push(PredictionRow {
                series_uid: row.series_uid.clone(),
                patient_key: row.patient_key.clone(),
                split: row.split.clone(),
                label: row.label,
                logit_normal: f64::from(logits[0]),
                logit_pathology: f64::from(logits[1]),
                probability: probability(logits),
                calibrated: None,
                decision: false,
            });
        }
        task.progress(predictions.len() as u64, total, "series", "");
    }
    Ok(predictions)
}

/// The model's weights.
pub(crate) fn load(task: &Task<'_>, model: &ModelFile, device: Device) -> Result<Weights, StageError> {
    let config: Config = serde_json::from_value(model.network.clone()).map_err(StageError::failed)?;
    let path = task.input("model")?.join(ModelFile::WEIGHTS);
    let bytes = std::fs::read(&path)
        .map_err(|e| StageError::failed(format!("cannot read {}: {e}", path.display())))?;
    let weights = Weights::from_safetensors(&bytes, &config).map_err(StageError::failed)?;
    if device == Device::Cpu && !Config::kernel_size_has_kernels(config.kernel_size) {
        task.log(
            Level::Warning,
            format!(
                "there are no CPU kernels for kernel_size {}: Burn's own operations are used",
                config.kernel_size
            ),
        );
    }
    Ok(weights)
}

/// The loss that the model was trained with.
pub(crate) fn loss_of(model: &ModelFile) -> Option<Loss> {
    let number = |name: &str| model.training.get(name).and_then(Value::as_f64).map(|x| x as f32);
    let kind: LossKind = serde_json::from_value(model.training.get("loss")?.clone()).ok()?;
    Some(Loss {
        kind,
        alpha: number("focal_loss_alpha")?,
        gamma: number("focal_loss_gamma")?,
        class_weights: model.class_weights,
        label_smoothing: number("label_smoothing").unwrap_or(0.0),
    })
}
