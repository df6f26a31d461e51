//! The first block, whose input has one channel: tensor cores would be given eight, seven of them
//! zero. Together, the eight voxels of a window of the pool read 4 x 4 x 4 voxels. Taken as 64
//! channels on a grid half as fine (space to depth), they give eight times the output channels
//! there, with the same weights in different places.

use burn::tensor::{Int, Tensor, TensorData};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use cubecl::CubeDim;

use crate::composed::narrow;
use crate::device::Precision;
use crate::gpu::products_kernels::windows_kernel;
use crate::gpu::strategies::product;
use crate::gpu::{Gpu, THREADS, by_type, cube, cubes_for, float, output_buffer, reshaped, sizes};

/// Number of voxels in a window of the pool, and number of voxels that their filters read.
pub(super) const WINDOW: usize = 8;
const READ: usize = 64;
/// Number of voxels in a line of those that are read.
const LINE: usize = 4;

/// Whether the input is read window by window.
pub(super) fn is_first(x: &[usize], weight: &[usize]) -> bool {
    x[1] == 1 && weight[2] == 3
}

/// What each window of the pool reads from `[N, 1, D, H, W]`: `[windows, 64]`.
pub(super) fn windows<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    let [n, _, d, h, w] = sizes::<R, 5>(&x);
    let x = into_contiguous(x);
    let to = output_buffer(&x, &[n * d * h * w / WINDOW, READ], x.dtype);
    let lines = n * d * h * w / WINDOW * READ / LINE;
    by_type!(
        x.dtype,
        windows_kernel(
            &x.client,
            cubes_for(lines),
            CubeDim::new_1d(THREADS),
            LINE,
            x.clone().into_array_arg(),
            to.clone().into_array_arg(),
            d as u32,
            h as u32,
            w as u32,
            lines as u32,
        )
    );
    to
}

/// For a filter with this edge: the tap with which a voxel of the window reads one of the 64
/// voxels.
fn tap(edge: usize, read: usize, voxel: usize) -> Option<usize> {
    let along = |read: usize, voxel: usize| {
        // One voxel precedes the first voxel of the window.
        (read + edge / 2).checked_sub(voxel + 1).filter(|&tap| tap < edge)
    };
    let z = along(read / 16, voxel / 4)?;
    let y = along(read / 4 % 4, voxel / 2 % 2)?;
    let x = along(read % 4, voxel % 2)?;
    Some((z * edge + y) * edge + x)
}

fn indices<R: CubeRuntime, BT: BoolElement>(
    places: impl Iterator<Item = usize>,
    device: &R::Device,
) -> Tensor<Gpu<R, BT>, 1, Int> {
    #[allow(clippy::cast_possible_wrap)] // They are below 512.
    let places: Vec<i32> = places.map(|place| place as i32).collect();
    let len = places.len();
    Tensor::from_data(TensorData::new(places, [len]), device)
}

/// A filter for windows: `[to, 1, k, k, k]` as `[64, 8 to]`.
fn for_windows<R: CubeRuntime, BT: BoolElement>(weight: Tensor<Gpu<R, BT>, 5>) -> Tensor<Gpu<R, BT>, 2> {
    let [to, _, edge, ..] = weight.dims();
    let taps = edge.pow(3);
    let device = weight.device();
    let zeros = Tensor::zeros([1, to], (&device, weight.dtype()));
    let rows = Tensor::cat(vec![weight.reshape([to, taps]).transpose(), zeros], 0);
    let places = (0..READ * WINDOW).map(|at| tap(edge, at / WINDOW, at % WINDOW).unwrap_or(taps));
    rows.select(0, indices::<R, BT>(places, &device)).reshape([READ, WINDOW * to])
}

/// The reverse, for a gradient: `[64, 8 to]` as `[to, 1, k, k, k]`.
pub(super) fn from_windows<R: CubeRuntime, BT: BoolElement>(
    gradient: Tensor<Gpu<R, BT>, 2>,
    [to, _, edge, ..]: [usize; 5],
) -> Tensor<Gpu<R, BT>, 5> {
    let taps = edge.pow(3);
    // All eight voxels of a window read with each tap.
    let mut places = vec![0; taps * WINDOW];
    for at in 0..READ * WINDOW {
        if let Some(tap) = tap(edge, at / WINDOW, at % WINDOW) {
            places[tap * WINDOW + at % WINDOW] = at;
        }
    }
    let places = indices::<R, BT>(places.into_iter(), &gradient.device());
    let rows = gradient.reshape([READ * WINDOW, to]).select(0, places);
    let rows = rows.reshape([taps, WINDOW, to]).sum_dim(1).reshape([taps, to]);
    // Burn reads a transposed single row from the wrong places.
    let columns = if taps == 1 { rows.reshape([to, 1]) } else { rows.transpose() };
    columns.reshape([to, 1, edge, edge, edge])
}

/// The product of the windows with a filter, `[N, D, H, W, to]` by window.
pub(super) fn by_window<R: CubeRuntime, BT: BoolElement>(
    windows: &CubeTensor<R>,
    [n, _, d, h, w]: [usize; 5],
    weight: Tensor<Gpu<R, BT>, 5>,
    precision: Precision,
) -> CubeTensor<R> {
    let to = weight.dims()[0];
    // Transposed in memory, so that kernels read more of its columns at once.
    let weight = into_contiguous(cube(narrow(for_windows(weight), precision).swap_dims(0, 1)));
    let weight = float::<R, BT, 2>(weight).swap_dims(0, 1);
    let y = product(windows.clone(), cube(weight), windows.dtype);
    reshaped::<R, BT, 2, 5>(y, [n, d, h, w, to])
}
