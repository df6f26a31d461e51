//! What the network asks of a backend beyond Burn's own operations. Every backend has them in the
//! composed form; one with kernels of its own answers with those.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::composed;
use crate::device::Precision;
use crate::optimizer::{Along, By};

/// The tensors of one block.
pub(crate) struct BlockTensors<B: Backend> {
    /// `[to, from, k, k, k]` and `[to]`.
    pub(crate) conv: (Tensor<B, 5>, Tensor<B, 1>),
    /// BatchNorm's weight and bias.
    pub(crate) affine: [Tensor<B, 1>; 2],
    /// BatchNorm's running mean and variance.
    pub(crate) running: [Tensor<B, 1>; 2],
    /// `[to, from, 1, 1, 1]` and `[to]` of the projection.
    pub(crate) skip: Option<(Tensor<B, 5>, Tensor<B, 1>)>,
}

/// How a block is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct How {
    /// Normalise by the batch, and say what its statistics were.
    pub(crate) training: bool,
    /// Nothing but a reshape follows: the output is wanted as `[N, C, D, H, W]` in memory too.
    pub(crate) last: bool,
    /// Of convolutions and products, where the backend has a choice.
    pub(crate) precision: Precision,
}

/// Mean and unbiased variance of a batch, `[channels]` each, for the running statistics.
pub(crate) type BatchStatistics<B> = [Tensor<B, 1>; 2];

/// What comes out of a block.
pub(crate) type Blocked<B> = (Tensor<B, 5>, Option<BatchStatistics<B>>);

/// A backend on which CNN3D runs.
pub(crate) trait Operations: Backend {
    /// conv3d -> BatchNorm (-> + projection) -> ReLU -> max-pool 2 of `[N, from, D, H, W]`.
    fn block(x: Tensor<Self, 5>, tensors: BlockTensors<Self>, how: How) -> Blocked<Self> {
        composed::block(x, tensors, how)
    }

    /// `x weightᵀ + bias`; PyTorch keeps a linear layer's weight as `[out, in]`.
    fn fully_connected(
        x: Tensor<Self, 2>,
        weight: Tensor<Self, 2>,
        bias: Tensor<Self, 1>,
        precision: Precision,
    ) -> Tensor<Self, 2> {
        composed::fully_connected(x, weight, bias, precision)
    }

    /// A value and its two moments after a step of Adam.
    fn adam(
        value: Tensor<Self, 1>,
        moments: [Tensor<Self, 1>; 2],
        gradient: Tensor<Self, 1>,
        by: By,
    ) -> Moved<Self> {
        composed::adam(value, moments, gradient, by)
    }

    /// A value and its velocity after a step of SGD.
    fn sgd(
        value: Tensor<Self, 1>,
        velocity: Tensor<Self, 1>,
        gradient: Tensor<Self, 1>,
        along: Along,
    ) -> (Tensor<Self, 1>, Tensor<Self, 1>) {
        composed::sgd(value, velocity, gradient, along)
    }

    /// Sum of squares of a gradient, `[1]`.
    fn sum_of_squares(gradient: Tensor<Self, 1>) -> Tensor<Self, 1> {
        (gradient.clone() * gradient).sum()
    }
}

/// A value and its two moments.
pub(crate) type Moved<B> = (Tensor<B, 1>, [Tensor<B, 1>; 2]);
