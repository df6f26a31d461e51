//! The random numbers of the phantoms: one independent `ChaCha` stream for each purpose.
//!
//! The purposes never share numbers: the labels come from [`Purpose::Label`] alone, so nothing but
//! the voxels can reveal them.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The purpose of a stream. Its number is part of the stream's address, so a new one changes no
/// other.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Cohort = 1,
    Label = 2,
    Identifier = 3,
    Anatomy = 4,
    Breath = 5,
    Acquisition = 6,
    FileName = 7,
    Lesion = 8,
    Noise = 9,
}

/// A stream of numbers that is the same on every machine, whatever the order in which streams are
/// read.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of `purpose` for an `item` (a patient or a series) and a `part` of it (a slice).
    pub(crate) fn new(seed: u64, purpose: Purpose, item: usize, part: usize) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream((purpose as u64) << 56 | (item as u64) << 20 | part as u64);
        Self(generator)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform on the 53-bit grid of `[start, end)`.
    pub(crate) fn uniform(&mut self, range: Range<f64>) -> f64 {
        let unit = (self.bits() >> 11) as f64 / (1_u64 << 53) as f64;
        range.start + (range.end - range.start) * unit
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform(0.0..1.0) < probability
    }

    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, values: [T; N]) -> T {
        values[self.below(N)]
    }

    /// The shuffle of Fisher and Yates (1938).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A direction, uniform on the sphere; drawn by rejection, because sines differ between C
    /// libraries.
    pub(crate) fn direction(&mut self) -> [f64; 3] {
        loop {
            let v = [(); 3].map(|()| self.uniform(-1.0..1.0));
            let square: f64 = v.iter().map(|c| c * c).sum();
            if (0.01..=1.0).contains(&square) {
                return v.map(|c| c / square.sqrt());
            }
        }
    }
}
