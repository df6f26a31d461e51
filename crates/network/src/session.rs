//! A network at work on one backend: training steps and inference. The only file in which the
//! generic backend meets the public, non-generic types.

use std::collections::BTreeMap;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};

use crate::adam::Adam;
use crate::config::Config;
use crate::forward::{Dropout, MOMENTUM, forward};
use crate::loss::Loss;
use crate::operations::{BatchStatistics, Operations};
use crate::random::{Purpose, Stream};
use crate::weights::Weights;

/// What the public types ask of a backend.
pub(crate) trait Infer {
    /// Edge of a volume.
    fn size(&self) -> usize;
    /// Logits of volumes given as `[N, size³]` values in 0..1.
    fn logits(&self, volumes: Vec<f32>) -> Vec<f32>;
}

/// What the trainer asks of a backend.
pub(crate) trait Train: Infer {
    /// One step on a batch; the loss before it. What it computed on the way goes to `seen`, if asked for.
    fn step(
        &mut self,
        volumes: Vec<f32>,
        labels: &[u8],
        loss: &Loss,
        lr: f64,
        seen: Option<&mut Seen>,
    ) -> f32;
    /// The weights as they are now.
    fn weights(&self) -> Weights;
}

/// What a step computed on the way to the new weights.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Two a volume, before the step.
    pub logits: Vec<f32>,
    /// By PyTorch's name of the tensor.
    pub gradients: BTreeMap<String, Vec<f32>>,
}

/// A network that only answers.
pub(crate) struct Inference<B: Operations> {
    config: Config,
    values: Vec<Tensor<B, 1>>,
    device: B::Device,
}

impl<B: Operations> Inference<B> {
    pub(crate) fn new(weights: &Weights, device: B::Device) -> Self {
        Inference { config: weights.config.clone(), values: upload(weights, &device), device }
    }
}

impl<B: Operations> Infer for Inference<B> {
    fn size(&self) -> usize {
        self.config.size
    }

    fn logits(&self, volumes: Vec<f32>) -> Vec<f32> {
        infer(&self.config, &self.values, volumes, &self.device)
    }
}

/// A network that learns.
pub(crate) struct Training<B: AutodiffBackend<InnerBackend: Operations> + Operations> {
    config: Config,
    /// On the inner backend; put on the tape anew for each step.
    values: Vec<Tensor<B::InnerBackend, 1>>,
    learnt: Vec<bool>,
    steps: i64,
    adam: Adam<B::InnerBackend>,
    dropout: Stream,
    device: B::Device,
}

impl<B: AutodiffBackend<InnerBackend: Operations> + Operations> Training<B> {
    pub(crate) fn new(weights: &Weights, weight_decay: f64, seed: u64, device: B::Device) -> Self {
        let slots = weights.config.slots();
        Training {
            config: weights.config.clone(),
            values: upload(weights, &device),
            learnt: slots.iter().map(crate::config::Slot::learnt).collect(),
            steps: weights.steps,
            adam: Adam::new(slots.len(), weight_decay),
            dropout: Stream::new(seed, Purpose::Dropout),
            device,
        }
    }

    /// Drawn on the host, so that every backend drops the same.
    fn draw_dropout(&mut self, batch: usize) -> Dropout<B> {
        let rate = self.config.dropout_rate as f32;
        let keep = 1.0 / (1.0 - rate);
        let channels = 4 * self.config.width;
        let hidden = self.config.hidden_size;
        let mut mask = |len: usize| -> Vec<f32> {
            (0..len).map(|_| if self.dropout.unit() < rate { 0.0 } else { keep }).collect()
        };
        let data = TensorData::new(mask(batch * channels), [batch * channels, 1]);
        let channels = Tensor::from_data(data, &self.device);
        let data = TensorData::new(mask(batch * hidden), [batch, hidden]);
        Dropout { channels, units: Tensor::from_data(data, &self.device) }
    }

    fn follow(&mut self, seen: Vec<BatchStatistics<B>>) {
        let running: Vec<usize> = (0..self.values.len()).filter(|&i| !self.learnt[i]).collect();
        // Slots hold running mean and variance of each block side by side.
        for (pair, new) in running.chunks(2).zip(seen) {
            for (&index, new) in pair.iter().zip(new) {
                let old = self.values[index].clone();
                self.values[index] = old.mul_scalar(1.0 - MOMENTUM) + new.inner().mul_scalar(MOMENTUM);
            }
        }
    }
}

impl<B: AutodiffBackend<InnerBackend: Operations> + Operations> Infer for Training<B> {
    fn size(&self) -> usize {
        self.config.size
    }

    fn logits(&self, volumes: Vec<f32>) -> Vec<f32> {
        infer(&self.config, &self.values, volumes, &self.device)
    }
}

impl<B: AutodiffBackend<InnerBackend: Operations> + Operations> Train for Training<B> {
    fn step(
        &mut self,
        volumes: Vec<f32>,
        labels: &[u8],
        loss: &Loss,
        lr: f64,
        seen: Option<&mut Seen>,
    ) -> f32 {
        let on_tape: Vec<Tensor<B, 1>> = self
            .values
            .iter()
            .zip(&self.learnt)
            .map(|(value, &learnt)| {
                let tensor = Tensor::from_inner(value.clone());
                if learnt { tensor.require_grad() } else { tensor }
            })
            .collect();
        let x = batch_tensor::<B>(&self.config, volumes, &self.device);
        let dropout = self.draw_dropout(labels.len());
        let found = forward(&self.config, &on_tape, x, Some(dropout));
        let loss = loss.on_device(found.logits.clone(), labels, &self.device);
        let mut gradients = loss.backward();
        let gradients: Vec<Option<Tensor<B::InnerBackend, 1>>> =
            on_tape.into_iter().map(|tensor| tensor.grad_remove(&mut gradients)).collect();
        if let Some(seen) = seen {
            let [n, classes] = found.logits.dims();
            seen.logits = download(found.logits.inner().reshape([n * classes]));
            let named = self.config.slots().into_iter().zip(&gradients);
            seen.gradients =
                named.filter_map(|(slot, gradient)| Some((slot.name, download(gradient.clone()?)))).collect();
        }
        // The tape is gone by now: the values are nobody else's, and are changed in place.
        self.values = self.adam.step(std::mem::take(&mut self.values), gradients, lr);
        self.follow(found.seen);
        self.steps += 1;
        ctpipe_kernels::buffers::step();
        download(loss.inner()).first().copied().unwrap_or(f32::NAN)
    }

    fn weights(&self) -> Weights {
        let values = self.values.iter().cloned().map(download).collect();
        Weights { config: self.config.clone(), values, steps: self.steps }
    }
}

fn infer<B: Operations>(
    config: &Config,
    values: &[Tensor<B, 1>],
    volumes: Vec<f32>,
    device: &B::Device,
) -> Vec<f32> {
    let x = batch_tensor::<B>(config, volumes, device);
    let logits = forward(config, values, x, None).logits;
    let n = logits.dims()[0] * config.num_classes;
    download(logits.reshape([n]))
}

fn batch_tensor<B: Operations>(config: &Config, volumes: Vec<f32>, device: &B::Device) -> Tensor<B, 5> {
    let (n, size) = (volumes.len() / config.voxels(), config.size);
    Tensor::from_data(TensorData::new(volumes, [n, 1, size, size, size]), device)
}

fn upload<B: Operations>(weights: &Weights, device: &B::Device) -> Vec<Tensor<B, 1>> {
    weights
        .values
        .iter()
        .map(|values| Tensor::from_data(TensorData::new(values.clone(), [values.len()]), device))
        .collect()
}

fn download<B: Operations>(tensor: Tensor<B, 1>) -> Vec<f32> {
    // Every tensor here is f32; the conversion covers a backend that computes in another type.
    tensor.into_data().convert::<f32>().to_vec().unwrap_or_default()
}
