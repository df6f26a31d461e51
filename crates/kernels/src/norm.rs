//! The operations between two convolutions: BatchNorm, the projection, ReLU and max-pooling in one
//! pass, forward and backward. Planes are `[h, w, channels]`, with channels a multiple of sixteen.
//!
//! The pool also gives one byte for each result: which of its eight voxels was the largest (number
//! `4 slice + 2 row + column`, the first of equals), or [`CUT`] where the ReLU gives zero.

use crate::isa::kernel;
use crate::layout::{LANES, at, at_mut};
use crate::simd::Simd;
use crate::winograd::{Blocks, Chunk, store_gradient};

/// The position of a result that the ReLU set to zero.
pub(crate) const CUT: u8 = 8;

#[inline(always)]
pub(crate) fn bytes(values: &[u8], index: usize) -> &[u8; 16] {
    match values[index..].first_chunk() {
        Some(chunk) => chunk,
        None => unreachable!("sixteen bytes at {index}"),
    }
}

#[inline(always)]
pub(crate) fn bytes_mut(values: &mut [u8], index: usize) -> &mut [u8; 16] {
    match values[index..].first_chunk_mut() {
        Some(chunk) => chunk,
        None => unreachable!("sixteen bytes at {index}"),
    }
}

/// Applies the ReLU to the largest of the eight values so far, and stores it with its position.
#[inline(always)]
pub(crate) fn store_largest<S: Simd>(
    s: S,
    best: S::V,
    place: S::V,
    to: &mut [f32; 16],
    position: &mut [u8; 16],
) {
    let zero = s.zero();
    // NaN is not at most zero, so it is passed on and noticed. An earlier comparison may have
    // skipped one, but a NaN in a convolution's input reaches 27 results, and some of them are
    // first in their window.
    let cut = s.splat(f32::from(CUT));
    let at_most = s.select_gt(best, zero, place, cut);
    let kept = s.select_gt(zero, best, zero, s.select_eq(zero, best, zero, best));
    s.store(kept, to);
    s.narrow(at_most, position);
}

kernel! {
    /// Sums and sums of squares of the values `[voxels, channels]`, added to `[2, channels]`.
    pub(crate) fn sums(values: &[f32], channels: usize, to: &mut [f64]) = sums_on
}

#[inline(always)]
fn sums_on<S: Simd>(s: S, values: &[f32], channels: usize, to: &mut [f64]) {
    let (sum, square) = to.split_at_mut(channels);
    // In f64, where the square of an f32 is exact; a channel whose mean is far from zero keeps its
    // digits.
    let one = s.splat_wide(1.0);
    for c in (0..channels).step_by(LANES) {
        let mut sums = [s.splat_wide(0.0); 2];
        let mut squares = sums;
        for voxel in values.chunks_exact(channels) {
            let v = s.split(s.load(at(voxel, c)));
            for half in 0..2 {
                sums[half] = s.fma_wide(v[half], one, sums[half]);
                squares[half] = s.fma_wide(v[half], v[half], squares[half]);
            }
        }
        for half in 0..2 {
            let (mut a, mut b) = ([0.0; LANES / 2], [0.0; LANES / 2]);
            s.store_wide(sums[half], &mut a);
            s.store_wide(squares[half], &mut b);
            for lane in 0..LANES / 2 {
                sum[c + half * LANES / 2 + lane] += a[lane];
                square[c + half * LANES / 2 + lane] += b[lane];
            }
        }
    }
}

/// `scale y + shift`, with one value for each channel.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
}

kernel! {
    /// Two slices `y` (and a `skip` of the same shape) to one pooled slice and its positions.
    pub(crate) fn pool(
        y: &[f32], skip: Option<&[f32]>, affine: Affine<'_>, size: [usize; 2], to: &mut [f32], positions: &mut [u8],
    ) = pool_on
}

#[inline(always)]
fn pool_on<S: Simd>(
    s: S,
    y: &[f32],
    skip: Option<&[f32]>,
    affine: Affine<'_>,
    [h, w]: [usize; 2],
    to: &mut [f32],
    positions: &mut [u8],
) {
    let channels = affine.scale.len();
    for i in 0..h / 2 {
        for j in 0..w / 2 {
            let result = (i * (w / 2) + j) * channels;
            for c in (0..channels).step_by(LANES) {
                let scale = s.load(at(affine.scale, c));
                let shift = s.load(at(affine.shift, c));
                let mut best = s.zero();
                let mut place = s.zero();
                for q in 0..8 {
                    let (slice, row, column) = (q >> 2, 2 * i + (q >> 1 & 1), 2 * j + (q & 1));
                    let voxel = ((slice * h + row) * w + column) * channels + c;
                    let mut z = s.fma(s.load(at(y, voxel)), scale, shift);
                    if let Some(skip) = skip {
                        z = s.add(z, s.load(at(skip, voxel)));
                    }
                    if q == 0 {
                        best = z;
                    } else {
                        place = s.select_gt(z, best, s.splat(q as f32), place);
                        best = s.select_gt(z, best, z, best);
                    }
                }
                store_largest(s, best, place, at_mut(to, result + c), bytes_mut(positions, result + c));
            }
        }
    }
}

kernel! {
    /// For one pooled slice: `Σ dz` and `Σ dz (y - mean)`, added to `[2, channels]`.
    pub(crate) fn gradient_sums(
        y: &[f32], positions: &[u8], dz: &[f32], mean: &[f32], size: [usize; 2], to: &mut [f64],
    ) = gradient_sums_on
}

#[inline(always)]
fn gradient_sums_on<S: Simd>(
    s: S,
    y: &[f32],
    positions: &[u8],
    dz: &[f32],
    mean: &[f32],
    [h, w]: [usize; 2],
    to: &mut [f64],
) {
    let channels = mean.len();
    for i in 0..h / 2 {
        for c in (0..channels).step_by(LANES) {
            let centre = s.load(at(mean, c));
            let mut plain = s.zero();
            let mut weighted = s.zero();
            for j in 0..w / 2 {
                let result = (i * (w / 2) + j) * channels + c;
                let place = s.widen(bytes(positions, result));
                let gradient = s.select_gt(s.splat(f32::from(CUT)), place, s.load(at(dz, result)), s.zero());
                let mut value = centre;
                for q in 0..8 {
                    let (slice, row, column) = (q >> 2, 2 * i + (q >> 1 & 1), 2 * j + (q & 1));
                    let voxel = s.load(at(y, ((slice * h + row) * w + column) * channels + c));
                    value = s.select_eq(place, s.splat(q as f32), voxel, value);
                }
                plain = s.add(plain, gradient);
                weighted = s.fma(gradient, s.sub(value, centre), weighted);
            }
            let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
            s.store(plain, &mut a);
            s.store(weighted, &mut b);
            for lane in 0..LANES {
                to[c + lane] += f64::from(a[lane]);
                to[channels + c + lane] += f64::from(b[lane]);
            }
        }
    }
}

/// `dy = scale dz + slope (y - mean) + offset`: BatchNorm backward, with one value of each for each
/// channel.
#[derive(Clone, Copy)]
pub(crate) struct Backward<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) slope: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) offset: &'a [f32],
}

/// The pooled slice that a slice went into, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Pooled<'a> {
    pub(crate) positions: &'a [u8],
    pub(crate) dz: &'a [f32],
    /// 0 for the first of the two slices, 4 for the second.
    pub(crate) first: usize,
}

kernel! {
    /// The gradient of a chunk of a layer (one or two slices `y` of convolution results), in the
    /// order in which [`crate::conv::backward`] reads it.
    pub(crate) fn transform_gradient(
        y: &[f32], pooled: Option<Pooled<'_>>, by: Backward<'_>, size: [usize; 2], chunk: Chunk, to: &mut [f32],
    ) = transform_gradient_on
}

#[inline(always)]
fn transform_gradient_on<S: Simd>(
    s: S,
    y: &[f32],
    pooled: Option<Pooled<'_>>,
    by: Backward<'_>,
    [h, w]: [usize; 2],
    chunk: Chunk,
    to: &mut [f32],
) {
    let channels = by.scale.len();
    let blocks = Blocks::of(channels);
    let slices = y.len() / (h * w * channels);
    for (tile, i, j) in chunk.tiles() {
        let whole = pooled.filter(|_| i < h / 2 && j < w / 2);
        let result = (i * (w / 2) + j) * channels;
        for c in (0..channels).step_by(LANES) {
            let scale = s.load(at(by.scale, c));
            let slope = s.load(at(by.slope, c));
            let mean = s.load(at(by.mean, c));
            let offset = s.load(at(by.offset, c));
            let (place, dz) = match whole {
                Some(pooled) => {
                    let dz = s.load(at(pooled.dz, result + c));
                    (s.widen(bytes(pooled.positions, result + c)), s.mul(scale, dz))
                }
                None => (s.splat(f32::from(CUT)), s.zero()),
            };
            let mut dy = [[[s.zero(); 2]; 2]; 2];
            for q in 0..8 {
                let (slice, a, b) = (q >> 2, q >> 1 & 1, q & 1);
                let (row, column) = (2 * i + a, 2 * j + b);
                if slice < slices && row < h && column < w {
                    let voxel = ((slice * h + row) * w + column) * channels + c;
                    let value = s.sub(s.load(at(y, voxel)), mean);
                    let own = s.select_eq(place, s.splat(q as f32), dz, s.zero());
                    dy[slice][a][b] = s.add(own, s.fma(slope, value, offset));
                }
            }
            store_gradient(s, dy, chunk, blocks, tile, c, to);
        }
    }
}

kernel! {
    /// `dz` of a pooled slice, put back at its positions in one of the two slices; zero elsewhere.
    pub(crate) fn unpool(pooled: Option<Pooled<'_>>, channels: usize, size: [usize; 2], to: &mut [f32]) = unpool_on
}

#[inline(always)]
fn unpool_on<S: Simd>(s: S, pooled: Option<Pooled<'_>>, channels: usize, [h, w]: [usize; 2], to: &mut [f32]) {
    if pooled.is_none() || h % 2 + w % 2 > 0 {
        to.fill(0.0);
    }
    let Some(pooled) = pooled else { return };
    for i in 0..h / 2 {
        for j in 0..w / 2 {
            let result = (i * (w / 2) + j) * channels;
            for c in (0..channels).step_by(LANES) {
                let place = s.widen(bytes(pooled.positions, result + c));
                let dz = s.load(at(pooled.dz, result + c));
                for q in 0..4 {
                    let voxel = ((2 * i + (q >> 1)) * w + 2 * j + (q & 1)) * channels + c;
                    let own = s.select_eq(place, s.splat((pooled.first + q) as f32), dz, s.zero());
                    s.store(own, at_mut(to, voxel));
                }
            }
        }
    }
}
