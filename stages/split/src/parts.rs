//! Assigns every series to a set, by its patient; no patient is ever in two sets. Knows no file.

use std::collections::BTreeMap;

use ctpipe_tables::Part;

use crate::assign::{Assign, Fractions};
use crate::error::SplitError;
use crate::folds::deal;
use crate::patients::{Member, Patient, group};

/// The set of each member, and how it was chosen: `labels`, `balanced` or `stable`.
pub type Assigned = (Vec<Part>, &'static str);

/// The set of each member, and how it was chosen.
///
/// # Errors
/// See [`SplitError`], above all [`SplitError::Leak`].
pub fn assign_all(
    members: &[Member],
    fractions: Fractions,
    assign: Assign,
    seed: u64,
) -> Result<Assigned, SplitError> {
    let given: Vec<Part> = members.iter().filter_map(|member| member.given).collect();
    let (assignment, method) = if given.is_empty() {
        let patients = group(members);
        enough(&patients, fractions)?;
        let parts = assign.parts(&patients, fractions, seed);
        (of_members(&patients, &parts, (members.len(), Part::Train)), assign.name())
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

/// One fold of a cross-validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cross {
    /// Number of folds.
    pub k_folds: u32,
    /// The fold that is tested, from 0.
    pub fold: u32,
    /// The share of all series for validation, taken from the other folds.
    pub val: f64,
}

/// The fold of each member, which does not depend on the fold that is tested; then the set of each
/// member, and how that was chosen.
///
/// # Errors
/// See [`SplitError`]: if the labels give a split, or a class has too few patients.
pub fn cross(
    members: &[Member],
    of: Cross,
    assign: Assign,
    seed: u64,
) -> Result<(Vec<u32>, Assigned), SplitError> {
    if let Some(first) = members.iter().find(|member| member.given.is_some()) {
        return Err(SplitError::GivenBesideFolds {
            given: members.iter().filter(|member| member.given.is_some()).count(),
            total: members.len(),
            example: first.series_uid.clone(),
        });
    }
    let patients = group(members);
    for class in [0, 1] {
        let count = with_class(&patients, class);
        if count < of.k_folds as usize {
            return Err(SplitError::FewerThanFolds { class, patients: count, k_folds: of.k_folds });
        }
    }
    let folds = deal(&patients, of.k_folds, assign, seed);
    let others: Vec<Patient> = patients
        .iter()
        .zip(&folds)
        .filter(|(_, fold)| **fold != of.fold)
        .map(|(patient, _)| patient.clone())
        .collect();
    let series =
        |patients: &[Patient]| patients.iter().map(|patient| patient.members.len()).sum::<usize>() as f64;
    let share = match assign {
        Assign::Balanced => series(&patients) / series(&others).max(1.0),
        // Independent of the other patients, so that none changes sets when patients are added.
        Assign::Stable => f64::from(of.k_folds) / f64::from(of.k_folds - 1).max(1.0),
    };
    let fractions = Fractions { test: 0.0, val: (of.val * share).min(1.0) };
    enough(&others, fractions).map_err(|error| error.outside_fold(of.fold))?;
    let mut rest = assign.parts(&others, fractions, seed).into_iter();
    let parts: Vec<Part> = folds
        .iter()
        .map(|fold| if *fold == of.fold { Part::Test } else { rest.next().unwrap_or(Part::Train) })
        .collect();
    let parts = of_members(&patients, &parts, (members.len(), Part::Train));
    refuse_leak(members, &parts)?;
    Ok((of_members(&patients, &folds, (members.len(), 0)), (parts, assign.name())))
}

/// Gives each member the value of its patient.
fn of_members<T: Copy>(patients: &[Patient], of_patients: &[T], (members, none): (usize, T)) -> Vec<T> {
    let mut of_members = vec![none; members];
    for (patient, &of) in patients.iter().zip(of_patients) {
        patient.members.iter().for_each(|&member| of_members[member] = of);
    }
    of_members
}

/// An error if a patient is in two sets, however the assignment was made.
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

/// An error if a class has fewer patients than there are sets with a share.
fn enough(patients: &[Patient], fractions: Fractions) -> Result<(), SplitError> {
    let parts: Vec<&str> =
        Part::ALL.into_iter().filter(|&part| fractions.of(part) > 0.0).map(Part::as_str).collect();
    for class in [0, 1] {
        let count = with_class(patients, class);
        if count < parts.len() {
            return Err(SplitError::TooFew { class, patients: count, parts: parts.join(", ") });
        }
    }
    Ok(())
}

fn with_class(patients: &[Patient], class: u32) -> usize {
    patients.iter().filter(|patient| patient.labels.get(class as usize).is_some_and(|&n| n > 0)).count()
}
