//! CNN3D with global average pooling (Lin et al. 2014) instead of the flattened volume, for data
//! sets that are too small for the reference's first linear layer.

use burn::tensor::Tensor;

use crate::arch::{Pass, Slots, trunk};
use crate::config::{Config, Slot};
use crate::operations::Operations;

pub(super) fn slots(config: &Config) -> Vec<Slot> {
    let mut slots = trunk::slots(config);
    slots.extend(trunk::head_slots(config, config.last_channels()));
    slots
}

/// No weight depends on the size.
pub(super) fn size_with(_: &Config, _: &dyn Fn(&str) -> Option<Vec<usize>>) -> Option<usize> {
    None
}

pub(super) fn forward<B: Operations>(
    config: &Config,
    slots: &mut Slots<'_, B>,
    x: Tensor<B, 5>,
    pass: &mut Pass<'_, B>,
) -> Tensor<B, 2> {
    let [n, ..] = x.dims();
    let means = trunk::forward(config, slots, x, pass).mean_dim(1);
    let x = means.reshape([n, config.last_channels()]);
    trunk::head(config, slots, x, pass)
}
