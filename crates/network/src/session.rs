//! A network at work on one backend: training steps and inference. The only file in which the
//! generic backend meets the public, non-generic types.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};

use crate::adam::Adam;
use crate::config::{Config, SIZE, VOXELS};
use crate::forward::{BatchStatistics, Dropout, MOMENTUM, forward};
use crate::loss::Loss;
use crate::random::{Purpose, Stream};
use crate::weights::Weights;

/// What the public types ask of a backend.
pub(crate) trait Infer {
    /// Logits of volumes given as `[N, 64³]` values in 0..1.
    fn logits(&self, volumes: Vec<f32>) -> Vec<f32>;
}

/// What the trainer asks of a backend.
pub(crate) trait Train: Infer {
    /// One step on a batch; the loss before it.
    fn step(&mut self, volumes: Vec<f32>, labels: &[u8], loss: &Loss, lr: f64) -> f32;
    /// The weights as they are now.
    fn weights(&self) -> Weights;
}

/// A network that only answers.
pub(crate) struct Inference<B: Backend> {
    config: Config,
    values: Vec<Tensor<B, 1>>,
    device: B::Device,
}

impl<B: Backend> Inference<B> {
    pub(crate) fn new(weights: &Weights, device: B::Device) -> Self {
        Inference { config: weights.config.clone(), values: upload(weights, &device), device }
    }
}

impl<B: Backend> Infer for Inference<B> {
    fn logits(&self, volumes: Vec<f32>) -> Vec<f32> {
        infer(&self.config, &self.values, volumes, &self.device)
    }
}

/// A network that learns.
pub(crate) struct Training<B: AutodiffBackend> {
    config: Config,
    /// On the inner backend; put on the tape anew for each step.
    values: Vec<Tensor<B::InnerBackend, 1>>,
    learnt: Vec<bool>,
    steps: i64,
    adam: Adam<B::InnerBackend>,
    dropout: Stream,
    device: B::Device,
}

impl<B: AutodiffBackend> Training<B> {
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
        let data = TensorData::new(mask(batch * channels), [batch, channels, 1]);
        let channels = Tensor::from_data(data, &self.device);
        let data = TensorData::new(mask(batch * hidden), [batch, hidden]);
        Dropout { channels, units: Tensor::from_data(data, &self.device) }
    }

    fn follow(&mut self, seen: Vec<BatchStatistics<B>>) {
        let running: Vec<usize> = (0..self.values.len()).filter(|&i| !self.learnt[i]).collect();
        // Slots hold running mean and variance of each block side by side.
        for (pair, (mean, var)) in running.chunks(2).zip(seen) {
            for (&index, new) in pair.iter().zip([mean, var]) {
                let old = self.values[index].clone();
                self.values[index] = old.mul_scalar(1.0 - MOMENTUM) + new.inner().mul_scalar(MOMENTUM);
            }
        }
    }
}

impl<B: AutodiffBackend> Infer for Training<B> {
    fn logits(&self, volumes: Vec<f32>) -> Vec<f32> {
        infer(&self.config, &self.values, volumes, &self.device)
    }
}

impl<B: AutodiffBackend> Train for Training<B> {
    fn step(&mut self, volumes: Vec<f32>, labels: &[u8], loss: &Loss, lr: f64) -> f32 {
        let on_tape: Vec<Tensor<B, 1>> = self
            .values
            .iter()
            .zip(&self.learnt)
            .map(|(value, &learnt)| {
                let tensor = Tensor::from_inner(value.clone());
                if learnt { tensor.require_grad() } else { tensor }
            })
            .collect();
        let x = batch_tensor::<B>(volumes, &self.device);
        let dropout = self.draw_dropout(labels.len());
        let mut seen = Vec::new();
        let logits = forward(&self.config, &on_tape, x, Some(dropout), &mut seen);
        let loss = loss.on_device(logits, labels, &self.device);
        let gradients = loss.backward();
        self.adam.next_step();
        for (index, tensor) in on_tape.iter().enumerate() {
            if let Some(gradient) = tensor.grad(&gradients) {
                let value = self.values[index].clone();
                self.values[index] = self.adam.update(index, value, gradient, lr);
            }
        }
        self.follow(seen);
        self.steps += 1;
        download(loss.inner()).first().copied().unwrap_or(f32::NAN)
    }

    fn weights(&self) -> Weights {
        let values = self.values.iter().cloned().map(download).collect();
        Weights { config: self.config.clone(), values, steps: self.steps }
    }
}

fn infer<B: Backend>(
    config: &Config,
    values: &[Tensor<B, 1>],
    volumes: Vec<f32>,
    device: &B::Device,
) -> Vec<f32> {
    let x = batch_tensor::<B>(volumes, device);
    let logits = forward(config, values, x, None, &mut Vec::new());
    let n = logits.dims()[0] * config.num_classes;
    download(logits.reshape([n]))
}

fn batch_tensor<B: Backend>(volumes: Vec<f32>, device: &B::Device) -> Tensor<B, 5> {
    let n = volumes.len() / VOXELS;
    Tensor::from_data(TensorData::new(volumes, [n, 1, SIZE, SIZE, SIZE]), device)
}

fn upload<B: Backend>(weights: &Weights, device: &B::Device) -> Vec<Tensor<B, 1>> {
    weights
        .values
        .iter()
        .map(|values| Tensor::from_data(TensorData::new(values.clone(), [values.len()]), device))
        .collect()
}

fn download<B: Backend>(tensor: Tensor<B, 1>) -> Vec<f32> {
    // Every tensor here is f32; the conversion covers a backend that computes in another type.
    tensor.into_data().convert::<f32>().to_vec().unwrap_or_default()
}
