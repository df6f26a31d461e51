//! The JSON files that pass between stages, and how they are written. Says what each field is;
//! computes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rows::Part;

/// Writes a value as indented JSON with a line break at its end.
///
/// # Errors
/// When the file cannot be written.
pub fn write<T: Serialize>(value: &T, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::format(path, e))?;
    text.push('\n');
    fs::write(path, text).map_err(|e| Error::io("cannot write", path, e))
}

/// Reads a JSON file.
///
/// # Errors
/// When it is missing or of another shape.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e))
}

/// `summary.json` of ingest: what was found before anything was judged by series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestSummary {
    /// Files below the DICOM folder.
    pub files: u64,
    /// Files that are not DICOM, ignored.
    pub not_dicom: u64,
    /// DICOM files whose header could not be read.
    pub unreadable: u64,
    /// Series found.
    pub series: u64,
    /// Rows of the labels.
    pub labels: u64,
    /// Series accepted.
    pub accepted: u64,
    /// Accepted series of each label.
    pub accepted_by_label: BTreeMap<String, u64>,
    /// Patients among the accepted series.
    pub patients: u64,
    /// Rejection code to series; a series counts under each of its codes.
    pub reasons: BTreeMap<String, u64>,
    /// Warning code to series.
    pub warnings: BTreeMap<String, u64>,
    /// Warnings about the set as a whole, in words.
    pub notes: Vec<String>,
}

impl IngestSummary {
    /// Name in the artifact.
    pub const FILE: &str = "summary.json";
}

/// `summary.json` of split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// How the parts were made: labels, balanced or stable.
    pub method: String,
    /// Series, patients and labels of each part.
    pub parts: BTreeMap<Part, PartCounts>,
    /// In words.
    pub notes: Vec<String>,
}

impl SplitSummary {
    /// Name in the artifact.
    pub const FILE: &str = "summary.json";
}

/// Series, patients and labels of one part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartCounts {
    /// Series.
    pub series: u64,
    /// Patients.
    pub patients: u64,
    /// Series with label 0.
    pub normal: u64,
    /// Series with label 1.
    pub pathology: u64,
}

/// `model.json` of train: the architecture, and what came of training it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// The architecture's name.
    pub arch: String,
    /// Its configuration, as the network reads it.
    pub network: serde_json::Value,
    /// Learnt values.
    pub parameters: u64,
    /// The training's parameters.
    pub training: serde_json::Value,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: u32,
    /// Epochs that were run.
    pub epochs: u32,
    /// Did early stopping end it?
    pub stopped_early: bool,
    /// Weights of the classes in the loss.
    pub class_weights: [f32; 2],
    /// Kind of device that it was trained on.
    pub device: String,
    /// In words.
    pub notes: Vec<String>,
}

impl ModelFile {
    /// Name in the artifact.
    pub const FILE: &str = "model.json";
    /// Name of the weights beside it.
    pub const WEIGHTS: &str = "model.safetensors";
}

/// One figure with its interval; `value` is null where it is undefined, and then it is said why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The figure.
    pub value: Option<f64>,
    /// Lower end of its interval.
    pub ci_low: Option<f64>,
    /// Upper end of its interval.
    pub ci_high: Option<f64>,
    /// "undefined because ...".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// Bootstrap replicates in which it was undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined_replicates: Option<u64>,
}

/// Counts at the threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// True positives.
    pub tp: u64,
    /// False positives.
    pub fp: u64,
    /// True negatives.
    pub tn: u64,
    /// False negatives.
    pub r#fn: u64,
}

/// A point of a ROC curve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Null for the point at which nothing is called positive.
    pub threshold: Option<f64>,
    /// 1 - specificity.
    pub false_positive_rate: f64,
    /// Sensitivity.
    pub true_positive_rate: f64,
}

/// All that is known of one part of the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartMetrics {
    /// Series.
    pub samples: u64,
    /// Patients.
    pub patients: u64,
    /// Null where the part is empty.
    pub confusion: Option<Confusion>,
    /// Area under the ROC curve.
    pub auc: Figure,
    /// Of the pathological, how many were found.
    pub sensitivity: Figure,
    /// Of the normal, how many were left alone.
    pub specificity: Figure,
    /// Of those called pathological, how many are.
    pub precision: Figure,
    /// Harmonic mean of precision and sensitivity.
    pub f1: Figure,
    /// Of all, how many are right.
    pub accuracy: Figure,
    /// Loss of the network on this part.
    pub loss: Option<f64>,
    /// As scikit-learn's `classification_report(output_dict=True)`.
    pub classification_report: serde_json::Value,
    /// Empty where it is undefined.
    pub roc: Vec<RocPoint>,
}

/// The threshold and where it came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThresholdFile {
    /// Probability at or above which a series is called pathological.
    pub value: f64,
    /// `f1 on val`, or `fixed`.
    pub source: String,
    /// Why the optimum on val could not be had, where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `metrics.json` of evaluate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsFile {
    /// Chosen on val, applied unchanged.
    pub threshold: ThresholdFile,
    /// Replicates of the bootstrap.
    pub n_bootstrap: u64,
    /// Confidence level of every interval.
    pub confidence_level: f64,
    /// What the network learnt from.
    pub train: PartMetrics,
    /// What epoch and threshold were chosen by.
    pub val: PartMetrics,
    /// What was looked at once.
    pub test: PartMetrics,
}

impl MetricsFile {
    /// Name in the artifact.
    pub const FILE: &str = "metrics.json";

    /// The metrics of a part.
    pub fn part(&self, part: Part) -> &PartMetrics {
        match part {
            Part::Train => &self.train,
            Part::Val => &self.val,
            Part::Test => &self.test,
        }
    }
}
