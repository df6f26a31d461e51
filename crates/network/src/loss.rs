//! Focal loss and cross entropy: once on tensors for the gradient, and once on the host in f64 for
//! validation.

use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// The kind of loss.
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
/// Each sample's term is multiplied by the weight of its class. As in PyTorch, cross entropy is
/// then divided by the sum of the weights. Focal loss is divided by the number of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The kind of loss.
    pub kind: LossKind,
    /// Focal loss: weight of class 1; class 0 has 1 minus this.
    pub alpha: f32,
    /// Focal loss: how strongly well-classified samples are weighted down.
    pub gamma: f32,
    /// Weights of class 0 and class 1.
    pub class_weights: [f32; 2],
    /// This share of each label is spread evenly over both classes (Szegedy et al. 2016).
    pub label_smoothing: f32,
}

impl Default for Loss {
    fn default() -> Loss {
        let (alpha, gamma) = (0.75, 2.0);
        Loss { kind: LossKind::Focal, alpha, gamma, class_weights: [1.0; 2], label_smoothing: 0.0 }
    }
}

/// Smallest distance from 0 at which a probability is raised to a power: for an exponent below 1,
/// the derivative at 0 is infinite.
const LEAST: f32 = 1e-7;

impl Loss {
    /// The factor of each class's term of a sample, independent of its logits: the smoothed label
    /// times the weight of the class, as in `torch.nn.CrossEntropyLoss(weight, label_smoothing)`.
    fn targets(&self, label: u8) -> [f32; 2] {
        let even = self.label_smoothing / 2.0;
        [0, 1].map(|class| {
            let share = if class == label.min(1) { 1.0 - self.label_smoothing + even } else { even };
            share * self.weight(class)
        })
    }

    fn weight(&self, label: u8) -> f32 {
        let alpha = match (self.kind, label) {
            (LossKind::CrossEntropy, _) => 1.0,
            (LossKind::Focal, 1) => self.alpha,
            (LossKind::Focal, _) => 1.0 - self.alpha,
        };
        alpha * self.class_weights[usize::from(label.min(1))]
    }

    /// The divisor of the sum over samples with these labels. For a step that consists of several
    /// batches, it takes the labels of all of them.
    pub(crate) fn divisor(&self, labels: &[u8]) -> f32 {
        match self.kind {
            LossKind::Focal => labels.len() as f32,
            LossKind::CrossEntropy => labels.iter().map(|&label| self.weight(label)).sum(),
        }
    }

    /// Summed loss of logits `[N, 2]` divided by `divisor`, with its gradient: `[1]`.
    pub(crate) fn on_device<B: Backend>(
        &self,
        logits: Tensor<B, 2>,
        labels: &[u8],
        divisor: f32,
        device: &B::Device,
    ) -> Tensor<B, 1> {
        let targets: Vec<f32> = labels.iter().flat_map(|&label| self.targets(label)).collect();
        let targets = Tensor::<B, 2>::from_data(TensorData::new(targets, [labels.len(), 2]), device);
        let log_p = log_softmax(logits, 1);
        let terms = if self.kind == LossKind::Focal && self.gamma != 0.0 {
            let rest = log_p.clone().exp().neg().add_scalar(1.0).clamp_min(LEAST);
            rest.powf_scalar(self.gamma) * log_p
        } else {
            log_p
        };
        (terms * targets).sum().neg().div_scalar(divisor)
    }

    /// The same mean loss on the host, in f64.
    pub fn on_host(&self, logits: &[[f32; 2]], labels: &[u8]) -> f64 {
        let total: f64 = logits
            .iter()
            .zip(labels)
            .map(|(logits, &label)| {
                let log_p = log_softmax_f64(*logits);
                let targets = self.targets(label);
                let term = |class: usize| {
                    let focus = match self.kind {
                        LossKind::CrossEntropy => 1.0,
                        LossKind::Focal => (1.0 - log_p[class].exp()).max(0.0).powf(f64::from(self.gamma)),
                    };
                    // A weight of zero means no term, even where the logarithm is infinite.
                    if targets[class] == 0.0 {
                        0.0
                    } else {
                        -f64::from(targets[class]) * focus * log_p[class]
                    }
                };
                term(0) + term(1)
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
