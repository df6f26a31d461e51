//! Stage ingest: turns DICOM headers and the labels CSV into `instances.parquet`, `series.parquet`
//! and `summary.json`. Reads pixels only of slices that look like duplicates.

mod join;
mod patient;
mod pseudonym;
mod reused_series;
mod scan;
mod summary;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctpipe_ct::Rules;
use ctpipe_stage::{Finding, Kind, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, IngestSummary};
use ctpipe_tables::labels::{self, Label};
use ctpipe_tables::{InstanceRow, SeriesRow, Table};
use serde::Deserialize;
use serde_json::Value;

pub use patient::PatientIs;

use crate::reused_series::{Kept, Sums};

/// The stage.
pub struct Ingest;

#[derive(Debug, Deserialize)]
struct Config {
    min_slices: usize,
    min_slice_thickness: f64,
    max_slice_thickness: f64,
    patient: String,
    keep_columns: Vec<String>,
    pseudonymize_uids: bool,
}

const PORTS: &[Port] = &[
    Port::required("dicom", "the folder with the DICOM files"),
    Port::required("labels", "the CSV with study_uid, series_uid and pathology"),
    Port {
        name: "patient_key",
        doc: "the secret key with which patient identifiers are hashed",
        optional: false,
        many: false,
        default: Some("data/patient.key"),
        make: Some(patient::make_key),
    },
];

const PARAMS: &[Param] = &[
    Param {
        name: "min_slices",
        kind: Kind::Int { default: 32, min: 1, max: 10_000 },
        unit: "",
        doc: "a series with fewer slices is rejected; below 64 slices it gets a warning",
    },
    Param {
        name: "min_slice_thickness",
        kind: Kind::Float { default: 1.0, min: 0.0, max: 100.0 },
        unit: "mm",
        doc: "a series with thinner slices is rejected",
    },
    Param {
        name: "max_slice_thickness",
        kind: Kind::Float { default: 5.0, min: 0.0, max: 100.0 },
        unit: "mm",
        doc: "a series with thicker slices is rejected",
    },
    Param {
        name: "patient",
        kind: Kind::Text { default: "patient_id" },
        unit: "",
        doc: "what identifies a patient: patient_id, study, or the name of a column of the labels",
    },
    Param {
        name: "keep_columns",
        kind: Kind::TextList,
        unit: "",
        doc: "further columns of the labels to keep",
    },
    Param {
        name: "pseudonymize_uids",
        kind: Kind::Bool { default: false },
        unit: "",
        doc: "replace study, series and instance UIDs by keyed hashes; paths stay as they are",
    },
];

const OUTPUTS: &[Output] = &[
    Output { path: InstanceRow::FILE, doc: "one row per DICOM file" },
    Output { path: SeriesRow::FILE, doc: "one row per series, with status and reasons" },
    Output { path: IngestSummary::FILE, doc: "counts" },
];

impl Stage for Ingest {
    fn kind(&self) -> &'static str {
        "ingest"
    }
    fn version(&self) -> u32 {
        6
    }
    fn doc(&self) -> &'static str {
        "reads DICOM headers and labels, and decides which series can be used"
    }
    fn ports(&self) -> &'static [Port] {
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        PARAMS
    }
    fn outputs(&self) -> &'static [Output] {
        OUTPUTS
    }

    fn check(&self, params: &Params) -> Result<(), String> {
        let number = |name: &str| params.get(name).and_then(Value::as_f64).unwrap_or_default();
        let (min, max) = (number("min_slice_thickness"), number("max_slice_thickness"));
        if min > max {
            return Err(format!("min_slice_thickness {min} is above max_slice_thickness {max}"));
        }
        let patient = params.get("patient").unwrap_or(&Value::Null);
        let kept = params.get("keep_columns").and_then(Value::as_array);
        if kept.is_some_and(|columns| columns.contains(patient)) {
            return Err(format!("keep_columns must not contain {patient}, which identifies patients"));
        }
        Ok(())
    }

    fn preflight(&self, params: &Params, inputs: &BTreeMap<String, PathBuf>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(folder) = inputs.get("dicom") {
            findings.push(look_at_folder(folder));
        }
        if let Some(path) = inputs.get("labels") {
            findings.push(look_at_labels(path, params));
        }
        findings
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let patient_is = PatientIs::parse(&config.patient);
        let hasher = patient::Hasher::open(task.input("patient_key")?).map_err(StageError::failed)?;
        let mut columns = config.keep_columns.clone();
        if let PatientIs::Column(column) = &patient_is {
            columns.push(column.clone());
        }
        let labels = labels::read(task.input("labels")?, &columns).map_err(StageError::failed)?;
        let folder = task.input("dicom")?;
        let named = |uid: &str| {
            if config.pseudonymize_uids {
                pseudonym::pseudonym(&hasher, pseudonym::Kind::Series, uid)
            } else {
                uid.to_owned()
            }
        };
        let listed = task.files("dicom");
        let sums = Sums::new(task, listed, &labels, &named);
        let mut kept = Kept::find(task, &sums);
        let files = kept.read_the_rest(task, folder, &sums)?;
        task.check_stop()?;
        let rules = Rules {
            min_slices: config.min_slices,
            min_thickness: config.min_slice_thickness,
            max_thickness: config.max_slice_thickness,
        };
        let join = join::Join {
            rules,
            patient_is: &patient_is,
            hasher: &hasher,
            keep: &config.keep_columns,
            same: &|(a, frame_a), (b, frame_b)| {
                a.source(folder, frame_a).same_pixels(&b.source(folder, frame_b))
            },
        };
        let (others, not_dicom) = kept.files(task, folder, listed);
        let counts = summary::Counts::of(&files).and(others, not_dicom);
        let other_labels: Vec<&Label> =
            labels.iter().filter(|label| !kept.has(&named(&label.series_uid))).collect();
        let mut joined = join.rows(files, &other_labels);
        if config.pseudonymize_uids {
            pseudonym::pseudonymize(&mut joined, &hasher);
        }
        kept.write(&joined.instances, task.out()).map_err(StageError::failed)?;
        let reused = kept.len() as u64;
        let mut made_from = sums.of(&joined);
        kept.merge(&mut joined.series, &mut made_from);
        task.keep_items(made_from, reused);
        let summary = summary::summarise(&counts, &labels, &joined.series, &patient_is);
        for note in &summary.notes {
            task.log(Level::Warning, note.text.clone());
        }
        task.log(Level::Info, summary::sentence(&summary));
        SeriesRow::write(&joined.series, task.out()).map_err(StageError::failed)?;
        json::write(&summary, &task.out().join(IngestSummary::FILE)).map_err(StageError::failed)?;
        if summary.accepted == 0 {
            return Err(StageError::failed(summary::nothing_left(&summary)));
        }
        Ok(())
    }
}

fn look_at_folder(folder: &Path) -> Finding {
    if !folder.is_dir() {
        let hint = "give the folder that holds the files; archives in it are read in place";
        return Finding::error(format!("{} is not a folder of DICOM files: {hint}", folder.display()));
    }
    let first = walkdir::WalkDir::new(folder)
        .follow_links(true)
        .into_iter()
        .flatten()
        .find(|e| e.file_type().is_file());
    match first {
        Some(_) => Finding::info(format!("data found: {}", folder.display())),
        None => Finding::error(format!("{} holds no files; put the DICOM studies there", folder.display())),
    }
}

fn look_at_labels(path: &Path, params: &Params) -> Finding {
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut columns: Vec<String> = params
        .get("keep_columns")
        .and_then(Value::as_array)
        .map(|items| items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    if let PatientIs::Column(column) = PatientIs::parse(&text("patient")) {
        columns.push(column);
    }
    match labels::read(path, &columns) {
        Ok(labels) if labels.is_empty() => {
            Finding::error(format!("{} has a header and no rows; add one row per series", path.display()))
        }
        Ok(labels) => Finding::info(format!("labels readable: {} rows in {}", labels.len(), path.display())),
        Err(error) => Finding::error(ctpipe_stage::chain(&error)),
    }
}
