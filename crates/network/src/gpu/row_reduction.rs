//! Sums over the rows of a matrix, always in the same order, so that the last bits of a training do
//! not depend on which of several kernels happened to be the fastest.

use burn::tensor::DType;
use burn_cubecl::CubeRuntime;
use burn_cubecl::tensor::CubeTensor;
use cubecl::CubeDim;
use cubecl::prelude::*;

use crate::gpu::{THREADS, cubes_for, lanes, output_buffer, sizes, view};

/// Number of neighbouring columns for each thread.
const LANES: usize = 2;

/// With fewer columns than this, rows are first added in groups, so that there is work for more
/// threads.
const COLUMNS: usize = 1 << 14;
/// Number of rows that a thread adds in that case.
const GROUP: usize = 32;

/// The sums of each of several matrices `[rows, columns]`, in f32: `[matrices, columns]`.
pub(super) fn sum_rows_of_each<R: CubeRuntime>(matrices: CubeTensor<R>) -> CubeTensor<R> {
    let [count, mut rows, columns] = sizes::<R, 3>(&matrices);
    let mut matrices = matrices;
    while count * columns < COLUMNS && rows > 2 * GROUP {
        let groups = rows.div_ceil(GROUP);
        matrices = summed(&matrices, [count, rows, columns], groups);
        rows = groups;
    }
    summed(&matrices, [count, rows, columns], 1)
}

/// The sums of one matrix: `[columns]`.
pub(super) fn sum_rows<R: CubeRuntime>(matrix: CubeTensor<R>) -> CubeTensor<R> {
    let [rows, columns] = sizes::<R, 2>(&matrix);
    let one = view(&matrix, None, &[1, rows, columns], &[rows * columns, columns, 1]);
    view(&sum_rows_of_each(one), None, &[columns], &[1])
}

/// Sums every `groups`th row, starting from each of the first `groups` rows:
/// `[matrices, groups, columns]`.
fn summed<R: CubeRuntime>(
    matrices: &CubeTensor<R>,
    [count, rows, columns]: [usize; 3],
    groups: usize,
) -> CubeTensor<R> {
    let lanes = lanes(columns, LANES);
    let sums = output_buffer(matrices, &[count, groups, columns], DType::F32);
    rows_kernel::launch::<R>(
        &matrices.client,
        cubes_for(count * groups * columns / lanes),
        CubeDim::new_1d(THREADS),
        lanes,
        matrices.clone().into_array_arg(),
        sums.clone().into_array_arg(),
        rows as u32,
        (columns / lanes) as u32,
        groups as u32,
    );
    sums
}

#[cube(launch)]
fn rows_kernel<N: Size>(
    from: &Array<Vector<f32, N>>,
    to: &mut Array<Vector<f32, N>>,
    rows: u32,
    width: u32,
    groups: u32,
) {
    if ABSOLUTE_POS >= to.len() {
        terminate!();
    }
    let width = width as usize;
    let column = ABSOLUTE_POS % width;
    let first = ABSOLUTE_POS / width % groups as usize;
    let matrix = ABSOLUTE_POS / (width * groups as usize) * rows as usize;
    let mut row = first;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    while row < rows as usize {
        sum += from[(matrix + row) * width + column];
        row += groups as usize;
    }
    to[ABSOLUTE_POS] = sum;
}
