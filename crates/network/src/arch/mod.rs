//! The network architectures. A new one needs a file beside these with `slots`, `forward` and
//! `size_with`, and a line in `kind.rs`.

mod cnn3d;
mod cnn3d_gap;
pub(crate) mod kind;
mod trunk;

use burn::tensor::{Shape, Tensor};

use crate::arch::kind::architectures;
use crate::config::{Config, Slot};
use crate::device::Precision;
use crate::operations::Operations;
use crate::signatures::BatchStatistics;
pub use kind::Arch;

/// Calls the file of the architecture.
macro_rules! dispatch {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $file:ident;)*) => {
        impl Arch {
            /// Every tensor of the network, in the order in which its forward pass uses them.
            pub(crate) fn slots(self, config: &Config) -> Vec<Slot> {
                match self { $(Arch::$variant => $file::slots(config),)* }
            }

            /// The volume size for which `shape` matches the first tensor that depends on the size;
            /// `None` where no tensor depends on it, or no size fits.
            pub(crate) fn size_with(self, config: &Config, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Option<usize> {
                match self { $(Arch::$variant => $file::size_with(config, &shape),)* }
            }

            /// Maps `x [N, 1, size, size, size]` to logits `[N, num_classes]`.
            pub(crate) fn forward<B: Operations>(
                self,
                config: &Config,
                values: &[Tensor<B, 1>],
                x: Tensor<B, 5>,
                pass: &mut Pass<'_, B>,
            ) -> Tensor<B, 2> {
                let mut slots = Slots(values.iter());
                match self { $(Arch::$variant => $file::forward(config, &mut slots, x, pass),)* }
            }
        }
    };
}

architectures!(dispatch);

/// One pass through a network: whether it is for training, and what was seen on the way.
pub(crate) struct Pass<'a, B: Operations> {
    /// Whether BatchNorm normalises with the batch instead of the running statistics.
    pub(crate) by_batch: bool,
    /// Precision of convolutions and products, where the backend has a choice.
    pub(crate) precision: Precision,
    /// Draws a mask `[rows, columns]` of values 0 or 1 / (1 - rate) during training.
    pub(crate) mask: Option<&'a mut dyn FnMut([usize; 2]) -> Tensor<B, 2>>,
    /// Statistics of each block that normalised with the batch.
    pub(crate) seen: Vec<BatchStatistics<B>>,
    /// Called with the output of the last block, for explanations; the pass continues with the
    /// value that it returns.
    pub(crate) features: Option<&'a mut dyn FnMut(Tensor<B, 5>) -> Tensor<B, 5>>,
}

impl<B: Operations> Pass<'_, B> {
    /// A pass for inference: BatchNorm uses the running statistics, and nothing is dropped.
    pub(crate) fn answer(precision: Precision) -> Self {
        Pass { by_batch: false, precision, mask: None, seen: Vec::new(), features: None }
    }

    /// Drops single values of `x [rows, columns]`.
    pub(crate) fn drop_elements(&mut self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let shape = x.dims();
        match &mut self.mask {
            Some(mask) => x * mask(shape),
            None => x,
        }
    }

    /// Drops whole rows of `x`; each row is a channel (`Dropout3d`).
    pub(crate) fn drop_rows(&mut self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [rows, _] = x.dims();
        match &mut self.mask {
            Some(mask) => x * mask([rows, 1]),
            None => x,
        }
    }
}

/// Hands out the tensors of a network in the order of its slots.
pub(crate) struct Slots<'a, B: Operations>(std::slice::Iter<'a, Tensor<B, 1>>);

impl<B: Operations> Slots<'_, B> {
    pub(crate) fn next<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<B, D> {
        match self.0.next() {
            Some(tensor) => tensor.clone().reshape(Shape::from(shape)),
            // The list is made from the same slots; a missing tensor is a mistake in the file of
            // the architecture.
            None => unreachable!("fewer tensors than slots"),
        }
    }

    /// `[N, from]` to `[N, to]`.
    pub(crate) fn linear(&mut self, x: Tensor<B, 2>, to: usize, pass: &Pass<'_, B>) -> Tensor<B, 2> {
        let [_, from] = x.dims();
        let weight = self.next([to, from]);
        B::fully_connected(x, weight, self.next([to]), pass.precision)
    }
}
