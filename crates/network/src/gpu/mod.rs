//! Kernels for GPUs in CubeCL: batches cut from 16-bit volumes (`volumes`), everything after a
//! convolution in a block (`block`), the products of a block and their backward passes (`products`,
//! `split_k`, `windows`), linear layers (`linear`), sums in a fixed order (`row_reduction`), and
//! Adam. `strategies` says which kernel multiplies.
//!
//! They are written for any GPU that CubeCL supports; CUDA is the one in use.

mod block;
mod block_kernels;
mod grid;
mod linear;
mod products;
mod products_kernels;
mod row_reduction;
mod split_k;
mod strategies;
#[cfg(feature = "cuda")]
pub(crate) mod trial;
mod volumes;
mod windows;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::tensor::{DType, Shape, Tensor, TensorPrimitive};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime};
use cubecl::prelude::*;
use cubecl::zspace::Strides;
use cubecl::zspace::metadata::Metadata;
use cubecl::{CubeCount, CubeDim};

use crate::device::Precision;
use crate::operations::Operations;
use crate::signatures::{BlockTensors, Blocked, By, How, Moved};

/// Number of threads in a cube.
const THREADS: u32 = 256;

type Gpu<R, BT> = CubeBackend<R, f32, i32, BT>;

impl<R: CubeRuntime, BT: BoolElement> Operations for Gpu<R, BT> {
    fn block(x: Tensor<Self, 5>, tensors: BlockTensors<Self>, how: How) -> Blocked<Self> {
        block::answering(x, tensors, how)
    }

    fn fully_connected(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Tensor<Self, 1>,
        precision: Precision,
    ) -> Tensor<Self, 2> {
        linear::answering(x, weight, bias, precision)
    }

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
        let [to_value, to_first, to_second] = outputs.map(CubeTensor::into_array_arg);
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

impl<R: CubeRuntime, BT: BoolElement, C: CheckpointStrategy> Operations for Autodiff<Gpu<R, BT>, C> {
    fn block(x: Tensor<Self, 5>, tensors: BlockTensors<Self>, how: How) -> Blocked<Self> {
        block::learning(x, tensors, how)
    }

    fn fully_connected(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Tensor<Self, 1>,
        precision: Precision,
    ) -> Tensor<Self, 2> {
        linear::learning(x, weight, bias, precision)
    }
}

fn cube<R: CubeRuntime, BT: BoolElement, const D: usize>(tensor: Tensor<Gpu<R, BT>, D>) -> CubeTensor<R> {
    match tensor.into_primitive() {
        TensorPrimitive::Float(tensor) => tensor,
        TensorPrimitive::QFloat(_) => unreachable!("nothing here is quantised"),
    }
}

fn float<R: CubeRuntime, BT: BoolElement, const D: usize>(tensor: CubeTensor<R>) -> Tensor<Gpu<R, BT>, D> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

fn sizes<R: CubeRuntime, const D: usize>(tensor: &CubeTensor<R>) -> [usize; D] {
    let shape = tensor.meta.shape();
    std::array::from_fn(|axis| shape[axis])
}

/// A tensor's memory with different sizes.
fn reshaped<R: CubeRuntime, BT: BoolElement, const A: usize, const D: usize>(
    tensor: CubeTensor<R>,
    shape: [usize; D],
) -> CubeTensor<R> {
    cube(float::<R, BT, A>(tensor).reshape(shape))
}

/// Memory for a kernel to write to, on the device of a given tensor. Burn's `empty` may leave gaps
/// after each row, which the kernels here do not support.
fn room<R: CubeRuntime>(beside: &CubeTensor<R>, shape: &[usize], dtype: DType) -> CubeTensor<R> {
    let handle = beside.client.empty(shape.iter().product::<usize>() * dtype.size());
    CubeTensor::new_contiguous(beside.client.clone(), beside.device.clone(), shape.into(), handle, dtype)
}

/// A tensor's memory with different sizes and strides, from the given element on or from the
/// beginning of the tensor.
fn view<R: CubeRuntime>(
    of: &CubeTensor<R>,
    first: Option<usize>,
    shape: &[usize],
    strides: &[usize],
) -> CubeTensor<R> {
    let mut handle = of.handle.clone();
    if let Some(first) = first {
        handle.offset_start = Some((first * of.dtype.size()) as u64);
    }
    let metadata = Metadata::new(Shape::from(shape.to_vec()), Strides::from(strides.to_vec()));
    CubeTensor::new(of.client.clone(), handle, metadata, of.device.clone(), of.dtype)
}

/// Number of values that a thread of a kernel reads at once: neighbouring channels.
fn lanes(channels: usize, most: usize) -> usize {
    [8, 4, 2].into_iter().find(|&lanes| lanes <= most && channels.is_multiple_of(lanes)).unwrap_or(1)
}

/// Calls a kernel with the element type of a tensor.
macro_rules! by_type {
    ($of:expr, $launch:ident($($argument:expr),* $(,)?)) => {
        match $of {
            burn::tensor::DType::BF16 => $launch::launch::<half::bf16, R>($($argument),*),
            _ => $launch::launch::<f32, R>($($argument),*),
        }
    };
}
use by_type;

/// Calls a kernel with the element types of two tensors; the second is never narrower than the
/// first.
macro_rules! by_types {
    ($of:expr, $and:expr, $launch:ident($($argument:expr),* $(,)?)) => {
        match ($of, $and) {
            (burn::tensor::DType::BF16, burn::tensor::DType::BF16) =>
                $launch::launch::<half::bf16, half::bf16, R>($($argument),*),
            (burn::tensor::DType::BF16, _) => $launch::launch::<half::bf16, f32, R>($($argument),*),
            _ => $launch::launch::<f32, f32, R>($($argument),*),
        }
    };
}
use by_types;

/// Cubes for `len` values, in two dimensions where one dimension does not suffice.
fn cubes_for(len: usize) -> CubeCount {
    let all = len.div_ceil(THREADS as usize) as u32;
    let across = all.clamp(1, 32_768);
    CubeCount::Static(across, all.div_ceil(across), 1)
}

/// One value for each thread: four numbers are read, three are written.
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

/// On a CPU by Vulkan: `make test-gpu-code`.
#[cfg(all(test, feature = "wgpu"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::backend::Wgpu;
    use burn::backend::wgpu::WgpuDevice;
    use ctpipe_kernels::augment::{self, Noise};

    use burn::tensor::{Shape, TensorData};
    use ctpipe_kernels::augment::Change;

    use super::volumes::PIECE;
    use super::*;
    use crate::batch::{Batch, Voxels};
    use crate::composed;
    use crate::random::{Purpose, Stream};
    use crate::session::{Infer, Train, Training};
    use crate::shelf::{Loading, Shelf as _};
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

    fn values<const D: usize>(tensor: Tensor<Wgpu, D>) -> Vec<f32> {
        tensor.into_data().to_vec().unwrap()
    }

    /// The output, the statistics and every gradient of one block, with a kernel or composed.
    fn block(kernel: bool, from: usize, [residual, training, explained]: [bool; 3]) -> Vec<Vec<f32>> {
        let (device, to, edge) = (WgpuDevice::default(), 5, 6);
        let mut stream = Stream::new(11, Purpose::Weights);
        let mut draw = |shape: &[usize], low: f32, high: f32| -> TensorData {
            let len = shape.iter().product();
            let values: Vec<f32> = (0..len).map(|_| low + (high - low) * stream.unit()).collect();
            TensorData::new(values, Shape::from(shape.to_vec()))
        };
        let x: Tensor<Taped, 5> = Tensor::from_data(draw(&[3, from, edge, edge + 2, 4], 0.0, 1.0), &device)
            .set_require_grad(explained);
        let weight: Tensor<Taped, 5> =
            Tensor::from_data(draw(&[to, from, 3, 3, 3], -0.3, 0.3), &device).require_grad();
        let vectors: Vec<Tensor<Taped, 1>> = [(-0.5, 0.5), (0.5, 1.5), (-0.5, 0.5)]
            .map(|(a, b)| Tensor::from_data(draw(&[to], a, b), &device).require_grad())
            .into();
        let running = [(-0.5, 0.5), (0.5, 1.5)].map(|(a, b)| Tensor::from_data(draw(&[to], a, b), &device));
        let projection: Tensor<Taped, 5> =
            Tensor::from_data(draw(&[to, from, 1, 1, 1], -1.0, 1.0), &device).require_grad();
        let bias: Tensor<Taped, 1> = Tensor::from_data(draw(&[to], -0.5, 0.5), &device).require_grad();
        let tensors = BlockTensors {
            conv: (weight.clone(), vectors[0].clone()),
            affine: [vectors[1].clone(), vectors[2].clone()],
            running,
            skip: residual.then(|| (projection.clone(), bias.clone())),
        };
        let how = How { training, last: false, precision: Precision::F32 };
        let (output, seen) = if kernel {
            Taped::block(x.clone(), tensors, how)
        } else {
            composed::block(x.clone(), tensors, how)
        };
        let along: Tensor<Taped, 5> = Tensor::from_data(draw(&output.dims(), -1.0, 1.0), &device);
        let gradients = (output.clone() * along).sum().backward();
        let mut all = vec![values(output.inner())];
        all.extend(seen.into_iter().flatten().map(|tensor| values(tensor.inner())));
        if explained {
            all.push(values(x.grad(&gradients).unwrap()));
        }
        all.push(values(weight.grad(&gradients).unwrap()));
        // A convolution's bias has no gradient before a BatchNorm that normalises with the batch;
        // the composed form leaves a rounding error there.
        let skipped = usize::from(training);
        all.extend(vectors[skipped..].iter().map(|vector| values(vector.grad(&gradients).unwrap())));
        if residual {
            all.push(values(projection.grad(&gradients).unwrap()));
            all.push(values(bias.grad(&gradients).unwrap()));
        }
        all
    }

    type Taped = Autodiff<Wgpu>;

    #[test]
    fn a_linear_layer_in_shares_is_the_composed_one() {
        let device = WgpuDevice::default();
        let mut stream = Stream::new(12, Purpose::Weights);
        let mut draw = |shape: &[usize]| -> TensorData {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.unit() - 0.5).collect();
            TensorData::new(values, Shape::from(shape.to_vec()))
        };
        for (n, from, to) in [(3, 3 * 1024, 5), (9, 2 * 1024, 16), (2, 100, 2)] {
            let (x, weight, bias) = (draw(&[n, from]), draw(&[to, from]), draw(&[to]));
            let along: Tensor<Taped, 2> = Tensor::from_data(draw(&[n, to]), &device);
            let by = |layer: fn(
                Tensor<Taped, 2>,
                Tensor<Taped, 2>,
                Tensor<Taped, 1>,
                Precision,
            ) -> Tensor<Taped, 2>| {
                let x: Tensor<Taped, 2> = Tensor::from_data(x.clone(), &device).require_grad();
                let weight: Tensor<Taped, 2> = Tensor::from_data(weight.clone(), &device).require_grad();
                let bias: Tensor<Taped, 1> = Tensor::from_data(bias.clone(), &device).require_grad();
                let y = layer(x.clone(), weight.clone(), bias.clone(), Precision::F32);
                let gradients = (y.clone() * along.clone()).sum().backward();
                [
                    values(y.inner()),
                    values(x.grad(&gradients).unwrap()),
                    values(weight.grad(&gradients).unwrap()),
                    values(bias.grad(&gradients).unwrap()),
                ]
            };
            for (found, expected) in
                by(Taped::fully_connected).iter().zip(&by(composed::fully_connected::<Taped>))
            {
                let largest = expected.iter().fold(1e-6_f32, |most, v| most.max(v.abs()));
                assert!(apart(found, expected) / largest < 5e-5, "{n} {from} {to}");
            }
        }
    }

    #[test]
    fn a_block_with_a_kernel_is_the_composed_block() {
        for from in [1, 3] {
            for residual in [false, true] {
                for (training, explained) in [(false, false), (false, true), (true, false), (true, true)] {
                    let found = block(true, from, [residual, training, explained]);
                    let expected = block(false, from, [residual, training, explained]);
                    assert_eq!(found.len(), expected.len());
                    for (index, (a, b)) in found.iter().zip(&expected).enumerate() {
                        let largest = b.iter().fold(1e-6_f32, |most, v| most.max(v.abs()));
                        let off = apart(a, b) / largest;
                        assert!(
                            off < 5e-5,
                            "from {from} residual {residual} training {training} explained {explained}: \
                             {index} off by {off}"
                        );
                    }
                }
            }
        }
    }

    /// Three steps from a shelf, with changes, dropout, two batches per step and a moving average.
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
            // It continues from its saved state as it would have without a stop.
            let mut other = Training::<Autodiff<Wgpu>>::new(&weights, learning, 7, WgpuDevice::default());
            other.restore(&state);
            assert_eq!(other.state(), state);
        }
    }
}
