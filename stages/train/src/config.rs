//! The parameters of a training: their names, defaults and ranges. Computes nothing.

use ctpipe_network::{Arch, Config as Network, Device, Learning, LossKind, OptimizerKind, Precision};
use ctpipe_stage::parameters;
use ctpipe_stage::parameters::{choice, float, int, switch, text};
use ctpipe_tables::Note;
use serde::{Deserialize, Serialize};

/// What happens when the loss is no longer finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDivergence {
    /// The training fails.
    #[default]
    Fail,
    /// The training ends and keeps the best epoch until then.
    Keep,
}

/// How the learning rate changes over the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It falls when the watched figure no longer improves.
    #[default]
    Plateau,
    /// It falls along a cosine, after a warm-up.
    Cosine,
    /// It rises along a cosine and falls along another (Smith 2018).
    OneCycle,
    /// It stays constant.
    Constant,
}

/// The figure by which the best epoch is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    /// The smallest loss on the validation set.
    #[default]
    ValLoss,
    /// The largest area under the ROC curve on the validation set.
    ValAuc,
}

/// Where the progress of a training is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracking {
    /// Only in TensorBoard's event files.
    #[default]
    None,
    /// Also on an MLflow server.
    Mlflow,
}

parameters! {
    /// All parameters of a training. The defaults are those of the reference.
    arch: Arch = Arch::Cnn3d, choice(Arch::NAMES), "",
        "the network: cnn3d, or cnn3d_gap, which averages each channel before the linear layers";
    width: usize = 64, int(64, 1, 512), "channels",
        "channels of the first block; the next blocks have twice and four times as many";
    residual: bool = true, switch(true), "", "add a 1x1x1 projection of each block's input before its ReLU";
    kernel_size: usize = 3, int(3, 1, 7), "voxels",
        "edge length of the convolution filters, odd; only 3 has CPU kernels, others are several times slower";
    hidden_size: usize = 512, int(512, 1, 65_536), "units", "units of the hidden linear layer";
    num_classes: usize = 2, int(2, 2, 2), "", "classes: normal and pathology";
    dropout_rate: f64 = 0.3, float(0.3, 0.0, 0.95), "",
        "dropout of whole channels before the first linear layer and of single units after it";

    epochs: u32 = 100, int(100, 1, 100_000), "", "maximum number of epochs";
    batch_size: usize = 32, int(32, 1, 4096), "volumes", "volumes per batch";
    accumulate: usize = 1, int(1, 1, 4096), "batches",
        "batches whose gradients are summed for one step: it saves memory, but BatchNorm sees the smaller batches";
    lr: f64 = 1e-4, float(1e-4, 0.0, 10.0), "", "learning rate: the initial one, or with warm-up the largest";
    optimizer: OptimizerKind = OptimizerKind::Adam, choice(&["adam", "adamw", "sgd"]), "",
        "adam (weight decay in the gradient), adamw (decoupled weight decay) or sgd";
    momentum: f64 = 0.9, float(0.9, 0.0, 0.9999), "", "sgd: momentum, the share of the last step that is kept";
    weight_decay: f64 = 1e-4, float(1e-4, 0.0, 10.0), "", "weight decay";
    decay_all: bool = false, switch(false), "", "apply weight decay to biases and BatchNorm weights, too, as the reference does";
    clip_norm: f64 = 0.0, float(0.0, 0.0, 1e9), "",
        "maximum norm of the whole gradient; 0 for no limit";
    ema_decay: f64 = 0.0, float(0.0, 0.0, 0.999_999), "",
        "decay of a moving average of the weights, which is validated and kept instead of the weights; 0 for none";
    freeze_norm: bool = false, switch(false), "",
        "BatchNorm keeps its running statistics and normalises by them: for fine-tuning from init_from";

    schedule: Schedule = Schedule::Plateau, choice(&["plateau", "cosine", "one_cycle", "constant"]), "",
        "learning rate schedule: plateau, cosine (with warmup_epochs), one_cycle or constant";
    plateau_factor: f64 = 0.5, float(0.5, 0.01, 1.0), "", "plateau: factor by which the learning rate is multiplied";
    plateau_patience: u32 = 5, int(5, 0, 100_000), "epochs", "plateau: epochs without improvement before that";
    min_lr: f64 = 0.0, float(0.0, 0.0, 10.0), "", "plateau and cosine: minimum learning rate";
    warmup_epochs: f64 = 0.0, float(0.0, 0.0, 100_000.0), "epochs",
        "cosine: epochs in which the learning rate rises linearly to lr";
    early_stopping_on: Watched = Watched::ValLoss, choice(&["val_loss", "val_auc"]), "",
        "the validation figure that decides which epoch is best and when training stops";
    early_stopping_patience: u32 = 20, int(20, 1, 100_000), "epochs",
        "epochs without improvement before training stops; the best weights are kept";

    on_divergence: OnDivergence = OnDivergence::Fail, choice(&["fail", "keep"]), "",
        "when the loss is not a finite number: fail, or keep the best epoch so far (for a search, which ranks a training without one last)";

    loss: LossKind = LossKind::Focal, choice(&["focal", "cross_entropy"]), "",
        "loss function: focal (Lin et al. 2017) or cross entropy";
    focal_loss_alpha: f64 = 0.75, float(0.75, 0.0, 1.0), "",
        "focal loss: weight of pathology; normal gets 1 minus it";
    focal_loss_gamma: f64 = 2.0, float(2.0, 0.0, 20.0), "",
        "focal loss: how strongly easy samples are down-weighted";
    class_weights: bool = true, switch(true), "", "weight classes by n / (classes x count), with either loss";
    label_smoothing: f64 = 0.0, float(0.0, 0.0, 0.99), "", "share of each label that is spread evenly over both classes";
    use_weighted_sampler: bool = true, switch(true), "", "draw both classes equally often, with replacement";

    augment: bool = true, switch(true), "", "augment each volume, differently in each epoch";
    rotate_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "probability of a rotation about the body's axis";
    rotate_degrees: f64 = 10.0, float(10.0, 0.0, 180.0), "degrees", "largest angle, in either direction";
    rotate_any_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "probability of a rotation about an axis of any direction";
    rotate_any_degrees: f64 = 10.0, float(10.0, 0.0, 180.0), "degrees", "largest angle, in either direction";
    flip_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "probability of swapping left and right";
    scale_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "probability of scaling";
    scale_range: f64 = 0.1, float(0.1, 0.0, 0.9), "", "the factor lies within 1 plus or minus this";
    shift_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "probability of a shift along x, y and z";
    shift_range: f64 = 0.05, float(0.05, 0.0, 1.0), "edges", "largest shift along each axis, as a share of the edge";
    contrast_probability: f64 = 0.0, float(0.0, 0.0, 1.0), "", "probability of stretching the values about the volume's mean";
    contrast_range: f64 = 0.2, float(0.2, 0.0, 1.0), "", "the factor lies within 1 plus or minus this";
    brightness_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "probability of multiplying all values";
    brightness_range: f64 = 0.2, float(0.2, 0.0, 1.0), "", "the factor lies within 1 plus or minus this";
    noise_probability: f64 = 0.5, float(0.5, 0.0, 1.0), "", "probability of adding Gaussian noise";
    noise_range: f64 = 0.1, float(0.1, 0.0, 1.0), "",
        "largest standard deviation of the noise; 1 is the whole window from -1000 to 400 HU";

    checkpoint_every: u32 = 1, int(1, 0, 100_000), "epochs",
        "epochs between checkpoints; 0 for no checkpoints by epochs";
    checkpoint_minutes: f64 = 10.0, float(10.0, 0.0, 1e6), "minutes",
        "minutes between checkpoints, also within an epoch; 0 for no checkpoints by time";
    tracking: Tracking = Tracking::None, choice(&["none", "mlflow"]), "",
        "mlflow: send parameters, metrics and the model to the MLflow server at tracking_uri";
    tracking_uri: String = "http://127.0.0.1:5000".to_owned(), text("http://127.0.0.1:5000"), "",
        "MLflow server; user, password and token are read from MLFLOW_TRACKING_USERNAME, _PASSWORD and _TOKEN";
    tracking_experiment: String = "ctpipe".to_owned(), text("ctpipe"), "", "MLflow experiment; it is created if it does not exist";
    precision: Precision = Precision::F32, choice(&["f32", "bf16"]), "",
        "precision of convolutions and products on a GPU; a CPU always computes in f32";
    device: String = "auto".to_owned(), text("auto"), "",
        "auto (a GPU if there is one, otherwise the CPU), cpu, cuda or cuda:N";
}

/// Parameters that decide where and how the work is done, but not its result.
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
    /// The architecture for volumes of `size³` voxels.
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

    /// How the weights are updated on a device.
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

    /// Notes on parameters that have no effect because of another parameter.
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

    /// Number of volumes in one step of the optimiser.
    pub fn step_size(&self) -> usize {
        self.batch_size * self.accumulate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_told_is_what_the_library_does() {
        assert!(ctpipe_stage::parameters::same_defaults::<Config>(PARAMS));
    }

    #[test]
    fn every_parameter_that_is_left_out_of_the_key_is_one() {
        assert!(NOT_IN_KEY.iter().all(|name| PARAMS.iter().any(|param| param.name == *name)));
    }
}
