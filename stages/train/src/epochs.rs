//! The training itself: epochs of steps, validation, schedule, the best weights. Knows no files.

use std::error::Error;

use ctpipe_metrics::auc;
use ctpipe_network::{Device, Loss, Network, Purpose, Stream, Trainer, Weights, probability};
use ctpipe_tables::EpochRow;

use crate::balance::{class_weights, over_correction};
use crate::config::Config;
use crate::data::{Dataset, Sample, class_counts, epoch_order};
use crate::schedule::{EarlyStopping, Plateau};

/// Go on, or stop cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Go,
    /// The user wants to stop.
    Stop,
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// What goes into the history.
    pub row: EpochRow,
    /// Epochs at most.
    pub epochs: u32,
}

/// Whoever wants to follow the training.
pub trait Watcher {
    /// After each step: how many of how many are done in this epoch, and the loss so far.
    fn step(&mut self, _epoch: u32, _done: usize, _steps: usize, _loss: f64) -> Flow {
        Flow::Go
    }
    /// After each epoch.
    fn epoch(&mut self, _epoch: &Epoch) {}
    /// Something that deserves a look.
    fn note(&mut self, _text: &str) {}
}

/// Nobody wants to.
impl Watcher for () {}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Of the best epoch.
    pub weights: Weights,
    /// Every epoch.
    pub history: Vec<EpochRow>,
    /// The epoch whose weights these are, from 1.
    pub best_epoch: u32,
    /// Did early stopping end it?
    pub stopped_early: bool,
    /// Weights of the classes in the loss.
    pub class_weights: [f32; 2],
    /// What was noted.
    pub notes: Vec<String>,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The training part lacks a class.
    #[error(
        "the training part has {normal} normal and {pathology} pathological series; both are needed to \
         learn from"
    )]
    OneClass {
        /// Label 0.
        normal: usize,
        /// Label 1.
        pathology: usize,
    },
    /// A batch that never fills.
    #[error(
        "batch_size {batch_size} is larger than the training part of {samples} series; use {samples} or less"
    )]
    BatchTooLarge {
        /// Asked for.
        batch_size: usize,
        /// There are.
        samples: usize,
    },
    /// The loss is not a number any more.
    #[error("the loss became {loss} in epoch {epoch}, step {step}; try a smaller lr (it is {lr})")]
    NotFinite {
        /// Which.
        epoch: u32,
        /// Which, from 1.
        step: usize,
        /// NaN or infinite.
        loss: f64,
        /// The learning rate then.
        lr: f64,
    },
    /// A volume could not be read.
    #[error("cannot read a volume")]
    Volumes(#[source] Box<dyn Error + Send + Sync>),
    /// The network refused.
    #[error(transparent)]
    Network(#[from] ctpipe_network::Error),
    /// The watcher said so.
    #[error("interrupted")]
    Stopped,
}

/// Trains from `start`, or from freshly drawn weights. Same configuration, data, seed and device: same weights on the
/// CPU, bit by bit, on any number of threads.
///
/// # Errors
/// As [`TrainError`] says.
pub fn train(
    config: &Config,
    data: &Dataset<'_>,
    start: Option<Weights>,
    device: Device,
    seed: u64,
    watcher: &mut dyn Watcher,
) -> Result<Trained, TrainError> {
    let counts = class_counts(&data.train);
    check(config, data.train.len(), counts)?;
    let mut notes: Vec<String> = over_correction(counts, config).into_iter().collect();
    if data.val.is_empty() {
        notes.push("there is no validation part: the epoch is chosen by the training loss".to_owned());
    }
    for note in &notes {
        watcher.note(note);
    }
    let loss = Loss {
        kind: config.loss,
        alpha: config.focal_loss_alpha as f32,
        gamma: config.focal_loss_gamma as f32,
        class_weights: class_weights(counts, config.class_weights),
    };
    let weights = match start {
        Some(weights) => weights,
        None => Weights::init(&config.network(data.volumes.edge().map_err(TrainError::Volumes)?), seed),
    };
    let mut trainer = Trainer::new(&weights, config.weight_decay, seed, device)?;
    let mut sampler = Stream::new(seed, Purpose::Sampler);
    let mut plateau = Plateau::new(config.lr, config.plateau_factor, config.plateau_patience);
    let mut early = EarlyStopping::new(config.early_stopping_patience);
    let mut best = (weights, 0);
    let mut history: Vec<EpochRow> = Vec::new();
    for epoch in 1..=config.epochs {
        let lr = plateau.lr();
        let order = epoch_order(&data.train, config.use_weighted_sampler, &mut sampler);
        let train_loss = run_epoch(&mut trainer, config, data, &order, &loss, epoch, lr, watcher)?;
        let (val_loss, val_auc) = validate(&trainer, config, data, &loss)?;
        let watched = val_loss.unwrap_or(train_loss);
        if !watched.is_finite() {
            return Err(TrainError::NotFinite {
                epoch,
                step: order.len().div_ceil(config.batch_size),
                loss: watched,
                lr,
            });
        }
        plateau.observe(watched);
        if early.observe(watched) {
            best = (trainer.weights(), epoch);
        }
        let row = EpochRow { epoch, train_loss, val_loss, val_auc, lr, best: false };
        watcher.epoch(&Epoch { row: row.clone(), epochs: config.epochs });
        history.push(row);
        if early.is_over() {
            break;
        }
    }
    let (weights, best_epoch) = best;
    for row in &mut history {
        row.best = row.epoch == best_epoch;
    }
    Ok(Trained {
        weights,
        best_epoch,
        stopped_early: early.is_over() && (history.len() as u32) < config.epochs,
        history,
        class_weights: loss.class_weights,
        notes,
    })
}

fn check(config: &Config, samples: usize, [normal, pathology]: [usize; 2]) -> Result<(), TrainError> {
    if normal == 0 || pathology == 0 {
        return Err(TrainError::OneClass { normal, pathology });
    }
    if config.batch_size > samples {
        return Err(TrainError::BatchTooLarge { batch_size: config.batch_size, samples });
    }
    Ok(())
}

/// All steps of one epoch; the mean loss over its samples.
#[allow(clippy::too_many_arguments)] // one call, from the loop above
fn run_epoch(
    trainer: &mut Trainer,
    config: &Config,
    data: &Dataset<'_>,
    order: &[Sample],
    loss: &Loss,
    epoch: u32,
    lr: f64,
    watcher: &mut dyn Watcher,
) -> Result<f64, TrainError> {
    let steps = order.len().div_ceil(config.batch_size);
    let mut total = 0.0;
    let mut seen = 0;
    for (step, batch) in order.chunks(config.batch_size).enumerate() {
        let (volumes, labels) = read(data, batch)?;
        let value = f64::from(trainer.step(&slices(&volumes), &labels, loss, lr)?);
        if !value.is_finite() {
            return Err(TrainError::NotFinite { epoch, step: step + 1, loss: value, lr });
        }
        total += value * batch.len() as f64;
        seen += batch.len();
        if watcher.step(epoch, step + 1, steps, total / seen as f64) == Flow::Stop {
            return Err(TrainError::Stopped);
        }
    }
    Ok(total / seen.max(1) as f64)
}

/// Loss and AUC on val; `None` where they are undefined.
fn validate(
    trainer: &Trainer,
    config: &Config,
    data: &Dataset<'_>,
    loss: &Loss,
) -> Result<(Option<f64>, Option<f64>), TrainError> {
    if data.val.is_empty() {
        return Ok((None, None));
    }
    let mut logits = Vec::with_capacity(data.val.len());
    for batch in data.val.chunks(config.batch_size) {
        let (volumes, _) = read(data, batch)?;
        logits.extend(trainer.logits(&slices(&volumes))?);
    }
    let labels: Vec<u8> = data.val.iter().map(|sample| sample.label).collect();
    let positive: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
    let scores: Vec<f64> = logits.iter().map(|&pair| probability(pair)).collect();
    Ok((Some(loss.on_host(&logits, &labels)), auc(&positive, &scores).ok()))
}

fn read(data: &Dataset<'_>, batch: &[Sample]) -> Result<(Vec<Vec<u16>>, Vec<u8>), TrainError> {
    let numbers: Vec<usize> = batch.iter().map(|sample| sample.volume).collect();
    let volumes = data.volumes.read(&numbers).map_err(TrainError::Volumes)?;
    Ok((volumes, batch.iter().map(|sample| sample.label).collect()))
}

fn slices(volumes: &[Vec<u16>]) -> Vec<&[u16]> {
    volumes.iter().map(Vec::as_slice).collect()
}

impl Trained {
    /// The trained network, ready to answer.
    ///
    /// # Errors
    /// When the device is not in this build.
    pub fn network(&self, device: Device) -> Result<Network, ctpipe_network::Error> {
        Network::new(&self.weights, device)
    }
}
