//! Converts volumes of 16-bit voxels to the input of a network, with changes on the way: rotation,
//! mirroring, scaling, shifts, brightness and noise. What is changed and how likely is decided
//! elsewhere.
//!
//! There are no fused products, and noise is computed from integers alone, so the bits are the same
//! on every processor.

use crate::Isa;
use crate::isa::kernel;
use crate::parallel::each;

/// Number of planes in one part of the work.
const PLANES: usize = 8;
/// The stored value of a voxel of 1.
const FULL: f32 = u16::MAX as f32;

/// The changes to one volume, in this order: [`Change::sampled_at`], `gain` and `offset`, noise,
/// and clipping to 0..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// Where each voxel of the result is sampled, in voxels: rows for x, y and z, applied to
    /// `[x, y, z, 1]` of the result. Interpolation is linear; outside is 0 (air). `None` moves
    /// nothing.
    pub sampled_at: Option<[[f32; 4]; 3]>,
    /// Factor that values are multiplied by.
    pub gain: f32,
    /// Number that is added after the multiplication.
    pub offset: f32,
    /// Gaussian noise that is added to each voxel.
    pub noise: Option<Noise>,
}

/// Gaussian noise; the same key gives the same noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation of the noise, on the scale 0..1.
    pub deviation: f32,
    /// Key that the noise is computed from.
    pub key: [u32; 3],
}

impl Change {
    /// Changes nothing.
    pub const NONE: Change = Change { sampled_at: None, gain: 1.0, offset: 0.0, noise: None };

    /// Whether any voxel gets a different value, wherever it moves.
    pub fn alters_values(&self) -> bool {
        self.gain != 1.0 || self.offset != 0.0 || self.noise.is_some()
    }
}

/// Converts volumes of `edge³` voxels (x fastest) to `[N, edge³]` in 0..1, each with its change.
/// `changes` may be empty.
///
/// # Panics
/// When lengths do not match.
pub fn render(isa: Isa, edge: usize, volumes: &[&[u16]], changes: &[Change], out: &mut [f32]) {
    let voxels = edge.pow(3);
    assert!(out.len() == volumes.len() * voxels && volumes.iter().all(|volume| volume.len() == voxels));
    assert!(changes.is_empty() || changes.len() == volumes.len());
    let part = PLANES * edge * edge;
    let of = |index: usize| changes.get(index).copied().unwrap_or(Change::NONE);
    let whole = out.chunks_mut(voxels.max(1)).zip(volumes).enumerate();
    let parts = whole
        .flat_map(|(index, (out, &volume))| {
            out.chunks_mut(part.max(1))
                .enumerate()
                .map(move |(slab, out)| (slab * PLANES, volume, of(index), out))
        })
        .collect();
    each(parts, |_, (first, volume, change, out)| slab(isa, edge, first, volume, change, out));
}

/// Mean of a volume's voxels on the scale 0..1.
pub fn mean(volume: &[u16]) -> f32 {
    let sum: u64 = volume.iter().map(|&voxel| u64::from(voxel)).sum();
    (sum as f64 / volume.len().max(1) as f64 / f64::from(FULL)) as f32
}

kernel! {
    fn slab(edge: usize, first: usize, volume: &[u16], change: Change, out: &mut [f32]) = slab_on
}

/// Converts planes of one volume, from `first` on.
#[inline(always)]
fn slab_on<S>(_: S, edge: usize, first: usize, volume: &[u16], change: Change, out: &mut [f32]) {
    let plane = edge * edge;
    match change.sampled_at {
        None => {
            let from = &volume[first * plane..first * plane + out.len()];
            for (out, &voxel) in out.iter_mut().zip(from) {
                *out = f32::from(voxel) / FULL;
            }
        }
        Some(rows) => {
            // A rotation about the body's axis stays in its plane: four voxels instead of eight.
            let flat = rows[2] == [0.0, 0.0, 1.0, 0.0] && rows[0][2] == 0.0 && rows[1][2] == 0.0;
            for (index, row) in out.chunks_mut(edge).enumerate() {
                let (y, z) = (index % edge, first + index / edge);
                let start = rows.map(|[_, by_y, by_z, by_one]| by_y * y as f32 + by_z * z as f32 + by_one);
                for (x, out) in row.iter_mut().enumerate() {
                    let at = |axis: usize| rows[axis][0] * x as f32 + start[axis];
                    *out = if flat {
                        bilinear(&volume[z * plane..(z + 1) * plane], edge, [at(0), at(1)])
                    } else {
                        trilinear(volume, edge, [at(0), at(1), at(2)])
                    } / FULL;
                }
            }
        }
    }
    if change.alters_values() {
        for out in &mut *out {
            *out = *out * change.gain + change.offset;
        }
        if let Some(noise) = change.noise {
            for (index, out) in out.iter_mut().enumerate() {
                *out += noise.deviation * gaussian((first * plane + index) as u32, noise.key);
            }
        }
        for out in out {
            *out = out.clamp(0.0, 1.0);
        }
    }
}

/// Interpolates between four voxels of a plane.
#[inline(always)]
fn bilinear(plane: &[u16], edge: usize, [x, y]: [f32; 2]) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = (x - left, y - top);
    let (left, top) = (left as isize, top as isize);
    let last = edge as isize - 1;
    let [a, b, c, d] = if left >= 0 && top >= 0 && left < last && top < last {
        let at = top as usize * edge + left as usize;
        [at, at + 1, at + edge, at + edge + 1].map(|at| f32::from(plane[at]))
    } else {
        let value = |x: isize, y: isize| {
            let inside = (0..=last).contains(&x) && (0..=last).contains(&y);
            if inside { f32::from(plane[y as usize * edge + x as usize]) } else { 0.0 }
        };
        [value(left, top), value(left + 1, top), value(left, top + 1), value(left + 1, top + 1)]
    };
    let upper = a + u * (b - a);
    let lower = c + u * (d - c);
    upper + v * (lower - upper)
}

/// Interpolates between eight voxels.
#[inline(always)]
fn trilinear(volume: &[u16], edge: usize, [x, y, z]: [f32; 3]) -> f32 {
    let below = z.floor();
    let w = z - below;
    let plane = |z: isize| {
        let inside = (0..edge as isize).contains(&z);
        let from = z as usize * edge * edge;
        if inside { bilinear(&volume[from..from + edge * edge], edge, [x, y]) } else { 0.0 }
    };
    let below = below as isize;
    let (low, high) = (plane(below), plane(below + 1));
    low + w * (high - low)
}

/// One standard normal number for each index and key: the number of bits set in 64 random bits,
/// with a uniform number that fills the steps between counts. Its distribution function is within
/// 0.001 of the normal one.
#[inline(always)]
fn gaussian(index: u32, [a, b, c]: [u32; 3]) -> f32 {
    let [x, y, z, _] = pcg4d([index, a, b, c]);
    let steps = (x.count_ones() + y.count_ones()) as f32 - 32.0 + ((z >> 8) as f32 / 16_777_216.0 - 0.5);
    // 1 / sqrt(64 / 4 + 1 / 12).
    steps * 0.249_351_4
}

/// Turns four words into four random words (Jarzynski and Olano, "Hash Functions for GPU
/// Rendering", JCGT 2020).
#[inline(always)]
fn pcg4d(words: [u32; 4]) -> [u32; 4] {
    let [mut x, mut y, mut z, mut w] =
        words.map(|word| word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    for round in 0..2 {
        x = x.wrapping_add(y.wrapping_mul(w));
        y = y.wrapping_add(z.wrapping_mul(x));
        z = z.wrapping_add(x.wrapping_mul(y));
        w = w.wrapping_add(y.wrapping_mul(z));
        if round == 0 {
            [x, y, z, w] = [x, y, z, w].map(|word| word ^ (word >> 16));
        }
    }
    [x, y, z, w]
}
