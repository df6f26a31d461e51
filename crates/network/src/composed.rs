//! The operations composed of Burn's own. They are correct on every backend and for every shape,
//! serve as the reference in tests of the kernels, and run where there is no kernel.

use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::module::{conv3d, max_pool2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, FloatDType, Tensor};

use crate::device::Precision;
use crate::signatures::{Along, BatchStatistics, BlockTensors, Blocked, By, How, Moved};

/// PyTorch's BatchNorm default.
const EPSILON: f64 = 1e-5;

/// [`crate::operations::Operations::block`].
pub(crate) fn block<B: Backend>(x: Tensor<B, 5>, tensors: BlockTensors<B>, how: How) -> Blocked<B> {
    let (weight, bias) = tensors.conv;
    let padding = weight.dims()[2] / 2;
    let options = ConvOptions::new([1; 3], [padding; 3], [1; 3], 1);
    let x = narrow(x, how.precision);
    let y = conv3d(x.clone(), narrow(weight, how.precision), Some(narrow(bias, how.precision)), options);
    let (mut y, seen) = batch_norm(wide(y, how.precision), tensors.affine, tensors.running, how.training);
    if let Some((weight, bias)) = tensors.skip {
        y = y + pointwise(x, weight, bias, how.precision);
    }
    // The largest of eight values keeps its sign whether the ReLU comes before or after the pool.
    // After the pool, the ReLU works on an eighth of the values.
    (relu(max_pool(y)), seen)
}

/// [`crate::operations::Operations::fully_connected`].
pub(crate) fn fully_connected<B: Backend>(
    x: Tensor<B, 2>,
    weight: Tensor<B, 2>,
    bias: Tensor<B, 1>,
    precision: Precision,
) -> Tensor<B, 2> {
    if precision == Precision::F32 {
        return burn::tensor::module::linear(x, weight.transpose(), Some(bias));
    }
    let product = narrow(x, precision).matmul(narrow(weight, precision).transpose());
    wide(product, precision) + bias.unsqueeze()
}

/// Converts to the precision of multiplication; the sums within each product are wider.
pub(crate) fn narrow<B: Backend, const D: usize>(x: Tensor<B, D>, precision: Precision) -> Tensor<B, D> {
    match precision {
        Precision::F32 => x,
        Precision::Bf16 if x.dtype() == DType::BF16 => x,
        Precision::Bf16 => x.cast(FloatDType::BF16),
    }
}

/// Converts back to the precision in which values are added, averaged and trained.
fn wide<B: Backend, const D: usize>(x: Tensor<B, D>, precision: Precision) -> Tensor<B, D> {
    match precision {
        Precision::F32 => x,
        Precision::Bf16 => x.cast(FloatDType::F32),
    }
}

/// [`crate::operations::Operations::adam`].
pub(crate) fn adam<B: Backend>(
    value: Tensor<B, 1>,
    [first, second]: [Tensor<B, 1>; 2],
    gradient: Tensor<B, 1>,
    by: By,
) -> Moved<B> {
    let gradient =
        if by.weight_decay > 0.0 { gradient + value.clone().mul_scalar(by.weight_decay) } else { gradient };
    let value = if by.shrink == 1.0 { value } else { value.mul_scalar(by.shrink) };
    let square = gradient.clone() * gradient.clone();
    let first = first.mul_scalar(by.beta1) + gradient.mul_scalar(1.0 - by.beta1);
    let second = second.mul_scalar(by.beta2) + square.mul_scalar(1.0 - by.beta2);
    let denominator = second.clone().sqrt().div_scalar(by.correction).add_scalar(by.epsilon);
    let value = value - (first.clone() / denominator).mul_scalar(by.step_size);
    (value, [first, second])
}

/// [`crate::operations::Operations::sgd`].
pub(crate) fn sgd<B: Backend>(
    value: Tensor<B, 1>,
    velocity: Tensor<B, 1>,
    gradient: Tensor<B, 1>,
    along: Along,
) -> (Tensor<B, 1>, Tensor<B, 1>) {
    let decayed = gradient + value.clone().mul_scalar(along.weight_decay);
    let velocity = velocity.mul_scalar(along.momentum) + decayed;
    (value - velocity.clone().mul_scalar(along.lr), velocity)
}

/// A 1x1x1 convolution: a matrix product over the channels.
fn pointwise<B: Backend>(
    x: Tensor<B, 5>,
    weight: Tensor<B, 5>,
    bias: Tensor<B, 1>,
    precision: Precision,
) -> Tensor<B, 5> {
    let [n, from, d, h, w] = x.dims();
    let to = weight.dims()[0];
    let voxels = d * h * w;
    let weight = narrow(weight, precision).reshape([1, to, from]);
    let product = wide(weight.matmul(x.reshape([n, from, voxels])), precision);
    let product = product.reshape([n * to, voxels]) + rows(bias, n);
    product.reshape([n, to, d, h, w])
}

/// One value for each channel, `[C]`, repeated for each sample: `[N C, 1]`. It is written out
/// because Flex has a fast path for one value per row and none for a broadcast over samples.
fn rows<B: Backend>(channels: Tensor<B, 1>, n: usize) -> Tensor<B, 2> {
    let c = channels.dims()[0];
    channels.reshape([1, c]).repeat_dim(0, n).reshape([n * c, 1])
}

/// Normalises `[N, C, D, H, W]` over all dimensions except C.
fn batch_norm<B: Backend>(
    x: Tensor<B, 5>,
    [gamma, beta]: [Tensor<B, 1>; 2],
    [running_mean, running_var]: [Tensor<B, 1>; 2],
    training: bool,
) -> (Tensor<B, 5>, Option<BatchStatistics<B>>) {
    let [n, c, d, h, w] = x.dims();
    let x = x.reshape([n * c, d * h * w]);
    let channel_means = |rows: Tensor<B, 2>| rows.mean_dim(1).reshape([n, c]).mean_dim(0).reshape([c]);
    if !training {
        let scale = gamma / running_var.add_scalar(EPSILON).sqrt();
        let shift = beta - running_mean * scale.clone();
        return ((x * rows(scale, n) + rows(shift, n)).reshape([n, c, d, h, w]), None);
    }
    let mean = channel_means(x.clone());
    let centred = x - rows(mean.clone(), n);
    let var = channel_means(centred.clone() * centred.clone());
    let count = (n * d * h * w) as f32;
    let unbiased = var.clone().detach().mul_scalar(count / (count - 1.0).max(1.0));
    let seen = [mean.detach(), unbiased];
    let scale = gamma / var.add_scalar(EPSILON).sqrt();
    ((centred * rows(scale, n) + rows(beta, n)).reshape([n, c, d, h, w]), Some(seen))
}

/// Max-pooling by 2 in each direction. Burn has no `max_pool3d`: first pairs of slices, then rows
/// and columns.
fn max_pool<B: Backend>(x: Tensor<B, 5>) -> Tensor<B, 5> {
    let [n, c, d, h, w] = x.dims();
    let slices = x.reshape([n, c, d, h * w]);
    let slices = max_pool2d(slices, [2, 1], [2, 1], [0, 0], [1, 1], false);
    let planes = slices.reshape([n, c * (d / 2), h, w]);
    let planes = max_pool2d(planes, [2, 2], [2, 2], [0, 0], [1, 1], false);
    planes.reshape([n, c, d / 2, h / 2, w / 2])
}
