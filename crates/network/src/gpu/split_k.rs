//! Gradients of weights. Each is a sum over every voxel of a batch: a million terms for each of a
//! few thousand results. Burn's kernels give each result to one group of threads, so most of the
//! GPU waits. Here the voxels are cut into shares that are summed side by side and added at the
//! end.
//!
//! The gradient of a convolution becomes nine plain matrix products on a [`Grid`], because the
//! three taps along a line are adjacent in memory.

use burn::tensor::{DType, Tensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use cubecl::CubeDim;

use crate::gpu::grid::{Grid, STEP};
use crate::gpu::products_kernels::spread_kernel;
use crate::gpu::row_reduction::{sum_rows, sum_rows_of_each};
use crate::gpu::strategies::{product, product_into};
use crate::gpu::{Gpu, THREADS, by_type, cube, cubes_for, float, output_buffer, reshaped, sizes, view};

/// Number of sums that run side by side for one matrix product: enough to keep every GPU busy, and
/// few enough to add.
const SUMS: usize = 3 << 20;
/// Minimum number of terms of a sum; shorter sums are not cut further.
const LEAST_TERMS: usize = 512;

/// Number of shares for this many sums of this many terms.
pub(super) fn shares(sums: usize, terms: usize) -> usize {
    (SUMS / sums.max(1)).clamp(8, 256).min(terms.div_ceil(LEAST_TERMS)).max(1)
}

/// A matrix, from a given row on, as shares of equal size: `[shares, rows, width]`.
fn in_shares<R: CubeRuntime>(
    matrix: &CubeTensor<R>,
    first: usize,
    [shares, rows, width]: [usize; 3],
) -> CubeTensor<R> {
    view(matrix, Some(first * width), &[shares, rows, width], &[rows * width, width, 1])
}

/// `aᵀ b` of two matrices with equally many rows, `[shares, rows, width]`, summed share by share:
/// `[a's width, b's width]`.
fn over_rows<R: CubeRuntime, BT: BoolElement>(a: CubeTensor<R>, b: CubeTensor<R>) -> Tensor<Gpu<R, BT>, 2> {
    let ([shares, _, to], [_, _, from]) = (sizes::<R, 3>(&a), sizes::<R, 3>(&b));
    let a = cube(float::<R, BT, 3>(a).swap_dims(1, 2));
    let sums = reshaped::<R, BT, 3, 2>(product(a, b, DType::F32), [shares, to * from]);
    float::<R, BT, 1>(sum_rows(sums)).reshape([to, from])
}

/// `aᵀ b` of two plain matrices `[rows, width]`.
pub(super) fn tall<R: CubeRuntime, BT: BoolElement>(
    a: CubeTensor<R>,
    b: CubeTensor<R>,
) -> Tensor<Gpu<R, BT>, 2> {
    let ([rows, to], [_, from]) = (sizes::<R, 2>(&a), sizes::<R, 2>(&b));
    let wanted = shares(to * from, rows);
    // Rows are cut into equal shares; the number of rows in a batch is divisible by two many times.
    let shares = (1..=wanted).rev().find(|shares| rows.is_multiple_of(*shares)).unwrap_or(1);
    over_rows::<R, BT>(
        in_shares(&into_contiguous(a), 0, [shares, rows / shares, to]),
        in_shares(&into_contiguous(b), 0, [shares, rows / shares, from]),
    )
}

/// `[N, D, H, W, C]` on the grid, copied there only where necessary.
fn on_grid<R: CubeRuntime, BT: BoolElement>(x: &CubeTensor<R>, grid: Grid) -> CubeTensor<R> {
    if grid.holds(x) {
        return x.clone();
    }
    let x = into_contiguous(x.clone());
    let [n, d, h, w, c] = sizes::<R, 5>(&x);
    let to = grid.zeros::<R, BT>(&x, c, x.dtype);
    let [line, lines, planes] = grid.steps();
    by_type!(
        x.dtype,
        spread_kernel(
            &x.client,
            cubes_for(n * d * h * w * c),
            CubeDim::new_1d(THREADS),
            x.clone().into_array_arg(),
            grid.memory(&to).into_array_arg(),
            d as u32,
            h as u32,
            w as u32,
            c as u32,
            line,
            lines,
            planes,
        )
    );
    to
}

/// Gradient of the weight of a 3 x 3 x 3 convolution, `[to, from, 3, 3, 3]`, from its input
/// `[N, D, H, W, from]` and the gradient of its result `[N, D, H, W, to]`.
pub(super) fn weight_gradient<R: CubeRuntime, BT: BoolElement>(
    x: &CubeTensor<R>,
    dy: &CubeTensor<R>,
) -> Tensor<Gpu<R, BT>, 5> {
    let ([n, d, h, w, from], [.., to]) = (sizes::<R, 5>(x), sizes::<R, 5>(dy));
    let grid = Grid::of([n, d, h, w]);
    let (x, dy) = (on_grid::<R, BT>(x, grid), on_grid::<R, BT>(dy, grid));
    // Three taps along a line are one product, so the gradient is read nine times instead of 27.
    let width = 3 * from;
    let shares = shares(width * to, grid.all()).next_multiple_of(STEP);
    let terms = grid.all().div_ceil(shares).next_multiple_of(16);
    let x = grid.in_threes(&x);
    let dy = cube(float::<R, BT, 3>(grid.shares(&dy, [shares, terms])).swap_dims(1, 2));
    let sums = output_buffer(&x, &[9, shares, to * width], DType::F32);
    for tap in 0..9 {
        let first = tap / 3 * grid.plane() + tap % 3 * grid.line();
        let x = in_shares(&x, first, [shares, terms, width]);
        let place =
            view(&sums, Some(tap * shares * to * width), &[shares, to, width], &[to * width, width, 1]);
        product_into(&dy, &x, &place);
    }
    let sums = float::<R, BT, 3>(sum_rows_of_each(sums)).reshape([9, to, 3, from]);
    sums.permute([1, 3, 0, 2]).reshape([to, from, 3, 3, 3])
}
