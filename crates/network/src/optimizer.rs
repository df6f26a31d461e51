//! Optimisers as in `torch.optim`: Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019)
//! and SGD with momentum, together with gradient clipping and the moving average of the weights.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::device::Precision;
use crate::operations::Operations;
use crate::signatures::{Along, By};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;
/// `torch.nn.utils.clip_grad_norm_` adds this to the norm.
const NORM_EPSILON: f64 = 1e-6;

/// The kind of optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam, with weight decay added to the gradient.
    #[default]
    Adam,
    /// Adam, with weight decay apart from the gradient.
    AdamW,
    /// SGD with momentum and without dampening.
    Sgd,
}

/// How weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Learning {
    /// The kind of optimiser.
    pub optimizer: OptimizerKind,
    /// SGD: share of the previous step that continues.
    pub momentum: f64,
    /// L2 penalty (Adam, SGD) or decoupled weight decay (AdamW).
    pub weight_decay: f64,
    /// Whether biases and BatchNorm's weights decay as well.
    pub decay_all: bool,
    /// Maximum length of the whole gradient; 0 for no limit.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights, which is then used for inference; 0 for none.
    pub ema_decay: f64,
    /// Whether BatchNorm keeps its running statistics and normalises with them.
    pub freeze_norm: bool,
    /// Precision of multiplication on a GPU.
    pub precision: Precision,
}

impl Default for Learning {
    fn default() -> Learning {
        Learning {
            optimizer: OptimizerKind::Adam,
            momentum: 0.9,
            weight_decay: 1e-4,
            decay_all: false,
            clip_norm: 0.0,
            ema_decay: 0.0,
            freeze_norm: false,
            precision: Precision::F32,
        }
    }
}

impl Learning {
    /// The decay of the moving average at its update number `update`. It is smaller at first, so
    /// that the initial weights are forgotten.
    pub(crate) fn ema_decay_at(&self, update: u64) -> f64 {
        let update = update as f64;
        self.ema_decay.min((1.0 + update) / (10.0 + update))
    }
}

/// What an optimiser remembers for a tensor.
#[derive(Clone)]
pub(crate) enum Memory<B: Operations> {
    /// First and second moment.
    Moments([Tensor<B, 1>; 2]),
    /// Velocity.
    Velocity(Tensor<B, 1>),
}

/// An optimiser, with what it remembers for each tensor.
pub(crate) struct Optimizer<B: Operations> {
    learning: Learning,
    /// Whether each tensor decays.
    decays: Vec<bool>,
    pub(crate) memory: Vec<Option<Memory<B>>>,
    /// Number of steps taken.
    pub(crate) steps: u64,
}

impl<B: Operations> Optimizer<B> {
    /// `weights` says for each tensor whether it always decays.
    pub(crate) fn new(learning: Learning, weights: &[bool]) -> Optimizer<B> {
        Optimizer {
            learning,
            decays: weights.iter().map(|&weight| weight || learning.decay_all).collect(),
            memory: vec![None; weights.len()],
            steps: 0,
        }
    }

    /// The values after one step; values without a gradient stay unchanged.
    pub(crate) fn step(
        &mut self,
        values: Vec<Tensor<B, 1>>,
        gradients: Vec<Option<Tensor<B, 1>>>,
        lr: f64,
    ) -> Vec<Tensor<B, 1>> {
        self.steps += 1;
        let gradients =
            if self.learning.clip_norm > 0.0 { clip(gradients, self.learning.clip_norm) } else { gradients };
        let tensors = values.into_iter().zip(gradients).zip(&mut self.memory).zip(&self.decays);
        tensors
            .map(|(((value, gradient), memory), &decays)| {
                let Some(gradient) = gradient else { return value };
                let decay = if decays { self.learning.weight_decay } else { 0.0 };
                move_along(&self.learning, self.steps, value, gradient, memory, decay, lr)
            })
            .collect()
    }
}

fn move_along<B: Operations>(
    learning: &Learning,
    step: u64,
    value: Tensor<B, 1>,
    gradient: Tensor<B, 1>,
    memory: &mut Option<Memory<B>>,
    decay: f64,
    lr: f64,
) -> Tensor<B, 1> {
    let zeros = || Tensor::zeros(value.dims(), &value.device());
    if learning.optimizer == OptimizerKind::Sgd {
        let velocity = match memory.take() {
            Some(Memory::Velocity(velocity)) => velocity,
            _ => zeros(),
        };
        let along = Along { lr, momentum: learning.momentum, weight_decay: decay };
        let (value, velocity) = B::sgd(value, velocity, gradient, along);
        *memory = Some(Memory::Velocity(velocity));
        return value;
    }
    let moments = match memory.take() {
        Some(Memory::Moments(moments)) => moments,
        _ => [zeros(), zeros()],
    };
    let apart = learning.optimizer == OptimizerKind::AdamW;
    let step = i32::try_from(step).unwrap_or(i32::MAX);
    let by = By {
        beta1: BETA1,
        beta2: BETA2,
        epsilon: EPSILON,
        weight_decay: if apart { 0.0 } else { decay },
        shrink: if apart { 1.0 - lr * decay } else { 1.0 },
        step_size: lr / (1.0 - BETA1.powi(step)),
        correction: (1.0 - BETA2.powi(step)).sqrt(),
    };
    let (value, moments) = B::adam(value, moments, gradient, by);
    *memory = Some(Memory::Moments(moments));
    value
}

/// Scales all gradients together to a length of at most `most`, as `torch.nn.utils.clip_grad_norm_`
/// does; the norm stays on the device.
fn clip<B: Operations>(gradients: Vec<Option<Tensor<B, 1>>>, most: f64) -> Vec<Option<Tensor<B, 1>>> {
    let squares = gradients.iter().flatten().map(|gradient| B::sum_of_squares(gradient.clone()));
    let Some(total) = squares.reduce(|a, b| a + b) else { return gradients };
    let factor = total.sqrt().add_scalar(NORM_EPSILON).recip().mul_scalar(most).clamp_max(1.0);
    gradients
        .into_iter()
        .map(|gradient| {
            let gradient = gradient?;
            let [len] = gradient.dims();
            // One value for each row, which every backend has a fast path for.
            Some((gradient.reshape([1, len]) * factor.clone().reshape([1, 1])).reshape([len]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_average_forgets_the_start_before_it_moves_slowly() {
        let learning = Learning { ema_decay: 0.999, ..Learning::default() };
        // (1 + t) / (10 + t), by hand.
        assert_eq!(learning.ema_decay_at(0), 0.1);
        assert_eq!(learning.ema_decay_at(90), 0.91);
        assert_eq!(learning.ema_decay_at(1_000_000), 0.999);
    }
}
