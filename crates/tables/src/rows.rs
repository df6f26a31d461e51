//! The rows of every table that passes between stages. Defines the columns; computes nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::table::table;

/// Whether a series can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It can be used.
    Accepted,
    /// It cannot be used; the reasons say why.
    Rejected,
}

impl Status {
    /// As written in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Accepted => "accepted",
            Status::Rejected => "rejected",
        }
    }

    /// Accepted when there is no reason against the series.
    pub fn of(reasons: &[String]) -> Status {
        if reasons.is_empty() { Status::Accepted } else { Status::Rejected }
    }
}

/// One of the three sets that the data are split into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The training set, which the network learns from.
    Train,
    /// The validation set, which chooses the epoch and the threshold.
    Val,
    /// The test set, which is evaluated once.
    Test,
}

impl Part {
    /// All three, in order.
    pub const ALL: [Part; 3] = [Part::Train, Part::Val, Part::Test];

    /// As written in tables.
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
    /// One DICOM file, or one frame of a multi-frame file, written by ingest. The instances of a
    /// series are consecutive, sorted by path; those of an archive keep its order.
    InstanceRow in "instances.parquet" by series_uid, unique path sop_instance_uid position_z {
        /// Path below the DICOM folder, with `/`; bytes that are not UTF-8 appear as U+FFFD and two
        /// hexadecimal digits.
        path: String,
        /// Name of the member, where the file is a zip archive.
        member: Option<String>,
        /// Number of the frame in a multi-frame file, from 0; 0 where there is only one.
        frame: u32,
        /// Series Instance UID (0020,000E); empty where the header could not be read.
        series_uid: Arc<str>,
        /// Study Instance UID (0020,000D); empty where the header could not be read.
        study_uid: Arc<str>,
        /// SOP Instance UID (0008,0018); empty where the header could not be read.
        sop_instance_uid: String,
        /// Instance Number (0020,0013).
        instance_number: Option<f64>,
        /// Image Position (0020,0032) x, mm.
        position_x: Option<f64>,
        /// Image Position (0020,0032) y, mm.
        position_y: Option<f64>,
        /// Image Position (0020,0032) z, mm.
        position_z: Option<f64>,
        /// Transfer syntax UID.
        transfer_syntax: Arc<str>,
        /// Position in the stack along the slice normal, from 0; null for a duplicate slice and
        /// where the series has no order.
        slice_index: Option<u32>,
        /// Why the header could not be read; null where it could.
        problem: Option<String>,
    }
}

table! {
    /// One series, or one label without a series, written by ingest.
    SeriesRow in "series.parquet" {
        /// Series Instance UID (0020,000E).
        series_uid: String,
        /// Study Instance UID (0020,000D).
        study_uid: String,
        /// Keyed hash that identifies the patient; the same for all series of one patient.
        patient_key: String,
        /// 0 for normal, 1 for pathology.
        label: Option<u32>,
        /// Age in years.
        age: Option<f64>,
        /// Sex: M, F or O.
        sex: Option<String>,
        /// The set that the labels assign: train, val or test.
        split: Option<String>,
        /// Modality (0008,0060).
        modality: String,
        /// Number of slices: files, or frames of multi-frame files.
        slices: u32,
        /// Rows (0028,0010).
        rows: u32,
        /// Columns (0028,0011).
        columns: u32,
        /// Pixel Spacing (0028,0030) between rows, mm.
        row_spacing: Option<f64>,
        /// Pixel Spacing (0028,0030) between columns, mm.
        column_spacing: Option<f64>,
        /// Image Orientation (0020,0037): x of the direction along a row.
        along_row_x: Option<f64>,
        /// Image Orientation (0020,0037): y of the direction along a row.
        along_row_y: Option<f64>,
        /// Image Orientation (0020,0037): z of the direction along a row.
        along_row_z: Option<f64>,
        /// Image Orientation (0020,0037): x of the direction along a column.
        along_column_x: Option<f64>,
        /// Image Orientation (0020,0037): y of the direction along a column.
        along_column_y: Option<f64>,
        /// Image Orientation (0020,0037): z of the direction along a column.
        along_column_z: Option<f64>,
        /// Slice Thickness (0018,0050), mm; the distance between slices where that is missing.
        slice_thickness: Option<f64>,
        /// Median distance between slices, mm.
        slice_spacing: Option<f64>,
        /// KVP (0018,0060), kV.
        kvp: Option<f64>,
        /// Manufacturer (0008,0070).
        manufacturer: Option<String>,
        /// Manufacturer's Model Name (0008,1090).
        model: Option<String>,
        /// Convolution Kernel (0018,1210).
        kernel: Option<String>,
        /// Bits Stored (0028,0101).
        bits_stored: u32,
        /// Transfer syntax UID.
        transfer_syntax: String,
        /// Further columns of the labels, listed in `keep_columns`, each as `name=value`.
        kept: Vec<String>,
        /// accepted or rejected.
        status: String,
        /// Codes of all reasons for the rejection.
        reasons: Vec<String>,
        /// Codes of the warnings.
        warnings: Vec<String>,
    }
}

table! {
    /// One series that ingest accepted, written by preprocess.
    VolumeRow in "volumes.parquet" {
        /// Series Instance UID (0020,000E).
        series_uid: String,
        /// Shard file below `volumes/`; empty where there is no volume.
        shard: String,
        /// Index of the record batch in the shard.
        batch: u32,
        /// Smallest HU of the source, excluding padding.
        min_hu: Option<f64>,
        /// Largest HU of the source.
        max_hu: Option<f64>,
        /// Mean HU of the resampled volume, before the window is applied.
        mean_hu: Option<f64>,
        /// Share of source voxels that are padding.
        padding_share: Option<f64>,
        /// Share of the volume below -950 HU.
        air_share: Option<f64>,
        /// Share of the volume within -150..150 HU.
        soft_tissue_share: Option<f64>,
        /// Most frequent HU near air; null where there is hardly any air.
        air_hu: Option<f64>,
        /// Most frequent HU near soft tissue; null where there is hardly any soft tissue.
        soft_tissue_hu: Option<f64>,
        /// Standard deviation of the noise in soft tissue, HU.
        noise_hu: Option<f64>,
        /// Extent of the source from left to right, mm.
        coverage_x_mm: Option<f64>,
        /// Extent of the source from front to back, mm.
        coverage_y_mm: Option<f64>,
        /// Extent of the source from feet to head, mm.
        coverage_z_mm: Option<f64>,
        /// Codes of quality flags.
        flags: Vec<String>,
        /// accepted or rejected.
        status: String,
        /// Codes of all reasons for the rejection.
        reasons: Vec<String>,
        /// Message of the decoder; null where there is none.
        problem: Option<String>,
    }
}

table! {
    /// One series with a volume and a label, written by split.
    SplitRow in "split.parquet" {
        /// Series Instance UID (0020,000E).
        series_uid: String,
        /// As in `series.parquet`.
        patient_key: String,
        /// 0 for normal, 1 for pathology.
        label: u32,
        /// train, val or test.
        split: String,
        /// Fold of a cross-validation, from 0; 0 without one.
        fold: u32,
    }
}

table! {
    /// One epoch, written by train. It holds no time, so that equal trainings write equal rows.
    #[derive(Deserialize)]
    EpochRow in "history.parquet" {
        /// Number of the epoch, from 1.
        epoch: u32,
        /// Mean loss over the epoch's batches.
        train_loss: f64,
        /// Loss on the validation set; null where that is empty.
        val_loss: Option<f64>,
        /// AUC on the validation set; null where it is undefined.
        val_auc: Option<f64>,
        /// Learning rate of the epoch.
        lr: f64,
        /// Whether the weights of this epoch were kept.
        best: bool,
    }
}

table! {
    /// One series with its prediction, written by evaluate.
    PredictionRow in "predictions.parquet" {
        /// Series Instance UID (0020,000E).
        series_uid: String,
        /// As in `series.parquet`.
        patient_key: String,
        /// train, val or test.
        split: String,
        /// 0 for normal, 1 for pathology.
        label: u32,
        /// The network's output for class 0.
        logit_normal: f64,
        /// The network's output for class 1.
        logit_pathology: f64,
        /// Softmax of the logits for class 1.
        probability: f64,
        /// Probability calibrated on the validation set; null without calibration.
        calibrated: Option<f64>,
        /// Whether the probability is at or above the threshold.
        decision: bool,
    }
}

table! {
    /// One saliency map: what influenced the network's output for one series. Written by evaluate.
    SaliencyRow in "saliency.parquet" {
        /// Series Instance UID (0020,000E); empty for the map of the whole test set.
        series_uid: String,
        /// hit, miss, `false_alarm` or undecided; test for the map of the whole test set.
        case: String,
        /// gradient, `smooth_grad`, `grad_cam` or occlusion.
        method: String,
        /// Voxels along each edge of the map.
        size: u32,
        /// Where the map has its maximum, in voxels from the patient's right.
        x: u32,
        /// Where the map has its maximum, in voxels from the front.
        y: u32,
        /// Where the map has its maximum, in voxels from the feet.
        z: u32,
        /// The maximum itself: the change in the difference of the logits over a voxel's whole
        /// range (gradients), or for a covered window (occlusion). Grad-CAM has no unit.
        largest: f64,
        /// `size³` bytes, x fastest: shares of the maximum, in 255ths.
        map: Vec<u8>,
    }
}
