//! The configuration of a network, as it is written beside its weights.

use serde::{Deserialize, Serialize};

use crate::arch::kind::Arch;
use crate::error::Error;

/// Number of convolution blocks; each halves the edge.
pub const BLOCKS: usize = 3;
/// Edge of the smallest volume that can be halved that often; all edges are multiples of it.
pub(crate) const UNIT: usize = 1 << BLOCKS;

/// A network: `[N, 1, size, size, size]` to `[N, num_classes]` logits.
///
/// `cnn3d` is three blocks of Conv3d(3, padding 1) -> BatchNorm (-> + 1x1x1 projection of the
/// input) -> ReLU -> max-pool 2 with `width`, `2 width` and `4 width` channels; then channel
/// dropout; then Linear(4 width x (size / 8)³ -> `hidden_size`) -> ReLU -> dropout -> Linear(->
/// `num_classes`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The architecture.
    #[serde(default)]
    pub arch: Arch,
    /// Edge of a volume in voxels, a multiple of 8.
    #[serde(default = "sixty_four")]
    pub size: usize,
    /// Channels of the first block.
    pub width: usize,
    /// Whether to add a 1x1x1 projection of a block's input before its ReLU.
    pub residual: bool,
    /// Edge of the convolution filters, an odd number. There are kernels for 3; other edges run in
    /// the composed form.
    #[serde(default = "three")]
    pub kernel_size: usize,
    /// Number of units of the hidden linear layer.
    pub hidden_size: usize,
    /// Number of classes.
    pub num_classes: usize,
    /// Probability with which a channel (before the first linear layer) or a unit (after it) is
    /// dropped during training.
    pub dropout_rate: f64,
}

/// The volume size of files that do not name one.
fn sixty_four() -> usize {
    64
}

/// The filter size of files that do not name one.
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

/// One layer, for a description of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Name of the layer, as in the names of its tensors; `pool.0` and so on have no tensors.
    pub name: String,
    /// Channels and edges of its output, or units.
    pub output: Vec<usize>,
    /// Number of trainable parameters.
    pub parameters: usize,
}

/// The initial values of a tensor of weights, and whether it is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Init {
    /// Uniform in ±1/sqrt(fan in), PyTorch's default for convolutions and linear layers.
    Uniform { fan_in: usize },
    /// Trained, starting from a constant.
    Constant(f32),
    /// Updated but not trained: BatchNorm's running mean and variance.
    Running(f32),
}

/// PyTorch's name, the shape and the initial values of one tensor.
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

    /// Whether it is a filter or a matrix, to which weight decay applies, and not a bias or a
    /// BatchNorm weight.
    pub(crate) fn is_weight(&self) -> bool {
        self.learnt() && self.shape.len() > 1
    }
}

impl Config {
    /// Input and output channels of each block.
    pub fn channels(&self) -> [(usize, usize); BLOCKS] {
        let w = self.width;
        [(1, w), (w, 2 * w), (2 * w, 4 * w)]
    }

    /// Number of voxels of one volume.
    pub fn voxels(&self) -> usize {
        self.size.pow(3)
    }

    /// Number of output channels of the last block.
    pub(crate) fn last_channels(&self) -> usize {
        4 * self.width
    }

    /// # Errors
    /// When there is no such network.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.size == 0 || !self.size.is_multiple_of(UNIT) {
            return Err(Error::Config(format!(
                "no network has volumes of {0} x {0} x {0} voxels: the edge must be a multiple of {UNIT}",
                self.size
            )));
        }
        let odd = self.kernel_size % 2 == 1;
        if odd && self.width > 0 && self.hidden_size > 0 && self.num_classes > 0 {
            return Ok(());
        }
        Err(Error::Config(format!(
            "no network has width {}, hidden_size {}, num_classes {} and kernel_size {}: all must be at least 1, and kernel_size must be odd",
            self.width, self.hidden_size, self.num_classes, self.kernel_size
        )))
    }

    /// Whether filters with this edge run on `ctpipe-kernels` on a CPU, instead of in the composed
    /// form.
    pub fn kernel_size_has_kernels(edge: usize) -> bool {
        ctpipe_kernels::block::covers([edge; 3], [UNIT >> (BLOCKS - 1); 3])
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> usize {
        self.slots().iter().filter(|slot| slot.learnt()).map(Slot::len).sum()
    }

    /// The layers in the order of the forward pass, including pools.
    pub fn outline(&self) -> Vec<Outline> {
        let mut layers: Vec<Outline> = Vec::new();
        let mut block = None;
        for slot in self.slots() {
            let name = slot.name.rsplit_once('.').map_or(slot.name.as_str(), |(layer, _)| layer);
            let of_block = name.split_once('.').and_then(|(_, number)| number.parse::<usize>().ok());
            if of_block != block {
                layers.extend(block.map(|block| self.pool(block)));
                block = of_block;
            }
            if layers.last().is_none_or(|last| last.name != name) {
                let mut output = vec![slot.shape[0]];
                output.extend(of_block.iter().flat_map(|block| [self.size >> block; 3]));
                layers.push(Outline { name: name.to_owned(), output, parameters: 0 });
            }
            if let Some(last) = layers.last_mut().filter(|_| slot.learnt()) {
                last.parameters += slot.len();
            }
        }
        layers
    }

    fn pool(&self, block: usize) -> Outline {
        let mut output = vec![self.channels()[block].1];
        output.extend([self.size >> (block + 1); 3]);
        Outline { name: format!("pool.{block}"), output, parameters: 0 }
    }

    /// Every tensor of the network, in the order in which the forward pass uses them.
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

    #[test]
    fn the_outline_has_every_layer_with_what_comes_out_of_it() {
        let outline = Config::default().outline();
        let of =
            |name: &str| outline.iter().find(|layer| layer.name == name).map(|layer| layer.output.clone());
        assert_eq!(of("conv.0"), Some(vec![64, 64, 64, 64]));
        assert_eq!(of("pool.2"), Some(vec![256, 8, 8, 8]));
        assert_eq!(of("fc1"), Some(vec![512]));
        let names: Vec<&str> = outline.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(&names[..5], ["conv.0", "bn.0", "skip.0", "pool.0", "conv.1"]);
        let sum: usize = outline.iter().map(|layer| layer.parameters).sum();
        assert_eq!(sum, Config::default().parameter_count());
    }
}
