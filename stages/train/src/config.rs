//! The parameters of a training: names, defaults, ranges. Computes nothing.

use ctpipe_engine::{Kind, Param};
use ctpipe_network::{Config as Network, LossKind};
use serde::{Deserialize, Serialize};

/// All parameters of a training. The defaults are the reference's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels of the first block.
    pub width: usize,
    /// Residual connections.
    pub residual: bool,
    /// Edge of the convolutions' filters, odd.
    pub kernel_size: usize,
    /// Units of the hidden linear layer.
    pub hidden_size: usize,
    /// Classes.
    pub num_classes: usize,
    /// Volumes a step.
    pub batch_size: usize,
    /// Learning rate of Adam at the start.
    pub lr: f64,
    /// Epochs at most.
    pub epochs: u32,
    /// L2 added to the gradient.
    pub weight_decay: f64,
    /// Epochs without a better validation loss before it stops.
    pub early_stopping_patience: u32,
    /// Of channels before the first linear layer and of units after it.
    pub dropout_rate: f64,
    /// Which loss.
    pub loss: LossKind,
    /// Focal loss: weight of pathology.
    pub focal_loss_alpha: f64,
    /// Focal loss: how strongly easy samples are turned down.
    pub focal_loss_gamma: f64,
    /// Weight classes by n / (classes x count).
    pub class_weights: bool,
    /// Draw both classes alike, with replacement.
    pub use_weighted_sampler: bool,
    /// What the learning rate is multiplied by on a plateau.
    pub plateau_factor: f64,
    /// Epochs without a better validation loss before that.
    pub plateau_patience: u32,
    /// auto, cpu, cuda or cuda:N.
    pub device: String,
}

impl Config {
    /// The architecture, on volumes of `size³` voxels.
    pub fn network(&self, size: usize) -> Network {
        Network {
            size,
            width: self.width,
            residual: self.residual,
            kernel_size: self.kernel_size,
            hidden_size: self.hidden_size,
            num_classes: self.num_classes,
            dropout_rate: self.dropout_rate,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            width: 64,
            residual: true,
            kernel_size: 3,
            hidden_size: 512,
            num_classes: 2,
            batch_size: 32,
            lr: 1e-4,
            epochs: 100,
            weight_decay: 1e-4,
            early_stopping_patience: 20,
            dropout_rate: 0.3,
            loss: LossKind::Focal,
            focal_loss_alpha: 0.75,
            focal_loss_gamma: 2.0,
            class_weights: true,
            use_weighted_sampler: true,
            plateau_factor: 0.5,
            plateau_patience: 5,
            device: "auto".to_owned(),
        }
    }
}

const fn int(
    name: &'static str,
    default: i64,
    min: i64,
    max: i64,
    unit: &'static str,
    doc: &'static str,
) -> Param {
    Param { name, kind: Kind::Int { default, min, max }, unit, doc }
}

const fn float(name: &'static str, default: f64, min: f64, max: f64, doc: &'static str) -> Param {
    Param { name, kind: Kind::Float { default, min, max }, unit: "", doc }
}

const fn switch(name: &'static str, default: bool, doc: &'static str) -> Param {
    Param { name, kind: Kind::Bool { default }, unit: "", doc }
}

/// The same as the engine needs it; a test holds the two against each other.
pub const PARAMS: &[Param] = &[
    int(
        "width",
        64,
        1,
        512,
        "channels",
        "channels of the first block; the others have twice and four times as many",
    ),
    switch("residual", true, "add a 1x1x1 projection of each block's input before its ReLU"),
    int(
        "kernel_size",
        3,
        1,
        7,
        "voxels",
        "edge of the convolutions' filters, odd; there are CPU kernels for 3, others are several times slower",
    ),
    int("hidden_size", 512, 1, 65_536, "units", "units of the hidden linear layer"),
    int("num_classes", 2, 2, 2, "", "classes: normal and pathology"),
    int("batch_size", 32, 1, 4096, "volumes", "volumes a step"),
    float("lr", 1e-4, 0.0, 10.0, "learning rate of Adam at the start"),
    int("epochs", 100, 1, 100_000, "", "epochs at most"),
    float("weight_decay", 1e-4, 0.0, 10.0, "L2 added to the gradient"),
    int(
        "early_stopping_patience",
        20,
        1,
        100_000,
        "epochs",
        "epochs without a better validation loss before it stops; the best weights are kept",
    ),
    float("dropout_rate", 0.3, 0.0, 0.95, "of channels before the first linear layer, of units after it"),
    Param {
        name: "loss",
        kind: Kind::Choice { default: "focal", options: &["focal", "cross_entropy"] },
        unit: "",
        doc: "focal (Lin et al. 2017) or cross entropy",
    },
    float("focal_loss_alpha", 0.75, 0.0, 1.0, "focal loss: weight of pathology; normal has the rest to 1"),
    float("focal_loss_gamma", 2.0, 0.0, 20.0, "focal loss: how strongly easy samples are turned down"),
    switch("class_weights", true, "weight classes by n / (classes x count), in either loss"),
    switch("use_weighted_sampler", true, "draw both classes alike, with replacement"),
    float("plateau_factor", 0.5, 0.01, 1.0, "what the learning rate is multiplied by on a plateau"),
    int("plateau_patience", 5, 0, 100_000, "epochs", "epochs without a better validation loss before that"),
    Param {
        name: "device",
        kind: Kind::Text { default: "auto" },
        unit: "",
        doc: "auto (a GPU that is there, otherwise the CPU), cpu, cuda or cuda:N",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_told_is_what_the_library_does() {
        let told: serde_json::Map<String, serde_json::Value> =
            PARAMS.iter().map(|param| (param.name.to_owned(), param.default_value())).collect();
        let read: Result<Config, _> = serde_json::from_value(told.into());
        assert_eq!(read.ok(), Some(Config::default()));
    }
}
