//! Series grouped by patient. Knows no sets.

use std::collections::BTreeMap;

use ctpipe_tables::Part;

/// A series that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// (0020,000E) Series Instance UID.
    pub series_uid: String,
    /// (0020,000D) Study Instance UID of the series or, better, the smallest one of its patient.
    pub study_uid: String,
    /// The key of its patient, equal for all series of a patient.
    pub patient_key: String,
    /// 0 or 1.
    pub label: u32,
    /// The set that the labels give it, if they have a column split.
    pub given: Option<Part>,
}

/// A patient, all of whose series go to one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// Indices of its members.
    pub members: Vec<usize>,
    /// Number of series with label 0 and with label 1.
    pub labels: [u32; 2],
    /// The smallest of its study UIDs, which its hash is computed from.
    pub study_uid: String,
    /// The smallest of its series UIDs, by which patients are ordered. The patient key is a keyed
    /// hash, and no order may depend on its value.
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
