//! A network on one backend: training steps and inference. This is the only file in which the
//! generic backend meets the public, non-generic types.

use std::collections::BTreeMap;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};

use crate::arch::Pass;
use crate::batch::{Batch, Voxels};
use crate::config::{Config, Slot};
use crate::device::Precision;
use crate::loss::Loss;
use crate::operations::Operations;
use crate::optimizer::{Learning, Memory, Optimizer};
use crate::random::{Purpose, Stream};
use crate::shelf::{Loading, Shelf as _};
use crate::signatures::BatchStatistics;
use crate::state::{Counts, State};
use crate::weights::Weights;

/// PyTorch's BatchNorm default: the share of the new batch in the running statistics.
const MOMENTUM: f32 = 0.1;

/// What the public types need from a backend.
pub(crate) trait Infer {
    /// Edge of a volume.
    fn size(&self) -> usize;
    /// Number of volumes that it processes at once.
    fn batch(&self) -> usize;
    /// Logits of volumes, `num_classes` each.
    fn logits(&self, voxels: Voxels<'_>) -> Vec<f32>;
}

/// What the trainer needs from a backend.
pub(crate) trait Train: Infer {
    /// Puts volumes on the device's shelf.
    fn keep(&mut self, volumes: &[&[u16]]);
    /// Number of volumes on the shelf.
    fn kept(&self) -> usize;
    /// Forward and backward pass on a batch; its gradients are added to those of the step.
    /// Intermediate results go to `seen`, if requested.
    fn add(&mut self, batch: &Batch<'_>, loss: &Loss, divisor: f32, seen: Option<&mut Seen>);
    /// Updates the weights along the gradients that were added.
    fn update(&mut self, lr: f64);
    /// Discards everything that was added since the last step.
    fn abandon(&mut self);
    /// The loss of each step since the last call.
    fn losses(&mut self) -> Vec<f32>;
    /// The weights used for inference.
    fn weights(&self) -> Weights;
    /// The complete state.
    fn state(&self) -> State;
    /// Restores a state.
    fn restore(&mut self, state: &State);
}

/// The intermediate results of a step.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Two logits for each volume, before the step.
    pub logits: Vec<f32>,
    /// Gradients by PyTorch's name of the tensor.
    pub gradients: BTreeMap<String, Vec<f32>>,
}

/// A network for inference only.
pub(crate) struct Inference<B: Loading> {
    config: Config,
    values: Vec<Tensor<B, 1>>,
    shelf: B::Shelf,
    device: B::Device,
}

impl<B: Loading> Inference<B> {
    pub(crate) fn new(weights: &Weights, device: B::Device) -> Self {
        let shelf = B::Shelf::default();
        Inference { config: weights.config.clone(), values: upload(weights, &device), shelf, device }
    }
}

impl<B: Loading> Infer for Inference<B> {
    fn size(&self) -> usize {
        self.config.size
    }

    fn batch(&self) -> usize {
        B::INFERENCE_BATCH
    }

    fn logits(&self, voxels: Voxels<'_>) -> Vec<f32> {
        let x = B::load(&self.shelf, voxels, &[], self.config.size, &self.device);
        infer(&self.config, &self.values, x, Precision::F32)
    }
}

/// What a batch changes besides gradients: running statistics by slot, the number of batches in
/// them, and the number of batches seen.
type Before<B> = (Vec<(usize, Tensor<B, 1>)>, i64, u64);

/// A network in training.
pub(crate) struct Training<B: AutodiffBackend<InnerBackend: Loading> + Operations> {
    config: Config,
    learning: Learning,
    /// The weights on the inner backend; they are put on the tape anew for each batch.
    values: Vec<Tensor<B::InnerBackend, 1>>,
    /// The moving average of the weights, where one is kept.
    average: Option<Vec<Tensor<B::InnerBackend, 1>>>,
    learnt: Vec<bool>,
    /// The gradients of the batches since the last step.
    gradients: Vec<Option<Tensor<B::InnerBackend, 1>>>,
    optimizer: Optimizer<B::InnerBackend>,
    /// Number of batches in the running statistics.
    tracked: i64,
    batches: u64,
    seed: u64,
    /// Running statistics and counts after the last step, once a batch has been added.
    before: Option<Before<B::InnerBackend>>,
    /// Loss of the batches since the last step.
    partial: Option<Tensor<B::InnerBackend, 1>>,
    losses: Vec<Tensor<B::InnerBackend, 1>>,
    shelf: <B::InnerBackend as Loading>::Shelf,
    device: B::Device,
}

impl<B: AutodiffBackend<InnerBackend: Loading> + Operations> Training<B> {
    pub(crate) fn new(weights: &Weights, learning: Learning, seed: u64, device: B::Device) -> Self {
        let slots = weights.config.slots();
        let decaying: Vec<bool> = slots.iter().map(Slot::is_weight).collect();
        Training {
            config: weights.config.clone(),
            learning,
            values: upload(weights, &device),
            average: (learning.ema_decay > 0.0).then(|| upload(weights, &device)),
            learnt: slots.iter().map(Slot::learnt).collect(),
            gradients: vec![None; slots.len()],
            optimizer: Optimizer::new(learning, &decaying),
            tracked: weights.steps,
            batches: 0,
            seed,
            before: None,
            partial: None,
            losses: Vec::new(),
            shelf: Default::default(),
            device,
        }
    }

    fn follow(&mut self, seen: Vec<BatchStatistics<B>>) {
        let running: Vec<usize> = (0..self.values.len()).filter(|&i| !self.learnt[i]).collect();
        // The slots of each block hold running mean and variance side by side.
        for (pair, new) in running.chunks(2).zip(seen) {
            for (&index, new) in pair.iter().zip(new) {
                let old = self.values[index].clone();
                self.values[index] = old.mul_scalar(1.0 - MOMENTUM) + new.inner().mul_scalar(MOMENTUM);
            }
        }
    }

    fn answering(&self) -> &[Tensor<B::InnerBackend, 1>] {
        self.average.as_ref().unwrap_or(&self.values)
    }

    fn download(&self, values: &[Tensor<B::InnerBackend, 1>]) -> Weights {
        let values = values.iter().cloned().map(download).collect();
        Weights { config: self.config.clone(), values, steps: self.tracked }
    }
}

impl<B: AutodiffBackend<InnerBackend: Loading> + Operations> Infer for Training<B> {
    fn size(&self) -> usize {
        self.config.size
    }

    fn batch(&self) -> usize {
        B::InnerBackend::INFERENCE_BATCH
    }

    fn logits(&self, voxels: Voxels<'_>) -> Vec<f32> {
        let x = B::InnerBackend::load(&self.shelf, voxels, &[], self.config.size, &self.device);
        infer(&self.config, self.answering(), x, self.learning.precision)
    }
}

impl<B: AutodiffBackend<InnerBackend: Loading> + Operations> Train for Training<B> {
    fn keep(&mut self, volumes: &[&[u16]]) {
        self.shelf.keep(volumes, &self.device);
    }

    fn kept(&self) -> usize {
        self.shelf.len()
    }

    fn add(&mut self, batch: &Batch<'_>, loss: &Loss, divisor: f32, seen: Option<&mut Seen>) {
        if self.before.is_none() {
            let running = (0..self.values.len()).filter(|&index| !self.learnt[index]);
            let running = running.map(|index| (index, self.values[index].clone())).collect();
            self.before = Some((running, self.tracked, self.batches));
        }
        let on_tape: Vec<Tensor<B, 1>> = self
            .values
            .iter()
            .zip(&self.learnt)
            .map(|(value, &learnt)| {
                let tensor = Tensor::from_inner(value.clone());
                if learnt { tensor.require_grad() } else { tensor }
            })
            .collect();
        let x =
            B::InnerBackend::load(&self.shelf, batch.voxels, batch.changes, self.config.size, &self.device);
        // Drawn on the host, so that every backend drops the same values; a new stream for each
        // batch, so that no state of it has to be kept.
        let mut stream = Stream::at(self.seed, Purpose::Dropout, self.batches);
        let rate = self.config.dropout_rate as f32;
        let keep = 1.0 / (1.0 - rate);
        let device = self.device.clone();
        let mut mask = |shape: [usize; 2]| -> Tensor<B, 2> {
            let len = shape[0] * shape[1];
            let values: Vec<f32> = (0..len).map(|_| if stream.unit() < rate { 0.0 } else { keep }).collect();
            Tensor::from_data(TensorData::new(values, shape), &device)
        };
        let by_batch = !self.learning.freeze_norm;
        let precision = self.learning.precision;
        let mut pass = Pass { by_batch, precision, mask: Some(&mut mask), seen: Vec::new(), features: None };
        let logits = self.config.arch.forward(&self.config, &on_tape, Tensor::from_inner(x), &mut pass);
        let statistics = std::mem::take(&mut pass.seen);
        let loss = loss.on_device(logits.clone(), batch.labels, divisor, &self.device);
        let mut gradients = loss.backward();
        let gradients: Vec<Option<Tensor<B::InnerBackend, 1>>> =
            on_tape.into_iter().map(|tensor| tensor.grad_remove(&mut gradients)).collect();
        if let Some(seen) = seen {
            let [n, classes] = logits.dims();
            seen.logits = download(logits.inner().reshape([n * classes]));
            let named = self.config.slots().into_iter().zip(&gradients);
            seen.gradients =
                named.filter_map(|(slot, gradient)| Some((slot.name, download(gradient.clone()?)))).collect();
        }
        for (sum, gradient) in self.gradients.iter_mut().zip(gradients) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some(sum + gradient),
                (sum, gradient) => sum.or(gradient),
            };
        }
        let loss = loss.inner();
        self.partial = Some(match self.partial.take() {
            Some(partial) => partial + loss,
            None => loss,
        });
        self.tracked += i64::from(by_batch);
        self.follow(statistics);
        self.batches += 1;
    }

    fn update(&mut self, lr: f64) {
        let gradients = self.gradients.iter_mut().map(Option::take).collect();
        // The tape no longer exists: nobody else holds the values, and they are changed in place.
        self.values = self.optimizer.step(std::mem::take(&mut self.values), gradients, lr);
        if let Some(average) = &mut self.average {
            let decay = self.learning.ema_decay_at(self.optimizer.steps);
            for (average, value) in average.iter_mut().zip(&self.values) {
                let old = average.clone().mul_scalar(decay);
                *average = old + value.clone().mul_scalar(1.0 - decay);
            }
        }
        self.losses.extend(self.partial.take());
        self.before = None;
        ctpipe_kernels::buffers::step();
    }

    fn abandon(&mut self) {
        if let Some((running, tracked, batches)) = self.before.take() {
            for (index, value) in running {
                self.values[index] = value;
            }
            (self.tracked, self.batches) = (tracked, batches);
        }
        self.gradients = vec![None; self.values.len()];
        self.partial = None;
    }

    fn losses(&mut self) -> Vec<f32> {
        let losses = std::mem::take(&mut self.losses);
        if losses.is_empty() { Vec::new() } else { download(Tensor::cat(losses, 0)) }
    }

    fn weights(&self) -> Weights {
        self.download(self.answering())
    }

    fn state(&self) -> State {
        let memory = self.optimizer.memory.iter().map(|memory| match memory {
            None => Vec::new(),
            Some(Memory::Moments(moments)) => moments.iter().cloned().map(download).collect(),
            Some(Memory::Velocity(velocity)) => vec![download(velocity.clone())],
        });
        State {
            weights: self.download(&self.values),
            average: self.average.as_ref().map(|average| self.download(average)),
            memory: memory.collect(),
            counts: Counts { steps: self.optimizer.steps, batches: self.batches, tracked: self.tracked },
        }
    }

    fn restore(&mut self, state: &State) {
        self.values = upload(&state.weights, &self.device);
        self.average = state.average.as_ref().map(|average| upload(average, &self.device));
        self.tracked = state.counts.tracked;
        let tensor = |values: &Vec<f32>| upload_one(values, &self.device);
        self.optimizer.memory = state
            .memory
            .iter()
            .map(|memory| match memory.as_slice() {
                [first, second] => Some(Memory::Moments([tensor(first), tensor(second)])),
                [velocity] => Some(Memory::Velocity(tensor(velocity))),
                _ => None,
            })
            .collect();
        self.optimizer.steps = state.counts.steps;
        self.batches = state.counts.batches;
        self.before = None;
        self.gradients = vec![None; self.values.len()];
        self.partial = None;
        self.losses = Vec::new();
    }
}

fn infer<B: Operations>(
    config: &Config,
    values: &[Tensor<B, 1>],
    x: Tensor<B, 5>,
    precision: Precision,
) -> Vec<f32> {
    let logits = config.arch.forward(config, values, x, &mut Pass::answer(precision));
    let n = logits.dims()[0] * config.num_classes;
    download(logits.reshape([n]))
}

pub(crate) fn upload<B: Operations>(weights: &Weights, device: &B::Device) -> Vec<Tensor<B, 1>> {
    weights.values.iter().map(|values| upload_one(values, device)).collect()
}

fn upload_one<B: Operations>(values: &[f32], device: &B::Device) -> Tensor<B, 1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

pub(crate) fn download<B: Operations>(tensor: Tensor<B, 1>) -> Vec<f32> {
    // Every tensor here is f32; the conversion covers a backend that computes in another type.
    match tensor.into_data().convert::<f32>().to_vec() {
        Ok(values) => values,
        Err(_) => unreachable!("converted above"),
    }
}
