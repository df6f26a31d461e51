//! Assigns patients to sets. Knows neither files nor a split that the labels give.

use std::collections::BTreeMap;

use ctpipe_tables::Part;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Deserialize;

use crate::patients::Patient;

/// How patients are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assign {
    /// As close to the wanted shares as whole patients allow.
    Balanced,
    /// By a hash of the seed and the study.
    Stable,
}

impl Assign {
    /// The set of each patient.
    pub(crate) fn parts(self, patients: &[Patient], fractions: Fractions, seed: u64) -> Vec<Part> {
        match self {
            Assign::Balanced => balanced(patients, fractions, seed),
            Assign::Stable => stable(patients, fractions, seed),
        }
    }

    /// The name that stands in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Assign::Balanced => "balanced",
            Assign::Stable => "stable",
        }
    }
}

/// The shares of the series in each set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fractions {
    /// For the test set.
    pub test: f64,
    /// For the validation set.
    pub val: f64,
}

impl Fractions {
    /// The share of a set; the training set has the rest.
    pub fn of(self, part: Part) -> f64 {
        match part {
            Part::Train => 1.0 - self.test - self.val,
            Part::Val => self.val,
            Part::Test => self.test,
        }
    }
}

/// Patients with equally many series of each label are interchangeable: `[normal, pathology]`.
type Type = [u32; 2];
/// Number of patients of each type in each set, in the order of [`Part::ALL`].
type Counts = BTreeMap<Type, [u32; 3]>;

/// First chooses how many patients of each type go to each set, so that the series of each label
/// come as close to their shares as moves and swaps of whole patients allow. Then a seeded shuffle
/// decides which patients these are.
pub fn balanced(patients: &[Patient], fractions: Fractions, seed: u64) -> Vec<Part> {
    let mut of_type: BTreeMap<Type, Vec<usize>> = BTreeMap::new();
    for (index, patient) in patients.iter().enumerate() {
        of_type.entry(patient.labels).or_default().push(index);
    }
    let totals = of_type.iter().fold([0.0; 2], |sum: [f64; 2], (labels, members)| {
        [0, 1].map(|l| sum[l] + f64::from(labels[l]) * members.len() as f64)
    });
    let targets = Part::ALL.map(|part| totals.map(|total| total * fractions.of(part)));
    let goal = Goal { targets, used: Part::ALL.map(|part| fractions.of(part) > 0.0) };
    let counts = goal.improve(goal.greedy(&of_type));
    let mut parts = vec![Part::Train; patients.len()];
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (labels, mut members) in of_type {
        shuffle(&mut members, &mut rng);
        let mut members = members.into_iter();
        for (part, count) in Part::ALL.into_iter().zip(counts.get(&labels).copied().unwrap_or_default()) {
            members.by_ref().take(count as usize).for_each(|index| parts[index] = part);
        }
    }
    parts
}

/// How many series of each label are wanted in each set.
struct Goal {
    targets: [[f64; 2]; 3],
    used: [bool; 3],
}

impl Goal {
    /// The sum of squared distances from the targets, plus a penalty for a set that lacks a class
    /// that it should have: without both classes there is no AUC.
    fn cost(&self, counts: &Counts) -> f64 {
        let mut cost = 0.0;
        for part in 0..3 {
            for label in 0..2 {
                let have: f64 =
                    counts.iter().map(|(labels, n)| f64::from(labels[label]) * f64::from(n[part])).sum();
                cost += (have - self.targets[part][label]).powi(2);
                if self.used[part] && have == 0.0 && self.targets[part][label] > 0.0 {
                    cost += 1e6;
                }
            }
        }
        cost
    }

    /// Spreads each type by the shares alone; the remainder stays in the training set.
    fn greedy(&self, of_type: &BTreeMap<Type, Vec<usize>>) -> Counts {
        let total: f64 = self.targets.iter().flatten().sum();
        let share = |part: usize| self.targets[part].iter().sum::<f64>() / total.max(1.0);
        of_type
            .iter()
            .map(|(labels, members)| {
                let n = members.len() as u32;
                let val = ((f64::from(n) * share(1)).floor() as u32).min(n);
                let test = ((f64::from(n) * share(2)).floor() as u32).min(n - val);
                (*labels, [n - val - test, val, test])
            })
            .collect()
    }

    /// Moves one patient, or swaps two of different types, as long as that brings the sets closer
    /// to their targets. The number of types is small, so every exchange is tried and the best is
    /// taken.
    fn improve(&self, mut counts: Counts) -> Counts {
        let mut cost = self.cost(&counts);
        let types: Vec<Type> = counts.keys().copied().collect();
        loop {
            let mut best: Option<(f64, Counts)> = None;
            for from in 0..3 {
                for to in (0..3).filter(|&to| to != from && self.used[to]) {
                    for out in &types {
                        for back in std::iter::once(None).chain(types.iter().map(Some)) {
                            let Some(candidate) = exchange(&counts, *out, back.copied(), from, to) else {
                                continue;
                            };
                            let candidate_cost = self.cost(&candidate);
                            // The margin keeps rounding errors from causing an endless loop.
                            if candidate_cost < best.as_ref().map_or(cost - 1e-9, |(c, _)| *c) {
                                best = Some((candidate_cost, candidate));
                            }
                        }
                    }
                }
            }
            match best {
                Some((better, candidate)) => (cost, counts) = (better, candidate),
                None => return counts,
            }
        }
    }
}

/// Moves one patient of type `out` from one set to another and, if given, one of type `back` the
/// other way.
fn exchange(counts: &Counts, out: Type, back: Option<Type>, from: usize, to: usize) -> Option<Counts> {
    let mut counts = counts.clone();
    let mut shift = |labels: Type, from: usize, to: usize| -> Option<()> {
        let n = counts.get_mut(&labels)?;
        n[from] = n[from].checked_sub(1)?;
        n[to] += 1;
        Some(())
    };
    if back == Some(out) {
        return None;
    }
    shift(out, from, to)?;
    if let Some(back) = back {
        shift(back, to, from)?;
    }
    Some(counts)
}

pub(crate) fn shuffle(items: &mut [usize], rng: &mut ChaCha8Rng) {
    for i in (1..items.len()).rev() {
        // 64 bits against at most 2^32 items: the bias is below 2^-32.
        let j = (u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64;
        items.swap(i, j as usize);
    }
}

/// Assigns each patient by a hash of the seed and its smallest study UID, so that no other patient
/// can change its set.
pub fn stable(patients: &[Patient], fractions: Fractions, seed: u64) -> Vec<Part> {
    let part = |patient| {
        let place = place("ctpipe 2026 stable split", patient, seed);
        if place < fractions.test {
            Part::Test
        } else if place < fractions.test + fractions.val {
            Part::Val
        } else {
            Part::Train
        }
    };
    patients.iter().map(part).collect()
}

/// A number from 0 to below 1 for a patient and a purpose, derived from the seed and the smallest
/// study UID.
pub(crate) fn place(purpose: &str, patient: &Patient, seed: u64) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key(purpose);
    hasher.update(&seed.to_le_bytes()).update(patient.study_uid.as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    // 53 bits: every value is exact.
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}
