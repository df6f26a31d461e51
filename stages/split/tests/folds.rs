//! The folds of a cross-validation, through the public functions: who is tested when, and how equal
//! the folds are.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_split::{Assign, Cross, Member, SplitError, cross};
use ctpipe_tables::Part;
use proptest::prelude::*;

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

fn of(k_folds: u32, fold: u32) -> Cross {
    Cross { k_folds, fold, val: 0.2 }
}

/// The folds, which must be the same in all instances, and the sets of each instance.
fn all(members: &[Member], k: u32, assign: Assign, seed: u64) -> (Vec<u32>, Vec<Vec<Part>>) {
    let made: Vec<_> = (0..k).map(|fold| cross(members, of(k, fold), assign, seed).unwrap()).collect();
    assert!(made.iter().all(|(folds, _)| *folds == made[0].0));
    (made[0].0.clone(), made.into_iter().map(|(_, (parts, _))| parts).collect())
}

fn count(members: &[Member], here: impl Fn(usize) -> bool) -> [usize; 2] {
    [0, 1].map(|label| (0..members.len()).filter(|&i| members[i].label == label && here(i)).count())
}

#[test]
fn folds_are_equal_and_the_test_part_is_one_of_them() {
    let members = single(100);
    let (folds, parts) = all(&members, 5, Assign::Balanced, 42);
    for (fold, parts) in (0..).zip(&parts) {
        assert_eq!(count(&members, |i| folds[i] == fold), [10, 10]);
        // A fifth of all is a quarter of the other folds.
        assert_eq!(count(&members, |i| parts[i] == Part::Val), [10, 10]);
        assert!((0..members.len()).all(|i| (parts[i] == Part::Test) == (folds[i] == fold)));
    }
    assert_ne!(folds, all(&members, 5, Assign::Balanced, 43).0);
    // 7 and 7 patients in three folds, by hand: 3 + 2, 2 + 3, 2 + 2.
    let members = single(14);
    let (folds, _) = all(&members, 3, Assign::Balanced, 42);
    let mut sizes: Vec<[usize; 2]> = (0..3).map(|fold| count(&members, |i| folds[i] == fold)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [[2, 2], [2, 3], [3, 2]]);
}

#[test]
fn neither_the_tested_fold_nor_the_share_of_val_moves_anybody() {
    let members = single(60);
    let folds = |val: f64, fold: u32| {
        cross(&members, Cross { k_folds: 4, fold, val }, Assign::Balanced, 1).unwrap().0
    };
    assert_eq!(folds(0.2, 0), folds(0.5, 3));
    assert_eq!(folds(0.2, 0), folds(0.0, 1));
    let other_keys: Vec<Member> = (members.iter().rev().zip(&members))
        .map(|(other, member)| Member { patient_key: other.patient_key.clone(), ..member.clone() })
        .collect();
    assert_eq!(folds(0.2, 0), cross(&other_keys, of(4, 0), Assign::Balanced, 1).unwrap().0);
}

#[test]
fn stable_folds_and_parts_keep_every_patient_when_a_thousand_are_added() {
    let before = single(200);
    let mut after = before.clone();
    after.extend((0..1000).map(|i| {
        let added = member(5000 + i, 0, (i % 2) as u32);
        Member { series_uid: format!("1.{:05}.x{i}", i % 200), ..added }
    }));
    after.sort_by(|a, b| a.series_uid.cmp(&b.series_uid));
    let of_all = |members: &[Member]| -> BTreeMap<String, (u32, Vec<Part>)> {
        let (folds, parts) = all(members, 5, Assign::Stable, 42);
        let of = |i: usize| (folds[i], parts.iter().map(|parts| parts[i]).collect());
        (0..members.len()).map(|i| (members[i].series_uid.clone(), of(i))).collect()
    };
    let grown = of_all(&after);
    assert!(of_all(&before).iter().all(|(uid, of)| grown[uid] == *of));
    // 1200 draws at 1/5: four standard deviations are 55; val is 1/4 of the other 960.
    for fold in 0..5 {
        let here = grown.values().filter(|of| of.0 == fold).count();
        let val = grown.values().filter(|of| of.1[fold as usize] == Part::Val).count();
        assert!((185..=295).contains(&here) && (185..=295).contains(&val), "{here} {val}");
    }
}

#[test]
fn labels_with_a_split_and_too_few_patients_are_errors_that_say_what_to_do() {
    let mut members = single(20);
    members[3].given = Some(Part::Test);
    let error = cross(&members, of(5, 0), Assign::Balanced, 42).unwrap_err();
    assert!(matches!(error, SplitError::GivenBesideFolds { given: 1, total: 20, .. }));
    assert!(error.to_string().contains("1.00003.0") && error.to_string().contains("drop the column split"));
    let members = single(9);
    let error = cross(&members, of(5, 0), Assign::Balanced, 42).unwrap_err().to_string();
    assert!(
        error.contains("class 1 has 4 patients") && error.contains("set k_folds to 4 or less"),
        "{error}"
    );
    assert!(cross(&members, of(4, 0), Assign::Balanced, 42).is_ok());
    // Two folds with one patient of each class: none is left for validation.
    assert!(matches!(
        cross(&single(4), of(2, 0), Assign::Balanced, 42),
        Err(SplitError::TooFewOutside { fold: 0, patients: 1, .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_series_is_tested_once_by_a_model_that_never_saw_its_patient(
        sizes in prop::collection::vec((1_usize..4, 0_u32..2, any::<bool>()), 12..60), k in 2_u32..7, seed: u64, stable: bool,
    ) {
        let members: Vec<Member> = (sizes.iter().enumerate())
            .flat_map(|(patient, &(series, label, both))| {
                (0..series).map(move |s| member(patient, s, if both && s > 0 { 1 - label } else { label }))
            })
            .collect();
        let assign = if stable { Assign::Stable } else { Assign::Balanced };
        let made: Result<Vec<_>, _> = (0..k).map(|fold| cross(&members, of(k, fold), assign, seed)).collect();
        let Ok(made) = made else { return Ok(()) };
        let folds = &made[0].0;
        for (i, member) in members.iter().enumerate() {
            let tested: Vec<u32> =
                (0..k).filter(|&fold| made[fold as usize].1.0[i] == Part::Test).collect();
            prop_assert_eq!(tested, vec![folds[i]]);
            let parts = &made[folds[i] as usize].1.0;
            let learnt = (0..members.len()).filter(|&j| parts[j] != Part::Test);
            let learnt: BTreeSet<&str> = learnt.map(|j| members[j].patient_key.as_str()).collect();
            prop_assert!(!learnt.contains(member.patient_key.as_str()));
        }
        if !stable {
            for label in [0, 1] {
                let here: Vec<usize> =
                    (0..k).map(|fold| count(&members, |i| folds[i] == fold)[label]).collect();
                prop_assert!(here.iter().all(|&n| n > 0), "{here:?}");
                // No patient has more than three series.
                let (least, most) = (here.iter().min().unwrap(), here.iter().max().unwrap());
                prop_assert!(most - least <= 4, "{here:?}");
            }
        }
    }
}
