//! Voxels with zeros after each line, plane and volume, before the first voxel and after the last
//! one. The neighbours that a 3 x 3 x 3 filter reads are then at the same distance everywhere, and
//! the gradient of its weights becomes plain matrix products (`split_k`). Tensors that are read
//! this way are written to a grid from the start; all other code sees a tensor with strides.

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeRuntime};
use cubecl::CubeDim;
use cubecl::prelude::*;

use crate::gpu::{Gpu, THREADS, by_type, cube, cubes_for, lanes, output_buffer, sizes, view};

/// Voxels after the last one that cutting into equal shares may read.
const BEHIND: usize = 8192;
/// Number of values that a thread copies.
const LANES: usize = 8;

/// Lines, and shares of sums, come in multiples of this, so that tensors begin where Vulkan, on
/// which the tests run, can read.
pub(super) const STEP: usize = if cfg!(feature = "wgpu") { 8 } else { 1 };

/// A grid for volumes `[N, D, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    size: [usize; 4],
}

impl Grid {
    pub(super) fn of(size: [usize; 4]) -> Self {
        Self { size }
    }

    /// Voxels from one line to the next.
    pub(super) fn line(self) -> usize {
        (self.size[3] + 1).next_multiple_of(STEP)
    }

    /// Voxels from one plane to the next.
    pub(super) fn plane(self) -> usize {
        self.line() * (self.size[2] + 1)
    }

    /// Voxels from the beginning of the first volume to the end of the last one.
    pub(super) fn all(self) -> usize {
        self.plane() * (self.size[1] + 1) * self.size[0]
    }

    /// Voxels before the first, where a filter reads zeros.
    pub(super) fn lead(self) -> usize {
        self.plane() + self.line()
    }

    /// Voxels from line to line, lines from plane to plane, planes from volume to volume.
    pub(super) fn steps(self) -> [u32; 3] {
        [self.line(), self.size[2] + 1, self.size[1] + 1].map(|step| step as u32)
    }

    /// Voxels of the memory that holds the grid.
    fn whole(self) -> usize {
        self.all() + 2 * self.lead() + BEHIND
    }

    fn strides(self, channels: usize) -> [usize; 5] {
        let [line, plane] = [self.line(), self.plane()];
        [plane * (self.size[1] + 1), plane, line, 1, 0].map(|voxels| (voxels * channels).max(1))
    }

    /// Zeros `[N, D, H, W, C]` on the grid.
    pub(super) fn zeros<R: CubeRuntime, BT: BoolElement>(
        self,
        beside: &CubeTensor<R>,
        channels: usize,
        dtype: DType,
    ) -> CubeTensor<R> {
        let len = [self.whole() * channels];
        let memory = cube(Tensor::<Gpu<R, BT>, 1>::zeros(len, (&beside.device, dtype)));
        let [n, d, h, w] = self.size;
        view(&memory, Some(self.lead() * channels), &[n, d, h, w, channels], &self.strides(channels))
    }

    /// The memory of a tensor on the grid, from its first voxel to the end, for a kernel to write
    /// to: `[elements]`.
    pub(super) fn memory<R: CubeRuntime>(self, x: &CubeTensor<R>) -> CubeTensor<R> {
        let [.., c] = sizes::<R, 5>(x);
        view(x, Some(self.lead() * c), &[(self.whole() - self.lead()) * c], &[1])
    }

    /// Whether a tensor lies on such a grid.
    pub(super) fn holds<R: CubeRuntime>(self, x: &CubeTensor<R>) -> bool {
        let [n, d, h, w, c] = sizes::<R, 5>(x);
        let lead = (self.lead() * c * x.dtype.size()) as u64;
        [n, d, h, w] == self.size
            && x.meta.strides()[..] == self.strides(c)
            && x.handle.offset_start == Some(lead)
    }

    /// The voxels of a tensor on the grid, from the first one on, as shares of equal size:
    /// `[shares, voxels, C]`.
    pub(super) fn shares<R: CubeRuntime>(
        self,
        x: &CubeTensor<R>,
        [shares, voxels]: [usize; 2],
    ) -> CubeTensor<R> {
        let [.., c] = sizes::<R, 5>(x);
        view(x, Some(self.lead() * c), &[shares, voxels, c], &[voxels * c, c, 1])
    }

    /// All memory of the tensor, each voxel between its two neighbours: `[voxels, 3 C]`.
    pub(super) fn in_threes<R: CubeRuntime>(self, x: &CubeTensor<R>) -> CubeTensor<R> {
        let [.., c] = sizes::<R, 5>(x);
        let memory = view(x, Some(0), &[self.whole() * c], &[1]);
        let lanes = lanes(c, LANES);
        let to = output_buffer(x, &[self.whole(), 3 * c], x.dtype);
        by_type!(
            x.dtype,
            threes_kernel(
                &x.client,
                cubes_for(self.whole() * 3 * c / lanes),
                CubeDim::new_1d(THREADS),
                lanes,
                memory.into_array_arg(),
                to.clone().into_array_arg(),
                (c / lanes) as u32,
            )
        );
        to
    }
}

#[cube(launch)]
fn threes_kernel<F: Float, N: Size>(from: &Array<Vector<F, N>>, to: &mut Array<Vector<F, N>>, width: u32) {
    if ABSOLUTE_POS >= to.len() {
        terminate!();
    }
    let width = width as usize;
    // The neighbours come before and after the voxel, except for the very first and the very last
    // voxel.
    let behind = ABSOLUTE_POS / (3 * width) * width + ABSOLUTE_POS % (3 * width);
    let mut value = Vector::<F, N>::new(F::new(0.0));
    if behind >= width && behind - width < from.len() {
        value = from[behind - width];
    }
    to[ABSOLUTE_POS] = value;
}
