//! The JSON files that pass between stages, and how they are written. Says what each field is;
//! computes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::note::Note;
use crate::rows::Part;

pub use crate::comparison::{Comparison, McNemar, PairedDeLong};
pub use crate::evaluation::{
    BandPoint, BrierDecomposition, Calibration, Calibrations, Calibrators, Confusion, DeLong, Figure, Knot,
    MetricsFile, NetBenefit, OTHER_SPLIT, PartMetrics, PrPoint, ReliabilityBin, RocPoint, Spread, Subgroup,
    TestedFold, ThresholdFile,
};
pub use crate::folds::{Fold, FoldsFile, OverFolds, Pooled};
pub use crate::saliency::{Randomised, SaliencyFile};
pub use crate::search::{AxisValue, Candidate, SearchFile};

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
    /// Warnings about the set as a whole.
    pub notes: Vec<Note>,
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
    /// What deserves a look.
    pub notes: Vec<Note>,
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
    /// What each layer makes; empty in files of earlier versions.
    #[serde(default)]
    pub layers: Vec<LayerFile>,
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
    /// What deserves a look.
    pub notes: Vec<Note>,
}

/// One layer of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFile {
    /// As its tensors are named.
    pub name: String,
    /// Channels and edges, or units.
    pub output: Vec<usize>,
    /// Learnt values.
    pub parameters: u64,
}

impl ModelFile {
    /// Name in the artifact.
    pub const FILE: &str = "model.json";
    /// Name of the weights beside it.
    pub const WEIGHTS: &str = "model.safetensors";
}
