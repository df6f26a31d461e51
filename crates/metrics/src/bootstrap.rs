//! The percentile bootstrap over clusters: seeded resamples of patients, and the interval of a
//! statistic over them. Does not know what the statistic is, nor which samples a patient has.
//!
//! Replicate `i` depends on the seed, `i` and the number of patients alone, so the result is the
//! same on any number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use crate::Undefined;

/// How intervals are made: whole patients are drawn with replacement, as many as there are, since
/// the series of one patient are not independent of each other (Field and Welsh 2007).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bootstrap {
    /// Resamples to draw; 1000 or more for an interval of 95 % (Efron and Tibshirani 1993).
    /// Memory grows by about 250 bytes a replicate, so bound it where it comes from outside.
    pub replicates: usize,
    /// Between 0 and 1, both excluded; 0.95 for an interval from the 2.5th to the 97.5th percentile.
    pub confidence_level: f64,
    /// The same seed draws the same resamples.
    pub seed: u64,
}

/// A confidence interval by the percentile method (Efron and Tibshirani 1993, chapter 13).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The quantile at (1 - confidence level) / 2.
    pub low: f64,
    /// The quantile at (1 + confidence level) / 2.
    pub high: f64,
    /// Replicates left out because the figure has no value in them.
    pub undefined_replicates: usize,
}

impl Bootstrap {
    /// The statistic of every resample, in the order of the replicates. The statistic is given how
    /// often each of the patients was drawn: `[patients]`, with sum `patients`.
    ///
    /// # Errors
    ///
    /// [`Undefined::NoReplicates`], [`Undefined::ConfidenceLevel`], [`Undefined::OnePatient`].
    pub(crate) fn replicates<T: Send>(
        &self,
        patients: usize,
        statistic: impl Fn(&[u32]) -> T + Sync,
    ) -> Result<Vec<T>, Undefined> {
        let confidence_level = self.confidence_level;
        if !(confidence_level > 0.0 && confidence_level < 1.0) {
            return Err(Undefined::ConfidenceLevel { confidence_level });
        }
        if self.replicates == 0 {
            return Err(Undefined::NoReplicates);
        }
        if patients < 2 {
            return Err(Undefined::OnePatient);
        }
        Ok((0..self.replicates)
            .into_par_iter()
            .map_init(
                || vec![0; patients],
                |drawn, replicate| {
                    resample(self.seed, replicate as u64, drawn);
                    statistic(drawn)
                },
            )
            .collect())
    }

    /// The interval over the replicates in which the statistic has a value.
    ///
    /// # Errors
    ///
    /// [`Undefined::TooFewReplicates`] where more than half of them have none.
    pub(crate) fn interval(
        &self,
        statistics: impl Iterator<Item = Result<f64, Undefined>>,
    ) -> Result<Interval, Undefined> {
        let mut replicates = 0;
        let mut defined: Vec<f64> = statistics.inspect(|_| replicates += 1).filter_map(Result::ok).collect();
        let undefined_replicates = replicates - defined.len();
        if defined.is_empty() || undefined_replicates > defined.len() {
            return Err(Undefined::TooFewReplicates { defined: defined.len(), replicates });
        }
        defined.sort_by(f64::total_cmp);
        let tail = (1.0 - self.confidence_level) / 2.0;
        Ok(Interval {
            low: quantile(&defined, tail),
            high: quantile(&defined, 1.0 - tail),
            undefined_replicates,
        })
    }
}

/// Draws as many patients as there are, with replacement, and counts how often each was drawn.
///
/// The generator is `ChaCha8` with the seed in the first eight bytes of its key, little-endian, the
/// others zero, and the replicate's number as its stream.
fn resample(seed: u64, replicate: u64, drawn: &mut [u32]) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(replicate);

    drawn.fill(0);
    let patients = drawn.len() as u64;
    for _ in 0..drawn.len() {
        drawn[below(patients, &mut rng) as usize] += 1;
    }
}

/// A number from 0 to `bound - 1`, each equally likely (Lemire 2019, "Fast random integer
/// generation in an interval", algorithm 5). Written out so that no update of a library can change
/// which patients a seed draws. `bound` is not 0.
fn below(bound: u64, rng: &mut impl Rng) -> u64 {
    let mut product = u128::from(rng.next_u64()) * u128::from(bound);
    if (product as u64) < bound {
        // 2^64 mod bound: that many low words would come up once too often.
        let surplus = bound.wrapping_neg() % bound;
        while (product as u64) < surplus {
            product = u128::from(rng.next_u64()) * u128::from(bound);
        }
    }
    (product >> 64) as u64
}

/// The quantile of ascending values by linear interpolation (Hyndman and Fan 1996, definition 7, the
/// default of `numpy.quantile`). `sorted` is not empty and `level` lies from 0 to 1.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = level * last as f64;
    let before = (position.floor() as usize).min(last);
    let after = (before + 1).min(last);
    sorted[before] + (position - before as f64) * (sorted[after] - sorted[before])
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
        drawn: Vec<u32>,
    }

    #[test]
    fn a_seed_draws_the_patients_that_another_chacha8_draws() {
        let fixture = include_str!("../tests/fixtures/resample.json");
        let expected: Vec<Resample> = serde_json::from_str(fixture).unwrap();
        for Resample { seed, replicate, drawn: expected } in expected {
            let mut drawn = vec![9; expected.len()];
            resample(seed, replicate, &mut drawn);
            assert_eq!(drawn, expected, "seed {seed}, replicate {replicate}");
        }
    }

    /// Gives the words of a list.
    struct Words<'a>(std::slice::Iter<'a, u64>);

    impl rand_chacha::rand_core::TryRng for Words<'_> {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            self.try_next_u64().map(|word| word as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(*self.0.next().unwrap())
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            unreachable!("bounded numbers are made of words")
        }
    }

    #[test]
    fn a_word_that_would_favour_a_number_is_drawn_again() {
        // 2^64 mod 3 = 1, so of the 2^64 words one is too many: word 0, whose low product is 0 < 1.
        assert_eq!(below(3, &mut Words([0, u64::MAX].iter())), 2);
        assert_eq!(below(3, &mut Words([1].iter())), 0);
        // 2^63 + 1 is the bound that rejects most: words with a low product under 2^63 - 1.
        let bound = (1 << 63) + 1;
        assert_eq!(below(bound, &mut Words([0, 2, 4, u64::MAX].iter())), bound - 1);
        assert_eq!(below(1, &mut Words([0].iter())), 0);
    }

    #[test]
    fn of_one_patient_every_resample_is_the_data() {
        for replicate in 0..100 {
            let mut drawn = [0];
            resample(42, replicate, &mut drawn);
            assert_eq!(drawn, [1]);
        }
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0, 0.025, 0.1, 0.5, 0.975, 1])
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        let levels = [0.0, 0.025, 0.1, 0.5, 0.975, 1.0];
        let expected = [1.0, 1.1, 1.4, 4.0, 15.2, 16.0];
        for (level, expected) in levels.into_iter().zip(expected) {
            assert!((quantile(&sorted, level) - expected).abs() < 1e-12, "{level}");
        }
        assert!((quantile(&[7.0], 0.3) - 7.0).abs() < 1e-12);
    }
}
