//! Winograd's F(2x2, 3x3) over rows and columns, and its adjoints: 16 products where the definition
//! has 36 (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", 4.1).
//!
//! In one direction, with an input `d` of four values, a filter `g` of three, two results `y`:
//! `y = Aᵀ ((G g) ⊙ (Bᵀ d))`; in two, from both sides. The backward pass is the transpose of each
//! step, so that nothing is approximated: `Y = A dy`, `dU = T Y`, `dd = B (U Y)`, `dg = Gᵀ dU`.
//!
//! Frequencies are numbered `4 row + column`. A plane of `H x W` voxels has `ceil(H/2) x ceil(W/2)`
//! tiles; voxels beyond an odd edge are zero.

use crate::isa::kernel;
use crate::layout::LANES;
use crate::norm::{at, at_mut};
use crate::simd::Simd;

/// Frequencies of a tile.
pub(crate) const FREQUENCIES: usize = 16;

/// Tiles of a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Tiles {
    pub(crate) fn of(h: usize, w: usize) -> Tiles {
        Tiles { rows: h.div_ceil(2), columns: w.div_ceil(2) }
    }

    pub(crate) fn count(self) -> usize {
        self.rows * self.columns
    }

    /// Columns of a plane with its border; rows likewise.
    pub(crate) fn padded(self) -> [usize; 2] {
        [2 * self.rows + 2, 2 * self.columns + 2]
    }

    /// Distance between frequencies of `channels` values a tile. Not a power of two: sixteen streams
    /// that far apart would share the same few lines of the cache.
    pub(crate) fn stride(self, channels: usize) -> usize {
        self.count() * channels + 2 * LANES
    }
}

/// `Bᵀ d`.
#[inline(always)]
fn input<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
    [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
}

/// `Aᵀ m`.
#[inline(always)]
fn output<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
    [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
}

/// `A y`.
#[inline(always)]
fn output_adjoint<S: Simd>(s: S, y: [S::V; 2]) -> [S::V; 4] {
    [y[0], s.add(y[0], y[1]), s.sub(y[0], y[1]), s.sub(s.zero(), y[1])]
}

/// `B t`.
#[inline(always)]
fn input_adjoint<S: Simd>(s: S, t: [S::V; 4]) -> [S::V; 4] {
    [t[0], s.add(s.sub(t[1], t[2]), t[3]), s.sub(s.add(t[1], t[2]), t[0]), s.sub(s.zero(), t[3])]
}

/// `G g`.
#[inline(always)]
fn filter<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; 4] {
    let half = s.splat(0.5);
    let outer = s.add(g[0], g[2]);
    [g[0], s.mul(half, s.add(outer, g[1])), s.mul(half, s.sub(outer, g[1])), g[2]]
}

/// `Gᵀ u`.
#[inline(always)]
fn filter_adjoint<S: Simd>(s: S, u: [S::V; 4]) -> [S::V; 3] {
    let half = s.splat(0.5);
    let sum = s.mul(half, s.add(u[1], u[2]));
    [s.add(u[0], sum), s.mul(half, s.sub(u[1], u[2])), s.add(sum, u[3])]
}

kernel! {
    /// `T`: a plane with its border `[2 rows + 2, 2 columns + 2, channels]` to `[frequency][tile][channels]`.
    pub(crate) fn transform_input(plane: &[f32], tiles: Tiles, channels: usize, to: &mut [f32])
        = transform_input_on
}

#[inline(always)]
fn transform_input_on<S: Simd>(s: S, plane: &[f32], tiles: Tiles, channels: usize, to: &mut [f32]) {
    let row = tiles.padded()[1] * channels;
    let stride = tiles.stride(channels);
    assert!(plane.len() >= tiles.padded()[0] * row && to.len() >= FREQUENCIES * stride - 2 * LANES);
    for i in 0..tiles.rows {
        for j in 0..tiles.columns {
            let corner = 2 * i * row + 2 * j * channels;
            let tile = (i * tiles.columns + j) * channels;
            for c in (0..channels).step_by(LANES) {
                let mut d = [[s.zero(); 4]; 4];
                for (a, d) in d.iter_mut().enumerate() {
                    for (b, d) in d.iter_mut().enumerate() {
                        *d = s.load(at(plane, corner + a * row + b * channels + c));
                    }
                }
                // Rows first, then columns.
                let mut t = [[s.zero(); 4]; 4];
                for b in 0..4 {
                    let column = input(s, [d[0][b], d[1][b], d[2][b], d[3][b]]);
                    for a in 0..4 {
                        t[a][b] = column[a];
                    }
                }
                for (a, t) in t.into_iter().enumerate() {
                    for (b, v) in input(s, t).into_iter().enumerate() {
                        s.store(v, at_mut(to, (4 * a + b) * stride + tile + c));
                    }
                }
            }
        }
    }
}

kernel! {
    /// Products `[frequency][tile][channels]` to a plane `[h, w, channels]`.
    pub(crate) fn transform_output(
        products: &[f32], tiles: Tiles, size: [usize; 2], channels: usize, to: &mut [f32],
    ) = transform_output_on
}

#[inline(always)]
fn transform_output_on<S: Simd>(
    s: S,
    products: &[f32],
    tiles: Tiles,
    [h, w]: [usize; 2],
    channels: usize,
    to: &mut [f32],
) {
    let stride = tiles.stride(channels);
    for i in 0..tiles.rows {
        for j in 0..tiles.columns {
            let tile = (i * tiles.columns + j) * channels;
            for c in (0..channels).step_by(LANES) {
                let mut half = [[s.zero(); 4]; 2];
                for b in 0..4 {
                    let mut m = [s.zero(); 4];
                    for (a, m) in m.iter_mut().enumerate() {
                        *m = s.load(at(products, (4 * a + b) * stride + tile + c));
                    }
                    let column = output(s, m);
                    half[0][b] = column[0];
                    half[1][b] = column[1];
                }
                for (a, half) in half.into_iter().enumerate() {
                    for (b, v) in output(s, half).into_iter().enumerate() {
                        let (y, x) = (2 * i + a, 2 * j + b);
                        if y < h && x < w {
                            s.store(v, at_mut(to, (y * w + x) * channels + c));
                        }
                    }
                }
            }
        }
    }
}

/// Where the gradient of a plane of results goes: `[frequency][block][tile][width]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) channels: usize,
    /// Channels of a block, a multiple of sixteen.
    pub(crate) width: usize,
}

impl Blocks {
    /// Blocks as wide as a tile of the product, all of one width.
    pub(crate) fn of(channels: usize) -> Blocks {
        let width = [64, 32].into_iter().find(|width| channels.is_multiple_of(*width)).unwrap_or(LANES);
        Blocks { channels, width }
    }

    pub(crate) fn count(self) -> usize {
        self.channels / self.width
    }
}

/// `Y` of one tile and sixteen channels from its four gradients, into place.
#[inline(always)]
pub(crate) fn store_gradient<S: Simd>(
    s: S,
    dy: [[S::V; 2]; 2],
    tiles: Tiles,
    blocks: Blocks,
    tile: usize,
    c: usize,
    to: &mut [f32],
) {
    let stride = tiles.stride(blocks.channels);
    let place = (c / blocks.width * tiles.count() + tile) * blocks.width + c % blocks.width;
    let mut half = [[s.zero(); 2]; 4];
    for b in 0..2 {
        let column = output_adjoint(s, [dy[0][b], dy[1][b]]);
        for a in 0..4 {
            half[a][b] = column[a];
        }
    }
    for (a, half) in half.into_iter().enumerate() {
        for (b, v) in output_adjoint(s, half).into_iter().enumerate() {
            s.store(v, at_mut(to, (4 * a + b) * stride + place));
        }
    }
}

kernel! {
    /// Gradients `[frequency][tile][channels]` added onto a plane with its border, as
    /// [`transform_input`] reads it.
    pub(crate) fn add_input_gradient(products: &[f32], tiles: Tiles, channels: usize, plane: &mut [f32])
        = add_input_gradient_on
}

#[inline(always)]
fn add_input_gradient_on<S: Simd>(s: S, products: &[f32], tiles: Tiles, channels: usize, plane: &mut [f32]) {
    let row = tiles.padded()[1] * channels;
    let stride = tiles.stride(channels);
    for i in 0..tiles.rows {
        for j in 0..tiles.columns {
            let corner = 2 * i * row + 2 * j * channels;
            let tile = (i * tiles.columns + j) * channels;
            for c in (0..channels).step_by(LANES) {
                let mut t = [[s.zero(); 4]; 4];
                for b in 0..4 {
                    let mut m = [s.zero(); 4];
                    for (a, m) in m.iter_mut().enumerate() {
                        *m = s.load(at(products, (4 * a + b) * stride + tile + c));
                    }
                    let column = input_adjoint(s, m);
                    for a in 0..4 {
                        t[a][b] = column[a];
                    }
                }
                for (a, t) in t.into_iter().enumerate() {
                    for (b, v) in input_adjoint(s, t).into_iter().enumerate() {
                        let to = at_mut(plane, corner + a * row + b * channels + c);
                        let sum = s.add(s.load(to), v);
                        s.store(sum, to);
                    }
                }
            }
        }
    }
}

kernel! {
    /// `U` of sixteen columns: filters `[27][rows][16]` to `[frequency][kd][rows]` at `place`.
    pub(crate) fn transform_filters(filters: &[f32], rows: usize, place: Place, to: &mut [&mut [f32]])
        = transform_filters_on
}

/// Where sixteen columns of transformed filters go: row `r` of slice `kd` begins at
/// `start + (kd rows + r) width` in the piece of its frequency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) width: usize,
}

#[inline(always)]
fn transform_filters_on<S: Simd>(s: S, filters: &[f32], rows: usize, place: Place, to: &mut [&mut [f32]]) {
    for kd in 0..3 {
        for r in 0..rows {
            let mut half = [[s.zero(); 3]; 4];
            for kw in 0..3 {
                let mut g = [s.zero(); 3];
                for (kh, g) in g.iter_mut().enumerate() {
                    *g = s.load(at(filters, ((kd * 9 + kh * 3 + kw) * rows + r) * LANES));
                }
                let column = filter(s, g);
                for a in 0..4 {
                    half[a][kw] = column[a];
                }
            }
            for (a, half) in half.into_iter().enumerate() {
                for (b, v) in filter(s, half).into_iter().enumerate() {
                    s.store(v, at_mut(to[4 * a + b], place.start + (kd * rows + r) * place.width));
                }
            }
        }
    }
}

kernel! {
    /// The gradient of filters: the sum of `[frequency][3 rows][channels]` over its copies, in order,
    /// for sixteen channels from `c`, to `[27][rows][16]`.
    pub(crate) fn filter_gradient(
        copies: &[&[f32]], rows: usize, channels: usize, c: usize, to: &mut [f32],
    ) = filter_gradient_on
}

#[inline(always)]
fn filter_gradient_on<S: Simd>(
    s: S,
    copies: &[&[f32]],
    rows: usize,
    channels: usize,
    c: usize,
    to: &mut [f32],
) {
    for kd in 0..3 {
        for r in 0..rows {
            let mut u = [[s.zero(); 4]; 4];
            for (f, u) in u.as_flattened_mut().iter_mut().enumerate() {
                for copy in copies {
                    *u = s.add(*u, s.load(at(copy, ((f * 3 + kd) * rows + r) * channels + c)));
                }
            }
            let mut half = [[s.zero(); 4]; 3];
            for b in 0..4 {
                let column = filter_adjoint(s, [u[0][b], u[1][b], u[2][b], u[3][b]]);
                for a in 0..3 {
                    half[a][b] = column[a];
                }
            }
            for (kh, half) in half.into_iter().enumerate() {
                for (kw, v) in filter_adjoint(s, half).into_iter().enumerate() {
                    s.store(v, at_mut(to, ((kd * 9 + kh * 3 + kw) * rows + r) * LANES));
                }
            }
        }
    }
}
