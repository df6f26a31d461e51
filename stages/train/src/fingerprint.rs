//! What a training is, as one number. Trains nothing.

use ctpipe_network::Weights;

use crate::config::{Config, NOT_IN_KEY};
use crate::data::Dataset;
use crate::epochs::Setting;

/// What identifies a training, so that it does not go on from another's checkpoint.
pub(crate) fn fingerprint(config: &Config, data: &Dataset<'_>, setting: &Setting, start: &Weights) -> String {
    let precision = config.precision;
    let mut config = serde_json::to_value(config).unwrap_or_default();
    if let Some(fields) = config.as_object_mut() {
        fields.retain(|name, _| !NOT_IN_KEY.contains(&name.as_str()));
    }
    let mut hasher = blake3::Hasher::new();
    let facts = setting.device.facts(precision);
    hasher.update(serde_json::json!([config, setting.seed, facts]).to_string().as_bytes());
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
