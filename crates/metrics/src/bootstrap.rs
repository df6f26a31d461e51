//! Resamples of patients: seeded, drawn with replacement, from all patients or by stratum. The
//! statistic that is computed from them comes from the caller.
//!
//! Replicate `i` depends only on the seed, `i` and the numbers of patients, so the result is the
//! same on any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use crate::Undefined;
use crate::interval::tail;
use crate::undefined::ensure;

/// How intervals are made: whole patients are drawn with replacement, as many as there are, because
/// the series of one patient are not independent of each other (Field and Welsh 2007).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bootstrap {
    /// Number of resamples; 1000 or more for a 95 % interval (Efron and Tibshirani 1993). Memory
    /// grows by about 80 bytes per replicate, so limit this number where it comes from outside.
    pub replicates: usize,
    /// Between 0 and 1, both excluded; 0.95 gives an interval from the 2.5th to the 97.5th
    /// percentile.
    pub confidence_level: f64,
    /// The same seed draws the same resamples.
    pub seed: u64,
}

/// The patients that a draw chooses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Resampling {
    /// All patients: the number of patients of each class varies as it would in another study.
    #[default]
    Patients,
    /// Each stratum by itself, as many patients as it has. The strata are patients with only Normal
    /// samples, with only Pathology samples, and with both. For studies that fixed the number of
    /// each (a case-control design), and where a class is so rare that resamples lack it.
    StratifiedByLabel,
}

/// A bootstrap and its resampling. A function that takes `impl Into<Scheme>` accepts a
/// `&Bootstrap`, which means [`Resampling::Patients`], or [`Bootstrap::stratified`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scheme {
    /// Replicates, confidence level and seed.
    #[serde(flatten)]
    pub bootstrap: Bootstrap,
    /// The patients that a draw chooses from.
    pub resampling: Resampling,
}

impl From<&Bootstrap> for Scheme {
    fn from(&bootstrap: &Bootstrap) -> Self {
        Self { bootstrap, resampling: Resampling::Patients }
    }
}

impl Bootstrap {
    /// The same with [`Resampling::StratifiedByLabel`].
    #[must_use]
    pub fn stratified(self) -> Scheme {
        Scheme { bootstrap: self, resampling: Resampling::StratifiedByLabel }
    }

    /// The statistic of every resample, in the order of the replicates. The statistic receives how
    /// often each patient was drawn: `[patients]`, where each stratum is a range and keeps its sum.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoReplicates`], [`Undefined::ConfidenceLevel`], [`Undefined::OnePatient`],
    /// [`Undefined::OnePatientAStratum`].
    pub(crate) fn replicates<T: Send>(
        &self,
        strata: &[usize],
        statistic: impl Fn(&[u32]) -> T + Sync,
    ) -> Result<Vec<T>, Undefined> {
        tail(self.confidence_level)?;
        ensure(self.replicates > 0, Undefined::NoReplicates)?;
        let patients: usize = strata.iter().sum();
        ensure(patients > 1, Undefined::OnePatient)?;
        ensure(strata.iter().any(|&patients| patients > 1), Undefined::OnePatientAStratum)?;
        Ok((0..self.replicates)
            .into_par_iter()
            .map_init(
                || vec![0; patients],
                |drawn, replicate| {
                    resample(self.seed, replicate as u64, strata, drawn);
                    statistic(drawn)
                },
            )
            .collect())
    }
}

/// Draws from each stratum as many patients as it has, with replacement, and counts how often each
/// was drawn.
///
/// The generator is `ChaCha8`. Its key holds the seed in the first eight bytes, little-endian, and
/// zeros after that; its stream is the number of the replicate.
fn resample(seed: u64, replicate: u64, strata: &[usize], drawn: &mut [u32]) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(replicate);

    drawn.fill(0);
    let mut rest = drawn;
    for &patients in strata {
        let (stratum, after) = rest.split_at_mut(patients);
        match numbers_in_a_word(patients as u64) {
            1 => draw_all::<1>(stratum, &mut rng),
            2 => draw_all::<2>(stratum, &mut rng),
            3 => draw_all::<3>(stratum, &mut rng),
            4 => draw_all::<4>(stratum, &mut rng),
            5 => draw_all::<5>(stratum, &mut rng),
            _ => draw_all::<6>(stratum, &mut rng),
        }
        rest = after;
    }
}

/// How many numbers below `bound` (at most six) fit into a word of 64 bits, if the chance of
/// drawing the word again must be below 1/16.
fn numbers_in_a_word(bound: u64) -> usize {
    (2..=6).take_while(|&count| bound.checked_pow(count).is_some_and(|all| all < 1 << 60)).count() + 1
}

/// Counts as many patients as there are: `AT_ONCE` of them for each word of the generator, and the
/// remaining ones one by one. `AT_ONCE` is known at compile time, which makes it three times as
/// fast.
fn draw_all<const AT_ONCE: usize>(stratum: &mut [u32], rng: &mut impl Rng) {
    for _ in 0..stratum.len() / AT_ONCE {
        draw::<AT_ONCE>(stratum, rng);
    }
    for _ in 0..stratum.len() % AT_ONCE {
        draw::<1>(stratum, rng);
    }
}

/// Counts `COUNT` patients, each equally likely, from one word of the generator, or from another
/// where the word would favour some (Brackett-Rozinsky and Lemire 2024, "Batched ranged random
/// integer generation"). With b patients, the word times b^`COUNT` has above its lower 64 bits a
/// number below b^`COUNT`, whose digits in base b are the patients. It is written out here so that
/// no library update can change which patients a seed draws.
fn draw<const COUNT: usize>(stratum: &mut [u32], rng: &mut impl Rng) {
    let patients = stratum.len() as u64;
    let all = patients.pow(COUNT as u32);
    let chosen = loop {
        let mut low = rng.next_u64();
        let mut chosen = [0; COUNT];
        for patient in &mut chosen {
            let product = u128::from(low) * u128::from(patients);
            *patient = (product >> 64) as usize;
            low = product as u64;
        }
        // 2^64 mod b^COUNT: this many low words would come up once too often.
        if low >= all || low >= all.wrapping_neg() % all {
            break chosen;
        }
    };
    for patient in chosen {
        stratum[patient] += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Resample {
        seed: u64,
        replicate: u64,
        strata: Vec<usize>,
        drawn: Vec<u32>,
    }

    #[test]
    fn a_seed_draws_the_patients_that_another_chacha8_draws() {
        let fixture = include_str!("../tests/fixtures/resample.json");
        let expected: Vec<Resample> = serde_json::from_str(fixture).unwrap();
        for Resample { seed, replicate, strata, drawn: expected } in expected {
            let mut drawn = vec![9; expected.len()];
            resample(seed, replicate, &strata, &mut drawn);
            assert_eq!(drawn, expected, "seed {seed}, replicate {replicate}");
        }
    }

    /// Returns the words of a list.
    struct Words<'a>(std::slice::Iter<'a, u64>);

    impl rand_chacha::rand_core::TryRng for Words<'_> {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            unreachable!("numbers are made of 64 bits")
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(*self.0.next().unwrap())
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            unreachable!("numbers are made of 64 bits")
        }
    }

    #[test]
    fn a_word_that_would_favour_a_number_is_drawn_again() {
        fn drawn_of<const COUNT: usize>(patients: usize, words: &[u64]) -> Vec<u32> {
            let mut drawn = vec![0; patients];
            let mut words = Words(words.iter());
            draw::<COUNT>(&mut drawn, &mut words);
            assert_eq!(words.0.len(), 0, "every word is needed");
            drawn
        }
        // 2^64 mod 3 = 1, so one of the 2^64 words is too many: word 0, whose low product is 0 < 1.
        assert_eq!(drawn_of::<1>(3, &[0, u64::MAX]), [0, 0, 1]);
        assert_eq!(drawn_of::<1>(3, &[1]), [1, 0, 0]);
        // 2^64 mod 9 = 7 and 5 * 9 = 45 >= 7, but 0 * 9 = 0 < 7. The upper half of 2^63 * 9 is 4 =
        // 11 in base 3; its lower half is 2^63.
        assert_eq!(drawn_of::<2>(3, &[0, 5]), [2, 0, 0]);
        assert_eq!(drawn_of::<2>(3, &[1 << 63]), [0, 2, 0]);
        assert_eq!(drawn_of::<6>(1, &[0]), [6]);
    }

    #[test]
    fn a_word_holds_as_many_numbers_as_fit() {
        let holds = [1, 2, 1000, 1 << 15, 1 << 19, 1 << 20, 1 << 30, 1 << 40, u64::MAX];
        assert_eq!(holds.map(numbers_in_a_word), [6, 6, 6, 3, 3, 2, 1, 1, 1]);
    }

    #[test]
    fn of_one_patient_every_resample_is_the_data() {
        for replicate in 0..100 {
            let mut drawn = [0];
            resample(42, replicate, &[1], &mut drawn);
            assert_eq!(drawn, [1]);
        }
    }
}
