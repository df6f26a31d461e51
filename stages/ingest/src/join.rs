//! Turns files and labels into rows: decides which files form a series, what its label is, and
//! every reason why it cannot be used. Reads no file.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_ct::geometry::Stack;
use ctpipe_ct::series::slices;
use ctpipe_ct::{Code, Header, Plane, Rules, Scanned, Slice, Text, assess};
use ctpipe_tables::labels::Label;
use ctpipe_tables::{InstanceRow, SeriesRow, Status};

use crate::patient::{Hasher, PatientIs};
use ctpipe_ct::Found;

/// Reasons and warnings from joining the files with the labels; [`Code`] has those of the slices.
mod reason {
    pub(super) const NO_LABEL: &str = "no_label";
    pub(super) const NO_FILES: &str = "no_files";
    pub(super) const NOT_0_OR_1: &str = "label_not_0_or_1";
    pub(super) const CONFLICTING: &str = "conflicting_labels";
    pub(super) const REPEATED: &str = "repeated_label";
    pub(super) const BAD_SPLIT: &str = "bad_split";
    pub(super) const STUDY_MISMATCH: &str = "study_mismatch";
    pub(super) const MIXED_STUDY: &str = "mixed_study";
    pub(super) const SEVERAL_PATIENTS: &str = "several_patients";
    pub(super) const NO_PATIENT: &str = "no_patient";
    pub(super) const SERIES_UID_MISSING: &str = "series_uid_missing";
}

/// The rows of the stage's two tables.
pub(crate) struct Joined {
    pub(crate) instances: Vec<InstanceRow>,
    pub(crate) series: Vec<SeriesRow>,
}

/// A slice: its file and its frame.
pub(crate) type Place<'a> = (&'a Found, usize);

/// How files and labels become rows.
pub(crate) struct Join<'a> {
    pub(crate) rules: Rules,
    pub(crate) patient_is: &'a PatientIs,
    pub(crate) hasher: &'a Hasher,
    pub(crate) keep: &'a [String],
    /// Whether two slices hold the same pixels.
    pub(crate) same: &'a (dyn Fn(Place<'_>, Place<'_>) -> bool + Sync),
}

impl Join<'_> {
    /// The rows of both tables: instances in the order of their files, series by UID.
    ///
    /// Takes ownership of the files, so that each is freed once its row is made: keeping a hundred
    /// thousand of both would need twice the memory.
    pub(crate) fn rows(&self, files: Vec<Found>, labels: &[&Label]) -> Joined {
        let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            if let Some(header) = file.header() {
                members.entry(&header.series_uid).or_default().push(index);
            }
        }
        let mut by_series: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
        for &label in labels {
            by_series.entry(&label.series_uid).or_default().push(label);
        }
        let mut order: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        let mut series = Vec::new();
        let uids: BTreeSet<&str> = members.keys().chain(by_series.keys()).copied().collect();
        for uid in uids {
            let indices = members.get(uid).map_or(&[][..], Vec::as_slice);
            let own: Vec<&Found> = indices.iter().map(|&index| &files[index]).collect();
            let labels = by_series.get(uid).map_or(&[][..], Vec::as_slice);
            let (row, places) = self.row(uid, &own, labels);
            let numbered = places.into_iter().zip(0..);
            order.extend(numbered.map(|((file, frame), place)| ((indices[file], frame), place)));
            series.push(row);
        }
        let place = |file, frame| order.get(&(file, frame)).copied();
        let mut rows = Vec::with_capacity(files.len());
        for (index, file) in files.into_iter().enumerate() {
            rows.extend(instances(file, &|frame| place(index, frame)));
        }
        Joined { instances: rows, series }
    }
}

/// One row per frame; one row for a file that cannot be read, none for a file that is not DICOM.
fn instances(file: Found, place: &dyn Fn(usize) -> Option<u32>) -> Vec<InstanceRow> {
    let Found { path, member, what } = file;
    match what {
        Scanned::NotDicom | Scanned::Archive => Vec::new(),
        Scanned::Unreadable(problem) => {
            vec![InstanceRow { path, member, problem: Some(problem), ..InstanceRow::default() }]
        }
        Scanned::Dicom(header) => {
            let row = |(frame, plane): (usize, &Plane)| {
                let [x, y, z] = plane.position.map_or([None; 3], |p| p.map(Some));
                InstanceRow {
                    path: path.clone(),
                    member: member.clone(),
                    frame: frame as u32,
                    series_uid: header.series_uid.clone(),
                    study_uid: header.study_uid.clone(),
                    sop_instance_uid: header.sop_instance_uid.clone(),
                    instance_number: header.instance_number.map(f64::from),
                    position_x: x,
                    position_y: y,
                    position_z: z,
                    transfer_syntax: header.transfer_syntax.clone(),
                    slice_index: place(frame),
                    problem: None,
                }
            };
            header.planes.iter().enumerate().map(row).collect()
        }
    }
}

impl Join<'_> {
    /// The row of one series, and its slices (file and frame) in order along the slice normal.
    fn row(&self, uid: &str, files: &[&Found], labels: &[&Label]) -> (SeriesRow, Vec<(usize, usize)>) {
        let Join { rules, patient_is, hasher, keep, same } = self;
        let headers: Vec<&Header> = files.iter().filter_map(|file| file.header()).collect();
        let mut reasons: Vec<String> = Vec::new();
        let mut warnings: Vec<String> = Vec::new();
        let mut reject = |code: &str, applies: bool| {
            if applies && !reasons.iter().any(|r| r == code) {
                reasons.push(code.to_owned());
            }
        };
        let label = labels.first().copied();
        let study = headers.first().map(|h| &*h.study_uid).or(label.map(|l| l.study_uid.as_str()));
        let study = study.unwrap_or_default();
        reject(reason::SERIES_UID_MISSING, uid.is_empty());
        reject(reason::NO_FILES, headers.is_empty());
        reject(reason::MIXED_STUDY, headers.iter().any(|h| &*h.study_uid != study));
        let first_patient = headers.first().map(|h| &*h.patient_id).unwrap_or_default();
        reject(reason::SEVERAL_PATIENTS, headers.iter().any(|h| &*h.patient_id != first_patient));
        reject(reason::NO_LABEL, label.is_none());
        reject(reason::NOT_0_OR_1, labels.iter().any(|l| l.pathology.is_none()));
        reject(reason::BAD_SPLIT, labels.iter().any(|l| l.bad_split.is_some()));
        reject(reason::STUDY_MISMATCH, !headers.is_empty() && labels.iter().any(|l| l.study_uid != study));
        let contradicts =
            |l: &&&Label| label.is_some_and(|f| (f.pathology, f.split) != (l.pathology, l.split));
        reject(reason::CONFLICTING, labels.iter().any(|l| contradicts(&l)));
        if labels.len() > 1 {
            warnings.push(reason::REPEATED.to_owned());
        }
        let named = match patient_is {
            PatientIs::Column(name) => label.and_then(|l| l.kept.get(name)).map_or("", String::as_str),
            _ => "",
        };
        // Without this, a person identified by a name here and by a study there could end up in two
        // sets of the split.
        let nameless = matches!(patient_is, PatientIs::Column(_)) && label.is_some() && named.is_empty();
        reject(reason::NO_PATIENT, nameless);
        let members = slices(&headers);
        let own: Vec<Slice<'_>> = members.iter().map(|(_, _, slice)| *slice).collect();
        let place = |index: usize| (files[members[index].0], members[index].1);
        let mut order = Vec::new();
        let (mut spacing, mut thickness) = (None, None);
        if !headers.is_empty() {
            let found = assess(&own, rules, &|a, b| same(place(a), place(b)));
            found.reasons.iter().for_each(|code: &Code| reject(code.as_str(), true));
            warnings.extend(found.warnings.iter().map(|code| code.as_str().to_owned()));
            order = found.order.iter().map(|&index| (members[index].0, members[index].1)).collect();
            spacing = found.stack.as_ref().and_then(Stack::spacing);
            thickness = found.slice_thickness;
        }
        let plane = own.first().map(|slice| slice.plane.clone()).unwrap_or_default();
        let nothing = Header::default();
        let first = headers.first().copied().unwrap_or(&nothing);
        let text = |text: &Option<Text>| text.as_deref().map(str::to_owned);
        let patient_key = match patient_is {
            PatientIs::PatientId if !first.patient_id.is_empty() => {
                hasher.hash("patient_id", &first.patient_id)
            }
            PatientIs::Column(_) if !named.is_empty() => hasher.hash("column", named),
            _ => hasher.hash("study", study),
        };
        let kept =
            keep.iter().filter_map(|name| Some(format!("{name}={}", label?.kept.get(name)?))).collect();
        let [row_spacing, column_spacing] = plane.pixel_spacing.map_or([None; 2], |s| s.map(Some));
        let along = plane.orientation.map_or([None; 6], |o| o.map(Some));
        let row = SeriesRow {
            series_uid: uid.to_owned(),
            study_uid: study.to_owned(),
            patient_key,
            label: label.and_then(|l| l.pathology),
            age: label.and_then(|l| l.age).or(first.age),
            sex: label.and_then(|l| l.sex.clone()).or(text(&first.sex)),
            split: label.and_then(|l| l.split).map(|part| part.as_str().to_owned()),
            modality: first.modality.to_string(),
            slices: own.len() as u32,
            rows: first.rows,
            columns: first.columns,
            row_spacing,
            column_spacing,
            along_row_x: along[0],
            along_row_y: along[1],
            along_row_z: along[2],
            along_column_x: along[3],
            along_column_y: along[4],
            along_column_z: along[5],
            slice_thickness: thickness,
            slice_spacing: spacing,
            kvp: first.kvp,
            manufacturer: text(&first.manufacturer),
            model: text(&first.model),
            kernel: text(&first.kernel),
            bits_stored: first.bits_stored,
            transfer_syntax: first.transfer_syntax.to_string(),
            kept,
            status: Status::of(&reasons).as_str().to_owned(),
            reasons,
            warnings,
        };
        (row, order)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { min_slices: 2, min_thickness: 1.0, max_thickness: 5.0 };

    fn slice(series: &str, z: f64) -> Found {
        let header = Header {
            sop_instance_uid: format!("{series}.{z}"),
            study_uid: "study".into(),
            series_uid: series.into(),
            modality: "CT".into(),
            patient_id: "P1".into(),
            rows: 512,
            columns: 512,
            samples: 1,
            has_pixels: true,
            planes: vec![Plane {
                position: Some([0.0, 0.0, z]),
                orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
                pixel_spacing: Some([1.0, 1.0]),
                slice_thickness: Some(2.0),
                in_hu: true,
            }],
            ..Header::default()
        };
        Found { path: format!("{series}/{z}"), member: None, what: Scanned::Dicom(Box::new(header)) }
    }

    fn label(series: &str, pathology: Option<u32>) -> Label {
        Label { study_uid: "study".into(), series_uid: series.into(), pathology, ..Label::default() }
    }

    fn joined(files: &[Found], labels: &[Label]) -> Joined {
        joined_by(files, labels, &PatientIs::PatientId)
    }

    fn joined_by(files: &[Found], labels: &[Label], patient_is: &PatientIs) -> Joined {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "secret").unwrap();
        let hasher = Hasher::open(&key).unwrap();
        let join = Join { rules: RULES, patient_is, hasher: &hasher, keep: &[], same: &|_, _| false };
        join.rows(files.to_vec(), &labels.iter().collect::<Vec<_>>())
    }

    fn reasons_of(joined: &Joined) -> Vec<(String, Vec<String>)> {
        joined.series.iter().map(|row| (row.series_uid.clone(), row.reasons.clone())).collect()
    }

    #[test]
    fn each_mismatch_of_files_and_labels_is_a_row_with_its_reason() {
        let mut files: Vec<Found> = Vec::new();
        for series in ["a", "b", "c", "d"] {
            files.extend([slice(series, 2.0), slice(series, 0.0)]);
        }
        let labels = [
            label("a", Some(1)),
            label("c", None),
            label("d", Some(0)),
            label("d", Some(1)),
            label("ghost", Some(1)),
        ];
        let joined = joined(&files, &labels);
        let expected = [
            ("a", vec![]),
            ("b", vec!["no_label"]),
            ("c", vec!["label_not_0_or_1"]),
            ("d", vec!["conflicting_labels"]),
            ("ghost", vec!["no_files"]),
        ];
        let expected = expected.map(|(uid, r)| (uid.to_owned(), r.into_iter().map(str::to_owned).collect()));
        assert_eq!(reasons_of(&joined), expected);
        assert_eq!(joined.series[3].warnings[0], "repeated_label");
    }

    #[test]
    fn a_column_tells_patients_apart_and_an_empty_cell_is_a_reason() {
        let mut labels = [label("a", Some(0)), label("b", Some(1)), label("c", Some(1))];
        for (label, name) in labels.iter_mut().zip(["Riga 7", "Riga 7", ""]) {
            label.kept.insert("person".into(), name.into());
        }
        let files: Vec<Found> =
            ["a", "b", "c"].into_iter().flat_map(|s| [slice(s, 0.0), slice(s, 2.0)]).collect();
        let series = joined_by(&files, &labels, &PatientIs::Column("person".into())).series;
        assert_eq!(series[0].patient_key, series[1].patient_key);
        assert_ne!(series[0].patient_key, series[2].patient_key);
        assert_eq!(series[2].reasons, ["no_patient"]);
        assert!(!format!("{series:?}").contains("Riga"));
    }

    #[test]
    fn slices_are_numbered_along_the_normal_whatever_their_files_are_called() {
        let files = [slice("a", 4.0), slice("a", 0.0), slice("a", 2.0)];
        let joined = joined(&files, &[label("a", Some(0))]);
        let order: Vec<Option<u32>> = joined.instances.iter().map(|row| row.slice_index).collect();
        assert_eq!(order, [Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn the_patient_id_is_nowhere_in_the_rows() {
        let joined = joined(&[slice("a", 0.0), slice("a", 2.0)], &[label("a", Some(0))]);
        let text = format!("{:?}{:?}", joined.series, joined.instances);
        assert!(!text.contains("P1"));
        assert_eq!(joined.series[0].patient_key.len(), 32);
    }
}
