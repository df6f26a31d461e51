//! One fold as evaluate wrote it, and whether several can be combined. Computes no figure.

use std::collections::BTreeMap;
use std::path::Path;

use ctpipe_stage::StageError;
use ctpipe_tables::json::{self, MetricsFile, OTHER_SPLIT, TestedFold};
use ctpipe_tables::{Note, Part, PredictionRow, Table};

use crate::error::FoldsError;

/// One fold: its figures and the rows of its test set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// The label that tells it from the others, such as `fold=0`.
    pub label: String,
    /// The figures, as evaluate wrote them.
    pub metrics: MetricsFile,
    /// The rows of the test set, sorted by series UID.
    pub rows: Vec<PredictionRow>,
}

impl Evaluation {
    /// Reads an artifact of evaluate.
    ///
    /// # Errors
    /// If the folder is not an artifact of evaluate.
    pub(crate) fn read(label: &str, folder: &Path) -> Result<Evaluation, StageError> {
        let metrics = json::read(&folder.join(MetricsFile::FILE)).map_err(StageError::failed)?;
        let mut rows = PredictionRow::read(folder).map_err(StageError::failed)?;
        rows.retain(|row| row.split == Part::Test.as_str());
        rows.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
        Ok(Evaluation { label: label.to_owned(), metrics, rows })
    }
}

/// Checks that the intervals of all folds have the confidence level of the pooled figures.
///
/// # Errors
/// If they do not; the error names the first fold with another level.
pub(crate) fn check_level(evaluations: &[Evaluation], level: f64) -> Result<(), FoldsError> {
    let other = evaluations
        .iter()
        .find(|evaluation| evaluation.metrics.confidence_level.to_bits() != level.to_bits());
    other.map_or(Ok(()), |other| {
        let (label, found) = (other.label.clone(), other.metrics.confidence_level);
        Err(FoldsError::OtherLevel { label, found, level })
    })
}

/// Notes on what is wrong with the cross-validation: missing folds, and evaluate's doubts about the
/// models.
pub fn notes(evaluations: &[Evaluation]) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let tested: Vec<&TestedFold> =
        evaluations.iter().filter_map(|evaluation| evaluation.metrics.cross_validation.as_ref()).collect();
    let k_folds = tested.first().map_or(0, |first| first.k_folds);
    if tested.len() == evaluations.len() && tested.iter().all(|fold| fold.k_folds == k_folds) {
        let missing: Vec<String> = (0..k_folds)
            .filter(|fold| !tested.iter().any(|tested| tested.fold == *fold))
            .map(|fold| fold.to_string())
            .collect();
        if !missing.is_empty() {
            let (count, missing) = (missing.len(), missing.join(", "));
            let text = format!(
                "{count} of {k_folds} folds are missing ({missing}), so that not every series is tested; `matrix: {{ fold: \
                 [0, 1, ..] }}` of split must name each of them"
            );
            let values = [("count", count.into()), ("k_folds", k_folds.into()), ("missing", missing.into())];
            notes.push(Note::new("folds_missing", text, values));
        }
    }
    for doubt in evaluations.iter().flat_map(|evaluation| &evaluation.metrics.doubts) {
        if !notes.contains(doubt) {
            notes.push(doubt.clone());
        }
    }
    notes
}

/// Checks that these are the folds of one cross-validation, in which no patient is tested twice.
///
/// # Errors
/// See [`FoldsError`].
pub fn check(evaluations: &[Evaluation]) -> Result<(), FoldsError> {
    // For each patient key, the first evaluation that has it and a series there.
    let mut patients: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut series: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, evaluation) in evaluations.iter().enumerate() {
        let label = &evaluation.label;
        let (samples, rows) = (evaluation.metrics.test.samples, evaluation.rows.len() as u64);
        if samples != rows {
            return Err(FoldsError::Mixed { label: label.clone(), samples, rows });
        }
        if evaluation.metrics.doubts.iter().any(|doubt| doubt.code == OTHER_SPLIT) {
            return Err(FoldsError::LearntElsewhere { label: label.clone() });
        }
        let of = |other: usize| evaluations.get(other).map_or_else(String::new, |other| other.label.clone());
        for row in &evaluation.rows {
            let (first, first_series) = *patients.entry(&row.patient_key).or_insert((at, &row.series_uid));
            if first != at {
                return Err(FoldsError::Shared {
                    patient: row.patient_key.clone(),
                    first: of(first),
                    first_series: first_series.to_owned(),
                    second: label.clone(),
                    second_series: row.series_uid.clone(),
                });
            }
            let first = *series.entry(&row.series_uid).or_insert(at);
            if first != at {
                let series = row.series_uid.clone();
                return Err(FoldsError::SharedSeries { series, first: of(first), second: label.clone() });
            }
        }
    }
    Ok(())
}
