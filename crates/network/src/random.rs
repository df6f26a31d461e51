//! The random streams of training. Each is a ChaCha8 generator of (seed, purpose), so drawing more
//! from one stream never shifts another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The purpose of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// Dropout masks.
    Dropout = 2,
    /// The samples of an epoch and their order.
    Sampler = 3,
    /// Changes to volumes on their way into the network.
    Augmentation = 4,
    /// Noise for explaining a network's output.
    Explanation = 5,
}

/// One seeded stream of uniform numbers, the same on every machine.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream for a seed and a purpose.
    pub fn new(seed: u64, purpose: Purpose) -> Stream {
        Stream::at(seed, purpose, 0)
    }

    /// One of many streams of a purpose, by its number (an epoch or a batch; less than 2^56). A
    /// training that resumes after an interruption does not need to know what was drawn before.
    pub fn at(seed: u64, purpose: Purpose, number: u64) -> Stream {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((number << 8) | purpose as u64);
        Stream(rng)
    }

    /// 32 bits.
    pub fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[-1, 1)`.
    pub fn symmetric(&mut self) -> f64 {
        f64::from(2.0 * self.unit() - 1.0)
    }

    /// Uniform in `[0, 1)` with 24 bits, exact in `f32`.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `0..bound`, without bias (Lemire 2019). `bound` 0 gives 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let wide = u64::from(self.0.next_u32()) * u64::from(bound);
            if wide as u32 >= threshold {
                return (wide >> 32) as u32;
            }
        }
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

/// Sine and cosine with the same bits on every machine, which the C library does not guarantee.
pub fn sin_cos(angle: f64) -> (f64, f64) {
    use std::f64::consts::FRAC_PI_2;
    let quarters = (angle / FRAC_PI_2).round();
    let x = angle - quarters * FRAC_PI_2;
    let square = x * x;
    // Taylor series, accurate to well below the last digit of a double for |x| <= pi/4, starting
    // from the smallest term.
    let series = |first: u32| {
        (0..10).rev().fold(1.0, |sum, k| {
            let n = f64::from(first + 2 * k);
            1.0 - square / (n * (n + 1.0)) * sum
        })
    };
    let (sin, cos) = (x * series(2), series(1));
    match (quarters as i64).rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_are_the_c_librarys_to_the_last_digits() {
        for step in -1000..1000 {
            let angle = f64::from(step) * 0.0137;
            let (sin, cos) = sin_cos(angle);
            assert!((sin - angle.sin()).abs() < 4e-15 && (cos - angle.cos()).abs() < 4e-15, "{angle}");
        }
    }
}
