//! CNN3D, from volumes to logits, on any backend. Knows no loss and no optimiser.

use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Shape, Tensor};

use crate::config::{BLOCKS, Config};
use crate::operations::{BatchStatistics, BlockTensors, How, Operations};

/// PyTorch's BatchNorm default: the share of the new batch in the running statistics.
pub(crate) const MOMENTUM: f32 = 0.1;

/// Masks of one training step, each value 0 or 1 / (1 - rate).
pub(crate) struct Dropout<B: Backend> {
    /// `[N 4 width, 1]`: whole channels before the first linear layer.
    pub(crate) channels: Tensor<B, 2>,
    /// `[N, hidden_size]`.
    pub(crate) units: Tensor<B, 2>,
}

/// Hands out the network's tensors in the order of `Config::slots`.
struct Slots<'a, B: Backend>(std::slice::Iter<'a, Tensor<B, 1>>);

impl<B: Backend> Slots<'_, B> {
    fn next<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<B, D> {
        match self.0.next() {
            Some(tensor) => tensor.clone().reshape(Shape::from(shape)),
            // The list is made from the same slots; a missing one is a mistake in this file.
            None => unreachable!("fewer tensors than slots"),
        }
    }
}

/// What comes out of [`forward`].
pub(crate) struct Forward<B: Backend> {
    /// `[N, num_classes]`.
    pub(crate) logits: Tensor<B, 2>,
    /// Of each block, where it normalised by the batch.
    pub(crate) seen: Vec<BatchStatistics<B>>,
}

/// `x [N, 1, size, size, size]` to logits.
///
/// With `dropout` it is a training step: BatchNorm normalises by the batch; without, by the running
/// statistics.
pub(crate) fn forward<B: Operations>(
    config: &Config,
    values: &[Tensor<B, 1>],
    x: Tensor<B, 5>,
    dropout: Option<Dropout<B>>,
) -> Forward<B> {
    let training = dropout.is_some();
    let mut slots = Slots(values.iter());
    let mut seen = Vec::new();
    let mut x = x;
    let k = config.kernel_size;
    for (index, (from, to)) in config.channels().into_iter().enumerate() {
        let tensors = BlockTensors {
            conv: (slots.next([to, from, k, k, k]), slots.next([to])),
            affine: [slots.next([to]), slots.next([to])],
            running: [slots.next([to]), slots.next([to])],
            skip: config.residual.then(|| (slots.next([to, from, 1, 1, 1]), slots.next([to]))),
        };
        let (y, statistics) = B::block(x, tensors, How { training, last: index + 1 == BLOCKS });
        seen.extend(statistics);
        x = y;
    }
    let [n, channels, d, h, w] = x.dims();
    debug_assert_eq!(channels * d * h * w, config.features(), "after {BLOCKS} blocks");
    let (channel_mask, unit_mask) = dropout.map(|d| (d.channels, d.units)).unzip();
    let mut x = x.reshape([n * channels, d * h * w]);
    if let Some(mask) = channel_mask {
        x = x * mask;
    }
    let x = x.reshape([n, config.features()]);
    let mut fully_connected = |x: Tensor<B, 2>, from: usize, to: usize| {
        let weight = slots.next([to, from]);
        B::fully_connected(x, weight, slots.next([to]))
    };
    let mut x = relu(fully_connected(x, config.features(), config.hidden_size));
    if let Some(mask) = unit_mask {
        x = x * mask;
    }
    Forward { logits: fully_connected(x, config.hidden_size, config.num_classes), seen }
}
