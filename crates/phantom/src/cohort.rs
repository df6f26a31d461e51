//! Draws who is scanned: patients, their studies and series, the identifiers, and the labels.
//!
//! Labels come from a stream of their own, after the number of series is settled, so that no other
//! column, identifier or order depends on them.

use crate::Options;
use crate::random::{Purpose, Random};

/// A patient's sex, as DICOM writes it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sex {
    Female,
    Male,
}

impl Sex {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Female => "F",
            Self::Male => "M",
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Patient {
    /// Number from 0; also selects the patient's random streams.
    pub(crate) number: usize,
    pub(crate) age: u32,
    pub(crate) sex: Sex,
}

pub(crate) struct Series {
    /// Number from 0 over the whole set; it selects the random streams of the series.
    pub(crate) index: usize,
    pub(crate) patient: Patient,
    /// Number of the study, from 1 within the patient.
    pub(crate) study: usize,
    /// Number from 1 within the study.
    pub(crate) place_in_study: usize,
    pub(crate) study_uid: String,
    pub(crate) uid: String,
    pub(crate) frame_of_reference_uid: String,
    pub(crate) pathological: bool,
}

/// All series of the set, patient after patient.
pub(crate) fn draw(options: &Options) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    let mut studies = 0;
    for number in 0..options.patients {
        let mut random = Random::new(options.seed, Purpose::Cohort, number, 0);
        let patient = Patient {
            number,
            age: random.uniform(22.0..86.0) as u32,
            sex: random.pick([Sex::Female, Sex::Male]),
        };
        let study_count = random.pick([1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 3]);
        for study in 1..=study_count {
            let study_uid = uid(options.seed, IdentifierKind::Study, studies, 0);
            studies += 1;
            let series_count = if random.chance(0.05) { 2 } else { 1 };
            for place_in_study in 1..=series_count {
                let index = all.len();
                all.push(Series {
                    index,
                    patient,
                    study,
                    place_in_study,
                    study_uid: study_uid.clone(),
                    uid: uid(options.seed, IdentifierKind::Series, index, 0),
                    frame_of_reference_uid: uid(options.seed, IdentifierKind::Frame, index, 0),
                    pathological: false,
                });
            }
        }
    }
    label(&mut all, options);
    all
}

fn label(all: &mut [Series], options: &Options) {
    let count = (options.prevalence * all.len() as f64).round() as usize;
    let mut order: Vec<usize> = (0..all.len()).collect();
    Random::new(options.seed, Purpose::Label, 0, 0).shuffle(&mut order);
    for &index in order.iter().take(count) {
        all[index].pathological = true;
    }
}

/// The SOP Instance UID of a slice of a series.
pub(crate) fn instance_uid(seed: u64, series: usize, slice: usize) -> String {
    uid(seed, IdentifierKind::Instance, series, slice)
}

#[derive(Clone, Copy)]
enum IdentifierKind {
    Study,
    Series,
    Frame,
    Instance,
}

/// A UID made from a UUID, at most 44 characters (DICOM PS3.5 B.2), with the version and variant
/// bits of a random one (RFC 4122, 4.4).
fn uid(seed: u64, kind: IdentifierKind, item: usize, part: usize) -> String {
    let mut random = Random::new(seed, Purpose::Identifier, item, part);
    let mut number = 0;
    for _ in 0..=kind as usize {
        number = u128::from(random.bits()) << 64 | u128::from(random.bits());
    }
    number = number & !(0xF << 76) | 4 << 76;
    number = number & !(0x3 << 62) | 2 << 62;
    format!("2.25.{number}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_balanced_and_touch_nothing_else() {
        let draw_with = |prevalence| draw(&Options { prevalence, ..Options::default() });
        let (half, none) = (draw_with(0.5), draw_with(0.0));
        let positive = half.iter().filter(|s| s.pathological).count();
        assert_eq!(positive, (half.len() as f64 / 2.0).round() as usize);
        assert!(none.iter().all(|s| !s.pathological));
        for (a, b) in half.iter().zip(&none) {
            assert_eq!((&a.uid, &a.study_uid, a.patient.age), (&b.uid, &b.study_uid, b.patient.age));
        }
    }

    #[test]
    fn the_default_set_has_some_two_hundred_series_and_patients_with_several_studies_and_both_labels() {
        let all = draw(&Options::default());
        assert!((190..=240).contains(&all.len()), "{} series", all.len());
        assert!(all.iter().any(|s| s.study == 3));
        assert!(all.iter().any(|s| s.place_in_study == 2));
        let label_of = |patient: usize| -> HashSet<bool> {
            all.iter().filter(|s| s.patient.number == patient).map(|s| s.pathological).collect()
        };
        assert!((0..160).any(|patient| label_of(patient).len() == 2));
    }

    #[test]
    fn uids_are_version_4_uuids_and_never_repeat() {
        let mut seen = HashSet::new();
        for series in 0..20 {
            for slice in 0..20 {
                let uid = instance_uid(42, series, slice);
                let number: u128 = uid.strip_prefix("2.25.").unwrap().parse().unwrap();
                assert_eq!(number >> 76 & 0xF, 4);
                assert_eq!(number >> 62 & 0x3, 2);
                assert!(uid.len() <= 44);
                assert!(seen.insert(uid));
            }
        }
        for series in draw(&Options::default()) {
            assert!(seen.insert(series.uid));
            assert!(seen.insert(series.frame_of_reference_uid));
        }
    }
}
