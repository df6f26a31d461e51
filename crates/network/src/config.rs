//! What the network looks like, as it is written beside its weights. Knows no tensor.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Edge of the input volume in voxels.
pub const SIZE: usize = 64;
/// Voxels of one input volume.
pub const VOXELS: usize = SIZE * SIZE * SIZE;
/// Convolution blocks; each halves the edge.
pub const BLOCKS: usize = 3;

/// The architecture of CNN3D: `[N, 1, 64, 64, 64]` to `[N, num_classes]` logits.
///
/// Three blocks of Conv3d(3, padding 1) -> BatchNorm (-> + 1x1x1 projection of the input) -> ReLU ->
/// max-pool 2 with `width`, `2 width`, `4 width` channels; channel dropout;
/// Linear(4 width x 8³ -> `hidden_size`) -> ReLU -> dropout -> Linear(-> `num_classes`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
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

/// The filters of files from before there was a choice.
fn three() -> usize {
    3
}

impl Default for Config {
    fn default() -> Config {
        Config {
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
}

impl Config {
    /// Channels entering and leaving each block.
    pub fn channels(&self) -> [(usize, usize); BLOCKS] {
        let w = self.width;
        [(1, w), (w, 2 * w), (2 * w, 4 * w)]
    }

    /// Values that enter the first linear layer.
    pub fn features(&self) -> usize {
        let edge = SIZE >> BLOCKS;
        4 * self.width * edge.pow(3)
    }

    /// # Errors
    /// When there is no such network.
    pub(crate) fn check(&self) -> Result<(), Error> {
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
        ctpipe_kernels::block::covers([edge; 3], [SIZE >> (BLOCKS - 1); 3])
    }

    /// Number of learnt values.
    pub fn parameter_count(&self) -> usize {
        self.slots().iter().filter(|slot| slot.learnt()).map(Slot::len).sum()
    }

    /// Every tensor of the network in the order in which forward uses them.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut add = |name: String, shape: Vec<usize>, init: Init| slots.push(Slot { name, shape, init });
        for (block, (from, to)) in self.channels().into_iter().enumerate() {
            let k = self.kernel_size;
            let init = Init::Uniform { fan_in: from * k.pow(3) };
            add(format!("conv.{block}.weight"), vec![to, from, k, k, k], init);
            add(format!("conv.{block}.bias"), vec![to], init);
            add(format!("bn.{block}.weight"), vec![to], Init::Constant(1.0));
            add(format!("bn.{block}.bias"), vec![to], Init::Constant(0.0));
            add(format!("bn.{block}.running_mean"), vec![to], Init::Running(0.0));
            add(format!("bn.{block}.running_var"), vec![to], Init::Running(1.0));
            if self.residual {
                let init = Init::Uniform { fan_in: from };
                add(format!("skip.{block}.weight"), vec![to, from, 1, 1, 1], init);
                add(format!("skip.{block}.bias"), vec![to], init);
            }
        }
        for (name, from, to) in
            [("fc1", self.features(), self.hidden_size), ("fc2", self.hidden_size, self.num_classes)]
        {
            let init = Init::Uniform { fan_in: from };
            add(format!("{name}.weight"), vec![to, from], init);
            add(format!("{name}.bias"), vec![to], init);
        }
        slots
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
