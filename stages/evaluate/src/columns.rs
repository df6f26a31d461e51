//! Predictions in the form that the statistics take, and statistics in the form that is written to
//! files.

use std::collections::BTreeMap;

use ctpipe_metrics::Part as Scored;
use ctpipe_tables::{Part, PredictionRow, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Converts a value of `ctpipe_metrics` to one of `ctpipe_tables` by way of JSON, so that the two
/// crates agree on what is written and neither knows the other.
pub(crate) fn told<T: DeserializeOwned>(value: impl Serialize) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(value)?)
}

/// A result, or why it is undefined, as a record in which every figure may be missing.
pub(crate) fn told_or_why<T: DeserializeOwned, V: Serialize>(
    value: Result<V, ctpipe_metrics::Undefined>,
) -> Result<T, serde_json::Error> {
    match value {
        Ok(value) => told(value),
        Err(undefined) => told(ctpipe_metrics::Why::from(undefined)),
    }
}

/// Why a figure is undefined, as data.
pub(crate) fn reason(undefined: ctpipe_metrics::Undefined) -> Result<Reason, serde_json::Error> {
    told(undefined)
}

/// Predictions in the form that the statistics take.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) labels: Vec<bool>,
    pub(crate) scores: Vec<f64>,
    pub(crate) patients: Vec<usize>,
    pub(crate) logits: Vec<[f32; 2]>,
}

impl Columns {
    pub(crate) fn of<'a>(rows: impl Iterator<Item = &'a PredictionRow>) -> Columns {
        let mut columns = Columns::default();
        // Patients are numbered in order of appearance, so that nothing depends on the value of
        // their key.
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            let next = numbers.len();
            columns.patients.push(*numbers.entry(&row.patient_key).or_insert(next));
            columns.labels.push(row.label == 1);
            columns.scores.push(row.probability);
            columns.logits.push([row.logit_normal as f32, row.logit_pathology as f32]);
        }
        columns
    }

    pub(crate) fn part(predictions: &[PredictionRow], part: Part) -> Columns {
        Columns::of(predictions.iter().filter(|row| row.split == part.as_str()))
    }

    pub(crate) fn scored(&self) -> Scored<'_> {
        Scored { labels: &self.labels, scores: &self.scores, patients: &self.patients }
    }

    /// By how much each logit of pathology exceeds that of normal.
    pub(crate) fn differences(&self) -> Vec<f64> {
        self.logits.iter().map(|&[normal, pathology]| f64::from(pathology) - f64::from(normal)).collect()
    }
}
