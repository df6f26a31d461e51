//! CNN3D, the reference network: three blocks, channel dropout, Linear -> ReLU -> dropout ->
//! Linear.

use burn::tensor::Tensor;

use crate::arch::{Pass, Slots, trunk};
use crate::config::{Config, Slot, UNIT};
use crate::operations::Operations;

/// Number of values that enter the first linear layer.
fn features(config: &Config) -> usize {
    config.last_channels() * (config.size / UNIT).pow(3)
}

pub(super) fn slots(config: &Config) -> Vec<Slot> {
    let mut slots = trunk::slots(config);
    slots.extend(trunk::head_slots(config, features(config)));
    slots
}

pub(super) fn size_with(config: &Config, shape: &dyn Fn(&str) -> Option<Vec<usize>>) -> Option<usize> {
    // The file's own width, which may differ from the configured one.
    let channels = shape("conv.2.bias").and_then(|shape| shape.first().copied());
    let channels = channels.unwrap_or(config.last_channels()).max(1);
    let found = *shape("fc1.weight")?.get(1)?;
    let voxels = |units: usize| units.pow(3) * channels;
    // No volumes are larger than 4096 voxels in each direction.
    let units = (1..=512).find(|&units| voxels(units) >= found)?;
    (voxels(units) == found).then_some(units * UNIT)
}

pub(super) fn forward<B: Operations>(
    config: &Config,
    slots: &mut Slots<'_, B>,
    x: Tensor<B, 5>,
    pass: &mut Pass<'_, B>,
) -> Tensor<B, 2> {
    let [n, ..] = x.dims();
    let x = trunk::forward(config, slots, x, pass).reshape([n, features(config)]);
    trunk::head(config, slots, x, pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_volume_follows_from_what_enters_the_first_linear_layer() {
        let config = Config { width: 3, ..Config::default() };
        let with = |features: usize| {
            let shape = |name: &str| (name == "fc1.weight").then(|| vec![config.hidden_size, features]);
            size_with(&config, &shape)
        };
        for size in [8, 16, 64, 128] {
            assert_eq!(with(features(&Config { size, ..config.clone() })), Some(size));
        }
        assert_eq!(with(features(&config) + 1), None);
        assert_eq!(with(0), None);
        // A file with a different width: 32 channels of 4³ voxels belong to volumes of 32³.
        let shape = |name: &str| Some(if name == "conv.2.bias" { vec![32] } else { vec![9, 32 * 64] });
        assert_eq!(size_with(&config, &shape), Some(32));
    }
}
