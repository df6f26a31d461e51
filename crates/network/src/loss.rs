//! Focal loss and cross entropy: once on tensors for the gradient, once on the host in f64 for
//! validation. Knows no network.

use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

/// Which loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Lin et al. 2017: `-α_t (1 - p_t)^γ log p_t`, α for class 1 and 1 - α for class 0.
    Focal,
    /// `-log p_t`.
    CrossEntropy,
}

/// A loss over two classes.
///
/// Each sample's term is multiplied by the weight of its class. Cross entropy is then divided by
/// the sum of the weights, as PyTorch does; focal loss by the number of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Which.
    pub kind: LossKind,
    /// Focal loss: weight of class 1; class 0 has the rest to 1.
    pub alpha: f32,
    /// Focal loss: how strongly well-classified samples are turned down.
    pub gamma: f32,
    /// Weight of class 0 and of class 1.
    pub class_weights: [f32; 2],
}

impl Loss {
    /// What multiplies a sample's term, whatever its logits.
    fn weight(&self, label: u8) -> f32 {
        let alpha = match (self.kind, label) {
            (LossKind::CrossEntropy, _) => 1.0,
            (LossKind::Focal, 1) => self.alpha,
            (LossKind::Focal, _) => 1.0 - self.alpha,
        };
        alpha * self.class_weights[usize::from(label.min(1))]
    }

    fn divisor(&self, labels: &[u8]) -> f32 {
        match self.kind {
            LossKind::Focal => labels.len() as f32,
            LossKind::CrossEntropy => labels.iter().map(|&label| self.weight(label)).sum(),
        }
    }

    /// Mean loss of logits `[N, 2]`, with its gradient: `[1]`.
    pub(crate) fn on_device<B: Backend>(
        &self,
        logits: Tensor<B, 2>,
        labels: &[u8],
        device: &B::Device,
    ) -> Tensor<B, 1> {
        let index: Vec<i32> = labels.iter().map(|&label| i32::from(label)).collect();
        let index = Tensor::<B, 1, Int>::from_data(index.as_slice(), device).unsqueeze_dim::<2>(1);
        let weights: Vec<f32> = labels.iter().map(|&label| self.weight(label)).collect();
        let weights = Tensor::<B, 1>::from_data(weights.as_slice(), device);
        let log_p = log_softmax(logits, 1).gather(1, index).squeeze_dim::<1>(1);
        let terms = match self.kind {
            LossKind::CrossEntropy => log_p.neg(),
            LossKind::Focal => {
                let rest = log_p.clone().exp().neg().add_scalar(1.0).clamp_min(0.0);
                // x^0 has the gradient 0 · x^-1, which is not a number at x = 0.
                if self.gamma == 0.0 { log_p.neg() } else { rest.powf_scalar(self.gamma) * log_p.neg() }
            }
        };
        (terms * weights).sum().div_scalar(self.divisor(labels))
    }

    /// The same mean loss on the host, in f64.
    pub fn on_host(&self, logits: &[[f32; 2]], labels: &[u8]) -> f64 {
        let total: f64 = logits
            .iter()
            .zip(labels)
            .map(|(logits, &label)| {
                let log_p = log_softmax_f64(*logits)[usize::from(label.min(1))];
                let focus = match self.kind {
                    LossKind::CrossEntropy => 1.0,
                    LossKind::Focal => (1.0 - log_p.exp()).max(0.0).powf(f64::from(self.gamma)),
                };
                -f64::from(self.weight(label)) * focus * log_p
            })
            .sum();
        total / f64::from(self.divisor(labels))
    }
}

fn log_softmax_f64([a, b]: [f32; 2]) -> [f64; 2] {
    let (a, b) = (f64::from(a), f64::from(b));
    let top = a.max(b);
    let log_sum = top + ((a - top).exp() + (b - top).exp()).ln();
    [a - log_sum, b - log_sum]
}

/// Probability of class 1 from two logits (softmax), in f64.
pub fn probability(logits: [f32; 2]) -> f64 {
    log_softmax_f64(logits)[1].exp()
}
