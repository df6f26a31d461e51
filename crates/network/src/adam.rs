//! Adam (Kingma and Ba 2015) with L2 weight decay added to the gradient, as `torch.optim.Adam`
//! does. Knows no network.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moment of each tensor, and how many steps were taken.
pub(crate) struct Adam<B: Backend> {
    moments: Vec<Option<(Tensor<B, 1>, Tensor<B, 1>)>>,
    step: i32,
    weight_decay: f32,
}

impl<B: Backend> Adam<B> {
    pub(crate) fn new(tensors: usize, weight_decay: f64) -> Adam<B> {
        Adam { moments: vec![None; tensors], step: 0, weight_decay: weight_decay as f32 }
    }

    /// Begins a step; then [`Adam::update`] is called once for each tensor.
    pub(crate) fn next_step(&mut self) {
        self.step += 1;
    }

    /// The new value of tensor `index` from its value and gradient.
    pub(crate) fn update(
        &mut self,
        index: usize,
        value: Tensor<B, 1>,
        gradient: Tensor<B, 1>,
        lr: f64,
    ) -> Tensor<B, 1> {
        let gradient = if self.weight_decay > 0.0 {
            gradient + value.clone().mul_scalar(self.weight_decay)
        } else {
            gradient
        };
        let square = gradient.clone() * gradient.clone();
        let (first, second) = match self.moments[index].take() {
            Some((m, v)) => (
                m.mul_scalar(BETA1) + gradient.mul_scalar(1.0 - BETA1),
                v.mul_scalar(BETA2) + square.mul_scalar(1.0 - BETA2),
            ),
            None => (gradient.mul_scalar(1.0 - BETA1), square.mul_scalar(1.0 - BETA2)),
        };
        self.moments[index] = Some((first.clone(), second.clone()));
        let step_size = lr / (1.0 - f64::from(BETA1).powi(self.step));
        let correction = (1.0 - f64::from(BETA2).powi(self.step)).sqrt();
        let denominator = second.sqrt().div_scalar(correction).add_scalar(EPSILON);
        value - (first / denominator).mul_scalar(step_size)
    }
}
