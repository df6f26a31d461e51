//! What `products` launches: a value a thread.

use cubecl::prelude::*;

/// `[N, D, H, W, C]` on a grid with zeros after each row, plane and volume, `lead` voxels into the result. Of three `taps`
/// each voxel has its neighbours in the row beside it.
#[cube(launch)]
pub(super) fn spread_kernel<F: Float>(
    from: &Array<F>,
    to: &mut Array<F>,
    d: u32,
    h: u32,
    w: u32,
    channels: u32,
    row: u32,
    rows: u32,
    lead: u32,
    #[comptime] taps: u32,
) {
    if ABSOLUTE_POS >= to.len() {
        terminate!();
    }
    let width = channels as usize;
    let channel = ABSOLUTE_POS % width;
    let tap = ABSOLUTE_POS / width % comptime!(taps as usize);
    let place = ABSOLUTE_POS / width / comptime!(taps as usize) + tap;
    let before = lead as usize + comptime!(taps as usize / 2);
    let mut value = F::new(0.0);
    if place >= before {
        let voxel = place - before;
        let x = voxel % row as usize;
        let y = voxel / row as usize % rows as usize;
        let plane = voxel / (row * rows) as usize;
        let z = plane % (d + 1) as usize;
        let n = plane / (d + 1) as usize;
        let at = (((n * d as usize + z) * h as usize + y) * w as usize + x) * width + channel;
        // What is behind the last volume is zero, too.
        if x < w as usize && y < h as usize && z < d as usize && at < from.len() {
            value = from[at];
        }
    }
    to[ABSOLUTE_POS] = value;
}

/// For each window of the pool the 4 x 4 x 4 voxels of `[N, D, H, W]` that 3 x 3 x 3 filters read for it; zero outside.
#[cube(launch)]
pub(super) fn windows_kernel<F: Float>(from: &Array<F>, to: &mut Array<F>, d: u32, h: u32, w: u32) {
    if ABSOLUTE_POS >= to.len() {
        terminate!();
    }
    let window = ABSOLUTE_POS / 64;
    let read = ABSOLUTE_POS % 64;
    let columns = (w / 2) as usize;
    let rows = (h / 2) as usize;
    let planes = (d / 2) as usize;
    // One voxel further than it is, so that none is below zero.
    let x = window % columns * 2 + read % 4;
    let y = window / columns % rows * 2 + read / 4 % 4;
    let z = window / (columns * rows) % planes * 2 + read / 16;
    let n = window / (columns * rows * planes);
    let mut value = F::new(0.0);
    if x >= 1 && x <= w as usize && y >= 1 && y <= h as usize && z >= 1 && z <= d as usize {
        value = from[((n * d as usize + z - 1) * h as usize + y - 1) * w as usize + x - 1];
    }
    to[ABSOLUTE_POS] = value;
}
