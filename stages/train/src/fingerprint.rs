//! The identity of a training as one digest. Trains nothing.

use ctpipe_network::{Precision, Weights};

use crate::config::{Config, Tracking};
use crate::data::Dataset;
use crate::session::Setting;

/// The digest that identifies a training, so that it never continues from another's checkpoint.
pub(crate) fn fingerprint(config: &Config, data: &Dataset<'_>, setting: &Setting, start: &Weights) -> String {
    let mut hasher = blake3::Hasher::new();
    let facts = setting.device.facts(config.precision);
    // The parameters that are not in the key are set to fixed values, so that they do not count.
    let config = Config {
        device: String::new(),
        precision: Precision::default(),
        checkpoint_every: 0,
        checkpoint_minutes: 0.0,
        tracking: Tracking::default(),
        tracking_uri: String::new(),
        tracking_experiment: String::new(),
        ..config.clone()
    };
    hasher.update(format!("{config:?} {} {facts:?}", setting.seed).as_bytes());
    for part in [&data.train, &data.val] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        for sample in part {
            hasher.update(&(sample.volume as u64).to_le_bytes()).update(&[sample.label]);
        }
    }
    if setting.start.is_some() {
        for (name, values) in start.named() {
            hasher.update(name.as_bytes());
            for value in values {
                hasher.update(&value.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}
