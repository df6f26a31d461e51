//! Measures the time of each part of a step on any backend, for benchmarks.

use std::time::Instant;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

use crate::arch::Pass;
use crate::config::{BLOCKS, Config};
use crate::device::Precision;
use crate::operations::Operations;
use crate::optimizer::{Learning, Optimizer};
use crate::random::{Purpose, Stream};
use crate::shelf::{Loading, Shelf as _};
use crate::signatures::{BlockTensors, How};
use crate::{Change, Noise, Voxels};

/// Median times of one part of a step, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `block 1`, `fc1`, ...
    pub name: String,
    /// The forward pass alone.
    pub forward: f64,
    /// Forward and backward pass; `None` for parts without a backward pass.
    pub both: Option<f64>,
}

/// Median time in seconds; the device is waited for each time.
fn timed<B: Backend>(device: &B::Device, repeats: usize, mut work: impl FnMut()) -> f64 {
    let mut seconds = Vec::new();
    // The first two runs compile and select kernels.
    for _ in 0..repeats + 2 {
        let _ = B::sync(device);
        let start = Instant::now();
        work();
        let _ = B::sync(device);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.drain(..2);
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Draws random tensors.
struct Draw<'a, B: Backend>(Stream, &'a B::Device);

impl<B: Backend> Draw<'_, B> {
    fn tensor<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<B, D> {
        let len = shape.iter().product();
        let values: Vec<f32> = (0..len).map(|_| self.0.unit() - 0.5).collect();
        Tensor::from_data(TensorData::new(values, shape), self.1)
    }
}

/// Measures each part of a step on `batch` volumes, by itself on random numbers.
pub(crate) fn layers<B: AutodiffBackend<InnerBackend: Loading> + Operations>(
    config: &Config,
    precision: Precision,
    batch: usize,
    repeats: usize,
    device: &B::Device,
) -> Vec<Layer> {
    let mut found = vec![loading::<B::InnerBackend>(config, batch, repeats, device)];
    let mut draw = Draw::<B>(Stream::new(1, Purpose::Weights), device);
    let mut size = config.size;
    for (block, (from, to)) in config.channels().into_iter().enumerate() {
        let k = config.kernel_size;
        let x = draw.tensor([batch, from, size, size, size]);
        // The network's own input has no gradient.
        let x = if block == 0 { x } else { x.require_grad() };
        let weight = draw.tensor([to, from, k, k, k]).require_grad();
        let vectors: Vec<Tensor<B, 1>> = (0..3).map(|_| draw.tensor([to]).require_grad()).collect();
        let running = [draw.tensor([to]), draw.tensor([to]).abs().add_scalar(0.5)];
        let skip = config
            .residual
            .then(|| (draw.tensor([to, from, 1, 1, 1]).require_grad(), draw.tensor([to]).require_grad()));
        let how = How { training: true, last: block + 1 == BLOCKS, precision };
        let forward = || {
            let tensors = BlockTensors {
                conv: (weight.clone(), vectors[0].clone()),
                affine: [vectors[1].clone(), vectors[2].clone()],
                running: running.clone(),
                skip: skip.clone(),
            };
            B::block(x.clone(), tensors, how).0
        };
        found.push(Layer {
            name: format!("block {}", block + 1),
            forward: timed::<B>(device, repeats, || drop(forward())),
            both: Some(timed::<B>(device, repeats, || drop(forward().sum().backward()))),
        });
        size /= 2;
    }
    let features = config.last_channels() * size.pow(3);
    for (name, from, to) in
        [("fc1", features, config.hidden_size), ("fc2", config.hidden_size, config.num_classes)]
    {
        let x = draw.tensor([batch, from]).require_grad();
        let (weight, bias) = (draw.tensor([to, from]).require_grad(), draw.tensor([to]).require_grad());
        let forward = || B::fully_connected(x.clone(), weight.clone(), bias.clone(), precision);
        found.push(Layer {
            name: name.to_owned(),
            forward: timed::<B>(device, repeats, || drop(forward())),
            both: Some(timed::<B>(device, repeats, || drop(forward().sum().backward()))),
        });
    }
    found.push(optimizer::<B::InnerBackend>(config, repeats, device));
    found.push(whole_forward::<B::InnerBackend>(config, precision, batch, repeats, device));
    found
}

/// Cuts a batch from the shelf with every change at once.
fn loading<B: Loading>(config: &Config, batch: usize, repeats: usize, device: &B::Device) -> Layer {
    let volume: Vec<u16> = (0..config.voxels()).map(|i| (i * 7919 % 65_536) as u16).collect();
    let mut shelf = B::Shelf::default();
    shelf.keep(&vec![volume.as_slice(); batch], device);
    let numbers: Vec<usize> = (0..batch).collect();
    let rows = [[0.98, 0.17, 0.0, -2.0], [-0.17, 0.98, 0.0, 3.0], [0.0, 0.0, 1.0, 0.0]];
    let noise = Some(Noise { deviation: 0.05, key: [1, 2, 3] });
    let changes = vec![Change { sampled_at: Some(rows), gain: 1.1, offset: 0.0, noise }; batch];
    let load = || drop(B::load(&shelf, Voxels::Kept(&numbers), &changes, config.size, device));
    Layer { name: "load and augment".to_owned(), forward: timed::<B>(device, repeats, load), both: None }
}

/// A step of Adam over every tensor.
fn optimizer<B: Operations>(config: &Config, repeats: usize, device: &B::Device) -> Layer {
    let slots = config.slots();
    let zeros = || slots.iter().map(|slot| Tensor::<B, 1>::zeros([slot.len()], device));
    let decays: Vec<bool> = slots.iter().map(crate::config::Slot::is_weight).collect();
    let mut optimizer = Optimizer::new(Learning::default(), &decays);
    let mut values: Vec<Tensor<B, 1>> = zeros().collect();
    let gradients: Vec<Option<Tensor<B, 1>>> = zeros().map(Some).collect();
    let step = || values = optimizer.step(std::mem::take(&mut values), gradients.clone(), 1e-3);
    Layer { name: "optimizer".to_owned(), forward: timed::<B>(device, repeats, step), both: None }
}

/// The whole forward pass, as in inference.
fn whole_forward<B: Operations>(
    config: &Config,
    precision: Precision,
    batch: usize,
    repeats: usize,
    device: &B::Device,
) -> Layer {
    let mut draw = Draw::<B>(Stream::new(1, Purpose::Weights), device);
    let values: Vec<Tensor<B, 1>> =
        config.slots().iter().map(|slot| draw.tensor([slot.len()]).abs().mul_scalar(0.01)).collect();
    let x = draw.tensor([batch, 1, config.size, config.size, config.size]);
    let answer = || drop(config.arch.forward(config, &values, x.clone(), &mut Pass::answer(precision)));
    Layer { name: "inference".to_owned(), forward: timed::<B>(device, repeats, answer), both: None }
}
