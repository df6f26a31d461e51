//! The types of what commands print with `--json` as one value; the schema is derived from them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ctpipe_ct::{Quality, Stack};
use ctpipe_engine::event::Judged;
use ctpipe_engine::history::StageRecord;
use ctpipe_engine::{Instance, State};
use ctpipe_stage::{Key, Maker, Output, Param, Port};
use schemars::JsonSchema;
use serde::Serialize;

/// A stage as `status` and `run --dry-run` show it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusRow {
    /// Its name in the pipeline.
    pub(crate) stage: String,
    /// What has to be done, and why.
    pub(crate) decision: State,
    /// BLAKE3 of its key; null while an input is not known.
    pub(crate) key: Option<String>,
    /// For an instance of a stage with a matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance: Option<Instance>,
}

/// A stage as `why` shows it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WhyRow {
    /// Its name in the pipeline.
    pub(crate) stage: String,
    /// What has to be done, and why.
    pub(crate) decision: State,
    /// BLAKE3 of its key; null while an input is not known.
    pub(crate) key_hash: Option<String>,
    /// The key that identifies its result.
    pub(crate) key: Option<Key>,
    /// The key of the current artifact.
    pub(crate) current_key: Option<Key>,
}

/// A stage as `why` prints it, or all instances of a stage.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Why {
    /// A stage.
    One(Box<WhyRow>),
    /// The instances of a stage with a matrix.
    Instances(Vec<WhyRow>),
}

/// The value of each metric of each stage; null if it is undefined.
pub(crate) type Metrics = BTreeMap<String, BTreeMap<String, Option<f64>>>;

/// A run; runs are listed newest first. A run without a record has only `run`, `tags` and
/// `problem`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct HistoryRow {
    /// Its name under `artifacts/runs/`.
    pub(crate) run: String,
    /// The tags of the run.
    pub(crate) tags: Vec<String>,
    /// A summary of its record.
    #[serde(flatten)]
    pub(crate) record: Option<HistoryRecord>,
    /// Why its record is missing or cannot be trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// A summary of the record of a run.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct HistoryRecord {
    /// The start of the run, UTC.
    pub(crate) started: String,
    /// The duration of the run.
    pub(crate) seconds: f64,
    /// The exit code of the process.
    pub(crate) exit_code: u8,
    /// Stages that did something.
    pub(crate) ran: Vec<String>,
    /// Stages that failed.
    pub(crate) failed: Vec<String>,
    /// Stages that no other stage reads, with the digest of their result.
    pub(crate) results: BTreeMap<String, String>,
    /// The key metrics, and the selected ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metrics: Metrics,
}

/// A run in full.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShownRun {
    /// Its name under `artifacts/runs/`.
    pub(crate) run: String,
    /// The tags of the run.
    pub(crate) tags: Vec<String>,
    /// The start of the run, UTC.
    pub(crate) started: String,
    /// The duration of the run.
    pub(crate) seconds: f64,
    /// The exit code of the process.
    pub(crate) exit_code: u8,
    /// The user who started it.
    pub(crate) maker: Maker,
    /// Whether its record is as it was written.
    pub(crate) whole: bool,
    /// Stages that no other stage reads, with the digest of their result.
    pub(crate) results: BTreeMap<String, String>,
    /// The result of each gate.
    pub(crate) gates: Vec<Judged>,
    /// The artifacts that it used and made for each stage; null in a record of an earlier ctpipe.
    pub(crate) stages: Option<Vec<StageRecord>>,
    /// The error of each failed stage.
    pub(crate) failures: BTreeMap<String, String>,
}

/// A stage of the graph, with all its instances.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DagRow {
    /// Its name in the pipeline file.
    pub(crate) stage: String,
    /// The number of its instances.
    pub(crate) instances: usize,
    /// The stages that it reads.
    pub(crate) reads: Vec<String>,
    /// The paths of the user that it reads.
    pub(crate) inputs: Vec<String>,
    /// The state in one word, or the number of instances in each state.
    pub(crate) state: String,
    /// The reasons.
    pub(crate) why: String,
    /// Whether anything has to be done, or may have to be.
    pub(crate) stale: bool,
    /// The total duration of its current results; null if there are none.
    pub(crate) seconds: Option<f64>,
}

/// A built-in stage.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BuiltIn {
    /// Its kind.
    pub(crate) stage: &'static str,
    /// The version, which is raised when the same input would give other bytes.
    pub(crate) version: u32,
    /// What it does.
    pub(crate) doc: &'static str,
    /// Its inputs.
    pub(crate) inputs: &'static [Port],
    /// Its parameters.
    pub(crate) params: &'static [Param],
    /// The files that it writes.
    pub(crate) outputs: &'static [Output],
}

/// The contents of the data set that `synth` wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Synthesised {
    /// The number of series.
    pub(crate) series: usize,
    /// The number of studies.
    pub(crate) studies: usize,
    /// The number of series that show a lesion.
    pub(crate) pathological: usize,
    /// The number of patients.
    pub(crate) patients: usize,
    /// The number of files.
    pub(crate) files: usize,
    /// The total size of all files in bytes.
    pub(crate) bytes: u64,
}

/// The paths of the reports.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reports {
    /// The paths.
    pub(crate) reports: Vec<PathBuf>,
}

/// The findings of `inspect`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InspectedFiles {
    /// Each series.
    pub(crate) series: Vec<InspectedSeries>,
    /// The number of inspected files, including members of archives.
    pub(crate) files: usize,
    /// The number of files that are not DICOM.
    pub(crate) not_dicom: usize,
    /// DICOM files that cannot be read.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A file that cannot be read.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Unreadable {
    /// Its path, and its name in an archive.
    pub(crate) path: String,
    /// The reason.
    pub(crate) problem: String,
}

/// One series.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InspectedSeries {
    /// Series Instance UID.
    pub(crate) series_uid: String,
    /// Study Instance UID.
    pub(crate) study_uid: String,
    /// Modality, such as CT.
    pub(crate) modality: String,
    /// The values of Image Type.
    pub(crate) image_type: Vec<String>,
    /// Manufacturer of the scanner.
    pub(crate) manufacturer: Option<String>,
    /// Model of the scanner.
    pub(crate) model: Option<String>,
    /// Convolution kernel.
    pub(crate) kernel: Option<String>,
    /// Tube voltage in kV.
    pub(crate) kvp: Option<f64>,
    /// Age of the patient in years.
    pub(crate) age: Option<f64>,
    /// Sex of the patient.
    pub(crate) sex: Option<String>,
    /// The number of files.
    pub(crate) files: usize,
    /// The number of slices: files, or frames of multi-frame files.
    pub(crate) slices: usize,
    /// UID of the transfer syntax.
    pub(crate) transfer_syntax: String,
    /// The encoding of the pixel data, in words.
    pub(crate) codec: &'static str,
    /// Bits per sample.
    pub(crate) bits_stored: u32,
    /// The geometry of its slices.
    pub(crate) geometry: InspectedGeometry,
    /// The quality of the volume; null if there is none.
    pub(crate) quality: Option<InspectedQuality>,
    /// `accepted` or `rejected`.
    pub(crate) status: &'static str,
    /// The reasons why it cannot be used.
    pub(crate) reasons: Vec<&'static str>,
    /// Notes that do not prevent its use.
    pub(crate) warnings: Vec<&'static str>,
    /// The reason why no volume could be made, in words.
    pub(crate) problem: Option<String>,
}

/// The geometry of the slices of a series.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InspectedGeometry {
    /// Rows per slice.
    pub(crate) rows: u32,
    /// Columns per slice.
    pub(crate) columns: u32,
    /// Slice thickness in mm.
    pub(crate) slice_thickness_mm: Option<f64>,
    /// The stack of the slices, if they form one.
    #[serde(flatten)]
    pub(crate) stack: Option<InspectedStack>,
}

/// A stack of slices.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InspectedStack {
    /// `axial`, `coronal`, `sagittal` or `oblique`.
    pub(crate) orientation: &'static str,
    /// Pixel spacing in mm: between rows, between columns.
    pub(crate) pixel_spacing_mm: [f64; 2],
    /// Slice spacing in mm, if it is uniform.
    pub(crate) slice_spacing_mm: Option<f64>,
    /// Gantry tilt in degrees.
    pub(crate) tilt_degrees: f64,
    /// Direction along a row, as a unit vector in the patient's axes.
    pub(crate) along_row: [f64; 3],
    /// Direction along a column.
    pub(crate) along_column: [f64; 3],
    /// Direction across the slices.
    pub(crate) normal: [f64; 3],
    /// Extent in mm along these three directions.
    pub(crate) extent_mm: [f64; 3],
}

impl From<&Stack> for InspectedStack {
    fn from(stack: &Stack) -> InspectedStack {
        let [along_row, along_column, normal] = stack.directions.0;
        InspectedStack {
            orientation: stack.directions.plane_name(),
            pixel_spacing_mm: stack.pixel_spacing,
            slice_spacing_mm: stack.spacing(),
            tilt_degrees: stack.tilt(),
            along_row,
            along_column,
            normal,
            extent_mm: stack.extent().map(|(low, high)| high - low),
        }
    }
}

/// The quality of the volume of a series.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InspectedQuality {
    /// Lowest HU.
    pub(crate) min_hu: f32,
    /// Highest HU.
    pub(crate) max_hu: f32,
    /// Mean HU.
    pub(crate) mean_hu: f32,
    /// The position of the air peak in HU.
    pub(crate) air_hu: Option<f64>,
    /// The position of the soft tissue peak in HU.
    pub(crate) soft_tissue_hu: Option<f64>,
    /// Noise in HU.
    pub(crate) noise_hu: Option<f64>,
    /// Fraction of padding among the samples.
    pub(crate) padding_share: f64,
    /// Fraction of air among the voxels.
    pub(crate) air_share: f64,
    /// Fraction of soft tissue among the voxels.
    pub(crate) soft_tissue_share: f64,
    /// Extent in mm in the left, posterior and superior directions.
    pub(crate) coverage_mm: [f64; 3],
    /// Unusual features of the volume.
    pub(crate) flags: Vec<&'static str>,
}

impl From<&Quality> for InspectedQuality {
    fn from(quality: &Quality) -> InspectedQuality {
        InspectedQuality {
            min_hu: quality.min_hu,
            max_hu: quality.max_hu,
            mean_hu: quality.mean_hu,
            air_hu: quality.air_hu,
            soft_tissue_hu: quality.soft_tissue_hu,
            noise_hu: quality.noise_hu,
            padding_share: quality.padding_share,
            air_share: quality.air_share,
            soft_tissue_share: quality.soft_tissue_share,
            coverage_mm: quality.coverage_mm,
            flags: quality.flags.iter().map(|flag| flag.as_str()).collect(),
        }
    }
}
