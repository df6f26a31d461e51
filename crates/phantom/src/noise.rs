//! The two kinds of randomness that fill space: quantum noise over a slice, and smooth texture.
//!
//! Neither uses a function that differs between C libraries, so the bytes are the same on every
//! machine.

use crate::random::Random;

/// Adds Gaussian noise of standard deviation `sd` HU to a square slice, smoothed in plane as a
/// reconstruction kernel would (binomial 3 x 3).
pub(crate) fn add_quantum(plane: &mut [f64], columns: usize, sd: f64, random: &mut Random) {
    let padded = columns + 2;
    let white: Vec<f64> = (0..padded * padded).map(|_| near_normal(random)).collect();
    let along_rows: Vec<f64> =
        white.chunks_exact(padded).flat_map(|row| row.windows(3).map(|w| w[0] + 2.0 * w[1] + w[2])).collect();
    // The weights 1 2 1 have the norm sqrt(6) in each direction.
    let scale = sd / 6.0;
    for (i, value) in plane.iter_mut().enumerate() {
        let [above, here, below] = [0, 1, 2].map(|row| along_rows[i + row * columns]);
        *value += scale * (above + 2.0 * here + below);
    }
}

/// A standard normal number to within 0.3 of kurtosis (Irwin and Hall, 1927: the sum of four
/// uniform numbers); the smoothing that follows brings it closer.
fn near_normal(random: &mut Random) -> f64 {
    let bits = random.bits();
    let sum: u64 = (0..4).map(|k| bits >> (16 * k) & 0xFFFF).sum();
    // Four uniform numbers on 0..=65535: mean 131070, variance 4 * (2^32 - 1) / 12.
    (sum as f64 - 131_070.0) / 37_837.2
}

/// Value noise: random numbers on a cubic lattice, smoothly interpolated.
#[derive(Clone)]
pub(crate) struct Texture {
    key: u64,
    /// Lattice constant in mm.
    grain: f64,
}

impl Texture {
    pub(crate) fn new(grain: f64, random: &mut Random) -> Self {
        Self { key: random.bits(), grain }
    }

    /// The texture at a position in mm, from -1 to 1.
    pub(crate) fn at(&self, place: [f64; 3]) -> f64 {
        let cell = place.map(|c| (c / self.grain).floor());
        let [fx, fy, fz] = [0, 1, 2].map(|axis| {
            let t = place[axis] / self.grain - cell[axis];
            t * t * (3.0 - 2.0 * t)
        });
        let [x, y, z] = cell.map(|c| c as i64);
        let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
        let edge = |dy, dz| mix(self.knot(x, y + dy, z + dz), self.knot(x + 1, y + dy, z + dz), fx);
        let face = |dz| mix(edge(0, dz), edge(1, dz), fy);
        mix(face(0), face(1), fz)
    }

    /// The number at a lattice point: the finaliser of `SplitMix64` (Steele, Lea, Flood, 2014).
    fn knot(&self, x: i64, y: i64, z: i64) -> f64 {
        let mut h = self.key
            ^ (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ (y as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
            ^ (z as u64).wrapping_mul(0x1656_67B1_9E37_79F9);
        h = (h ^ h >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h = (h ^ h >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        h ^= h >> 31;
        (h >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn quantum_noise_has_the_asked_deviation_and_correlates_with_its_neighbour() {
        let n = 256;
        let mut plane = vec![0.0; n * n];
        add_quantum(&mut plane, n, 20.0, &mut Random::new(1, Purpose::Noise, 0, 0));
        let mean = plane.iter().sum::<f64>() / plane.len() as f64;
        let variance = plane.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / plane.len() as f64;
        assert!(mean.abs() < 0.5, "mean {mean}");
        assert!((variance.sqrt() - 20.0).abs() < 0.5, "sd {}", variance.sqrt());
        // Binomial smoothing 1 2 1 gives the lag-one correlation 4 / 6.
        let lag: f64 = plane.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / plane.len() as f64;
        assert!((lag / variance - 2.0 / 3.0).abs() < 0.03, "{}", lag / variance);
    }

    #[test]
    fn texture_is_smooth_and_stays_within_one() {
        let texture = Texture::new(10.0, &mut Random::new(1, Purpose::Breath, 0, 0));
        let values: Vec<f64> = (-300..300).map(|i| texture.at([f64::from(i) * 0.5, 3.0, -8.0])).collect();
        assert!(values.iter().all(|v| v.abs() <= 1.0));
        assert!(values.iter().any(|v| *v > 0.3) && values.iter().any(|v| *v < -0.3));
        // The steepest slope of t * t * (3 - 2 t) is 1.5 per grain, over a jump of at most 2.
        assert!(values.windows(2).all(|w| (w[1] - w[0]).abs() <= 1.5 * 2.0 * 0.05 + 1e-9));
    }
}
