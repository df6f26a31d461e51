//! The block with a single input channel, which never stores the results of its convolution: for
//! 64³ voxels and 64 channels these would take 67 MB per volume.
//!
//! Everything that BatchNorm needs follows from the input. Let `x_t(v)` be the input at tap `t` of
//! voxel `v` (zero outside), `S_t = Σ_v x_t` and `A_tu = Σ_v x_t x_u`. The results
//! `y_o = Σ_t w_ot x_t` then have `Σ y_o = w_o·S` and `Σ y_o² = w_oᵀ A w_o`, and the dense part of
//! the weights' gradient is `Σ y_o x_t = (A w_o)_t`. All of this is computed in f64, where it is
//! exact to the last digits of f32. What remains is a sum over the positions of the pool.

use crate::Isa;
use crate::isa::kernel;
use crate::layout::LANES;
use crate::layout::{at, at_mut};
use crate::norm::{bytes, bytes_mut, store_largest};
use crate::parallel::each;
use crate::simd::Simd;

/// Number of taps of the filter.
pub(crate) const TAPS: usize = 27;
/// The tap at the voxel itself.
pub(crate) const CENTRE: usize = 13;

/// `S` and `A` of a batch.
pub(crate) struct Correlation {
    pub(crate) sums: [f64; TAPS],
    pub(crate) products: Box<[[f64; TAPS]; TAPS]>,
}

/// Displacements between rows that must be computed; the others are their mirror images.
const ROWS: [(isize, isize); 13] = [
    (0, 0),
    (0, 1),
    (0, 2),
    (1, -2),
    (1, -1),
    (1, 0),
    (1, 1),
    (1, 2),
    (2, -2),
    (2, -1),
    (2, 0),
    (2, 1),
    (2, 2),
];

/// Sums over the rows of one slice, by whether a row is neither the first nor the last (0), the
/// first (1), the last (2) or both (3).
#[derive(Clone)]
struct Slice {
    sums: [[f64; 3]; 4],
    products: [[[[f64; 3]; 3]; 4]; ROWS.len()],
}

impl Correlation {
    /// The correlation of samples `[n, d, h, w]`.
    pub(crate) fn of(isa: Isa, x: &[f32], size: [usize; 3]) -> Correlation {
        let [depth, h, w] = size;
        // In f64, with two zeros at both ends of a row, so that a shifted row needs no special
        // case.
        let wide = w + 4;
        let samples = x.chunks_exact(depth * h * w);
        let n = samples.len();
        let slices = each((0..n * depth).collect(), |_, index: usize| {
            let (sample, d) = (index / depth, index % depth);
            let sample = &x[sample * depth * h * w..][..depth * h * w];
            let mut rows = vec![0.0_f64; 3 * h * wide];
            for (slice, rows) in rows.chunks_exact_mut(h * wide).enumerate().filter(|(k, _)| d + k < depth) {
                let from = sample[(d + slice) * h * w..][..h * w].chunks_exact(w);
                for (row, from) in rows.chunks_exact_mut(wide).zip(from) {
                    for (to, from) in row[2..].iter_mut().zip(from) {
                        *to = f64::from(*from);
                    }
                }
            }
            let mut slice = Slice { sums: [[0.0; 3]; 4], products: [[[[0.0; 3]; 3]; 4]; ROWS.len()] };
            correlate(isa, &rows, [depth - d, h, w], &mut slice);
            slice
        });
        let mut all = Correlation { sums: [0.0; TAPS], products: Box::new([[0.0; TAPS]; TAPS]) };
        for (index, slice) in slices.iter().enumerate() {
            all.add(slice, index % depth, depth);
        }
        for t in 0..TAPS {
            for u in 0..t {
                all.products[t][u] = all.products[u][t];
            }
        }
        all
    }

    /// Adds slice `d` of a sample, once for each tap `t` that reads it.
    fn add(&mut self, slice: &Slice, d: usize, depth: usize) {
        // A tap that looks forward never sees the first slice (or row); one that looks back never
        // sees the last.
        let seen = |tap: usize, first: bool, last: bool| !(tap == 2 && first || tap == 0 && last);
        for t in 0..TAPS {
            let [td, th, tw] = [t / 9, t / 3 % 3, t % 3];
            if !seen(td, d == 0, d + 1 == depth) {
                continue;
            }
            for class in (0..4).filter(|class| seen(th, class & 1 != 0, class & 2 != 0)) {
                self.sums[t] += slice.sums[class][tw];
                for u in t..TAPS {
                    let [ud, uh, uw] = [u / 9, u / 3 % 3, u % 3];
                    let by = ((ud as isize) - td as isize, (uh as isize) - th as isize);
                    // u >= t, so that the displacement is one of the thirteen.
                    if let Some(rows) = ROWS.iter().position(|rows| *rows == by) {
                        self.products[t][u] += slice.products[rows][class][tw][uw];
                    }
                }
            }
        }
    }
}

kernel! {
    /// Correlates rows of the first slice of `[3, h, w + 4]` with the rows of all three slices.
    fn correlate(rows: &[f64], size: [usize; 3], slice: &mut Slice) = correlate_on
}

#[inline(always)]
fn correlate_on<S: Simd>(s: S, rows: &[f64], [left, h, w]: [usize; 3], slice: &mut Slice) {
    let wide = w + 4;
    let class = |y: usize| usize::from(y == 0) + 2 * usize::from(y + 1 == h);
    for y in 0..h {
        let row = &rows[y * wide..][..wide];
        let sum = total(lanes(row));
        for (to, edge) in slice.sums[class(y)].iter_mut().zip([row[w + 1], 0.0, row[2]]) {
            *to += sum - edge;
        }
    }
    for (by, products) in ROWS.iter().zip(&mut slice.products) {
        if by.0 as usize >= left {
            continue;
        }
        // Lanes are summed once per slice, not once per row.
        let mut sums = [[[0.0_f64; WIDTH]; 5]; 4];
        for y in 0..h {
            let Some(other) = y.checked_add_signed(by.1).filter(|other| *other < h) else { continue };
            let row = &rows[y * wide..][..wide];
            let other = &rows[(by.0 as usize * h + other) * wide..][..wide];
            lags(s, &row[2..w + 2], other, &mut sums[class(y)]);
            for (t, products) in products[class(y)].iter_mut().enumerate() {
                for (u, to) in products.iter_mut().enumerate() {
                    let lag = 2 + u - t;
                    *to -= match t {
                        0 => row[w + 1] * other[w - 1 + lag],
                        2 => row[2] * other[lag],
                        _ => 0.0,
                    };
                }
            }
        }
        for (sums, products) in sums.into_iter().zip(products) {
            let sums = sums.map(total);
            for (t, products) in products.iter_mut().enumerate() {
                for (u, to) in products.iter_mut().enumerate() {
                    *to += sums[2 + u - t];
                }
            }
        }
    }
}

const WIDTH: usize = 8;

#[inline(always)]
fn total(lanes: [f64; WIDTH]) -> f64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

#[inline(always)]
fn lanes(row: &[f64]) -> [f64; WIDTH] {
    let mut sums = [0.0; WIDTH];
    for values in row.chunks(WIDTH) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
    sums
}

#[inline(always)]
fn eight(values: &[f64], index: usize) -> &[f64; WIDTH] {
    match values[index..].first_chunk() {
        Some(chunk) => chunk,
        None => unreachable!("eight values at {index}"),
    }
}

/// Adds `Σ_i row[i] other[i + lag]` for five lags; `other` is four values longer.
#[inline(always)]
fn lags<S: Simd>(s: S, row: &[f64], other: &[f64], sums: &mut [[f64; WIDTH]; 5]) {
    let whole = row.len() / WIDTH * WIDTH;
    let mut acc = [s.load_wide(&sums[0]); 5];
    for lag in 1..5 {
        acc[lag] = s.load_wide(&sums[lag]);
    }
    for i in (0..whole).step_by(WIDTH) {
        let a = s.load_wide(eight(row, i));
        for lag in 0..5 {
            acc[lag] = s.fma_wide(a, s.load_wide(eight(other, i + lag)), acc[lag]);
        }
    }
    for (lag, sums) in sums.iter_mut().enumerate() {
        s.store_wide(acc[lag], sums);
        for i in whole..row.len() {
            sums[i - whole] += row[i] * other[i + lag];
        }
    }
}

/// The filters of the first block, with BatchNorm (and the projection) folded in.
#[derive(Clone, Copy)]
pub(crate) struct Folded<'a> {
    /// `[27, channels]`.
    pub(crate) weight: &'a [f32],
    /// `[channels]`.
    pub(crate) shift: &'a [f32],
}

kernel! {
    /// One pooled slice of a bordered sample `[d + 2, h + 2, w + 2]`; `x` begins at its first
    /// slice.
    pub(crate) fn pool_first(
        x: &[f32], folded: Folded<'_>, size: [usize; 2], to: &mut [f32], positions: &mut [u8],
    ) = pool_first_on
}

#[inline(always)]
fn pool_first_on<S: Simd>(
    s: S,
    x: &[f32],
    folded: Folded<'_>,
    size: [usize; 2],
    to: &mut [f32],
    positions: &mut [u8],
) {
    let channels = folded.shift.len();
    let mut c = 0;
    while c < channels {
        let left = (channels - c) / LANES;
        // As many accumulators as there are registers for them.
        c += if S::WIDE && left >= 2 {
            columns_first::<S, 8, 2>(s, x, folded, size, c, to, positions)
        } else if S::WIDE {
            columns_first::<S, 8, 1>(s, x, folded, size, c, to, positions)
        } else {
            columns_first::<S, 4, 1>(s, x, folded, size, c, to, positions)
        };
    }
}

#[inline(always)]
fn columns_first<S: Simd, const AT_ONCE: usize, const N: usize>(
    s: S,
    x: &[f32],
    folded: Folded<'_>,
    [h, w]: [usize; 2],
    c: usize,
    to: &mut [f32],
    positions: &mut [u8],
) -> usize {
    let channels = folded.shift.len();
    let row = w + 2;
    let plane = (h + 2) * row;
    for i in 0..h / 2 {
        for j in 0..w / 2 {
            let patch = &x[2 * i * row + 2 * j..][..3 * plane + 3 * row + 4];
            let mut best = [s.zero(); N];
            let mut place = [s.zero(); N];
            for from in (0..8).step_by(AT_ONCE) {
                let mut acc = [[s.zero(); N]; AT_ONCE];
                for acc in &mut acc {
                    for n in 0..N {
                        acc[n] = s.load(at(folded.shift, c + n * LANES));
                    }
                }
                for kd in 0..3 {
                    for kh in 0..3 {
                        for kw in 0..3 {
                            let tap = (kd * 3 + kh) * 3 + kw;
                            let mut weight = [s.zero(); N];
                            for n in 0..N {
                                weight[n] = s.load(at(folded.weight, tap * channels + c + n * LANES));
                            }
                            for v in 0..AT_ONCE {
                                let q = from + v;
                                let index =
                                    (kd + (q >> 2)) * plane + (kh + (q >> 1 & 1)) * row + kw + (q & 1);
                                let value = s.splat(patch[index]);
                                for n in 0..N {
                                    acc[v][n] = s.fma(value, weight[n], acc[v][n]);
                                }
                            }
                        }
                    }
                }
                for v in 0..AT_ONCE {
                    for n in 0..N {
                        if from + v == 0 {
                            best[n] = acc[v][n];
                        } else {
                            place[n] = s.select_gt(acc[v][n], best[n], s.splat((from + v) as f32), place[n]);
                            best[n] = s.select_gt(acc[v][n], best[n], acc[v][n], best[n]);
                        }
                    }
                }
            }
            for n in 0..N {
                let result = (i * (w / 2) + j) * channels + c + n * LANES;
                store_largest(s, best[n], place[n], at_mut(to, result), bytes_mut(positions, result));
            }
        }
    }
    N * LANES
}

kernel! {
    /// For one pooled slice: adds `Σ dz` to `[channels]` and `Σ dz x_t` to the `[27, channels]`
    /// after it.
    pub(crate) fn gradient_first(
        x: &[f32], positions: &[u8], dz: &[f32], channels: usize, size: [usize; 2], to: &mut [f64],
    ) = gradient_first_on
}

#[inline(always)]
fn gradient_first_on<S: Simd>(
    s: S,
    x: &[f32],
    positions: &[u8],
    dz: &[f32],
    channels: usize,
    [h, w]: [usize; 2],
    to: &mut [f64],
) {
    let row = w + 2;
    let plane = (h + 2) * row;
    let columns = w / 2;
    // For each column and (kd, kh), the two slices x two rows x four columns that a window of the
    // pool can read there. A channel's position tells which of the sixteen it reads.
    let mut tables = vec![[0.0_f32; LANES]; columns * 9];
    for i in 0..h / 2 {
        for (j, tables) in tables.chunks_exact_mut(9).enumerate() {
            for (k, table) in tables.iter_mut().enumerate() {
                for (quarter, table) in table.chunks_exact_mut(4).enumerate() {
                    let start = (k / 3 + quarter / 2) * plane + (2 * i + k % 3 + quarter % 2) * row + 2 * j;
                    table.copy_from_slice(&x[start..start + 4]);
                }
            }
        }
        for c in (0..channels).step_by(LANES) {
            for kd in 0..3 {
                let mut acc = [[s.zero(); 3]; 3];
                let mut plain = s.zero();
                for j in 0..columns {
                    let result = (i * columns + j) * channels + c;
                    let place = s.widen(bytes(positions, result));
                    let eight = s.splat(8.0);
                    let gradient = s.select_gt(eight, place, s.load(at(dz, result)), s.zero());
                    plain = s.add(plain, gradient);
                    // Places 0 1, 2 3, 4 5, 6 7 begin at 0 1, 4 5, 8 9, 12 13.
                    let mut start = place;
                    for pair in 1..4 {
                        let from = s.splat(pair as f32 * 2.0 - 0.5);
                        start = s.select_gt(place, from, s.add(place, s.splat(pair as f32 * 2.0)), start);
                    }
                    let mut index = [s.indices(start); 3];
                    for (kw, index) in index.iter_mut().enumerate() {
                        *index = s.indices(s.add(start, s.splat(kw as f32)));
                    }
                    for kh in 0..3 {
                        let table = s.load(&tables[j * 9 + kd * 3 + kh]);
                        for kw in 0..3 {
                            acc[kh][kw] = s.fma(gradient, s.lookup(table, index[kw]), acc[kh][kw]);
                        }
                    }
                }
                if kd == 0 {
                    add(s, plain, &mut to[c..]);
                }
                for (k, v) in acc.as_flattened().iter().enumerate() {
                    add(s, *v, &mut to[(1 + kd * 9 + k) * channels + c..]);
                }
            }
        }
    }
}

#[inline(always)]
fn add<S: Simd>(s: S, v: S::V, to: &mut [f64]) {
    let mut lanes = [0.0; LANES];
    s.store(v, &mut lanes);
    for (to, lane) in to.iter_mut().zip(lanes) {
        *to += f64::from(lane);
    }
}
