//! Stage folds: combines the folds of a cross-validation into the mean and standard deviation over
//! folds, and the figures of all their series pooled. Knows neither how the folds were made nor a
//! network.

mod config;
mod error;
mod evaluation;
mod summary;

use ctpipe_stage::{Level, Output, Param, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, FoldsFile};
use ctpipe_tables::{PredictionRow, Table};

pub use config::Config;
use config::PARAMS;
pub use error::FoldsError;
use evaluation::check_level;
pub use evaluation::{Evaluation, check, notes};
pub use summary::summarise;

/// The stage.
pub struct Folds;

const PORTS: &[Port] = &[Port::many("metrics", "the artifact of evaluate for each fold")];

const OUTPUTS: &[Output] = &[
    Output {
        path: FoldsFile::FILE,
        doc: "figures of each fold, their mean and standard deviation, and of all folds pooled",
    },
    Output {
        path: PredictionRow::FILE,
        doc: "the test rows of all folds: each series predicted by the model that had not seen it",
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
        "combines the folds of a cross-validation: mean and standard deviation, and all series pooled"
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
            let text = format!("there is only one fold{label}: nothing can be said about the spread");
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
        assert!(ctpipe_stage::parameters::same_defaults::<Config>(PARAMS));
    }
}
