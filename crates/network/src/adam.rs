//! Adam (Kingma and Ba 2015) with L2 weight decay added to the gradient, as `torch.optim.Adam`
//! does. Knows no network.

use burn::tensor::Tensor;

use crate::operations::Operations;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) weight_decay: f64,
    /// Learning rate over `1 - beta1^t`.
    pub(crate) step_size: f64,
    /// `sqrt(1 - beta2^t)`.
    pub(crate) correction: f64,
}

/// First and second moment of each tensor, and how many steps were taken.
pub(crate) struct Adam<B: Operations> {
    moments: Vec<Option<[Tensor<B, 1>; 2]>>,
    step: i32,
    weight_decay: f64,
}

impl<B: Operations> Adam<B> {
    pub(crate) fn new(tensors: usize, weight_decay: f64) -> Adam<B> {
        Adam { moments: vec![None; tensors], step: 0, weight_decay }
    }

    /// The values after one step; those without a gradient stay.
    pub(crate) fn step(
        &mut self,
        values: Vec<Tensor<B, 1>>,
        gradients: Vec<Option<Tensor<B, 1>>>,
        lr: f64,
    ) -> Vec<Tensor<B, 1>> {
        self.step += 1;
        let by = By {
            beta1: BETA1,
            beta2: BETA2,
            epsilon: EPSILON,
            weight_decay: self.weight_decay,
            step_size: lr / (1.0 - BETA1.powi(self.step)),
            correction: (1.0 - BETA2.powi(self.step)).sqrt(),
        };
        let moved = values.into_iter().zip(gradients).zip(&mut self.moments);
        moved
            .map(|((value, gradient), moments)| {
                let Some(gradient) = gradient else { return value };
                let old = moments.take().unwrap_or_else(|| {
                    let zeros = || Tensor::zeros(value.dims(), &value.device());
                    [zeros(), zeros()]
                });
                let (value, new) = B::adam(value, old, gradient, by);
                *moments = Some(new);
                value
            })
            .collect()
    }
}
