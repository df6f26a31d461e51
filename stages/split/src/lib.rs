//! Stage split: whole patients to train, validation and test. Looks at labels and patients, never at
//! voxels.

mod assign;
mod patients;

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_engine::{Kind, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, PartCounts, SplitSummary};
use ctpipe_tables::{Note, Part, SeriesRow, SplitRow, Status, Table, VolumeRow};
use serde::Deserialize;
use serde_json::Value;

pub use assign::{Assign, Fractions, balanced, stable};
pub use patients::{Member, Patient, group};

/// The stage.
pub struct Split;

#[derive(Debug, Deserialize)]
struct Config {
    test_size: f64,
    val_size: f64,
    assign: Assign,
}

const PORTS: &[Port] =
    &[Port::required("series", "what ingest made"), Port::required("volumes", "what preprocess made")];

const PARAMS: &[Param] = &[
    Param {
        name: "test_size",
        kind: Kind::Float { default: 0.2, min: 0.0, max: 0.9 },
        unit: "",
        doc: "share of the series for test",
    },
    Param {
        name: "val_size",
        kind: Kind::Float { default: 0.2, min: 0.0, max: 0.9 },
        unit: "",
        doc: "share of the series for validation",
    },
    Param {
        name: "assign",
        kind: Kind::Choice { default: "balanced", options: &["balanced", "stable"] },
        unit: "",
        doc: "balanced: as close to the shares as whole patients allow; stable: by a hash of seed and \
              study, so that nobody changes sides when patients are added",
    },
];

const OUTPUTS: &[Output] = &[
    Output { path: SplitRow::FILE, doc: "a row a series: train, val or test" },
    Output { path: SplitSummary::FILE, doc: "counts of each part" },
];

/// Why the series cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Two series of one patient are on different sides.
    #[error(
        "patient {patient} has series in {first} and in {second} ({first_series}, {second_series}): what is \
         learnt from one would be tested on the other; give all series of a patient the same split, or, where \
         de-identified patients share one ID, set ingest's parameter patient to study or a column"
    )]
    Leak {
        /// The patient's key.
        patient: String,
        /// One side.
        first: Part,
        /// A series there.
        first_series: String,
        /// The other side.
        second: Part,
        /// A series there.
        second_series: String,
    },
    /// Some labels have a split and some have none.
    #[error(
        "{missing} of {total} series have no split in the labels, such as {example}; fill the column in for \
         all of them, or remove it"
    )]
    PartlyGiven {
        /// Without.
        missing: usize,
        /// All.
        total: usize,
        /// One without.
        example: String,
    },
    /// Too few of a class to have it on every side.
    #[error(
        "class {class} has {patients} patients with a usable volume, and the parts {parts} need one each; \
         add data, set test_size or val_size to 0 or, where de-identified patients share one ID, set \
         ingest's parameter patient to study or a column"
    )]
    TooFew {
        /// 0 or 1.
        class: u32,
        /// How many.
        patients: usize,
        /// Which parts.
        parts: String,
    },
}

impl Stage for Split {
    fn kind(&self) -> &'static str {
        "split"
    }
    fn version(&self) -> u32 {
        3
    }
    fn doc(&self) -> &'static str {
        "puts whole patients into train, val and test, stratified by label"
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
        let (test, val) = (size("test_size"), size("val_size"));
        if test + val >= 1.0 {
            return Err(format!("test_size {test} and val_size {val} leave nothing to train on"));
        }
        Ok(())
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let members = members(task)?;
        let fractions = Fractions { test: config.test_size, val: config.val_size };
        let (assignment, method) =
            assign_all(&members, fractions, config.assign, task.seed()).map_err(StageError::failed)?;
        let rows: Vec<SplitRow> = members
            .iter()
            .zip(&assignment)
            .map(|(member, part)| SplitRow {
                series_uid: member.series_uid.clone(),
                patient_key: member.patient_key.clone(),
                label: member.label,
                split: part.as_str().to_owned(),
                fold: 0,
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

/// Series with a volume and a label, by UID.
fn members(task: &Task<'_>) -> Result<Vec<Member>, StageError> {
    let usable: BTreeSet<String> = VolumeRow::read(task.input("volumes")?)
        .map_err(StageError::failed)?
        .into_iter()
        .filter(|row| row.status == Status::Accepted.as_str())
        .map(|row| row.series_uid)
        .collect();
    let rows = SeriesRow::read(task.input("series")?).map_err(StageError::failed)?;
    // Over all that ingest found, so that a series that is rejected tomorrow does not move its patient.
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

/// A part for each member, and how it was chosen.
///
/// # Errors
/// As [`SplitError`] says; a leak above all.
pub fn assign_all(
    members: &[Member],
    fractions: Fractions,
    assign: Assign,
    seed: u64,
) -> Result<(Vec<Part>, &'static str), SplitError> {
    let given: Vec<Part> = members.iter().filter_map(|member| member.given).collect();
    let (assignment, method) = if given.is_empty() {
        let patients = group(members);
        enough(&patients, fractions)?;
        let (parts, method) = match assign {
            Assign::Balanced => (balanced(&patients, fractions, seed), "balanced"),
            Assign::Stable => (stable(&patients, fractions, seed), "stable"),
        };
        let mut assignment = vec![Part::Train; members.len()];
        for (patient, part) in patients.iter().zip(parts) {
            patient.members.iter().for_each(|&member| assignment[member] = part);
        }
        (assignment, method)
    } else if let Some(without) = members.iter().find(|member| member.given.is_none()) {
        return Err(SplitError::PartlyGiven {
            missing: members.len() - given.len(),
            total: members.len(),
            example: without.series_uid.clone(),
        });
    } else {
        (given, "labels")
    };
    refuse_leak(members, &assignment)?;
    Ok((assignment, method))
}

/// Whatever made the assignment: a patient on two sides is an error.
fn refuse_leak(members: &[Member], assignment: &[Part]) -> Result<(), SplitError> {
    let mut sides: BTreeMap<&str, (Part, &str)> = BTreeMap::new();
    for (member, &part) in members.iter().zip(assignment) {
        let (first, first_series) = *sides.entry(&member.patient_key).or_insert((part, &member.series_uid));
        if first != part {
            return Err(SplitError::Leak {
                patient: member.patient_key.clone(),
                first,
                first_series: first_series.to_owned(),
                second: part,
                second_series: member.series_uid.clone(),
            });
        }
    }
    Ok(())
}

/// Does each class have a patient for each part that is wanted?
fn enough(patients: &[Patient], fractions: Fractions) -> Result<(), SplitError> {
    let parts: Vec<&str> =
        Part::ALL.into_iter().filter(|&part| fractions.of(part) > 0.0).map(Part::as_str).collect();
    for class in [0, 1] {
        let count = patients.iter().filter(|patient| patient.labels[class as usize] > 0).count();
        if count < parts.len() {
            return Err(SplitError::TooFew { class, patients: count, parts: parts.join(", ") });
        }
    }
    Ok(())
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
