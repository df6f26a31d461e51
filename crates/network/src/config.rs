//! What the network looks like, as it is written beside its weights. Knows no tensor.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Convolution blocks; each halves the edge.
pub const BLOCKS: usize = 3;
/// Edge of the smallest volume that halves that often; all others are multiples of it.
const UNIT: usize = 1 << BLOCKS;

/// The architecture of CNN3D: `[N, 1, size, size, size]` to `[N, num_classes]` logits.
///
/// Three blocks of Conv3d(3, padding 1) -> BatchNorm (-> + 1x1x1 projection of the input) -> ReLU ->
/// max-pool 2 with `width`, `2 width`, `4 width` channels; channel dropout;
/// Linear(4 width x (size / 8)³ -> `hidden_size`) -> ReLU -> dropout -> Linear(-> `num_classes`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
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

    /// Values that enter the first linear layer.
    pub fn features(&self) -> usize {
        4 * self.width * (self.size / UNIT).pow(3)
    }

    /// The size of a volume of which so many values enter the first linear layer, if there is one.
    pub(crate) fn size_with(&self, features: usize) -> Option<usize> {
        let sizes = (1..).map(|units| Config { size: units * UNIT, ..self.clone() });
        let mut sizes = sizes.skip_while(|config| config.features() < features);
        sizes.next().filter(|config| config.features() == features).map(|config| config.size)
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

    #[test]
    fn the_size_of_a_volume_follows_from_what_enters_the_first_linear_layer() {
        let config = Config { width: 3, ..Config::default() };
        for size in [8, 16, 64, 128] {
            let config = Config { size, ..config.clone() };
            assert_eq!(config.size_with(config.features()), Some(size));
        }
        assert_eq!(config.size_with(config.features() + 1), None);
        assert_eq!(config.size_with(0), None);
    }

    /// Counted by hand: conv 27·(64 + 64·128 + 128·256) + 448, BatchNorm 2·448,
    /// fc1 131072·512 + 512, fc2 1026.
    #[test]
    fn the_reference_width_has_the_reference_number_of_parameters() {
        let config = Config { residual: false, ..Config::default() };
        let conv = 27 * (64 + 64 * 128 + 128 * 256) + 448;
        assert_eq!(config.parameter_count(), conv + 2 * 448 + 131_072 * 512 + 512 + 1026);
    }
}
