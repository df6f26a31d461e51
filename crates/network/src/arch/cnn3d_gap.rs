//! CNN3D with global average pooling (Lin et al. 2014) in the place of the flattened volume: for sets too small to
//! fill the reference's first linear layer.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::arch::{Pass, Slots, linear_slots, trunk};
use crate::config::{Config, Slot};
use crate::operations::Operations;

pub(super) fn slots(config: &Config) -> Vec<Slot> {
    let mut slots = trunk::slots(config);
    slots.extend(linear_slots("fc1", config.last_channels(), config.hidden_size));
    slots.extend(linear_slots("fc2", config.hidden_size, config.num_classes));
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
    let hidden = relu(slots.linear(x, config.hidden_size, pass));
    let x = pass.drop_elements(hidden);
    slots.linear(x, config.num_classes, pass)
}
