//! What `block` launches: one thread a channel and share of the rows, or a channel and pooled position. Knows no tape.

use cubecl::prelude::*;

/// A share of the sums of a channel's values and of their squares, counted from its first value.
#[cube(launch)]
pub(super) fn sums_kernel<F: Float>(
    y: &Array<F>,
    sums: &mut Array<f32>,
    rows: u32,
    channels: u32,
    shares: u32,
) {
    let all = (shares * channels) as usize;
    if ABSOLUTE_POS >= all {
        terminate!();
    }
    let width = channels as usize;
    let channel = ABSOLUTE_POS % width;
    let share = ABSOLUTE_POS / width;
    let first = f32::cast_from(y[channel]);
    let mut sum = 0.0f32;
    let mut squares = 0.0f32;
    let mut row = share;
    while row < rows as usize {
        let value = f32::cast_from(y[row * width + channel]) - first;
        sum += value;
        squares += value * value;
        row += shares as usize;
    }
    sums[ABSOLUTE_POS] = sum;
    sums[all + ABSOLUTE_POS] = squares;
}

/// Row of `[N, 2 d, 2 h, 2 w]` that a pooled position's first voxel is in; by window, of `[N, d, h, w, 8]`.
#[cube]
fn first_row(position: usize, d: usize, h: usize, w: usize, #[comptime] by_window: bool) -> usize {
    if comptime!(by_window) {
        position * 8
    } else {
        let x = position % w;
        let y = position / w % h;
        let z = position / (w * h) % d;
        let n = position / (w * h * d);
        ((n * 2 * d + 2 * z) * 2 * h + 2 * y) * 2 * w + 2 * x
    }
}

/// The next of its eight voxels, in rows from the first.
#[cube]
fn corner_row(#[comptime] corner: u32, h: usize, w: usize, #[comptime] by_window: bool) -> usize {
    let x = comptime!(corner % 2) as usize;
    let y = comptime!(corner / 2 % 2) as usize;
    let z = comptime!(corner / 4) as usize;
    if comptime!(by_window) { (4 * z + 2 * y + x).runtime() } else { (z * 2 * h + y) * 2 * w + x }
}

/// What a voxel is before ReLU: normalised, with the projection where there is one.
#[cube]
fn activation<F: Float>(
    y: &Array<F>,
    skip: &Array<F>,
    at: usize,
    scale: f32,
    shift: f32,
    #[comptime] residual: bool,
) -> f32 {
    let mut value = f32::cast_from(y[at]) * scale + shift;
    if comptime!(residual) {
        value += f32::cast_from(skip[at]);
    }
    value
}

#[cube(launch)]
pub(super) fn pool_kernel<F: Float>(
    y: &Array<F>,
    skip: &Array<F>,
    numbers: &Array<f32>,
    out: &mut Array<f32>,
    d: u32,
    h: u32,
    w: u32,
    channels: u32,
    #[comptime] residual: bool,
    #[comptime] by_window: bool,
) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let width = channels as usize;
    let channel = ABSOLUTE_POS % width;
    let first = first_row(ABSOLUTE_POS / width, d as usize, h as usize, w as usize, by_window);
    let scale = numbers[channel];
    let shift = numbers[width + channel];
    // ReLU is the maximum with zero.
    let mut best = 0.0f32;
    #[unroll]
    for corner in 0..8u32 {
        let at = (first + corner_row(corner, h as usize, w as usize, by_window)) * width + channel;
        let value = activation::<F>(y, skip, at, scale, shift, residual);
        best = f32::max(best, value);
    }
    out[ABSOLUTE_POS] = best;
}

/// A share of the sums of a channel's gradients, and of those times the normalised values that they go to.
#[cube(launch)]
pub(super) fn slopes_kernel<F: Float>(
    y: &Array<F>,
    skip: &Array<F>,
    numbers: &Array<f32>,
    dz: &Array<f32>,
    sums: &mut Array<f32>,
    d: u32,
    h: u32,
    w: u32,
    channels: u32,
    positions: u32,
    shares: u32,
    #[comptime] residual: bool,
    #[comptime] by_window: bool,
) {
    let all = (shares * channels) as usize;
    if ABSOLUTE_POS >= all {
        terminate!();
    }
    let width = channels as usize;
    let channel = ABSOLUTE_POS % width;
    let scale = numbers[channel];
    let shift = numbers[width + channel];
    let mean = numbers[2 * width + channel];
    let inverse = numbers[3 * width + channel];
    let mut slopes = 0.0f32;
    let mut along = 0.0f32;
    let mut position = ABSOLUTE_POS / width;
    while position < positions as usize {
        let first = first_row(position, d as usize, h as usize, w as usize, by_window);
        let mut best = 0.0f32;
        let mut winner = 0.0f32;
        #[unroll]
        for corner in 0..8u32 {
            let at = (first + corner_row(corner, h as usize, w as usize, by_window)) * width + channel;
            let value = activation::<F>(y, skip, at, scale, shift, residual);
            if value > best {
                best = value;
                winner = f32::cast_from(y[at]);
            }
        }
        if best > 0.0 {
            let slope = dz[position * width + channel];
            slopes += slope;
            along += slope * ((winner - mean) * inverse);
        }
        position += shares as usize;
    }
    sums[ABSOLUTE_POS] = slopes;
    sums[all + ABSOLUTE_POS] = along;
}

/// The gradient of the convolution's result, and of the projection.
#[cube(launch)]
pub(super) fn slope_kernel<F: Float>(
    y: &Array<F>,
    skip: &Array<F>,
    numbers: &Array<f32>,
    dz: &Array<f32>,
    dy: &mut Array<F>,
    ds: &mut Array<F>,
    d: u32,
    h: u32,
    w: u32,
    channels: u32,
    #[comptime] residual: bool,
    #[comptime] by_window: bool,
) {
    if ABSOLUTE_POS >= dz.len() {
        terminate!();
    }
    let width = channels as usize;
    let channel = ABSOLUTE_POS % width;
    let first = first_row(ABSOLUTE_POS / width, d as usize, h as usize, w as usize, by_window);
    let scale = numbers[channel];
    let shift = numbers[width + channel];
    let mean = numbers[2 * width + channel];
    let inverse = numbers[3 * width + channel];
    let factor = numbers[4 * width + channel];
    let of_mean = numbers[5 * width + channel];
    let of_deviation = numbers[6 * width + channel];
    let mut best = 0.0f32;
    let mut winner = 8u32.runtime();
    #[unroll]
    for corner in 0..8u32 {
        let at = (first + corner_row(corner, h as usize, w as usize, by_window)) * width + channel;
        let value = activation::<F>(y, skip, at, scale, shift, residual);
        if value > best {
            best = value;
            winner = corner.runtime();
        }
    }
    let slope = dz[ABSOLUTE_POS];
    #[unroll]
    for corner in 0..8u32 {
        let at = (first + corner_row(corner, h as usize, w as usize, by_window)) * width + channel;
        let normalised = (f32::cast_from(y[at]) - mean) * inverse;
        let own = select(winner == corner.runtime(), slope, 0.0f32);
        dy[at] = F::cast_from(factor * (own - of_mean - normalised * of_deviation));
        if comptime!(residual) {
            ds[at] = F::cast_from(own);
        }
    }
}
