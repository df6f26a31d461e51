//! Gradients of weights. Each is a sum over every voxel of a batch, a million terms for each of a few thousand results:
//! Burn's kernels give each result to one group of threads, and most of the GPU waits. Here the voxels are cut into shares that
//! are summed side by side and added at the end.
//!
//! The convolution's becomes plain products of matrices: on grids with a zero after each row, each plane and each volume,
//! the voxels that a tap reads are all voxels moved by the same distance.

use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use cubecl::CubeDim;

use crate::gpu::products_kernels::spread_kernel;
use crate::gpu::{Gpu, THREADS, by_type, cube, cubes_for, float, room, sizes};

/// Sums that are begun side by side for one product of matrices: enough for every GPU to have work, few enough to add.
const SUMS: usize = 3 << 20;
/// Terms of a sum that are not cut further.
const LEAST_TERMS: usize = 512;
/// Offsets into memory that every device takes, in bytes.
const ALIGNMENT: usize = 256;

/// A product of matrices whose sums are f32 whatever is multiplied.
fn product<R: CubeRuntime>(a: CubeTensor<R>, b: CubeTensor<R>) -> CubeTensor<R> {
    #[allow(clippy::expect_used)] // Burn's own `matmul` can't go on either.
    matmul(a, b, None, MatmulStrategy::default(), DType::F32).expect("matrices that can be multiplied")
}

/// Shares of a sum, and the terms of each, for so many sums of so many terms.
fn shares(sums: usize, terms: usize) -> (usize, usize) {
    let shares = (SUMS / sums.max(1)).clamp(8, 256).min(terms.div_ceil(LEAST_TERMS)).max(1);
    (shares, terms.div_ceil(shares).next_multiple_of(16))
}

/// Of a matrix, from a row on, so many shares of so many rows: `[shares, rows, width]`.
fn rows_from<R: CubeRuntime>(
    matrix: &CubeTensor<R>,
    first: usize,
    [shares, rows, width]: [usize; 3],
) -> CubeTensor<R> {
    let skipped = (first * width * matrix.dtype.size()) as u64;
    let handle = matrix.handle.clone().offset_start(skipped);
    let (client, device) = (matrix.client.clone(), matrix.device.clone());
    CubeTensor::new_contiguous(client, device, Shape::from([shares, rows, width]), handle, matrix.dtype)
}

/// `aᵀ b` of two matrices with as many rows, `[shares, rows, width]`, summed share by share: `[a's width, b's width]`.
fn over_rows<R: CubeRuntime, BT: BoolElement>(a: CubeTensor<R>, b: CubeTensor<R>) -> Tensor<Gpu<R, BT>, 2> {
    let ([shares, _, to], [_, _, from]) = (sizes::<R, 3>(&a), sizes::<R, 3>(&b));
    let a = cube(float::<R, BT, 3>(a).swap_dims(1, 2));
    let sums = float::<R, BT, 3>(product(a, b)).reshape([shares, to * from]);
    sums.sum_dim(0).reshape([to, from])
}

/// `aᵀ b` of two plain matrices `[rows, width]`.
pub(super) fn tall<R: CubeRuntime, BT: BoolElement>(
    a: CubeTensor<R>,
    b: CubeTensor<R>,
) -> Tensor<Gpu<R, BT>, 2> {
    let ([rows, to], [_, from]) = (sizes::<R, 2>(&a), sizes::<R, 2>(&b));
    let (wanted, _) = shares(to * from, rows);
    // Rows are cut into equal shares; what a batch has of them is even many times over.
    let shares = (1..=wanted).rev().find(|shares| rows.is_multiple_of(*shares)).unwrap_or(1);
    over_rows::<R, BT>(
        rows_from(&into_contiguous(a), 0, [shares, rows / shares, to]),
        rows_from(&into_contiguous(b), 0, [shares, rows / shares, from]),
    )
}

/// Voxels on a grid with room between rows, planes and volumes, where a 3 x 3 x 3 filter reads zeros.
struct Spread {
    /// Voxels from a row to the next, and from a plane to the next.
    row: usize,
    plane: usize,
    /// Voxels of all volumes.
    all: usize,
}

impl Spread {
    /// For volumes `[N, D, H, W]` of voxels of so many bytes; every row begins where a device can read.
    fn of([n, d, h, w]: [usize; 4], voxel: usize) -> Self {
        let mut row = w + 1;
        while !(row * voxel).is_multiple_of(ALIGNMENT) {
            row += 1;
        }
        let plane = row * (h + 1);
        Self { row, plane, all: plane * (d + 1) * n }
    }

    /// Where the first voxel lies, when the planes and rows that a filter reads before it are there.
    fn lead(&self) -> usize {
        self.plane + self.row
    }
}

/// `[N, D, H, W, C]` on such a grid, zeros elsewhere: `[voxels, taps C]`, with the neighbours in a row for three taps.
fn spread<R: CubeRuntime>(
    x: &CubeTensor<R>,
    grid: &Spread,
    lead: usize,
    [voxels, taps]: [usize; 2],
) -> CubeTensor<R> {
    let [_, d, h, w, c] = sizes::<R, 5>(x);
    let to = room(x, &[voxels, taps * c], x.dtype);
    by_type!(
        x.dtype,
        spread_kernel(
            &x.client,
            cubes_for(voxels * taps * c),
            CubeDim::new_1d(THREADS),
            x.clone().into_array_arg(),
            to.clone().into_array_arg(),
            d as u32,
            h as u32,
            w as u32,
            c as u32,
            grid.row as u32,
            (grid.plane / grid.row) as u32,
            lead as u32,
            taps as u32,
        )
    );
    to
}

/// Gradient of the weight of a 3 x 3 x 3 convolution, `[to, from, 3, 3, 3]`, of its input `[N, D, H, W, from]` and the
/// gradient of its result `[N, D, H, W, to]`.
pub(super) fn weight_gradient<R: CubeRuntime, BT: BoolElement>(
    x: &CubeTensor<R>,
    dy: &CubeTensor<R>,
) -> Tensor<Gpu<R, BT>, 5> {
    let ([n, d, h, w, from], [.., to]) = (sizes::<R, 5>(x), sizes::<R, 5>(dy));
    // Three taps along a row are one product, so that the gradient is read nine times and not 27.
    let width = 3 * from;
    let grid = Spread::of([n, d, h, w], width * x.dtype.size());
    let (shares, terms) = shares(width * to, grid.all);
    let all = shares * terms;
    let dy = spread(dy, &grid, 0, [all, 1]);
    let x = spread(x, &grid, grid.lead(), [all + 2 * grid.lead(), 3]);
    let taps = (0..9).map(|tap| {
        let first = tap / 3 * grid.plane + tap % 3 * grid.row;
        let x = rows_from(&x, first, [shares, terms, width]);
        over_rows::<R, BT>(rows_from(&dy, 0, [shares, terms, to]), x).reshape([1, to, 3, from])
    });
    Tensor::cat(taps.collect(), 0).permute([1, 3, 0, 2]).reshape([to, from, 3, 3, 3])
}
