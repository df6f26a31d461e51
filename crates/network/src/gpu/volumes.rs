//! Volumes that are stored on the GPU as 16-bit integers; batches are cut, changed and normalised
//! in one pass.

use burn::tensor::{Int, Shape, Tensor, TensorData};
use burn_cubecl::{BoolElement, CubeRuntime};
use ctpipe_kernels::augment::Change;
use cubecl::CubeDim;
use cubecl::prelude::*;

use crate::batch::Voxels;
use crate::gpu::{Gpu, THREADS, cube, cubes_for};
use crate::shelf::{Loading, Shelf, cubes, from_host};

/// Number of volumes in a piece of the shelf: 134 MB at 64³, and every index fits in 32 bits.
pub(super) const PIECE: usize = 256;
/// Marks a volume that is in another piece.
const ELSEWHERE: i32 = -1;

/// Volumes on a GPU, with two voxels in each word.
pub(crate) struct OnDevice<R: CubeRuntime, BT: BoolElement> {
    /// Full pieces of [`PIECE`] volumes each, and one that is not full.
    pub(super) pieces: Vec<Tensor<Gpu<R, BT>, 1, Int>>,
    /// Number of volumes in all pieces.
    volumes: usize,
}

impl<R: CubeRuntime, BT: BoolElement> Default for OnDevice<R, BT> {
    fn default() -> Self {
        OnDevice { pieces: Vec::new(), volumes: 0 }
    }
}

/// Packs two 16-bit voxels into each word, the first one in the low half.
fn words(volumes: &[&[u16]]) -> Vec<i32> {
    let all = volumes.iter().flat_map(|volume| volume.as_chunks::<2>().0);
    all.map(|&[low, high]| (u32::from(low) | u32::from(high) << 16).cast_signed()).collect()
}

impl<R: CubeRuntime, BT: BoolElement> Shelf<Gpu<R, BT>> for OnDevice<R, BT> {
    fn keep(&mut self, volumes: &[&[u16]], device: &R::Device) {
        let mut volumes = volumes;
        while !volumes.is_empty() {
            let there = self.volumes % PIECE;
            let (some, rest) = volumes.split_at(volumes.len().min(PIECE - there));
            let words = words(some);
            let len = words.len();
            let new = Tensor::from_data(TensorData::new(words, [len]), device);
            // Volumes that come to an unfinished piece are appended; a piece is copied a few times
            // at most.
            let piece = match (there, self.pieces.pop()) {
                (0, full) => {
                    self.pieces.extend(full);
                    new
                }
                (_, Some(begun)) => Tensor::cat(vec![begun, new], 0),
                (_, None) => new,
            };
            self.pieces.push(piece);
            self.volumes += some.len();
            volumes = rest;
        }
    }

    fn len(&self) -> usize {
        self.volumes
    }
}

impl<R: CubeRuntime, BT: BoolElement> Loading for Gpu<R, BT> {
    type Shelf = OnDevice<R, BT>;
    const INFERENCE_BATCH: usize = 64;

    fn load(
        shelf: &Self::Shelf,
        voxels: Voxels<'_>,
        changes: &[Change],
        size: usize,
        device: &R::Device,
    ) -> Tensor<Self, 5> {
        match voxels {
            Voxels::Scaled(values) => cubes(values.to_vec(), size, device),
            Voxels::Host(volumes) => {
                // Only half of the bytes that the network sees go over the bus.
                let mut passing = OnDevice::default();
                passing.keep(volumes, device);
                let numbers: Vec<usize> = (0..volumes.len()).collect();
                if size.pow(3).is_multiple_of(2) {
                    render(&passing, &numbers, changes, size, device)
                } else {
                    from_host(volumes, changes, size, device)
                }
            }
            Voxels::Kept(numbers) => render(shelf, numbers, changes, size, device),
        }
    }
}

/// Moves no voxel.
const HERE: [[f32; 4]; 3] = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];

/// A batch from the shelf.
fn render<R: CubeRuntime, BT: BoolElement>(
    shelf: &OnDevice<R, BT>,
    numbers: &[usize],
    changes: &[Change],
    size: usize,
    device: &R::Device,
) -> Tensor<Gpu<R, BT>, 5> {
    let (n, voxels) = (numbers.len(), size.pow(3));
    let out = Tensor::<Gpu<R, BT>, 1>::empty([n * voxels], device);
    let of = |index: usize| changes.get(index).copied().unwrap_or(Change::NONE);
    let mut floats = Vec::with_capacity(n * FLOATS);
    let mut keys = Vec::with_capacity(n * 3);
    for index in 0..n {
        let change = of(index);
        floats.extend(change.sampled_at.unwrap_or(HERE).concat());
        let noise = change.noise;
        // Changed values are clipped to the window; a volume that is only moved cannot leave it.
        floats.extend([change.gain, change.offset, noise.map_or(0.0, |noise| noise.deviation)]);
        keys.extend(noise.map_or([0; 3], |noise| noise.key).map(u32::cast_signed));
    }
    let floats = Tensor::<Gpu<R, BT>, 1>::from_data(TensorData::new(floats, [n * FLOATS]), device);
    let keys = Tensor::<Gpu<R, BT>, 1, Int>::from_data(TensorData::new(keys, [n * 3]), device);
    for (index, piece) in shelf.pieces.iter().enumerate() {
        let here = |&number: &usize| {
            if number / PIECE == index { ((number % PIECE) as u32).cast_signed() } else { ELSEWHERE }
        };
        let places: Vec<i32> = numbers.iter().map(here).collect();
        if places.iter().all(|&place| place == ELSEWHERE) {
            continue;
        }
        let places = Tensor::<Gpu<R, BT>, 1, Int>::from_data(TensorData::new(places, [n]), device);
        let to = cube(out.clone());
        let client = to.client.clone();
        render_kernel::launch::<R>(
            &client,
            cubes_for(n * voxels),
            CubeDim::new_1d(THREADS),
            piece.clone().into_primitive().into_array_arg(),
            places.into_primitive().into_array_arg(),
            cube(floats.clone()).into_array_arg(),
            keys.clone().into_primitive().into_array_arg(),
            to.into_array_arg(),
            size as u32,
        );
    }
    out.reshape(Shape::new([n, 1, size, size, size]))
}

/// Number of floats for one volume's change: three rows of four, gain, offset, deviation.
const FLOATS: usize = 15;

/// `ctpipe_kernels::augment::render`, with one voxel for each thread.
#[cube(launch)]
fn render_kernel(
    words: &Array<u32>,
    places: &Array<i32>,
    floats: &Array<f32>,
    keys: &Array<u32>,
    out: &mut Array<f32>,
    edge: u32,
) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let side = edge as usize;
    let voxels = side * side * side;
    let sample = ABSOLUTE_POS / voxels;
    let index = ABSOLUTE_POS % voxels;
    let place = places[sample];
    if place < 0 {
        terminate!();
    }
    let first = place as usize * voxels;
    let x = (index % side) as f32;
    let y = (index / side % side) as f32;
    let z = (index / (side * side)) as f32;
    let at = sample * 15;
    let from_x = floats[at] * x + (floats[at + 1] * y + floats[at + 2] * z + floats[at + 3]);
    let from_y = floats[at + 4] * x + (floats[at + 5] * y + floats[at + 6] * z + floats[at + 7]);
    let from_z = floats[at + 8] * x + (floats[at + 9] * y + floats[at + 10] * z + floats[at + 11]);
    let left = f32::floor(from_x);
    let top = f32::floor(from_y);
    let below = f32::floor(from_z);
    let u = from_x - left;
    let v = from_y - top;
    let w = from_z - below;
    let mut sum = 0.0f32;
    #[unroll]
    for corner in 0..8u32 {
        let right = corner % 2;
        let down = corner / 2 % 2;
        let up = corner / 4;
        let cx = left + right as f32;
        let cy = top + down as f32;
        let cz = below + up as f32;
        let last = edge as f32 - 1.0;
        if cx >= 0.0 && cy >= 0.0 && cz >= 0.0 && cx <= last && cy <= last && cz <= last {
            let voxel = first + (cz as usize * side + cy as usize) * side + cx as usize;
            let word = words[voxel / 2];
            let shift = (voxel % 2) as u32 * 16;
            let value = ((word >> shift) & 0xFFFF) as f32;
            let wx = select(right == 1, u, 1.0 - u);
            let wy = select(down == 1, v, 1.0 - v);
            let wz = select(up == 1, w, 1.0 - w);
            sum += value * wx * wy * wz;
        }
    }
    let mut value = sum / 65535.0;
    let gain = floats[at + 12];
    let offset = floats[at + 13];
    let deviation = floats[at + 14];
    value = value * gain + offset;
    if deviation > 0.0 {
        value +=
            deviation * gaussian(index as u32, keys[sample * 3], keys[sample * 3 + 1], keys[sample * 3 + 2]);
    }
    out[ABSOLUTE_POS] = f32::clamp(value, 0.0, 1.0);
}

/// The noise of `ctpipe_kernels::augment`, bit by bit.
#[cube]
fn gaussian(index: u32, a: u32, b: u32, c: u32) -> f32 {
    let mut x = index * 1_664_525u32 + 1_013_904_223u32;
    let mut y = a * 1_664_525u32 + 1_013_904_223u32;
    let mut z = b * 1_664_525u32 + 1_013_904_223u32;
    let mut w = c * 1_664_525u32 + 1_013_904_223u32;
    x += y * w;
    y += z * x;
    z += x * y;
    w += y * z;
    x ^= x >> 16;
    y ^= y >> 16;
    z ^= z >> 16;
    w ^= w >> 16;
    x += y * w;
    y += z * x;
    z += x * y;
    let bits = x.count_ones() + y.count_ones();
    (bits as f32 - 32.0 + ((z >> 8) as f32 / 16_777_216.0 - 0.5)) * 0.249_351_4
}
