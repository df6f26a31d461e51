//! Stage split: assigns whole patients to the training, validation and test sets. Looks at labels
//! and patients, never at voxels.

mod assign;
mod error;
mod folds;
mod parts;
mod patients;

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_stage::{Kind, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, PartCounts, SplitSummary};
use ctpipe_tables::{Note, Part, SeriesRow, SplitRow, Status, Table, VolumeRow};
use serde::Deserialize;
use serde_json::Value;

pub use assign::{Assign, Fractions, balanced, stable};
pub use error::SplitError;
pub use parts::{Assigned, Cross, assign_all, cross};
pub use patients::{Member, Patient, group};

/// The stage.
pub struct Split;

#[derive(Debug, Deserialize)]
struct Config {
    test_size: f64,
    val_size: f64,
    assign: Assign,
    k_folds: u32,
    fold: u32,
}

const PORTS: &[Port] = &[
    Port::required("series", "the artifact of ingest"),
    Port::required("volumes", "the artifact of preprocess"),
];

const PARAMS: &[Param] = &[
    Param {
        name: "test_size",
        kind: Kind::Float { default: 0.2, min: 0.0, max: 0.9 },
        unit: "",
        doc: "share of the series in the test set; ignored when k_folds is set",
    },
    Param {
        name: "val_size",
        kind: Kind::Float { default: 0.2, min: 0.0, max: 0.9 },
        unit: "",
        doc: "share of the series in the validation set",
    },
    Param {
        name: "assign",
        kind: Kind::Choice { default: "balanced", options: &["balanced", "stable"] },
        unit: "",
        doc: "balanced: as close to the shares as whole patients allow; stable: by a hash of seed and study, \
              so that no patient changes sets when others are added",
    },
    Param {
        name: "k_folds",
        kind: Kind::Int { default: 0, min: 0, max: 20 },
        unit: "folds",
        doc: "cross-validation: the number of folds of whole patients, alike in size and classes; the test set is \
              fold `fold`, and val_size of all series is taken from the others; 0 for none",
    },
    Param {
        name: "fold",
        kind: Kind::Int { default: 0, min: 0, max: 19 },
        unit: "",
        doc: "with k_folds: the fold that is the test set, from 0; with `matrix: { fold: [0, 1, 2] }` every series is tested once",
    },
];

const OUTPUTS: &[Output] = &[
    Output { path: SplitRow::FILE, doc: "one row per series: train, val or test" },
    Output { path: SplitSummary::FILE, doc: "counts of each set" },
];

impl Stage for Split {
    fn kind(&self) -> &'static str {
        "split"
    }
    fn version(&self) -> u32 {
        3
    }
    fn doc(&self) -> &'static str {
        "assigns whole patients to the training, validation and test sets, stratified by label"
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
    fn seeded(&self) -> bool {
        true
    }

    fn check(&self, params: &Params) -> Result<(), String> {
        let size = |name: &str| params.get(name).and_then(Value::as_f64).unwrap_or_default();
        let number = |name: &str| params.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (test, val) = (size("test_size"), size("val_size"));
        let (k_folds, fold) = (number("k_folds"), number("fold"));
        match k_folds {
            0 if fold > 0 => {
                Err(format!("fold {fold} is set without k_folds; set k_folds, from 2 to 20, or remove fold"))
            }
            0 if test + val >= 1.0 => {
                Err(format!("test_size {test} and val_size {val} leave no series for training"))
            }
            0 => Ok(()),
            1 => Err("k_folds must be 2 to 20, or 0 for none, found 1".to_owned()),
            k if fold >= k => Err(format!("fold must be 0 to {} with k_folds {k}, found {fold}", k - 1)),
            k if 1.0 / k as f64 + val >= 1.0 => {
                Err(format!("one fold of {k} and val_size {val} leave no series for training"))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let members = members(task)?;
        let (folds, (assignment, method)) =
            config.assign_all(&members, task.seed()).map_err(StageError::failed)?;
        let rows: Vec<SplitRow> = members
            .iter()
            .zip(assignment.iter().zip(folds))
            .map(|(member, (part, fold))| SplitRow {
                series_uid: member.series_uid.clone(),
                patient_key: member.patient_key.clone(),
                label: member.label,
                split: part.as_str().to_owned(),
                fold,
            })
            .collect();
        let summary = summarise(&members, &assignment, method);
        for note in &summary.notes {
            task.log(Level::Warning, note.text.clone());
        }
        task.log(Level::Info, sentence(&summary));
        SplitRow::write(&rows, task.out()).map_err(StageError::failed)?;
        json::write(&summary, &task.out().join(SplitSummary::FILE)).map_err(StageError::failed)?;
        task.progress(rows.len() as u64, rows.len() as u64, "series", "");
        Ok(())
    }
}

impl Config {
    /// The fold and the set of each member, and how the sets were made.
    fn assign_all(&self, members: &[Member], seed: u64) -> Result<(Vec<u32>, Assigned), SplitError> {
        if self.k_folds > 0 {
            let of = Cross { k_folds: self.k_folds, fold: self.fold, val: self.val_size };
            return cross(members, of, self.assign, seed);
        }
        let fractions = Fractions { test: self.test_size, val: self.val_size };
        Ok((vec![0; members.len()], assign_all(members, fractions, self.assign, seed)?))
    }
}

/// Series with a volume and a label, by UID.
fn members(task: &Task<'_>) -> Result<Vec<Member>, StageError> {
    let usable: BTreeSet<String> = VolumeRow::read(task.input("volumes")?)
        .map_err(StageError::failed)?
        .into_iter()
        .filter(|row| row.status == Status::Accepted.as_str())
        .map(|row| row.series_uid)
        .collect();
    let rows = SeriesRow::read(task.input("series")?).map_err(StageError::failed)?;
    // Over all series that ingest found, so that a series that is rejected later does not move its
    // patient.
    let mut first_study: BTreeMap<String, String> = BTreeMap::new();
    for row in &rows {
        let study = first_study.entry(row.patient_key.clone()).or_insert_with(|| row.study_uid.clone());
        if row.study_uid < *study {
            study.clone_from(&row.study_uid);
        }
    }
    Ok(rows
        .into_iter()
        .filter(|row| usable.contains(&row.series_uid))
        .filter_map(|row| {
            Some(Member {
                label: row.label?,
                given: row.split.and_then(|text| text.parse().ok()),
                series_uid: row.series_uid,
                study_uid: first_study.get(&row.patient_key).cloned().unwrap_or(row.study_uid),
                patient_key: row.patient_key,
            })
        })
        .collect())
}

fn summarise(members: &[Member], assignment: &[Part], method: &str) -> SplitSummary {
    let mut summary = SplitSummary { method: method.to_owned(), ..SplitSummary::default() };
    let mut patients: BTreeMap<Part, BTreeSet<&str>> = BTreeMap::new();
    for part in Part::ALL {
        summary.parts.insert(part, PartCounts::default());
    }
    for (member, &part) in members.iter().zip(assignment) {
        let counts = summary.parts.entry(part).or_default();
        counts.series += 1;
        *(if member.label == 0 { &mut counts.normal } else { &mut counts.pathology }) += 1;
        patients.entry(part).or_default().insert(&member.patient_key);
    }
    for (part, keys) in patients {
        summary.parts.entry(part).or_default().patients = keys.len() as u64;
    }
    for (part, counts) in &summary.parts {
        let (code, text) = match (counts.series, counts.normal, counts.pathology) {
            (0, ..) => ("empty_part", format!("{part} is empty: its figures will be undefined")),
            (_, 0, _) | (_, _, 0) => {
                ("one_class_part", format!("{part} has one class only: its AUC will be undefined"))
            }
            _ => continue,
        };
        summary.notes.push(Note::new(code, text, [("part", part.as_str().into())]));
    }
    summary
}

fn sentence(summary: &SplitSummary) -> String {
    let parts: Vec<String> = summary
        .parts
        .iter()
        .map(|(part, c)| format!("{part} {} ({} normal, {} pathology)", c.series, c.normal, c.pathology))
        .collect();
    format!("{}: {}", summary.method, parts.join(", "))
}
