//! CNN3D written with Burn's own operations: the composed form, right on every backend. Knows no
//! loss and no optimiser.

use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::module::{conv3d, linear, max_pool2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Shape, Tensor};

use crate::config::{BLOCKS, Config};

/// PyTorch's BatchNorm defaults.
const EPSILON: f64 = 1e-5;
pub(crate) const MOMENTUM: f32 = 0.1;

/// Masks of one training step, each value 0 or 1 / (1 - rate).
pub(crate) struct Dropout<B: Backend> {
    /// `[N, 4 width, 1]`: whole channels before the first linear layer.
    pub(crate) channels: Tensor<B, 3>,
    /// `[N, hidden_size]`.
    pub(crate) units: Tensor<B, 2>,
}

/// Mean and unbiased variance of a batch, `[channels]` each, for the running statistics.
pub(crate) type BatchStatistics<B> = (Tensor<B, 1>, Tensor<B, 1>);

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

/// `x [N, 1, 64, 64, 64]` to logits `[N, num_classes]`.
///
/// With `dropout` it is a training step: BatchNorm normalises by the batch, whose statistics are
/// pushed to `seen`; without, by the running statistics.
pub(crate) fn forward<B: Backend>(
    config: &Config,
    values: &[Tensor<B, 1>],
    x: Tensor<B, 5>,
    dropout: Option<Dropout<B>>,
    seen: &mut Vec<BatchStatistics<B>>,
) -> Tensor<B, 2> {
    let training = dropout.is_some();
    let mut slots = Slots(values.iter());
    let mut x = x;
    for (from, to) in config.channels() {
        let y = conv3d(
            x.clone(),
            slots.next([to, from, 3, 3, 3]),
            Some(slots.next([to])),
            ConvOptions::new([1; 3], [1; 3], [1; 3], 1),
        );
        let affine = [slots.next([to]), slots.next([to])];
        let running = [slots.next([to]), slots.next([to])];
        let mut y = batch_norm(y, affine, running, training, seen);
        if config.residual {
            let weight = slots.next([to, from, 1, 1, 1]);
            let bias = slots.next([to]);
            y = y + pointwise(x, weight, bias);
        }
        // The largest of eight is positive or not whether it is rectified before or after: the
        // ReLU comes second here and works on an eighth of the values.
        x = relu(max_pool(y));
    }
    let [n, channels, d, h, w] = x.dims();
    debug_assert_eq!(channels * d * h * w, config.features(), "after {BLOCKS} blocks");
    let (channel_mask, unit_mask) = dropout.map(|d| (d.channels, d.units)).unzip();
    let mut x = x.reshape([n, channels, d * h * w]);
    if let Some(mask) = channel_mask {
        x = x * mask;
    }
    let x = x.reshape([n, config.features()]);
    let mut x = relu(fully_connected(x, &mut slots, config.features(), config.hidden_size));
    if let Some(mask) = unit_mask {
        x = x * mask;
    }
    fully_connected(x, &mut slots, config.hidden_size, config.num_classes)
}

/// PyTorch keeps a linear layer's weight as `[out, in]`.
fn fully_connected<B: Backend>(
    x: Tensor<B, 2>,
    slots: &mut Slots<'_, B>,
    from: usize,
    to: usize,
) -> Tensor<B, 2> {
    let weight = slots.next([to, from]).transpose();
    linear(x, weight, Some(slots.next([to])))
}

/// A 1x1x1 convolution: a matrix product over the channels.
fn pointwise<B: Backend>(x: Tensor<B, 5>, weight: Tensor<B, 5>, bias: Tensor<B, 1>) -> Tensor<B, 5> {
    let [n, from, d, h, w] = x.dims();
    let to = weight.dims()[0];
    let voxels = d * h * w;
    let product = weight.reshape([1, to, from]).matmul(x.reshape([n, from, voxels]));
    let product = product.reshape([n * to, voxels]) + rows(bias, n);
    product.reshape([n, to, d, h, w])
}

/// A value a channel, `[C]`, repeated for each sample: `[N C, 1]`. Written out, because Flex has a
/// fast path for one value a row and none for a broadcast over samples.
fn rows<B: Backend>(channels: Tensor<B, 1>, n: usize) -> Tensor<B, 2> {
    let c = channels.dims()[0];
    channels.reshape([1, c]).repeat_dim(0, n).reshape([n * c, 1])
}

/// `[N, C, D, H, W]`, normalised over all but C.
fn batch_norm<B: Backend>(
    x: Tensor<B, 5>,
    [gamma, beta]: [Tensor<B, 1>; 2],
    [running_mean, running_var]: [Tensor<B, 1>; 2],
    training: bool,
    seen: &mut Vec<BatchStatistics<B>>,
) -> Tensor<B, 5> {
    let [n, c, d, h, w] = x.dims();
    let x = x.reshape([n * c, d * h * w]);
    let channel_means = |rows: Tensor<B, 2>| rows.mean_dim(1).reshape([n, c]).mean_dim(0).reshape([c]);
    if !training {
        let scale = gamma / running_var.add_scalar(EPSILON).sqrt();
        let shift = beta - running_mean * scale.clone();
        return (x * rows(scale, n) + rows(shift, n)).reshape([n, c, d, h, w]);
    }
    let mean = channel_means(x.clone());
    let centred = x - rows(mean.clone(), n);
    let var = channel_means(centred.clone() * centred.clone());
    let count = (n * d * h * w) as f32;
    let unbiased = var.clone().detach().mul_scalar(count / (count - 1.0).max(1.0));
    seen.push((mean.detach(), unbiased));
    let scale = gamma / var.add_scalar(EPSILON).sqrt();
    (centred * rows(scale, n) + rows(beta, n)).reshape([n, c, d, h, w])
}

/// Max-pool 2 in each direction. Burn has no `max_pool3d`: pairs of slices first, then rows and columns.
fn max_pool<B: Backend>(x: Tensor<B, 5>) -> Tensor<B, 5> {
    let [n, c, d, h, w] = x.dims();
    let slices = x.reshape([n, c, d, h * w]);
    let slices = max_pool2d(slices, [2, 1], [2, 1], [0, 0], [1, 1], false);
    let planes = slices.reshape([n, c * d / 2, h, w]);
    let planes = max_pool2d(planes, [2, 2], [2, 2], [0, 0], [1, 1], false);
    planes.reshape([n, c, d / 2, h / 2, w / 2])
}
