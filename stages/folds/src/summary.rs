//! From folds to their mean, standard deviation and pooled figures. Reads and writes nothing.

use std::collections::BTreeMap;

use ctpipe_metrics::{Bootstrap, Confusion, Part, Undefined, auc, confusion, over_folds};
use ctpipe_tables::PredictionRow;
use ctpipe_tables::json::{Figure, Fold, FoldsFile, OverFolds, Pooled};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::evaluation::{Evaluation, notes};

/// A figure of a fold, from its predictions and its threshold.
type Of = fn(&Columns, f64) -> Result<f64, Undefined>;

/// The figures of folds that share no patient.
///
/// # Errors
/// If a figure does not fit the schema of `metrics.json`, which is a mistake in this crate.
pub fn summarise(
    evaluations: &[Evaluation],
    config: &Config,
    seed: u64,
) -> Result<FoldsFile, serde_json::Error> {
    let columns: Vec<(Columns, f64)> = evaluations
        .iter()
        .map(|evaluation| (Columns::of(evaluation.rows.iter()), evaluation.metrics.threshold.value))
        .collect();
    let over = |of: Of| -> Result<[Figure; 2], serde_json::Error> {
        let values: Vec<_> = columns.iter().map(|(columns, threshold)| of(columns, *threshold)).collect();
        let over = over_folds(&values);
        Ok([plain(over.mean)?, plain(over.standard_deviation)?])
    };
    let [mean_auc, sd_auc] = over(|columns, _| auc(&columns.labels, &columns.scores))?;
    let [mean_sensitivity, sd_sensitivity] = over(|c, threshold| counts(c, threshold)?.sensitivity())?;
    let [mean_specificity, sd_specificity] = over(|c, threshold| counts(c, threshold)?.specificity())?;
    Ok(FoldsFile {
        schema_version: FoldsFile::SCHEMA_VERSION,
        n_bootstrap: config.n_bootstrap as u64,
        confidence_level: config.confidence_level,
        folds: evaluations.iter().map(fold).collect(),
        mean: OverFolds { auc: mean_auc, sensitivity: mean_sensitivity, specificity: mean_specificity },
        standard_deviation: OverFolds {
            auc: sd_auc,
            sensitivity: sd_sensitivity,
            specificity: sd_specificity,
        },
        pooled: pooled(evaluations, config, seed)?,
        notes: notes(evaluations),
    })
}

/// The figures of one fold, as evaluate wrote them.
fn fold(evaluation: &Evaluation) -> Fold {
    let metrics = &evaluation.metrics;
    Fold {
        label: evaluation.label.clone(),
        threshold: metrics.threshold.value,
        samples: metrics.test.samples,
        patients: metrics.test.patients,
        auc: metrics.test.auc.clone(),
        sensitivity: metrics.test.sensitivity.clone(),
        specificity: metrics.test.specificity.clone(),
    }
}

/// The figures of all rows, sorted by series UID, so that nothing depends on the order of the
/// folds.
fn pooled(evaluations: &[Evaluation], config: &Config, seed: u64) -> Result<Pooled, serde_json::Error> {
    let mut rows: Vec<(&PredictionRow, f64)> = evaluations
        .iter()
        .flat_map(|evaluation| evaluation.rows.iter().map(|row| (row, evaluation.metrics.threshold.value)))
        .collect();
    rows.sort_by(|(a, _), (b, _)| a.series_uid.cmp(&b.series_uid));
    let columns = Columns::of(rows.iter().map(|(row, _)| *row));
    // Thresholds differ by fold, so decisions are counted, not probabilities.
    let decided: Vec<f64> =
        rows.iter().map(|(row, threshold)| f64::from(u8::from(row.probability >= *threshold))).collect();
    let bootstrap =
        Bootstrap { replicates: config.n_bootstrap, confidence_level: config.confidence_level, seed };
    let of = |scores| {
        let part = Part { labels: &columns.labels, scores, patients: &columns.patients };
        ctpipe_metrics::summarise(&part, 0.5, &bootstrap)
    };
    let (ranked, decided) = (of(&columns.scores), of(&decided));
    Ok(Pooled {
        samples: ranked.samples as u64,
        patients: ranked.patients as u64,
        confusion: decided.confusion.ok().map(told).transpose()?,
        auc: told(ranked.auc)?,
        sensitivity: told(decided.sensitivity)?,
        specificity: told(decided.specificity)?,
    })
}

/// Predictions in the form that the statistics take.
#[derive(Default)]
struct Columns {
    labels: Vec<bool>,
    scores: Vec<f64>,
    patients: Vec<usize>,
}

impl Columns {
    fn of<'a>(rows: impl Iterator<Item = &'a PredictionRow>) -> Columns {
        let mut columns = Columns::default();
        // Patients are numbered in order of appearance, so that nothing depends on the value of
        // their key.
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            let next = numbers.len();
            columns.patients.push(*numbers.entry(&row.patient_key).or_insert(next));
            columns.labels.push(row.label == 1);
            columns.scores.push(row.probability);
        }
        columns
    }
}

fn counts(columns: &Columns, threshold: f64) -> Result<Confusion, Undefined> {
    confusion(&columns.labels, &columns.scores, threshold)
}

/// A figure without an interval.
fn plain(value: Result<f64, Undefined>) -> Result<Figure, serde_json::Error> {
    Ok(Figure {
        value: value.ok(),
        undefined: value.err().map(|undefined| undefined.to_string()),
        reason: value.err().map(told).transpose()?,
        ..Figure::default()
    })
}

/// Converts a value of `metrics` to one of `tables` by way of JSON, so that both agree on what is
/// written and neither knows the other.
fn told<T: DeserializeOwned>(value: impl Serialize) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(value)?)
}
