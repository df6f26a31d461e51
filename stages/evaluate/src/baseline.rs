//! Compares this model with an earlier one, on the series of the test set that both have predicted.
//! Judges neither.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ctpipe_metrics::{Model, compare};
use ctpipe_stage::StageError;
use ctpipe_tables::json::{self, Comparison, MetricsFile};
use ctpipe_tables::{Note, Part, PredictionRow, Table};

use crate::columns::{Columns, told, told_or_why};
use crate::config::Config;

/// An earlier evaluation.
pub(crate) struct Baseline {
    predictions: Vec<PredictionRow>,
    threshold: f64,
}

impl Baseline {
    /// Reads an artifact of evaluate.
    ///
    /// # Errors
    /// If the folder is not an artifact of evaluate.
    pub(crate) fn read(folder: &Path) -> Result<Baseline, StageError> {
        // Only the threshold is read from its metrics: every version of the file has it.
        let path = folder.join(MetricsFile::FILE);
        let metrics: serde_json::Value = json::read(&path).map_err(StageError::failed)?;
        let threshold = metrics["threshold"]["value"].as_f64().ok_or_else(|| {
            StageError::failed(format!(
                "{} has no threshold.value, so it is not from evaluate",
                path.display()
            ))
        })?;
        Ok(Baseline { predictions: PredictionRow::read(folder).map_err(StageError::failed)?, threshold })
    }

    /// Compares both models on the test series that both have predicted.
    ///
    /// # Errors
    /// If a figure does not fit the schema of `metrics.json`, which is a mistake in this crate.
    pub(crate) fn compare(
        &self,
        predictions: &[PredictionRow],
        threshold: f64,
        (config, seed): (&Config, u64),
    ) -> Result<Comparison, serde_json::Error> {
        let known: HashMap<&str, &PredictionRow> =
            self.predictions.iter().map(|row| (row.series_uid.as_str(), row)).collect();
        let test: Vec<&PredictionRow> =
            predictions.iter().filter(|row| row.split == Part::Test.as_str()).collect();
        let (rows, theirs): (Vec<&PredictionRow>, Vec<&PredictionRow>) =
            test.iter().filter_map(|row| Some((*row, *known.get(row.series_uid.as_str())?))).unzip();
        let mut notes = Vec::new();
        // This goes by patient, because training on one series of a patient helps with the others.
        let taught: HashSet<&str> = self
            .predictions
            .iter()
            .filter(|row| row.split != Part::Test.as_str())
            .map(|row| row.patient_key.as_str())
            .collect();
        let learnt = theirs.iter().filter(|row| taught.contains(row.patient_key.as_str())).count();
        if learnt > 0 {
            let text = format!(
                "{learnt} of these series are of patients outside of the baseline's test part: it may have learnt from them, \
                 and looks better than it is"
            );
            notes.push(Note::new("baseline_knows", text, [("n", learnt.into())]));
        }
        let relabelled = rows.iter().zip(&theirs).filter(|(a, b)| a.label != b.label).count();
        if relabelled > 0 {
            let text = format!(
                "{relabelled} of these series had another label then; today's labels are taken for both"
            );
            notes.push(Note::new("relabelled", text, [("n", relabelled.into())]));
        }
        let unknown = test.len() - rows.len();
        let scores: Vec<f64> = theirs.iter().map(|row| row.probability).collect();
        let columns = Columns::of(rows.into_iter());
        let found = compare(
            &columns.labels,
            Model { scores: &columns.scores, threshold },
            Model { scores: &scores, threshold: self.threshold },
            &columns.patients,
            config.scheme(seed),
        );
        Ok(Comparison {
            samples: columns.labels.len() as u64,
            unknown_to_baseline: unknown as u64,
            baseline_threshold: self.threshold,
            auc_a: told(found.auc_a)?,
            auc_b: told(found.auc_b)?,
            delta_auc: told(found.delta_auc)?,
            delong: told_or_why(found.delong)?,
            delta_sensitivity: told(found.delta_sensitivity)?,
            delta_specificity: told(found.delta_specificity)?,
            mcnemar: told_or_why(found.mcnemar)?,
            notes,
        })
    }
}
