//! The inputs and outputs of a network's operations.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::device::Precision;

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

/// How a block is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct How {
    /// Whether to normalise with the batch and return its statistics.
    pub(crate) training: bool,
    /// Whether only a reshape follows, so that the output must be `[N, C, D, H, W]` in memory too.
    pub(crate) last: bool,
    /// Precision of convolutions and products, where the backend has a choice.
    pub(crate) precision: Precision,
}

/// Mean and unbiased variance of a batch, `[channels]` each, for the running statistics.
pub(crate) type BatchStatistics<B> = [Tensor<B, 1>; 2];

/// The output of a block, and the batch's statistics where requested.
pub(crate) type Blocked<B> = (Tensor<B, 5>, Option<BatchStatistics<B>>);

/// The constants of one step of Adam.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
    /// Factor that values are multiplied by first: less than 1 for AdamW.
    pub(crate) shrink: f64,
    /// Learning rate divided by `1 - beta1^t`.
    pub(crate) step_size: f64,
    /// `sqrt(1 - beta2^t)`.
    pub(crate) correction: f64,
}

/// The constants of one step of SGD.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Along {
    pub(crate) lr: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
}

/// A value and its two moments.
pub(crate) type Moved<B> = (Tensor<B, 1>, [Tensor<B, 1>; 2]);
