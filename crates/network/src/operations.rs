//! The operations that the network needs from a backend in addition to Burn's own. By default they
//! are composed; a backend with its own kernels overrides them.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::composed;
use crate::device::Precision;
use crate::signatures::{Along, BlockTensors, Blocked, By, How, Moved};

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
