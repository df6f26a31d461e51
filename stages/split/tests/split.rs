//! The split, through the public functions: shares, strata, patients, stability.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use ctpipe_split::{Assign, Fractions, Member, SplitError, assign_all};
use ctpipe_tables::Part;
use proptest::prelude::*;

const FRACTIONS: Fractions = Fractions { test: 0.2, val: 0.2 };

fn member(patient: usize, series: usize, label: u32) -> Member {
    Member {
        series_uid: format!("1.{patient:05}.{series}"),
        study_uid: format!("2.{patient:05}"),
        patient_key: format!("{:08x}", patient.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF),
        label,
        given: None,
    }
}

fn single(count: usize) -> Vec<Member> {
    (0..count).map(|i| member(i, 0, (i % 2) as u32)).collect()
}

fn counts(members: &[Member], parts: &[Part]) -> BTreeMap<(Part, u32), usize> {
    let mut counts = BTreeMap::new();
    for (member, part) in members.iter().zip(parts) {
        *counts.entry((*part, member.label)).or_default() += 1;
    }
    counts
}

#[test]
fn balanced_meets_the_fractions_exactly_where_patients_allow() {
    let members = single(100);
    let (parts, method) = assign_all(&members, FRACTIONS, Assign::Balanced, 42).unwrap();
    let counts = counts(&members, &parts);
    assert_eq!(method, "balanced");
    for label in [0, 1] {
        assert_eq!(Part::ALL.map(|part| counts[&(part, label)]), [30, 10, 10]);
    }
}

#[test]
fn the_seed_changes_who_goes_where_and_nothing_else_does() {
    let members = single(40);
    let split = |seed| assign_all(&members, FRACTIONS, Assign::Balanced, seed).unwrap().0;
    assert_eq!(split(1), split(1));
    assert_ne!(split(1), split(2));
    let other_keys: Vec<Member> = members
        .iter()
        .rev()
        .zip(members.clone())
        .map(|(other, member)| Member { patient_key: other.patient_key.clone(), ..member })
        .collect();
    assert_eq!(split(1), assign_all(&other_keys, FRACTIONS, Assign::Balanced, 1).unwrap().0);
}

#[test]
fn a_leak_in_the_labels_is_an_error_that_names_both_series() {
    let mut members = vec![member(1, 0, 0), member(1, 1, 1), member(2, 0, 1)];
    for (member, part) in members.iter_mut().zip([Part::Train, Part::Test, Part::Test]) {
        member.given = Some(part);
    }
    let error = assign_all(&members, FRACTIONS, Assign::Balanced, 42).unwrap_err();
    assert!(matches!(error, SplitError::Leak { .. }));
    let text = error.to_string();
    assert!(text.contains("1.00001.0") && text.contains("1.00001.1"), "{text}");
    members[1].given = Some(Part::Train);
    let (parts, method) = assign_all(&members, FRACTIONS, Assign::Balanced, 42).unwrap();
    assert_eq!((parts, method), (vec![Part::Train, Part::Train, Part::Test], "labels"));
    members[2].given = None;
    assert!(matches!(
        assign_all(&members, FRACTIONS, Assign::Balanced, 42),
        Err(SplitError::PartlyGiven { .. })
    ));
}

#[test]
fn too_few_of_a_class_is_an_error_that_says_what_to_do() {
    let mut members = single(20);
    members.retain(|m| m.label == 0 || m.series_uid.as_str() < "1.00004");
    let error = assign_all(&members, FRACTIONS, Assign::Balanced, 42).unwrap_err().to_string();
    assert!(error.contains("class 1 has 2 patients") && error.contains("train, val, test"), "{error}");
    assert!(assign_all(&members, Fractions { test: 0.5, val: 0.0 }, Assign::Balanced, 42).is_ok());
}

#[test]
fn a_stable_split_keeps_every_patient_when_a_thousand_are_added() {
    let before = single(200);
    let (sides, method) = assign_all(&before, FRACTIONS, Assign::Stable, 42).unwrap();
    // The thousand come before, between and after the first 200.
    let mut after = before.clone();
    after.extend(
        (0..1000).map(|i| Member { series_uid: format!("1.{:05}.x{i}", i % 200), ..member(5000 + i, 0, 1) }),
    );
    after.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
    let (grown, _) = assign_all(&after, FRACTIONS, Assign::Stable, 42).unwrap();
    let side: BTreeMap<&str, Part> =
        after.iter().map(|m| m.series_uid.as_str()).zip(grown.iter().copied()).collect();
    assert!(before.iter().zip(&sides).all(|(m, part)| side[m.series_uid.as_str()] == *part));
    assert_eq!(method, "stable");
    // 1200 draws at 0.2: four standard deviations are 55.
    let test = grown.iter().filter(|&&part| part == Part::Test).count();
    assert!((185..=295).contains(&test), "{test}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_patient_is_ever_on_two_sides_and_the_shares_are_met_to_a_patient(
        sizes in prop::collection::vec((1_usize..4, 0_u32..2), 12..60), seed: u64, stable: bool,
    ) {
        let members: Vec<Member> = sizes
            .iter()
            .enumerate()
            .flat_map(|(patient, &(series, label))| {
                (0..series).map(move |s| member(patient, s, if s == 0 { label } else { (patient % 2) as u32 }))
            })
            .collect();
        let assign = if stable { Assign::Stable } else { Assign::Balanced };
        let Ok((parts, _)) = assign_all(&members, FRACTIONS, assign, seed) else { return Ok(()) };
        let mut sides: BTreeMap<&str, Part> = BTreeMap::new();
        for (member, part) in members.iter().zip(&parts) {
            prop_assert_eq!(*sides.entry(&member.patient_key).or_insert(*part), *part);
        }
        if !stable {
            for part in Part::ALL {
                for label in [0, 1] {
                    let total = members.iter().filter(|m| m.label == label).count() as f64;
                    let have = counts(&members, &parts).get(&(part, label)).copied().unwrap_or(0) as f64;
                    // No patient here has more than three series.
                    prop_assert!((have - total * FRACTIONS.of(part)).abs() <= 3.0, "{part} {label}: {have} of {total}");
                }
            }
        }
    }
}
