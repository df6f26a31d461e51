//! The parameters of a training: names, defaults, ranges. Computes nothing.

use ctpipe_engine::parameters;
use ctpipe_engine::parameters::{choice, float, int, switch, text};
use ctpipe_network::{Arch, Config as Network, Device, Learning, LossKind, OptimizerKind, Precision};
use ctpipe_tables::Note;
use serde::{Deserialize, Serialize};

/// What is done where the loss becomes no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDivergence {
    /// The training has failed.
    #[default]
    Fail,
    /// It ends there, with the best epoch that there was.
    Keep,
}

/// What makes the learning rate fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It falls when the validation loss does not any more.
    #[default]
    Plateau,
    /// Along a cosine, after a warm-up.
    Cosine,
    /// Up along a cosine and down along another (Smith 2018).
    OneCycle,
    /// It stays.
    Constant,
}

/// What the best epoch is the best by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    /// The smallest loss on val.
    #[default]
    ValLoss,
    /// The largest area under the ROC curve on val.
    ValAuc,
}

/// Who is told of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracking {
    /// Nobody but TensorBoard's files.
    #[default]
    None,
    /// An MLflow server, too.
    Mlflow,
}

parameters! {
    /// All parameters of a training. The defaults are the reference's.
    arch: Arch = Arch::Cnn3d, choice(Arch::NAMES), "",
        "the network: cnn3d, or cnn3d_gap, which takes the mean of each channel before the linear layers";
    width: usize = 64, int(64, 1, 512), "channels",
        "channels of the first block; the others have twice and four times as many";
    residual: bool = true, switch(true), "", "add a 1x1x1 projection of each block's input before its ReLU";
    kernel_size: usize = 3, int(3, 1, 7), "voxels",
        "edge of the convolutions' filters, odd; there are CPU kernels for 3, others are several times slower";
    hidden_size: usize = 512, int(512, 1, 65_536), "units", "units of the hidden linear layer";
    num_classes: usize = 2, int(2, 2, 2), "", "classes: normal and pathology";
    dropout_rate: f64 = 0.3, float(0.3, 0.0, 0.95), "",
        "of whole channels before the first linear layer, of single units after it";

    epochs: u32 = 100, int(100, 1, 100_000), "", "epochs at most";
    batch_size: usize = 32, int(32, 1, 4096), "volumes", "volumes that go through the network at once";
    accumulate: usize = 1, int(1, 1, 4096), "batches",
        "batches whose gradients are added up for one step: less memory, and BatchNorm sees the smaller batches";
    lr: f64 = 1e-4, float(1e-4, 0.0, 10.0), "", "learning rate: at the start, or with a warm-up its largest";
    optimizer: OptimizerKind = OptimizerKind::Adam, choice(&["adam", "adamw", "sgd"]), "",
        "adam (decay in the gradient), adamw (decay apart from it) or sgd";
    momentum: f64 = 0.9, float(0.9, 0.0, 0.9999), "", "sgd: share of the last step that goes on";
    weight_decay: f64 = 1e-4, float(1e-4, 0.0, 10.0), "", "decay of the weights";
    decay_all: bool = false, switch(false), "", "biases and BatchNorm's weights decay, too, as in the reference";
    clip_norm: f64 = 0.0, float(0.0, 0.0, 1e9), "",
        "longest that the gradient as a whole may be; 0 for any length";
    ema_decay: f64 = 0.0, float(0.0, 0.0, 0.999_999), "",
        "decay of a moving average of the weights, which is validated and kept in their place; 0 for none";
    freeze_norm: bool = false, switch(false), "",
        "BatchNorm keeps its running statistics and normalises by them: for a start from init_from";

    schedule: Schedule = Schedule::Plateau, choice(&["plateau", "cosine", "one_cycle", "constant"]), "",
        "how the learning rate goes: plateau, cosine (with warmup_epochs), one_cycle or constant";
    plateau_factor: f64 = 0.5, float(0.5, 0.01, 1.0), "", "what the learning rate is multiplied by on a plateau";
    plateau_patience: u32 = 5, int(5, 0, 100_000), "epochs", "epochs without a better one before that";
    min_lr: f64 = 0.0, float(0.0, 0.0, 10.0), "", "plateau and cosine: the learning rate falls no further";
    warmup_epochs: f64 = 0.0, float(0.0, 0.0, 100_000.0), "epochs",
        "cosine: the learning rate rises evenly to lr in this time";
    early_stopping_on: Watched = Watched::ValLoss, choice(&["val_loss", "val_auc"]), "",
        "what the best epoch is the best by, and what is waited for";
    early_stopping_patience: u32 = 20, int(20, 1, 100_000), "epochs",
        "epochs without a better one before it stops; the best weights are kept";

    on_divergence: OnDivergence = OnDivergence::Fail, choice(&["fail", "keep"]), "",
        "where the loss becomes no number: fail, or keep the best epoch until then (for a search, in which a training that has none comes last)";

    loss: LossKind = LossKind::Focal, choice(&["focal", "cross_entropy"]), "",
        "focal (Lin et al. 2017) or cross entropy";
    focal_loss_alpha: f64 = 0.75, float(0.75, 0.0, 1.0), "",
        "focal loss: weight of pathology; normal has the rest to 1";
    focal_loss_gamma: f64 = 2.0, float(2.0, 0.0, 20.0), "",
        "focal loss: how strongly easy samples are turned down";
    class_weights: bool = true, switch(true), "", "weight classes by n / (classes x count), in either loss";
    label_smoothing: f64 = 0.0, float(0.0, 0.0, 0.99), "", "share of each label that is spread over both classes";
    use_weighted_sampler: bool = true, switch(true), "", "draw both classes alike, with replacement";

    augment: bool = true, switch(true), "", "change each volume a little, anew in each epoch";
    rotate_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "turn about the body's axis";
    rotate_degrees: f64 = 10.0, float(10.0, 0.0, 180.0), "degrees", "by at most this, either way";
    rotate_any_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "turn about an axis of any direction";
    rotate_any_degrees: f64 = 10.0, float(10.0, 0.0, 180.0), "degrees", "by at most this, either way";
    flip_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "swap left and right";
    scale_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "make everything larger or smaller";
    scale_range: f64 = 0.1, float(0.1, 0.0, 0.9), "", "by a factor of 1 plus or minus at most this";
    shift_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "move everything along x, y and z";
    shift_range: f64 = 0.05, float(0.05, 0.0, 1.0), "edges", "by at most this share of the edge each";
    contrast_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "spread values about the volume's mean";
    contrast_range: f64 = 0.2, float(0.2, 0.0, 1.0), "", "by a factor of 1 plus or minus at most this";
    brightness_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "multiply all values";
    brightness_range: f64 = 0.2, float(0.2, 0.0, 1.0), "", "by a factor of 1 plus or minus at most this";
    noise_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "add Gaussian noise to each voxel";
    noise_range: f64 = 0.1, float(0.1, 0.0, 1.0), "",
        "with a standard deviation of at most this; 1 is the whole window from -1000 to 400 HU";

    checkpoint_every: u32 = 1, int(1, 0, 100_000), "epochs",
        "write a checkpoint after so many epochs; 0 for never by epochs";
    checkpoint_minutes: f64 = 10.0, float(10.0, 0.0, 1e6), "minutes",
        "and when the last one is so old, also within an epoch; 0 for never by time";
    tracking: Tracking = Tracking::None, choice(&["none", "mlflow"]), "",
        "mlflow: send parameters, metrics and the model to the MLflow server at tracking_uri";
    tracking_uri: String = "http://127.0.0.1:5000".to_owned(), text("http://127.0.0.1:5000"), "",
        "MLflow server; user, password or token come from MLFLOW_TRACKING_USERNAME, _PASSWORD and _TOKEN";
    tracking_experiment: String = "ctpipe".to_owned(), text("ctpipe"), "", "MLflow experiment; made where it is missing";
    precision: Precision = Precision::F32, choice(&["f32", "bf16"]), "",
        "of a GPU's convolutions and products; a CPU always computes in f32";
    device: String = "auto".to_owned(), text("auto"), "",
        "auto (a GPU that is there, otherwise the CPU), cpu, cuda or cuda:N";
}

/// Parameters that say where and how the work is done, and not what comes of it.
pub(crate) const NOT_IN_KEY: &[&str] = &[
    "device",
    "precision",
    "checkpoint_every",
    "checkpoint_minutes",
    "tracking",
    "tracking_uri",
    "tracking_experiment",
];

impl Config {
    /// The architecture, on volumes of `size³` voxels.
    pub fn network(&self, size: usize) -> Network {
        Network {
            arch: self.arch,
            size,
            width: self.width,
            residual: self.residual,
            kernel_size: self.kernel_size,
            hidden_size: self.hidden_size,
            num_classes: self.num_classes,
            dropout_rate: self.dropout_rate,
        }
    }

    /// How the weights learn on a device.
    pub fn learning(&self, device: Device) -> Learning {
        Learning {
            optimizer: self.optimizer,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            decay_all: self.decay_all,
            clip_norm: self.clip_norm,
            ema_decay: self.ema_decay,
            freeze_norm: self.freeze_norm,
            precision: device.precision(self.precision),
        }
    }

    /// Settings that another one makes useless.
    pub(crate) fn without_effect(&self) -> Vec<Note> {
        let mut found = Vec::new();
        let cosine = self.schedule == Schedule::Cosine;
        if self.warmup_epochs > 0.0 && !cosine {
            let text = "warmup_epochs is of the cosine schedule alone: it changes nothing here";
            found.push(Note::new("warmup_unused", text, []));
        }
        if cosine && self.warmup_epochs >= f64::from(self.epochs) {
            let epochs = self.warmup_epochs;
            let text = format!(
                "warmup_epochs {epochs} is as long as the training: the learning rate never reaches lr"
            );
            found.push(Note::new("warmup_long", text, [("epochs", epochs.into())]));
        }
        if self.min_lr > 0.0 && !matches!(self.schedule, Schedule::Cosine | Schedule::Plateau) {
            let text = "min_lr is of the plateau and cosine schedules alone: it changes nothing here";
            found.push(Note::new("min_lr_unused", text, []));
        }
        found
    }

    /// Volumes of one step of the optimiser.
    pub fn step_size(&self) -> usize {
        self.batch_size * self.accumulate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_told_is_what_the_library_does() {
        assert!(ctpipe_engine::parameters::same_defaults::<Config>(PARAMS));
    }

    #[test]
    fn every_parameter_that_is_left_out_of_the_key_is_one() {
        assert!(NOT_IN_KEY.iter().all(|name| PARAMS.iter().any(|param| param.name == *name)));
    }
}
