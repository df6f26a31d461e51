//! Counts what was found and how many series were accepted and rejected. Judges no single series.

use std::collections::BTreeMap;

use ctpipe_ct::Scanned;
use ctpipe_tables::json::IngestSummary;
use ctpipe_tables::labels::Label;
use ctpipe_tables::{Note, SeriesRow, Status};

use crate::patient::PatientIs;
use ctpipe_ct::Found;

/// What the files turned out to be.
pub(crate) struct Counts {
    files: u64,
    not_dicom: u64,
    unreadable: u64,
}

impl Counts {
    /// Adds `others` more files, of which `not_dicom` are not DICOM and the rest were read earlier.
    pub(crate) fn and(self, others: u64, not_dicom: u64) -> Counts {
        Counts { files: self.files + others, not_dicom: self.not_dicom + not_dicom, ..self }
    }

    pub(crate) fn of(files: &[Found]) -> Counts {
        let count = |is: fn(&Scanned) -> bool| files.iter().filter(|file| is(&file.what)).count() as u64;
        Counts {
            files: files.len() as u64,
            not_dicom: count(|what| *what == Scanned::NotDicom),
            unreadable: count(|what| matches!(what, Scanned::Unreadable(_))),
        }
    }
}

pub(crate) fn summarise(
    files: &Counts,
    labels: &[Label],
    series: &[SeriesRow],
    patient_is: &PatientIs,
) -> IngestSummary {
    let mut summary = IngestSummary {
        files: files.files,
        not_dicom: files.not_dicom,
        unreadable: files.unreadable,
        series: series.iter().filter(|s| s.slices > 0).count() as u64,
        labels: labels.len() as u64,
        ..IngestSummary::default()
    };
    let mut patients: BTreeMap<&str, u64> = BTreeMap::new();
    for row in series {
        row.reasons.iter().for_each(|code| *summary.reasons.entry(code.clone()).or_default() += 1);
        row.warnings.iter().for_each(|code| *summary.warnings.entry(code.clone()).or_default() += 1);
        if let (true, Some(label)) = (row.status == Status::Accepted.as_str(), row.label) {
            summary.accepted += 1;
            *summary.accepted_by_label.entry(label.to_string()).or_default() += 1;
            *patients.entry(&row.patient_key).or_default() += 1;
        }
    }
    summary.patients = patients.len() as u64;
    let most = patients.values().copied().max().unwrap_or(0);
    if summary.accepted > 1 && most * 2 > summary.accepted {
        let (code, hint) = match patient_is {
            PatientIs::PatientId => (
                "one_patient_id",
                "; de-identified sets often share one patient ID: if these are different people, set \
                 ingest's parameter patient to study, or to a column of the labels",
            ),
            _ => ("one_patient", "; check what ingest's parameter patient stands for here"),
        };
        let text = format!(
            "one patient holds {most} of {} accepted series, and whole patients go to one side of the split{hint}",
            summary.accepted
        );
        let values = [("most", most.into()), ("accepted", summary.accepted.into())];
        summary.notes.push(Note::new(code, text, values));
    }
    if summary.unreadable > 0 {
        let n = summary.unreadable;
        let text = format!("{n} DICOM files could not be read; instances.parquet names each with the reason");
        summary.notes.push(Note::new("unreadable", text, [("n", n.into())]));
    }
    summary
}

/// One line for the terminal.
pub(crate) fn sentence(summary: &IngestSummary) -> String {
    let rejected: Vec<String> = summary.reasons.iter().map(|(code, n)| format!("{code} {n}")).collect();
    let rejected = if rejected.is_empty() { "none".to_owned() } else { rejected.join(", ") };
    format!(
        "{} files ({} not DICOM), {} series, {} labels; accepted: {} series of {} patients; rejected: {rejected}",
        summary.files, summary.not_dicom, summary.series, summary.labels, summary.accepted, summary.patients
    )
}

/// Why no series was accepted, and what would help.
pub(crate) fn nothing_left(summary: &IngestSummary) -> String {
    if summary.series == 0 {
        return format!("none of the {} files is a readable DICOM series; check inputs.dicom", summary.files);
    }
    let reasons: Vec<String> = summary.reasons.iter().map(|(code, n)| format!("{code}: {n}")).collect();
    format!(
        "no series is left: all {} were rejected ({}); check ingest's parameters and the labels",
        summary.series,
        reasons.join(", ")
    )
}
