//! The JSON files that pass between stages. Defines the fields; computes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::note::Note;
use crate::rows::Part;

pub use crate::json_file::{read, write};

pub use crate::comparison::{Comparison, McNemar, PairedDeLong};
pub use crate::evaluation::{
    BandPoint, BrierDecomposition, Calibration, Calibrations, Calibrators, Confusion, DeLong, Knot,
    MetricsFile, NetBenefit, OTHER_SPLIT, PartMetrics, PrPoint, ReliabilityBin, RocPoint, Spread, Subgroup,
    TestedFold, ThresholdFile,
};
pub use crate::figure::Figure;
pub use crate::folds::{Fold, FoldsFile, OverFolds, Pooled};
pub use crate::saliency::{Randomised, SaliencyFile};
pub use crate::search::{AxisValue, Candidate, SearchFile};

/// `summary.json` of ingest: what was found in the DICOM folder and the labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestSummary {
    /// Number of files below the DICOM folder.
    pub files: u64,
    /// Files that are not DICOM and are ignored.
    pub not_dicom: u64,
    /// DICOM files whose header could not be read.
    pub unreadable: u64,
    /// Series that were found.
    pub series: u64,
    /// Rows of the labels.
    pub labels: u64,
    /// Series that were accepted.
    pub accepted: u64,
    /// Number of accepted series of each label.
    pub accepted_by_label: BTreeMap<String, u64>,
    /// Patients among the accepted series.
    pub patients: u64,
    /// Number of series for each rejection code. A series counts once for each of its codes.
    pub reasons: BTreeMap<String, u64>,
    /// Number of series for each warning code.
    pub warnings: BTreeMap<String, u64>,
    /// Warnings about the data set as a whole.
    pub notes: Vec<Note>,
}

impl IngestSummary {
    /// The file's name in the artifact.
    pub const FILE: &str = "summary.json";
}

/// `summary.json` of split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// How the sets were made: labels, balanced or stable.
    pub method: String,
    /// Series, patients and labels of each set.
    pub parts: BTreeMap<Part, PartCounts>,
    /// What deserves a look.
    pub notes: Vec<Note>,
}

impl SplitSummary {
    /// The file's name in the artifact.
    pub const FILE: &str = "summary.json";
}

/// Series, patients and labels of one set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartCounts {
    /// Number of series.
    pub series: u64,
    /// Number of patients.
    pub patients: u64,
    /// Number of series with label 0.
    pub normal: u64,
    /// Number of series with label 1.
    pub pathology: u64,
}

/// `model.json` of train: the architecture, and the result of training it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// The architecture's name.
    pub arch: String,
    /// Its configuration, as the network reads it.
    pub network: serde_json::Value,
    /// Number of trainable parameters.
    pub parameters: u64,
    /// The output of each layer; empty in files of earlier versions.
    #[serde(default)]
    pub layers: Vec<LayerFile>,
    /// The parameters of the training.
    pub training: serde_json::Value,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: u32,
    /// Number of epochs that were run.
    pub epochs: u32,
    /// Whether early stopping ended the training.
    pub stopped_early: bool,
    /// Weights of the classes in the loss.
    pub class_weights: [f32; 2],
    /// Kind of device that the network was trained on.
    pub device: String,
    /// What deserves a look.
    pub notes: Vec<Note>,
}

/// One layer of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFile {
    /// Name of the layer, as in the names of its tensors.
    pub name: String,
    /// Channels and edges of the output, or units.
    pub output: Vec<usize>,
    /// Number of trainable parameters.
    pub parameters: u64,
}

impl ModelFile {
    /// The file's name in the artifact.
    pub const FILE: &str = "model.json";
    /// Name of the file of weights beside it.
    pub const WEIGHTS: &str = "model.safetensors";
}
