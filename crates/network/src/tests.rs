//! Compares the fused operations with the composed form, on the same tape and the same numbers.

use burn::backend::flex::FlexDevice;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Shape, Tensor, TensorData};

use crate::composed;
use crate::operations::Operations;
use crate::random::{Purpose, Stream};
use crate::signatures::{BlockTensors, By, How};
use crate::{Batch, Config, Device, Learning, Loss, Network, Precision, Trainer, Voxels, Weights};

type Taped = Autodiff<Flex>;

/// Draws a series of tensors, the same each time.
struct Draw(Stream);

impl Draw {
    fn new() -> Draw {
        Draw(Stream::new(11, Purpose::Weights))
    }

    fn tensor<const D: usize>(&mut self, shape: [usize; D], low: f32, high: f32) -> Tensor<Taped, D> {
        let len = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|_| low + (high - low) * self.0.unit()).collect();
        Tensor::from_data(TensorData::new(values, Shape::from(shape)), &FlexDevice)
    }
}

fn values<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

/// The largest difference divided by the largest value.
fn error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30_f32, |a, b| a.max(b.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// The output, the statistics and every gradient of one block.
fn block(fused: bool, edge: usize, from: usize, residual: bool, how: How) -> Vec<Vec<f32>> {
    let to = 5;
    let mut draw = Draw::new();
    let x = draw.tensor([3, from, edge, edge + 2, 4], 0.0, 1.0).require_grad();
    let weight = draw.tensor([to, from, 3, 3, 3], -0.3, 0.3).require_grad();
    let vectors: Vec<Tensor<Taped, 1>> =
        [(-0.5, 0.5), (0.5, 1.5), (-0.5, 0.5)].map(|(a, b)| draw.tensor([to], a, b).require_grad()).into();
    let running = [draw.tensor([to], -0.5, 0.5), draw.tensor([to], 0.5, 1.5)];
    let projection = draw.tensor([to, from, 1, 1, 1], -1.0, 1.0).require_grad();
    let projection_bias = draw.tensor([to], -0.5, 0.5).require_grad();
    let tensors = BlockTensors {
        conv: (weight.clone(), vectors[0].clone()),
        affine: [vectors[1].clone(), vectors[2].clone()],
        running,
        skip: residual.then(|| (projection.clone(), projection_bias.clone())),
    };
    let (output, seen) =
        if fused { Taped::block(x.clone(), tensors, how) } else { composed::block(x.clone(), tensors, how) };
    let along = draw.tensor(output.dims(), -1.0, 1.0);
    let gradients = (output.clone() * along).sum().backward();
    let mut all = vec![values(output.inner())];
    all.extend(seen.into_iter().flatten().map(|tensor| values(tensor.inner())));
    all.push(values(x.grad(&gradients).unwrap()));
    all.push(values(weight.grad(&gradients).unwrap()));
    // The convolution's bias has no gradient before a BatchNorm that normalises with the batch; the
    // composed form leaves a rounding error there.
    let skipped = usize::from(how.training);
    all.extend(vectors[skipped..].iter().map(|vector| values(vector.grad(&gradients).unwrap())));
    if residual {
        all.push(values(projection.grad(&gradients).unwrap()));
        all.push(values(projection_bias.grad(&gradients).unwrap()));
    }
    all
}

#[test]
fn a_fused_block_is_the_composed_block() {
    for (edge, from) in [(4, 1), (6, 3), (5, 2)] {
        for residual in [false, true] {
            for training in [false, true] {
                for last in [false, true] {
                    let how = How { training, last, precision: Precision::F32 };
                    let fused = block(true, edge, from, residual, how);
                    let composed = block(false, edge, from, residual, how);
                    assert_eq!(fused.len(), composed.len());
                    for (index, (a, b)) in fused.iter().zip(&composed).enumerate() {
                        let error = error(a, b);
                        assert!(
                            error < 3e-5,
                            "{edge} {from} {residual} {how:?}: tensor {index} off by {error}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_fused_linear_layer_and_adam_are_the_composed_ones() {
    for (n, from, to) in [(1, 7, 2), (5, 1040, 9), (8, 4096, 33)] {
        let run = |fused: bool| {
            let mut draw = Draw::new();
            let x = draw.tensor([n, from], -1.0, 1.0).require_grad();
            let weight = draw.tensor([to, from], -1.0, 1.0).require_grad();
            let bias = draw.tensor([to], -1.0, 1.0).require_grad();
            let (a, b, c) = (x.clone(), weight.clone(), bias.clone());
            let f32 = Precision::F32;
            let y = if fused {
                Taped::fully_connected(a, b, c, f32)
            } else {
                composed::fully_connected(a, b, c, f32)
            };
            let along = draw.tensor([n, to], -1.0, 1.0);
            let gradients = (y.clone() * along).sum().backward();
            let gradient = weight.grad(&gradients).unwrap().reshape([to * from]);
            let value = weight.inner().reshape([to * from]);
            let moments = [draw.tensor([to * from], -1.0, 1.0), draw.tensor([to * from], 0.0, 1.0)];
            let moments = moments.map(Tensor::inner);
            let by = By {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 1e-2,
                shrink: 0.999,
                step_size: 1e-2,
                correction: 0.5,
            };
            let (value, [first, second]) = if fused {
                Flex::adam(value, moments, gradient.clone(), by)
            } else {
                composed::adam(value, moments, gradient.clone(), by)
            };
            let input = values(x.grad(&gradients).unwrap());
            let bias = values(bias.grad(&gradients).unwrap());
            let flat = [gradient, value, first, second].map(values).concat();
            [values(y.inner()), input, bias, flat]
        };
        for (fused, composed) in run(true).iter().zip(&run(false)) {
            assert!(error(fused, composed) < 2e-6, "{n} {from} {to}");
        }
    }
}

fn volumes(config: &Config) -> Vec<Vec<u16>> {
    (0..3).map(|b| (0..config.voxels()).map(|i| ((i * 7919 * (b + 3)) % 65536) as u16).collect()).collect()
}

/// The bytes of model.safetensors after two steps.
fn trained(config: &Config) -> Vec<u8> {
    let mut trainer = Trainer::new(&Weights::init(config, 3), Learning::default(), 3, Device::Cpu).unwrap();
    let loss = Loss { class_weights: [1.0, 1.5], ..Loss::default() };
    let volumes = volumes(config);
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    for _ in 0..2 {
        trainer.step(&Batch::of(&volumes, &[0, 1, 0]), &loss, 1e-3).unwrap();
    }
    assert!(trainer.losses().iter().all(|loss| loss.is_finite()));
    trainer.weights().to_safetensors().unwrap()
}

#[test]
fn one_two_and_four_threads_write_the_same_bytes() {
    let config = Config { width: 5, hidden_size: 24, ..Config::default() };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&config))
    };
    let one = on(1);
    assert!(one == on(2) && one == on(4), "the bytes depend on the number of threads");
    assert!(one == trained(&config), "the bytes differ from run to run");
}

#[test]
fn filters_without_a_kernel_take_the_composed_form() {
    for kernel_size in [1, 5] {
        assert!(!Config::kernel_size_has_kernels(kernel_size));
        let config = Config { width: 1, hidden_size: 4, kernel_size, ..Config::default() };
        let weights = Weights::from_safetensors(&trained(&config), &config).unwrap();
        assert_eq!(weights.get("conv.1.weight").unwrap().len(), 2 * kernel_size.pow(3));
        let volume = vec![1000; config.voxels()];
        let logits = Network::new(&weights, Device::Cpu).unwrap().logits(Voxels::Host(&[&volume])).unwrap();
        assert!(logits[0].iter().all(|logit| logit.is_finite()));
    }
    assert!(Config::kernel_size_has_kernels(3));
    let config = Config { kernel_size: 4, ..Config::default() };
    assert!(Weights::from_safetensors(&[], &config).unwrap_err().to_string().contains("kernel_size 4"));
}
