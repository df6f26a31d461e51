//! The kernels that `products` launches, with one thread for each value.

use cubecl::prelude::*;

/// Copies `[N, D, H, W, C]` to a grid with the given numbers of voxels from line to line, lines
/// from plane to plane and planes from volume to volume.
#[cube(launch)]
pub(super) fn spread_kernel<F: Float>(
    from: &Array<F>,
    to: &mut Array<F>,
    d: u32,
    h: u32,
    w: u32,
    channels: u32,
    line: u32,
    lines: u32,
    planes: u32,
) {
    if ABSOLUTE_POS >= from.len() {
        terminate!();
    }
    let width = channels as usize;
    let voxel = ABSOLUTE_POS / width;
    let x = voxel % w as usize;
    let y = voxel / w as usize % h as usize;
    let z = voxel / (w * h) as usize % d as usize;
    let n = voxel / (w * h) as usize / d as usize;
    let at = ((n * planes as usize + z) * lines as usize + y) * line as usize + x;
    to[at * width + ABSOLUTE_POS % width] = from[ABSOLUTE_POS];
}

/// For each window of the pool, the 4 x 4 x 4 voxels of `[N, D, H, W]` that 3 x 3 x 3 filters read;
/// zero outside. A thread writes the four voxels of a line.
#[cube(launch)]
pub(super) fn windows_kernel<F: Float, N: Size>(
    from: &Array<F>,
    to: &mut Array<Vector<F, N>>,
    d: u32,
    h: u32,
    w: u32,
    lines: u32,
) {
    if ABSOLUTE_POS >= lines as usize {
        terminate!();
    }
    let window = ABSOLUTE_POS / 16;
    let read = ABSOLUTE_POS % 16;
    let columns = (w / 2) as usize;
    let rows = (h / 2) as usize;
    let planes = (d / 2) as usize;
    // Shifted by one voxel, so that no index is below zero.
    let x = window % columns * 2;
    let y = window / columns % rows * 2 + read % 4;
    let z = window / (columns * rows) % planes * 2 + read / 4;
    let n = window / (columns * rows * planes);
    let inside = y >= 1 && y <= h as usize && z >= 1 && z <= d as usize;
    let mut line = Vector::<F, N>::new(F::new(0.0));
    if inside {
        let first = ((n * d as usize + z - 1) * h as usize + y - 1) * w as usize;
        if x >= 1 {
            line[0] = from[first + x - 1];
        }
        line[1] = from[first + x];
        line[2] = from[first + x + 1];
        if x + 2 < w as usize {
            line[3] = from[first + x + 2];
        }
    }
    to[ABSOLUTE_POS] = line;
}
