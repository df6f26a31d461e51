//! The rows of every table that passes between stages. Says what each column is; computes nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::table::table;

/// Can a series be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Yes.
    Accepted,
    /// No; the reasons say why.
    Rejected,
}

impl Status {
    /// As it stands in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Accepted => "accepted",
            Status::Rejected => "rejected",
        }
    }

    /// Accepted when there is no reason against it.
    pub fn of(reasons: &[String]) -> Status {
        if reasons.is_empty() { Status::Accepted } else { Status::Rejected }
    }
}

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// To learn from.
    Train,
    /// To choose the epoch and the threshold by.
    Val,
    /// To be looked at once.
    Test,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Part; 3] = [Part::Train, Part::Val, Part::Test];

    /// As it stands in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Part {
    type Err = String;
    fn from_str(text: &str) -> Result<Part, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Ok(Part::Train),
            "val" | "valid" | "validation" => Ok(Part::Val),
            "test" | "testing" => Ok(Part::Test),
            _ => Err(format!("\"{text}\" is not train, val or test")),
        }
    }
}

table! {
    /// One DICOM file, or one frame of a multi-frame file, written by ingest: those of a series one after the other,
    /// by path, and within an archive in its order.
    InstanceRow in "instances.parquet" by series_uid, unique path sop_instance_uid position_z {
        /// Path below the DICOM folder, with `/`; bytes that are no UTF-8 as U+FFFD and two hexadecimal digits.
        path: String,
        /// Name of the member, where the file is a zip archive.
        member: Option<String>,
        /// Frame of a multi-frame file, from 0; 0 where there is one.
        frame: u32,
        /// Empty where the header could not be read.
        series_uid: Arc<str>,
        /// Empty where the header could not be read.
        study_uid: Arc<str>,
        /// Empty where the header could not be read.
        sop_instance_uid: String,
        /// (0020,0013).
        instance_number: Option<f64>,
        /// (0020,0032) x, mm.
        position_x: Option<f64>,
        /// (0020,0032) y, mm.
        position_y: Option<f64>,
        /// (0020,0032) z, mm.
        position_z: Option<f64>,
        /// Transfer syntax UID.
        transfer_syntax: Arc<str>,
        /// Place in the stack along the slice normal, from 0; null where the series has no order, and for
        /// a slice that is there twice.
        slice_index: Option<u32>,
        /// Why the header could not be read; null where it could.
        problem: Option<String>,
    }
}

table! {
    /// One series, or one label without a series, written by ingest.
    SeriesRow in "series.parquet" {
        /// (0020,000E).
        series_uid: String,
        /// (0020,000D).
        study_uid: String,
        /// Keyed hash of what a patient is; the same for all series of one.
        patient_key: String,
        /// 0 normal, 1 pathology.
        label: Option<u32>,
        /// Years.
        age: Option<f64>,
        /// M, F or O.
        sex: Option<String>,
        /// The labels' own split: train, val or test.
        split: Option<String>,
        /// (0008,0060).
        modality: String,
        /// Slices: files, or frames of multi-frame files.
        slices: u32,
        /// (0028,0010).
        rows: u32,
        /// (0028,0011).
        columns: u32,
        /// (0028,0030) between rows, mm.
        row_spacing: Option<f64>,
        /// (0028,0030) between columns, mm.
        column_spacing: Option<f64>,
        /// (0020,0037) x of the direction along a row.
        along_row_x: Option<f64>,
        /// (0020,0037) y of the direction along a row.
        along_row_y: Option<f64>,
        /// (0020,0037) z of the direction along a row.
        along_row_z: Option<f64>,
        /// (0020,0037) x of the direction along a column.
        along_column_x: Option<f64>,
        /// (0020,0037) y of the direction along a column.
        along_column_y: Option<f64>,
        /// (0020,0037) z of the direction along a column.
        along_column_z: Option<f64>,
        /// (0018,0050), mm; the distance of slices where that is missing.
        slice_thickness: Option<f64>,
        /// Median distance between slices, mm.
        slice_spacing: Option<f64>,
        /// (0018,0060), kV.
        kvp: Option<f64>,
        /// (0008,0070).
        manufacturer: Option<String>,
        /// (0008,1090).
        model: Option<String>,
        /// (0018,1210).
        kernel: Option<String>,
        /// (0028,0101).
        bits_stored: u32,
        /// Transfer syntax UID.
        transfer_syntax: String,
        /// Further columns of the labels, as listed in `keep_columns`: `name=value` each.
        kept: Vec<String>,
        /// accepted or rejected.
        status: String,
        /// Why it was rejected: all codes that apply.
        reasons: Vec<String>,
        /// Codes of what is worth knowing.
        warnings: Vec<String>,
    }
}

table! {
    /// One series that ingest accepted, written by preprocess.
    VolumeRow in "volumes.parquet" {
        /// (0020,000E).
        series_uid: String,
        /// Shard file below `volumes/`; empty where there is no volume.
        shard: String,
        /// Record batch within the shard.
        batch: u32,
        /// Smallest HU of the source, without padding.
        min_hu: Option<f64>,
        /// Largest HU of the source.
        max_hu: Option<f64>,
        /// Mean HU of the resampled volume, before the window.
        mean_hu: Option<f64>,
        /// Share of source voxels that are padding.
        padding_share: Option<f64>,
        /// Share of the volume below -950 HU.
        air_share: Option<f64>,
        /// Share of the volume within -150..150 HU.
        soft_tissue_share: Option<f64>,
        /// Most frequent HU about air; null where there is hardly any.
        air_hu: Option<f64>,
        /// Most frequent HU about soft tissue; null where there is hardly any.
        soft_tissue_hu: Option<f64>,
        /// Standard deviation of the noise in soft tissue, HU.
        noise_hu: Option<f64>,
        /// What the source covers from left to right, mm.
        coverage_x_mm: Option<f64>,
        /// What the source covers from front to back, mm.
        coverage_y_mm: Option<f64>,
        /// What the source covers from feet to head, mm.
        coverage_z_mm: Option<f64>,
        /// Codes of what is not as it should be.
        flags: Vec<String>,
        /// accepted or rejected.
        status: String,
        /// Why it was rejected.
        reasons: Vec<String>,
        /// The decoder's words; null where there is nothing to say.
        problem: Option<String>,
    }
}

table! {
    /// One series with a volume and a label, written by split.
    SplitRow in "split.parquet" {
        /// (0020,000E).
        series_uid: String,
        /// As in `series.parquet`.
        patient_key: String,
        /// 0 normal, 1 pathology.
        label: u32,
        /// train, val or test.
        split: String,
        /// Fold of a cross-validation, from 0; 0 without one.
        fold: u32,
    }
}

table! {
    /// One epoch, written by train. Holds no clock: equal trainings write equal rows.
    #[derive(Deserialize)]
    EpochRow in "history.parquet" {
        /// From 1.
        epoch: u32,
        /// Mean loss over the epoch's batches.
        train_loss: f64,
        /// Loss on val; null where val is empty.
        val_loss: Option<f64>,
        /// AUC on val; null where it is undefined.
        val_auc: Option<f64>,
        /// Learning rate of this epoch.
        lr: f64,
        /// Is it the epoch whose weights were kept?
        best: bool,
    }
}

table! {
    /// One series with its prediction, written by evaluate.
    PredictionRow in "predictions.parquet" {
        /// (0020,000E).
        series_uid: String,
        /// As in `series.parquet`.
        patient_key: String,
        /// train, val or test.
        split: String,
        /// 0 normal, 1 pathology.
        label: u32,
        /// The network's output for class 0.
        logit_normal: f64,
        /// The network's output for class 1.
        logit_pathology: f64,
        /// Softmax of the logits for class 1.
        probability: f64,
        /// The probability after calibration on val; null without one.
        calibrated: Option<f64>,
        /// Is the probability at or above the threshold?
        decision: bool,
    }
}

table! {
    /// One map of what moved the network's answer for one series, written by evaluate.
    SaliencyRow in "saliency.parquet" {
        /// (0020,000E); empty for the map over the whole test part.
        series_uid: String,
        /// hit, miss, `false_alarm` or undecided; test for the map over the whole test part.
        case: String,
        /// gradient, `smooth_grad`, `grad_cam` or occlusion.
        method: String,
        /// Voxels along an edge of the map.
        size: u32,
        /// Where the map is largest, in voxels from the right.
        x: u32,
        /// In voxels from the front.
        y: u32,
        /// In voxels from the feet.
        z: u32,
        /// What it is there: change of the logits' difference for a voxel's whole range (gradients), or for a
        /// window that is covered (occlusion); Grad-CAM has no unit.
        largest: f64,
        /// `size³` bytes, x fastest: shares of the largest, in 255ths.
        map: Vec<u8>,
    }
}
