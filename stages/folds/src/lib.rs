//! Stage folds: what the folds of a cross-validation come to: mean and deviation over folds, and all their series pooled.
//! Knows neither how the folds were made nor a network.

mod error;
mod evaluation;
mod summary;

use ctpipe_engine::parameters::{float, int};
use ctpipe_engine::{Level, Output, Param, Port, Stage, StageError, Task, parameters};
use ctpipe_tables::json::{self, FoldsFile};
use ctpipe_tables::{PredictionRow, Table};

pub use error::FoldsError;
use evaluation::check_level;
pub use evaluation::{Evaluation, check, notes};
pub use summary::summarise;

/// The stage.
pub struct Folds;

const PORTS: &[Port] = &[Port::many("metrics", "what evaluate made of each fold")];

parameters! {
    /// All parameters of the stage.
    n_bootstrap: usize = 1000, int(1000, 100, 1_000_000), "", "replicates of the bootstrap; patients are resampled";
    confidence_level: f64 = 0.95, float(0.95, 0.5, 0.9999), "", "of the pooled figures' intervals";
}

const OUTPUTS: &[Output] = &[
    Output {
        path: FoldsFile::FILE,
        doc: "figures of each fold, their mean and deviation, and of all folds pooled",
    },
    Output {
        path: PredictionRow::FILE,
        doc: "the test rows of all folds: each series by the model that had not seen it",
    },
];

impl Stage for Folds {
    fn kind(&self) -> &'static str {
        "folds"
    }
    fn version(&self) -> u32 {
        2
    }
    fn doc(&self) -> &'static str {
        "puts the folds of a cross-validation together: mean and deviation, and all series pooled"
    }
    fn ports(&self) -> &'static [Port] {
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        PARAMS
    }
    fn outputs(&self) -> &'static [Output] {
        OUTPUTS
    }
    fn seeded(&self) -> bool {
        true
    }
    fn key_metrics(&self) -> &'static [&'static str] {
        &[
            "mean.auc.value",
            "standard_deviation.auc.value",
            "mean.sensitivity.value",
            "mean.specificity.value",
            "pooled.auc.value",
            "pooled.auc.ci_low",
            "pooled.auc.ci_high",
        ]
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let evaluations = task
            .inputs_of("metrics")
            .into_iter()
            .map(|(label, folder)| Evaluation::read(label, folder))
            .collect::<Result<Vec<_>, _>>()?;
        check(&evaluations).map_err(StageError::failed)?;
        check_level(&evaluations, config.confidence_level).map_err(StageError::failed)?;
        let summary = summarise(&evaluations, &config, task.seed()).map_err(StageError::failed)?;
        if let [alone] = evaluations.as_slice() {
            let label = if alone.label.is_empty() { String::new() } else { format!(" ({})", alone.label) };
            let text = format!("there is one fold alone{label}: nothing can be said of a spread");
            task.log(Level::Warning, text);
        }
        for note in &summary.notes {
            task.log(Level::Warning, note.text.clone());
        }
        task.log(Level::Info, sentence(&summary));
        let mut rows: Vec<PredictionRow> =
            evaluations.into_iter().flat_map(|evaluation| evaluation.rows).collect();
        rows.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
        PredictionRow::write(&rows, task.out()).map_err(StageError::failed)?;
        json::write(&summary, &task.out().join(FoldsFile::FILE)).map_err(StageError::failed)
    }
}

fn sentence(summary: &FoldsFile) -> String {
    let said =
        |value: Option<f64>| value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"));
    format!(
        "{} folds, {} series: AUC {} (SD {}) over folds, {} pooled",
        summary.folds.len(),
        summary.pooled.samples,
        said(summary.mean.auc.value),
        said(summary.standard_deviation.auc.value),
        said(summary.pooled.auc.value)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_told_is_what_is_taken() {
        assert!(parameters::same_defaults::<Config>(PARAMS));
    }
}
