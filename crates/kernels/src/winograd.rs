//! Winograd's F(2x2x2, 3x3x3) and its adjoints: 64 products per tile, where the definition has 216
//! (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", section 4.1, nested
//! once more).
//!
//! In one dimension, with an input `d` of four values, a filter `g` of three and two results `y`:
//! `y = Aᵀ ((G g) ⊙ (Bᵀ d))`; in three dimensions, the same along each. The backward pass uses the
//! transpose of each step, so nothing is approximated: `Y = A dy`, `dU = T Y`, `dd = B (U Y)`,
//! `dg = Gᵀ dU`.
//!
//! A tile is 2x2x2 results, which is also a window of the pool. Frequencies are numbered
//! `16 slice + 4 row + column`. Two slices of `H x W` voxels make a layer of
//! `ceil(H/2) x ceil(W/2)` tiles; voxels beyond an odd edge are zero. A chunk is a few rows of a
//! layer.

use crate::isa::kernel;
use crate::layout::LANES;
use crate::layout::{at, at_mut};
use crate::simd::Simd;

/// Number of frequencies of a tile.
pub(crate) const FREQUENCIES: usize = 64;

/// A few rows of a layer's tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The first row.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Chunk {
    pub(crate) fn count(self) -> usize {
        self.rows * self.columns
    }

    /// Distance between frequencies, with `channels` values for each tile. It is not a power of
    /// two, because so many streams at such a distance would share the same few cache lines.
    pub(crate) fn stride(self, channels: usize) -> usize {
        self.count() * channels + 2 * LANES
    }

    /// The tiles, each as number, row and column.
    #[inline(always)]
    pub(crate) fn tiles(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.count()).map(move |tile| (tile, self.first + tile / self.columns, tile % self.columns))
    }
}

/// Number of values in a slice with its border: `[2 rows + 2, 2 columns + 2]` voxels, for whole
/// layers.
pub(crate) fn bordered([h, w]: [usize; 2], channels: usize) -> usize {
    (2 * h.div_ceil(2) + 2) * bordered_row(w, channels)
}

/// Number of values in a row of such a slice.
pub(crate) fn bordered_row(w: usize, channels: usize) -> usize {
    (2 * w.div_ceil(2) + 2) * channels
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

/// Applies `f` along rows, then along columns.
#[inline(always)]
fn plane<S: Simd, const N: usize, const M: usize>(
    s: S,
    values: [[S::V; N]; N],
    f: impl Fn(S, [S::V; N]) -> [S::V; M] + Copy,
) -> [[S::V; M]; M] {
    let mut half = [[s.zero(); N]; M];
    for b in 0..N {
        let mut column = [s.zero(); N];
        for a in 0..N {
            column[a] = values[a][b];
        }
        let column = f(s, column);
        for a in 0..M {
            half[a][b] = column[a];
        }
    }
    let mut whole = [[s.zero(); M]; M];
    for a in 0..M {
        whole[a] = f(s, half[a]);
    }
    whole
}

kernel! {
    /// `T`: four slices with their borders to `[frequency][tile][channels]`.
    pub(crate) fn transform_input(slices: [&[f32]; 4], row: usize, chunk: Chunk, channels: usize, to: &mut [f32])
        = transform_input_on
}

#[inline(always)]
fn transform_input_on<S: Simd>(
    s: S,
    slices: [&[f32]; 4],
    row: usize,
    chunk: Chunk,
    channels: usize,
    to: &mut [f32],
) {
    let stride = chunk.stride(channels);
    for (tile, i, j) in chunk.tiles() {
        let corner = 2 * i * row + 2 * j * channels;
        for c in (0..channels).step_by(LANES) {
            let mut t = [[[s.zero(); 4]; 4]; 4];
            for a in 0..4 {
                for b in 0..4 {
                    let mut d = [s.zero(); 4];
                    for k in 0..4 {
                        d[k] = s.load(at(slices[k], corner + a * row + b * channels + c));
                    }
                    let d = input(s, d);
                    for k in 0..4 {
                        t[k][a][b] = d[k];
                    }
                }
            }
            for k in 0..4 {
                let plane = plane(s, t[k], input);
                for f in 0..16 {
                    let place = (16 * k + f) * stride + tile * channels + c;
                    s.store(plane[f / 4][f % 4], at_mut(to, place));
                }
            }
        }
    }
}

kernel! {
    /// Products `[frequency][tile][channels]` to one or two slices `[h, w, channels]`.
    pub(crate) fn transform_output(
        products: &[f32], chunk: Chunk, size: [usize; 2], channels: usize, to: &mut [f32],
    ) = transform_output_on
}

#[inline(always)]
fn transform_output_on<S: Simd>(
    s: S,
    products: &[f32],
    chunk: Chunk,
    [h, w]: [usize; 2],
    channels: usize,
    to: &mut [f32],
) {
    let stride = chunk.stride(channels);
    let slices = to.len() / (h * w * channels);
    for (tile, i, j) in chunk.tiles() {
        for c in (0..channels).step_by(LANES) {
            let mut half = [[[s.zero(); 2]; 2]; 4];
            for k in 0..4 {
                let mut m = [[s.zero(); 4]; 4];
                for f in 0..16 {
                    let place = (16 * k + f) * stride + tile * channels + c;
                    m[f / 4][f % 4] = s.load(at(products, place));
                }
                half[k] = plane(s, m, output);
            }
            for a in 0..2 {
                for b in 0..2 {
                    let y = output(s, [half[0][a][b], half[1][a][b], half[2][a][b], half[3][a][b]]);
                    let (row, column) = (2 * i + a, 2 * j + b);
                    for k in 0..2 {
                        if k < slices && row < h && column < w {
                            s.store(y[k], at_mut(to, ((k * h + row) * w + column) * channels + c));
                        }
                    }
                }
            }
        }
    }
}

/// Where the gradient of a chunk of results is written: `[frequency][block][tile][width]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) channels: usize,
    /// Number of channels in a block, a multiple of sixteen.
    pub(crate) width: usize,
}

impl Blocks {
    /// Blocks as wide as a tile of the product, all of the same width.
    pub(crate) fn of(channels: usize) -> Blocks {
        let width = [64, 32].into_iter().find(|width| channels.is_multiple_of(*width)).unwrap_or(LANES);
        Blocks { channels, width }
    }

    pub(crate) fn count(self) -> usize {
        self.channels / self.width
    }
}

/// Computes `Y` of one tile and sixteen channels from its eight gradients, and stores it.
#[inline(always)]
pub(crate) fn store_gradient<S: Simd>(
    s: S,
    dy: [[[S::V; 2]; 2]; 2],
    chunk: Chunk,
    blocks: Blocks,
    tile: usize,
    c: usize,
    to: &mut [f32],
) {
    let stride = chunk.stride(blocks.channels);
    let place = (c / blocks.width * chunk.count() + tile) * blocks.width + c % blocks.width;
    let mut half = [[[s.zero(); 2]; 2]; 4];
    for a in 0..2 {
        for b in 0..2 {
            let column = output_adjoint(s, [dy[0][a][b], dy[1][a][b]]);
            for k in 0..4 {
                half[k][a][b] = column[k];
            }
        }
    }
    for k in 0..4 {
        let plane = plane(s, half[k], output_adjoint);
        for f in 0..16 {
            s.store(plane[f / 4][f % 4], at_mut(to, (16 * k + f) * stride + place));
        }
    }
}

kernel! {
    /// Adds gradients `[frequency][tile][channels]` to the four slices that [`transform_input`]
    /// reads.
    pub(crate) fn add_input_gradient(
        products: &[f32], row: usize, chunk: Chunk, channels: usize, slices: [&mut [f32]; 4],
    ) = add_input_gradient_on
}

#[inline(always)]
#[allow(clippy::needless_pass_by_value)] // it borrows the slices, which it writes
fn add_input_gradient_on<S: Simd>(
    s: S,
    products: &[f32],
    row: usize,
    chunk: Chunk,
    channels: usize,
    slices: [&mut [f32]; 4],
) {
    let stride = chunk.stride(channels);
    for (tile, i, j) in chunk.tiles() {
        let corner = 2 * i * row + 2 * j * channels;
        for c in (0..channels).step_by(LANES) {
            let mut t = [[[s.zero(); 4]; 4]; 4];
            for k in 0..4 {
                let mut m = [[s.zero(); 4]; 4];
                for f in 0..16 {
                    let place = (16 * k + f) * stride + tile * channels + c;
                    m[f / 4][f % 4] = s.load(at(products, place));
                }
                t[k] = plane(s, m, input_adjoint);
            }
            for a in 0..4 {
                for b in 0..4 {
                    let d = input_adjoint(s, [t[0][a][b], t[1][a][b], t[2][a][b], t[3][a][b]]);
                    for k in 0..4 {
                        let to = at_mut(slices[k], corner + a * row + b * channels + c);
                        let sum = s.add(s.load(to), d[k]);
                        s.store(sum, to);
                    }
                }
            }
        }
    }
}

kernel! {
    /// `U` of sixteen columns: filters `[27][rows][16]` to `[frequency][rows]` at `place`.
    pub(crate) fn transform_filters(filters: &[f32], rows: usize, place: Place, to: &mut [&mut [f32]])
        = transform_filters_on
}

/// Where sixteen columns of transformed filters are written: row `r` begins at `start + r width` in
/// the piece of its frequency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) width: usize,
}

#[inline(always)]
fn transform_filters_on<S: Simd>(s: S, filters: &[f32], rows: usize, place: Place, to: &mut [&mut [f32]]) {
    for r in 0..rows {
        let mut half = [[[s.zero(); 4]; 4]; 3];
        for kd in 0..3 {
            let mut g = [[s.zero(); 3]; 3];
            for tap in 0..9 {
                g[tap / 3][tap % 3] = s.load(at(filters, ((kd * 9 + tap) * rows + r) * LANES));
            }
            half[kd] = plane(s, g, filter);
        }
        for f in 0..16 {
            let (a, b) = (f / 4, f % 4);
            let u = filter(s, [half[0][a][b], half[1][a][b], half[2][a][b]]);
            for k in 0..4 {
                s.store(u[k], at_mut(to[16 * k + f], place.start + r * place.width));
            }
        }
    }
}

kernel! {
    /// The gradient of the filters: the sum of `[frequency][rows][channels]` over its copies, in
    /// order, for sixteen channels from `c` on, to `[27][rows][16]`.
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
    for r in 0..rows {
        let mut half = [[[s.zero(); 3]; 3]; 4];
        for k in 0..4 {
            let mut u = [[s.zero(); 4]; 4];
            for f in 0..16 {
                for copy in copies {
                    let share = s.load(at(copy, ((16 * k + f) * rows + r) * channels + c));
                    u[f / 4][f % 4] = s.add(u[f / 4][f % 4], share);
                }
            }
            half[k] = plane(s, u, filter_adjoint);
        }
        for tap in 0..9 {
            let (a, b) = (tap / 3, tap % 3);
            let g = filter_adjoint(s, [half[0][a][b], half[1][a][b], half[2][a][b], half[3][a][b]]);
            for kd in 0..3 {
                s.store(g[kd], at_mut(to, ((kd * 9 + tap) * rows + r) * LANES));
            }
        }
    }
}
