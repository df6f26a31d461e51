//! The kernels that `block` launches. One thread handles a few neighbouring channels, and either a
//! share of the rows or one pooled position.

use cubecl::prelude::*;

/// A share of the sums of a channel's values and of their squares, relative to its first value:
/// `[shares, 2, channels]`.
#[cube(launch)]
pub(super) fn sums_kernel<F: Float, N: Size>(
    y: &Array<Vector<F, N>>,
    sums: &mut Array<Vector<f32, N>>,
    rows: u32,
    width: u32,
    shares: u32,
) {
    if ABSOLUTE_POS >= (shares * width) as usize {
        terminate!();
    }
    let width = width as usize;
    let channel = ABSOLUTE_POS % width;
    let share = ABSOLUTE_POS / width;
    let first = Vector::<f32, N>::cast_from(y[channel]);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    let mut row = share;
    while row < rows as usize {
        let value = Vector::<f32, N>::cast_from(y[row * width + channel]) - first;
        sum += value;
        squares += value * value;
        row += shares as usize;
    }
    sums[2 * share * width + channel] = sum;
    sums[(2 * share + 1) * width + channel] = squares;
}

/// Row of the first voxel of a pooled position. In `[N, 2 d, 2 h, 2 w]`, `line`, `lines` and
/// `planes` are the rows from line to line, the lines from plane to plane and the planes from
/// volume to volume. By window, the tensor is `[N, d, h, w, 8]`.
#[cube]
fn first_row(
    position: usize,
    d: usize,
    h: usize,
    w: usize,
    line: usize,
    lines: usize,
    planes: usize,
    #[comptime] by_window: bool,
) -> usize {
    if comptime!(by_window) {
        position * 8
    } else {
        let x = position % w;
        let y = position / w % h;
        let z = position / (w * h) % d;
        let n = position / (w * h * d);
        ((n * planes + 2 * z) * lines + 2 * y) * line + 2 * x
    }
}

/// The offset of one of its eight voxels, in rows from the first.
#[cube]
fn corner_row(#[comptime] corner: u32, line: usize, lines: usize, #[comptime] by_window: bool) -> usize {
    let x = comptime!(corner % 2) as usize;
    let y = comptime!(corner / 2 % 2) as usize;
    let z = comptime!(corner / 4) as usize;
    if comptime!(by_window) { (4 * z + 2 * y + x).runtime() } else { (z * lines + y) * line + x }
}

/// The value of a voxel before the ReLU: normalised, plus the projection where there is one.
#[cube]
fn activation<F: Float, N: Size>(
    y: &Array<Vector<F, N>>,
    skip: &Array<Vector<F, N>>,
    at: usize,
    scale: Vector<f32, N>,
    shift: Vector<f32, N>,
    #[comptime] residual: bool,
) -> Vector<f32, N> {
    let mut value = Vector::<f32, N>::cast_from(y[at]) * scale + shift;
    if comptime!(residual) {
        value += Vector::<f32, N>::cast_from(skip[at]);
    }
    value
}

/// The maximum of each window; `line`, `lines` and `planes` belong to the result.
#[cube(launch)]
pub(super) fn pool_kernel<F: Float, G: Float, N: Size>(
    y: &Array<Vector<F, N>>,
    skip: &Array<Vector<F, N>>,
    numbers: &Array<Vector<f32, N>>,
    out: &mut Array<Vector<G, N>>,
    d: u32,
    h: u32,
    w: u32,
    width: u32,
    positions: u32,
    line: u32,
    lines: u32,
    planes: u32,
    #[comptime] residual: bool,
    #[comptime] by_window: bool,
) {
    if ABSOLUTE_POS >= (positions * width) as usize {
        terminate!();
    }
    let width = width as usize;
    let depth = d as usize;
    let height = h as usize;
    let breadth = w as usize;
    let channel = ABSOLUTE_POS % width;
    let position = ABSOLUTE_POS / width;
    let first = first_row(position, depth, height, breadth, 2 * breadth, 2 * height, 2 * depth, by_window);
    let scale = numbers[channel];
    let shift = numbers[width + channel];
    // The ReLU is the maximum with zero.
    let mut best = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for corner in 0..8u32 {
        let at = (first + corner_row(corner, 2 * breadth, 2 * height, by_window)) * width + channel;
        let value = activation::<F, N>(y, skip, at, scale, shift, residual);
        best = select_many(value.greater_than(best), value, best);
    }
    let x = position % breadth;
    let y = position / breadth % height;
    let z = position / (breadth * height) % depth;
    let n = position / (breadth * height * depth);
    let at = ((n * planes as usize + z) * lines as usize + y) * line as usize + x;
    out[at * width + channel] = Vector::<G, N>::cast_from(best);
}

/// A share of the sums of a channel's gradients, and of the gradients times the normalised values
/// that they belong to: `[shares, 2, channels]`.
#[cube(launch)]
pub(super) fn slopes_kernel<F: Float, G: Float, N: Size>(
    y: &Array<Vector<F, N>>,
    skip: &Array<Vector<F, N>>,
    numbers: &Array<Vector<f32, N>>,
    dz: &Array<Vector<G, N>>,
    sums: &mut Array<Vector<f32, N>>,
    d: u32,
    h: u32,
    w: u32,
    width: u32,
    positions: u32,
    shares: u32,
    #[comptime] residual: bool,
    #[comptime] by_window: bool,
) {
    if ABSOLUTE_POS >= (shares * width) as usize {
        terminate!();
    }
    let width = width as usize;
    let depth = d as usize;
    let height = h as usize;
    let breadth = w as usize;
    let channel = ABSOLUTE_POS % width;
    let scale = numbers[channel];
    let shift = numbers[width + channel];
    let mean = numbers[2 * width + channel];
    let inverse = numbers[3 * width + channel];
    let zero = Vector::<f32, N>::new(0.0f32);
    let mut slopes = zero;
    let mut along = zero;
    let share = ABSOLUTE_POS / width;
    let mut position = share;
    while position < positions as usize {
        let first =
            first_row(position, depth, height, breadth, 2 * breadth, 2 * height, 2 * depth, by_window);
        let mut best = zero;
        let mut winner = zero;
        #[unroll]
        for corner in 0..8u32 {
            let at = (first + corner_row(corner, 2 * breadth, 2 * height, by_window)) * width + channel;
            let value = activation::<F, N>(y, skip, at, scale, shift, residual);
            let larger = value.greater_than(best);
            best = select_many(larger, value, best);
            winner = select_many(larger, Vector::<f32, N>::cast_from(y[at]), winner);
        }
        let slope = Vector::<f32, N>::cast_from(dz[position * width + channel]);
        let slope = select_many(best.greater_than(zero), slope, zero);
        slopes += slope;
        along += slope * ((winner - mean) * inverse);
        position += shares as usize;
    }
    sums[2 * share * width + channel] = slopes;
    sums[(2 * share + 1) * width + channel] = along;
}

/// The gradient of the convolution's result, to which `line`, `lines` and `planes` belong, and of
/// the projection.
#[cube(launch)]
pub(super) fn slope_kernel<F: Float, G: Float, N: Size>(
    y: &Array<Vector<F, N>>,
    skip: &Array<Vector<F, N>>,
    numbers: &Array<Vector<f32, N>>,
    dz: &Array<Vector<G, N>>,
    dy: &mut Array<Vector<F, N>>,
    ds: &mut Array<Vector<F, N>>,
    d: u32,
    h: u32,
    w: u32,
    width: u32,
    positions: u32,
    line: u32,
    lines: u32,
    planes: u32,
    #[comptime] residual: bool,
    #[comptime] by_window: bool,
) {
    if ABSOLUTE_POS >= (positions * width) as usize {
        terminate!();
    }
    let width = width as usize;
    let depth = d as usize;
    let height = h as usize;
    let breadth = w as usize;
    let channel = ABSOLUTE_POS % width;
    let position = ABSOLUTE_POS / width;
    let first = first_row(position, depth, height, breadth, 2 * breadth, 2 * height, 2 * depth, by_window);
    let to = first_row(
        position,
        depth,
        height,
        breadth,
        line as usize,
        lines as usize,
        planes as usize,
        by_window,
    );
    let scale = numbers[channel];
    let shift = numbers[width + channel];
    let mean = numbers[2 * width + channel];
    let inverse = numbers[3 * width + channel];
    let factor = numbers[4 * width + channel];
    let of_mean = numbers[5 * width + channel];
    let of_deviation = numbers[6 * width + channel];
    let zero = Vector::<f32, N>::new(0.0f32);
    let mut best = zero;
    let mut winner = Vector::<u32, N>::new(8u32);
    #[unroll]
    for corner in 0..8u32 {
        let at = (first + corner_row(corner, 2 * breadth, 2 * height, by_window)) * width + channel;
        let value = activation::<F, N>(y, skip, at, scale, shift, residual);
        let larger = value.greater_than(best);
        best = select_many(larger, value, best);
        winner = select_many(larger, Vector::<u32, N>::new(corner), winner);
    }
    let slope = Vector::<f32, N>::cast_from(dz[ABSOLUTE_POS]);
    #[unroll]
    for corner in 0..8u32 {
        let at = (first + corner_row(corner, 2 * breadth, 2 * height, by_window)) * width + channel;
        let normalised = (Vector::<f32, N>::cast_from(y[at]) - mean) * inverse;
        let own = select_many(winner.equal(Vector::<u32, N>::new(corner)), slope, zero);
        let there = to + corner_row(corner, line as usize, lines as usize, by_window);
        dy[there * width + channel] =
            Vector::<F, N>::cast_from(factor * (own - of_mean - normalised * of_deviation));
        if comptime!(residual) {
            ds[at] = Vector::<F, N>::cast_from(own);
        }
    }
}
