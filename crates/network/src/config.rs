//! What the network looks like, as it is written beside its weights. Knows no tensor.

use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::error::Error;

/// Convolution blocks; each halves the edge.
pub const BLOCKS: usize = 3;
/// Edge of the smallest volume that halves that often; all others are multiples of it.
pub(crate) const UNIT: usize = 1 << BLOCKS;

/// A network: `[N, 1, size, size, size]` to `[N, num_classes]` logits.
///
/// `cnn3d` is three blocks of Conv3d(3, padding 1) -> BatchNorm (-> + 1x1x1 projection of the input) -> ReLU ->
/// max-pool 2 with `width`, `2 width`, `4 width` channels; channel dropout;
/// Linear(4 width x (size / 8)³ -> `hidden_size`) -> ReLU -> dropout -> Linear(-> `num_classes`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which network.
    #[serde(default)]
    pub arch: Arch,
    /// Edge of a volume in voxels, a multiple of 8.
    #[serde(default = "sixty_four")]
    pub size: usize,
    /// Channels of the first block.
    pub width: usize,
    /// Add a 1x1x1 projection of a block's input before its ReLU.
    pub residual: bool,
    /// Edge of the convolutions' filters, odd. There are kernels for 3; others run in the composed form.
    #[serde(default = "three")]
    pub kernel_size: usize,
    /// Units of the hidden linear layer.
    pub hidden_size: usize,
    /// Classes.
    pub num_classes: usize,
    /// Probability with which a channel (before the first linear layer) and a unit (after it) is
    /// dropped while training.
    pub dropout_rate: f64,
}

/// The volumes of files from before there was a choice.
fn sixty_four() -> usize {
    64
}

/// The filters of files from before there was a choice.
fn three() -> usize {
    3
}

impl Default for Config {
    fn default() -> Config {
        Config {
            arch: Arch::Cnn3d,
            size: 64,
            width: 64,
            residual: true,
            kernel_size: 3,
            hidden_size: 512,
            num_classes: 2,
            dropout_rate: 0.3,
        }
    }
}

/// How a tensor of weights is drawn at the start, and whether it is learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// Uniform in ±1/sqrt(fan in), PyTorch's default for convolutions and linear layers.
    Uniform { fan_in: usize },
    /// Learnt, from a constant.
    Constant(f32),
    /// Followed, not learnt: BatchNorm's running mean and variance.
    Running(f32),
}

/// Name (PyTorch's), shape and start of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) init: Init,
}

impl Slot {
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn learnt(&self) -> bool {
        !matches!(self.init, Init::Running(_))
    }

    /// Filters and matrices, but not biases and BatchNorm's weights: what a decay of weights is meant for.
    pub(crate) fn is_weight(&self) -> bool {
        self.learnt() && self.shape.len() > 1
    }
}

impl Config {
    /// Channels entering and leaving each block.
    pub fn channels(&self) -> [(usize, usize); BLOCKS] {
        let w = self.width;
        [(1, w), (w, 2 * w), (2 * w, 4 * w)]
    }

    /// Voxels of one volume.
    pub fn voxels(&self) -> usize {
        self.size.pow(3)
    }

    /// Channels that leave the last block.
    pub(crate) fn last_channels(&self) -> usize {
        4 * self.width
    }

    /// # Errors
    /// When there is no such network.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.size == 0 || !self.size.is_multiple_of(UNIT) {
            return Err(Error::Config(format!(
                "no network has volumes of {0} x {0} x {0} voxels: the edge is a multiple of {UNIT}",
                self.size
            )));
        }
        let odd = self.kernel_size % 2 == 1;
        if odd && self.width > 0 && self.hidden_size > 0 && self.num_classes > 0 {
            return Ok(());
        }
        Err(Error::Config(format!(
            "no network has width {}, hidden_size {}, num_classes {} and kernel_size {}: all are at least 1, the last is odd",
            self.width, self.hidden_size, self.num_classes, self.kernel_size
        )))
    }

    /// Whether filters of this edge run on `ctpipe-kernels` on a CPU, rather than in the composed form.
    pub fn kernel_size_has_kernels(edge: usize) -> bool {
        ctpipe_kernels::block::covers([edge; 3], [UNIT >> (BLOCKS - 1); 3])
    }

    /// Number of learnt values.
    pub fn parameter_count(&self) -> usize {
        self.slots().iter().filter(|slot| slot.learnt()).map(Slot::len).sum()
    }

    /// Every tensor of the network in the order in which forward uses them.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.arch.slots(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counted by hand: conv 27·(64 + 64·128 + 128·256) + 448, BatchNorm 2·448,
    /// fc1 131072·512 + 512, fc2 1026.
    #[test]
    fn the_reference_width_has_the_reference_number_of_parameters() {
        let config = Config { residual: false, ..Config::default() };
        let conv = 27 * (64 + 64 * 128 + 128 * 256) + 448;
        assert_eq!(config.parameter_count(), conv + 2 * 448 + 131_072 * 512 + 512 + 1026);
    }
}
