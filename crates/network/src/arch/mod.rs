//! The networks that there are. One more is a file beside these that gives `slots`, `forward` and `size_with`,
//! and a line in [`architectures!`].

mod cnn3d;
mod cnn3d_gap;
mod trunk;

use burn::tensor::{Shape, Tensor};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Slot};
use crate::device::Precision;
use crate::operations::{BatchStatistics, Operations};

/// Lists the architectures, and asks the right file.
macro_rules! architectures {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $file:ident;)*) => {
        /// Which network.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub enum Arch {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Arch {
            /// Their names, for parameters.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its name, as `arch:` and `model.json` have it.
            pub fn name(self) -> &'static str {
                match self { $(Arch::$variant => $name,)* }
            }

            /// Every tensor of the network in the order in which its forward pass uses them.
            pub(crate) fn slots(self, config: &Config) -> Vec<Slot> {
                match self { $(Arch::$variant => $file::slots(config),)* }
            }

            /// The size of a volume with which `shape` is that of the first tensor that depends on it;
            /// `None` where none does, or none fits.
            pub(crate) fn size_with(self, config: &Config, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Option<usize> {
                match self { $(Arch::$variant => $file::size_with(config, &shape),)* }
            }

            /// `x [N, 1, size, size, size]` to logits `[N, num_classes]`.
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

architectures! {
    /// Three blocks, then two linear layers on all that comes out of them: the reference.
    #[default]
    Cnn3d = "cnn3d" in cnn3d;
    /// The same blocks, then the mean of each channel: a thousandth of the learnt values, volumes of any size.
    Cnn3dGap = "cnn3d_gap" in cnn3d_gap;
}

/// One way through a network: whether it is to learn from it, and what was seen on the way.
pub(crate) struct Pass<'a, B: Operations> {
    /// BatchNorm normalises by the batch, and not by the running statistics.
    pub(crate) by_batch: bool,
    /// Of convolutions and products, where the backend has a choice.
    pub(crate) precision: Precision,
    /// Draws a mask `[rows, columns]` of values 0 or 1 / (1 - rate), while training.
    pub(crate) mask: Option<&'a mut dyn FnMut([usize; 2]) -> Tensor<B, 2>>,
    /// Of each block, where it normalised by the batch.
    pub(crate) seen: Vec<BatchStatistics<B>>,
    /// Shown what comes out of the last block, and goes on with what it gives back: where that is to be explained.
    pub(crate) features: Option<&'a mut dyn FnMut(Tensor<B, 5>) -> Tensor<B, 5>>,
}

impl<B: Operations> Pass<'_, B> {
    /// Only answers: BatchNorm by the running statistics, nothing is dropped.
    pub(crate) fn answer(precision: Precision) -> Self {
        Pass { by_batch: false, precision, mask: None, seen: Vec::new(), features: None }
    }

    /// Drops values of `x [rows, columns]`, each by itself.
    pub(crate) fn drop_elements(&mut self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let shape = x.dims();
        match &mut self.mask {
            Some(mask) => x * mask(shape),
            None => x,
        }
    }

    /// Drops whole rows of `x`: channels, one a row (`Dropout3d`).
    pub(crate) fn drop_rows(&mut self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let [rows, _] = x.dims();
        match &mut self.mask {
            Some(mask) => x * mask([rows, 1]),
            None => x,
        }
    }
}

/// Hands out a network's tensors in the order of its slots.
pub(crate) struct Slots<'a, B: Operations>(std::slice::Iter<'a, Tensor<B, 1>>);

impl<B: Operations> Slots<'_, B> {
    pub(crate) fn next<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<B, D> {
        match self.0.next() {
            Some(tensor) => tensor.clone().reshape(Shape::from(shape)),
            // The list is made from the same slots; a missing one is a mistake in the architecture's file.
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
