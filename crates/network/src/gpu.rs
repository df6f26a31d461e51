//! What GPUs are given kernels for, in CubeCL: volumes that lie there as 16-bit integers are cut into batches, changed and
//! normalised in one pass, and Adam moves a tensor in one. Everything else is composed of Burn's operations.
//!
//! Written for any GPU that CubeCL knows; CUDA is the one that is used.

use burn::backend::Autodiff;
use burn::tensor::backend::DeviceOps;
use burn::tensor::{Int, Shape, Tensor, TensorData, TensorPrimitive};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime};
use ctpipe_kernels::augment::Change;
use cubecl::prelude::*;
use cubecl::server::ComputeServer;
use cubecl::{CubeCount, CubeDim};

use crate::batch::Voxels;
use crate::operations::{Moved, Operations};
use crate::optimizer::By;
use crate::shelf::{Loading, Shelf, cubes, from_host};

/// Threads of a cube.
const THREADS: u32 = 256;
/// Volumes of a piece of the shelf: 134 MB at 64³, and no index beyond 32 bits.
const PIECE: usize = 256;
/// A volume that is in another piece.
const ELSEWHERE: i32 = -1;

type Gpu<R, BT> = CubeBackend<R, f32, i32, BT>;

/// Volumes on a GPU, two voxels a word.
pub(crate) struct OnDevice<R: CubeRuntime, BT: BoolElement>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
    /// Full pieces, each of [`PIECE`] volumes, and one that is not.
    pieces: Vec<Tensor<Gpu<R, BT>, 1, Int>>,
    /// Volumes of the last piece, which are on the host until it is full or asked for.
    volumes: usize,
}

impl<R: CubeRuntime, BT: BoolElement> Default for OnDevice<R, BT>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
    fn default() -> Self {
        OnDevice { pieces: Vec::new(), volumes: 0 }
    }
}

/// Two 16-bit voxels a word, the first one low.
fn words(volumes: &[&[u16]]) -> Vec<i32> {
    let all = volumes.iter().flat_map(|volume| volume.as_chunks::<2>().0);
    all.map(|&[low, high]| (u32::from(low) | u32::from(high) << 16).cast_signed()).collect()
}

impl<R: CubeRuntime, BT: BoolElement> Shelf<Gpu<R, BT>> for OnDevice<R, BT>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
    fn keep(&mut self, volumes: &[&[u16]], device: &R::Device) {
        let mut volumes = volumes;
        while !volumes.is_empty() {
            let there = self.volumes % PIECE;
            let (some, rest) = volumes.split_at(volumes.len().min(PIECE - there));
            let words = words(some);
            let len = words.len();
            let new = Tensor::from_data(TensorData::new(words, [len]), device);
            // What comes to a piece that has begun is put behind it; a piece is copied a few times at most.
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

impl<R: CubeRuntime, BT: BoolElement> Operations for Gpu<R, BT>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
    fn adam(
        value: Tensor<Self, 1>,
        [first, second]: [Tensor<Self, 1>; 2],
        gradient: Tensor<Self, 1>,
        by: By,
    ) -> Moved<Self> {
        let len = value.dims()[0];
        let device = value.device();
        let new = [(); 3].map(|()| Tensor::<Self, 1>::empty([len], &device));
        let numbers = [
            by.beta1,
            1.0 - by.beta1,
            by.beta2,
            1.0 - by.beta2,
            by.step_size,
            by.correction,
            by.epsilon,
            by.weight_decay,
            by.shrink,
        ];
        let numbers = Tensor::<Self, 1>::from_data(numbers.map(|number| number as f32), &device);
        let [value, first, second, gradient, numbers] = [value, first, second, gradient, numbers].map(cube);
        let client = value.client.clone();
        let outputs = new.clone().map(cube);
        let [to_value, to_first, to_second] = outputs.map(|tensor| tensor.into_array_arg());
        adam_kernel::launch::<R>(
            &client,
            cubes_for(len),
            CubeDim::new_1d(THREADS),
            value.into_array_arg(),
            first.into_array_arg(),
            second.into_array_arg(),
            gradient.into_array_arg(),
            numbers.into_array_arg(),
            to_value,
            to_first,
            to_second,
        );
        let [value, first, second] = new;
        (value, [first, second])
    }
}

// Training's forward pass is composed of Burn's operations.
impl<R: CubeRuntime, BT: BoolElement> Operations for Autodiff<Gpu<R, BT>>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
}

impl<R: CubeRuntime, BT: BoolElement> Loading for Gpu<R, BT>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
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
                // Half the bytes of what the network sees go over the bus.
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

/// A batch from the shelf.
fn render<R: CubeRuntime, BT: BoolElement>(
    shelf: &OnDevice<R, BT>,
    numbers: &[usize],
    changes: &[Change],
    size: usize,
    device: &R::Device,
) -> Tensor<Gpu<R, BT>, 5>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
    let (n, voxels) = (numbers.len(), size.pow(3));
    let out = Tensor::<Gpu<R, BT>, 1>::empty([n * voxels], device);
    let of = |index: usize| changes.get(index).copied().unwrap_or(Change::NONE);
    const HERE: [[f32; 4]; 3] = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    let mut floats = Vec::with_capacity(n * FLOATS);
    let mut keys = Vec::with_capacity(n * 3);
    for index in 0..n {
        let change = of(index);
        floats.extend(change.sampled_at.unwrap_or(HERE).concat());
        let noise = change.noise;
        // A change of values is cut to the window; what is only moved cannot leave it.
        floats.extend([change.gain, change.offset, noise.map_or(0.0, |noise| noise.deviation)]);
        keys.extend(noise.map_or([0; 3], |noise| noise.key).map(u32::cast_signed));
    }
    let floats = Tensor::<Gpu<R, BT>, 1>::from_data(TensorData::new(floats, [n * FLOATS]), device);
    let keys = Tensor::<Gpu<R, BT>, 1, Int>::from_data(TensorData::new(keys, [n * 3]), device);
    for (index, piece) in shelf.pieces.iter().enumerate() {
        let here = |&number: &usize| {
            if number / PIECE == index { (number % PIECE) as i32 } else { ELSEWHERE }
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

fn cube<R: CubeRuntime, BT: BoolElement>(tensor: Tensor<Gpu<R, BT>, 1>) -> burn_cubecl::tensor::CubeTensor<R>
where
    R::Server: ComputeServer,
    R::Device: DeviceOps,
{
    match tensor.into_primitive() {
        TensorPrimitive::Float(tensor) => tensor,
        TensorPrimitive::QFloat(_) => unreachable!("nothing here is quantised"),
    }
}

/// Cubes for so many values, in two dimensions where one has not enough.
fn cubes_for(len: usize) -> CubeCount {
    let all = len.div_ceil(THREADS as usize) as u32;
    let across = all.min(32_768).max(1);
    CubeCount::Static(across, all.div_ceil(across), 1)
}

/// Floats of one volume's change: three rows of four, gain, offset, deviation.
const FLOATS: usize = 15;

/// `ctpipe_kernels::augment::render` for one voxel a thread.
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

/// `ctpipe_kernels::augment`'s noise, bit by bit.
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

/// One value a thread: four numbers read, three written.
#[cube(launch)]
fn adam_kernel(
    value: &Array<f32>,
    first: &Array<f32>,
    second: &Array<f32>,
    gradient: &Array<f32>,
    by: &Array<f32>,
    to_value: &mut Array<f32>,
    to_first: &mut Array<f32>,
    to_second: &mut Array<f32>,
) {
    if ABSOLUTE_POS >= to_value.len() {
        terminate!();
    }
    let old = value[ABSOLUTE_POS];
    let slope = gradient[ABSOLUTE_POS] + by[7] * old;
    let m = by[0] * first[ABSOLUTE_POS] + by[1] * slope;
    let v = by[2] * second[ABSOLUTE_POS] + by[3] * (slope * slope);
    to_first[ABSOLUTE_POS] = m;
    to_second[ABSOLUTE_POS] = v;
    to_value[ABSOLUTE_POS] = by[8] * old - by[4] * (m / (f32::sqrt(v) / by[5] + by[6]));
}

/// On a CPU by way of Vulkan: `make test-gpu-code`.
#[cfg(all(test, feature = "wgpu"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Wgpu;
    use burn::backend::wgpu::WgpuDevice;
    use ctpipe_kernels::augment::{self, Noise};

    use super::*;
    use crate::batch::Batch;
    use crate::composed;
    use crate::session::{Infer, Train, Training};
    use crate::{Arch, Config, Device, Learning, Loss, Trainer, Weights};

    fn volume(edge: usize, seed: usize) -> Vec<u16> {
        (0..edge.pow(3)).map(|i| ((i * 7919 * (seed + 3)) % 65_536) as u16).collect()
    }

    fn apart(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn batches_are_cut_and_changed_as_a_cpu_does() {
        let (edge, device) = (24, WgpuDevice::default());
        let volumes: Vec<Vec<u16>> = (0..3).map(|seed| volume(edge, seed)).collect();
        let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
        let rows = [[0.97, 0.12, 0.05, -1.3], [-0.11, 0.98, 0.02, 0.7], [-0.06, -0.01, 1.01, 0.4]];
        let noise = Some(Noise { deviation: 0.07, key: [5, 6, 0xFFFF_FFF7] });
        let mirror = [[-1.0, 0.0, 0.0, 23.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let changes = [
            Change { sampled_at: Some(rows), gain: 1.1, offset: -0.02, noise },
            Change { noise, ..Change::NONE },
            Change { sampled_at: Some(mirror), ..Change::NONE },
        ];
        let mut expected = vec![0.0; 3 * edge.pow(3)];
        augment::render(ctpipe_kernels::Isa::portable(), edge, &volumes, &changes, &mut expected);
        let mut shelf = <Wgpu as Loading>::Shelf::default();
        shelf.keep(&volumes, &device);
        for voxels in [Voxels::Host(&volumes), Voxels::Kept(&[0, 1, 2])] {
            let found = <Wgpu as Loading>::load(&shelf, voxels, &changes, edge, &device);
            let found: Vec<f32> = found.into_data().to_vec().unwrap();
            assert!(apart(&found, &expected) < 2e-5, "{}", apart(&found, &expected));
        }
    }

    #[test]
    fn a_shelf_of_many_pieces_hands_out_what_it_was_given() {
        let (edge, device) = (8, WgpuDevice::default());
        let volumes: Vec<Vec<u16>> = (0..2 * PIECE + 9).map(|seed| volume(edge, seed)).collect();
        let slices: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
        let mut shelf = <Wgpu as Loading>::Shelf::default();
        slices.chunks(100).for_each(|some| shelf.keep(some, &device));
        assert_eq!((shelf.len(), shelf.pieces.len()), (2 * PIECE + 9, 3));
        let numbers = [2 * PIECE + 8, 0, PIECE - 1, PIECE, 99, 100, 2 * PIECE, 5];
        let found = <Wgpu as Loading>::load(&shelf, Voxels::Kept(&numbers), &[], edge, &device);
        let found: Vec<f32> = found.into_data().to_vec().unwrap();
        for (found, number) in found.chunks(edge.pow(3)).zip(numbers) {
            let expected: Vec<f32> = volumes[number].iter().map(|&v| f32::from(v) / 65_535.0).collect();
            assert!(apart(found, &expected) < 1e-6, "{number}");
        }
    }

    #[test]
    fn a_step_of_adam_is_the_composed_one() {
        let device = WgpuDevice::default();
        let draw = |seed: usize| -> Tensor<Wgpu, 1> {
            let values: Vec<f32> =
                (0..70_001).map(|i| ((i * 7919 + seed * 104_729) % 1000) as f32 / 1000.0).collect();
            Tensor::from_data(TensorData::new(values, [70_001]), &device)
        };
        let by = By {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-2,
            shrink: 0.999,
            step_size: 1e-2,
            correction: 0.5,
        };
        let (value, moments) = Wgpu::adam(draw(1), [draw(2), draw(3)], draw(4), by);
        let (expected, expected_moments) = composed::adam(draw(1), [draw(2), draw(3)], draw(4), by);
        let values = |tensor: Tensor<Wgpu, 1>| -> Vec<f32> { tensor.into_data().to_vec().unwrap() };
        assert!(apart(&values(value), &values(expected)) < 1e-6);
        for (found, expected) in moments.into_iter().zip(expected_moments) {
            assert!(apart(&values(found), &values(expected)) < 1e-6);
        }
    }

    /// Three steps from a shelf, with changes, dropout, two batches a step and a moving average.
    #[test]
    fn a_training_is_the_cpus() {
        for arch in [Arch::Cnn3d, Arch::Cnn3dGap] {
            let config = Config { arch, size: 16, width: 2, hidden_size: 5, ..Config::default() };
            let weights = Weights::init(&config, 3);
            let learning = Learning { ema_decay: 0.5, clip_norm: 1.0, ..Learning::default() };
            let volumes: Vec<Vec<u16>> = (0..4).map(|seed| volume(16, seed)).collect();
            let slices: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
            let loss = Loss { label_smoothing: 0.1, ..Loss::default() };
            let change = Change { gain: 0.9, offset: 0.05, ..Change::NONE };
            let mut cpu = Trainer::new(&weights, learning, 7, Device::Cpu).unwrap();
            let mut gpu = Training::<Autodiff<Wgpu>>::new(&weights, learning, 7, WgpuDevice::default());
            cpu.keep(&slices).unwrap();
            gpu.keep(&slices);
            for _ in 0..3 {
                for numbers in [[0, 1], [3, 2]] {
                    let labels = [0, 1];
                    let batch =
                        Batch { voxels: Voxels::Kept(&numbers), labels: &labels, changes: &[change; 2] };
                    cpu.add(&batch, &loss, &[0, 1, 0, 1]).unwrap();
                    gpu.add(&batch, &loss, loss.divisor(&[0, 1, 0, 1]), None);
                }
                cpu.update(1e-3);
                gpu.update(1e-3);
            }
            assert!(apart(&cpu.losses(), &gpu.losses()) < 1e-4, "{arch:?}");
            let state = gpu.state();
            assert_eq!(state.counts, cpu.state().counts);
            let logits = gpu.logits(Voxels::Host(&slices));
            let expected = cpu.logits(Voxels::Host(&slices)).unwrap().concat();
            assert!(apart(&logits, &expected) < 2e-3, "{logits:?} {expected:?}");
            // And it goes on from its state as from itself.
            let mut other = Training::<Autodiff<Wgpu>>::new(&weights, learning, 7, WgpuDevice::default());
            other.restore(&state);
            assert_eq!(other.state(), state);
        }
    }
}
