//! Series grouped by patient. Knows no parts.

use std::collections::BTreeMap;

use ctpipe_tables::Part;

/// A series that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// (0020,000E).
    pub series_uid: String,
    /// (0020,000D) of the series or, better, the smallest of its patient's.
    pub study_uid: String,
    /// The same for all series of a patient.
    pub patient_key: String,
    /// 0 or 1.
    pub label: u32,
    /// The labels' own split.
    pub given: Option<Part>,
}

/// A patient: all goes to one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// Indices of its members.
    pub members: Vec<usize>,
    /// Series of label 0 and of label 1.
    pub labels: [u32; 2],
    /// The smallest of its study UIDs: what it is hashed by.
    pub study_uid: String,
    /// The smallest of its series UIDs: what patients are ordered by. The patient key is a keyed hash,
    /// and no order may depend on its value.
    pub series_uid: String,
}

/// Patients in the order of their smallest series UID.
pub fn group(members: &[Member]) -> Vec<Patient> {
    let mut by_key: BTreeMap<&str, Patient> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let patient = by_key.entry(&member.patient_key).or_insert_with(|| Patient {
            members: Vec::new(),
            labels: [0; 2],
            study_uid: member.study_uid.clone(),
            series_uid: member.series_uid.clone(),
        });
        patient.members.push(index);
        patient.labels[member.label.min(1) as usize] += 1;
        if member.study_uid < patient.study_uid {
            patient.study_uid.clone_from(&member.study_uid);
        }
        if member.series_uid < patient.series_uid {
            patient.series_uid.clone_from(&member.series_uid);
        }
    }
    let mut patients: Vec<Patient> = by_key.into_values().collect();
    patients.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
    patients
}
