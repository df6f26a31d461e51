//! The fully connected layer. `x [n, from]`, `weight [to, from]` and `y [n, to]` are row-major.

use crate::Isa;
use crate::buffers::take;
use crate::isa::kernel;
use crate::layout::LANES;
use crate::layout::{at, at_mut};
use crate::parallel::{cut, each, ranges};
use crate::simd::Simd;

/// Number of values of a row that are processed at a time.
const CHUNK: usize = 1024;
/// Number of rows of the weights in a part.
const ROWS: usize = 8;

/// `x weightᵀ + bias`.
pub fn forward(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let to = bias.len();
    let from = weight.len() / to;
    let n = x.len() / from;
    assert!(weight.len() == to * from && x.len() == n * from, "a linear layer of different shapes");
    let parts = ranges(to, to.div_ceil(ROWS));
    let columns = each(parts.clone(), |_, rows| {
        let mut sums = vec![0.0_f64; rows.len() * n];
        dot(isa, x, &weight[rows.start * from..rows.end * from], from, &mut sums);
        sums
    });
    let mut y = vec![0.0; n * to];
    for (rows, sums) in parts.into_iter().zip(columns) {
        for (row, sums) in rows.zip(sums.chunks_exact(n)) {
            for (sample, sum) in sums.iter().enumerate() {
                y[sample * to + row] = (sum + f64::from(bias[row])) as f32;
            }
        }
    }
    y
}

/// Gradients of a layer's input, weight and bias.
pub struct Gradients {
    /// `[n, from]`.
    pub input: Vec<f32>,
    /// `[to, from]`.
    pub weight: Vec<f32>,
    /// `[to]`.
    pub bias: Vec<f32>,
}

/// The gradients, from the gradient `dy` of the output.
pub fn backward(isa: Isa, x: &[f32], weight: &[f32], dy: &[f32], to: usize) -> Gradients {
    let from = weight.len() / to;
    let n = dy.len() / to;
    assert!(weight.len() == to * from && x.len() == n * from && dy.len() == n * to, "different shapes");
    let sum = |row: usize| dy.iter().skip(row).step_by(to).map(|dy| f64::from(*dy)).sum::<f64>() as f32;
    let bias = (0..to).map(sum).collect();
    let mut gradient = take(weight.len());
    let parts = ranges(to, to.div_ceil(ROWS));
    let pieces = cut(&mut gradient, parts.iter().map(|rows| rows.len() * from));
    each(parts.into_iter().zip(pieces).collect(), |_, (rows, piece)| {
        outer(isa, x, dy, to, rows.start, piece);
    });
    // Columns in chunks: each thread reads its share of every row of the weights.
    let chunks = ranges(from, from.div_ceil(CHUNK));
    let columns = each(chunks.clone(), |_, chunk| {
        let mut sums = vec![0.0; n * chunk.len()];
        combine(isa, weight, dy, to, [chunk.start, chunk.len()], &mut sums);
        sums
    });
    let mut input = take(n * from);
    for (chunk, sums) in chunks.into_iter().zip(columns) {
        for (sample, sums) in sums.chunks_exact(chunk.len()).enumerate() {
            input[sample * from..][chunk.clone()].copy_from_slice(sums);
        }
    }
    Gradients { input, weight: gradient, bias }
}

/// The part of `len` that fills whole vectors, and the remainder.
fn whole(len: usize) -> usize {
    len / LANES * LANES
}

kernel! {
    /// `to[row][sample] = Σ x[sample] rows[row]`.
    fn dot(x: &[f32], rows: &[f32], from: usize, to: &mut [f64]) = dot_on
}

#[inline(always)]
fn dot_on<S: Simd>(s: S, x: &[f32], rows: &[f32], from: usize, to: &mut [f64]) {
    let n = x.len() / from;
    let count = rows.len() / from;
    for start in (0..from).step_by(CHUNK) {
        let end = from.min(start + CHUNK);
        for row in (0..count).step_by(4) {
            for sample in (0..n).step_by(4) {
                if S::WIDE && row + 4 <= count && sample + 4 <= n {
                    dot_tile::<S, 4, 4>(s, x, rows, from, [start, end], [row, sample], n, to);
                } else {
                    for row in row..count.min(row + 4) {
                        for sample in (sample..n.min(sample + 4)).step_by(2) {
                            if sample + 2 <= n {
                                dot_tile::<S, 1, 2>(s, x, rows, from, [start, end], [row, sample], n, to);
                            } else {
                                dot_tile::<S, 1, 1>(s, x, rows, from, [start, end], [row, sample], n, to);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Adds the products of a chunk. A chunk has its own sum in f32; chunks are added in f64.
#[inline(always)]
fn dot_tile<S: Simd, const R: usize, const N: usize>(
    s: S,
    x: &[f32],
    rows: &[f32],
    from: usize,
    [start, end]: [usize; 2],
    [row, sample]: [usize; 2],
    n: usize,
    to: &mut [f64],
) {
    let mut acc = [[s.zero(); N]; R];
    let middle = start + whole(end - start);
    for k in (start..middle).step_by(LANES) {
        let mut values = [s.zero(); N];
        for b in 0..N {
            values[b] = s.load(at(x, (sample + b) * from + k));
        }
        for a in 0..R {
            let weight = s.load(at(rows, (row + a) * from + k));
            for b in 0..N {
                acc[a][b] = s.fma(weight, values[b], acc[a][b]);
            }
        }
    }
    for a in 0..R {
        for b in 0..N {
            let mut sum = s.sum(acc[a][b]);
            for k in middle..end {
                sum += x[(sample + b) * from + k] * rows[(row + a) * from + k];
            }
            to[(row + a) * n + sample + b] += f64::from(sum);
        }
    }
}

kernel! {
    /// Rows `first..` of the weights' gradient: `to[row] = Σ_n dy[n][row] x[n]`.
    fn outer(x: &[f32], dy: &[f32], outputs: usize, first: usize, to: &mut [f32]) = outer_on
}

#[inline(always)]
fn outer_on<S: Simd>(s: S, x: &[f32], dy: &[f32], outputs: usize, first: usize, to: &mut [f32]) {
    let n = dy.len() / outputs;
    let from = x.len() / n;
    let count = to.len() / from;
    let middle = whole(from);
    for start in (0..middle).step_by(CHUNK) {
        let end = middle.min(start + CHUNK);
        for row in (0..count).step_by(4) {
            let rows = 4.min(count - row);
            for k in (start..end).step_by(LANES) {
                let mut acc = [s.zero(); 4];
                for sample in 0..n {
                    let value = s.load(at(x, sample * from + k));
                    for a in 0..rows {
                        let gradient = s.splat(dy[sample * outputs + first + row + a]);
                        acc[a] = s.fma(gradient, value, acc[a]);
                    }
                }
                for a in 0..rows {
                    s.store(acc[a], at_mut(to, (row + a) * from + k));
                }
            }
        }
    }
    for row in 0..count {
        for k in middle..from {
            to[row * from + k] =
                (0..n).map(|sample| dy[sample * outputs + first + row] * x[sample * from + k]).sum();
        }
    }
}

kernel! {
    /// Columns `[start, len]` of the input's gradient: `to[n] = Σ_row dy[n][row] weight[row]`.
    fn combine(weight: &[f32], dy: &[f32], outputs: usize, columns: [usize; 2], to: &mut [f32]) = combine_on
}

#[inline(always)]
fn combine_on<S: Simd>(
    s: S,
    weight: &[f32],
    dy: &[f32],
    outputs: usize,
    [start, len]: [usize; 2],
    to: &mut [f32],
) {
    let n = dy.len() / outputs;
    let from = weight.len() / outputs;
    let middle = whole(len);
    for row in (0..outputs).step_by(4) {
        let rows = 4.min(outputs - row);
        for k in (0..middle).step_by(LANES) {
            let mut values = [s.zero(); 4];
            for a in 0..rows {
                values[a] = s.load(at(weight, (row + a) * from + start + k));
            }
            for sample in 0..n {
                let to = at_mut(to, sample * len + k);
                let mut sum = s.load(to);
                for a in 0..rows {
                    sum = s.fma(s.splat(dy[sample * outputs + row + a]), values[a], sum);
                }
                s.store(sum, to);
            }
        }
        for sample in 0..n {
            for k in middle..len {
                for a in row..row + rows {
                    to[sample * len + k] += dy[sample * outputs + a] * weight[a * from + start + k];
                }
            }
        }
    }
}
