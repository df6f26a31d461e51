//! The training itself: epochs of steps, validation, schedule, the best weights, and resuming after
//! an interruption. Touches files only through its checkpoints.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ctpipe_metrics::auc;
use ctpipe_network::{Batch, Change, Device, Loss, Trainer, Voxels, Weights, probability};
use ctpipe_tables::{EpochRow, Note};

use crate::augment::{Augmentation, means};
use crate::balance::class_weights;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::checks::{check, notes};
use crate::config::{Config, OnDivergence};
use crate::data::{Dataset, Sample, class_counts, epoch_order, read};
use crate::device_volumes::Shelf;
use crate::error::{NotFinite, TrainError};
use crate::fingerprint::fingerprint;
use crate::memory;
use crate::observer::{Epoch, Flow, Plan, Step, Watcher};
use crate::progress::Course;
use crate::schedule::{Rates, as_loss};
use crate::session::{Setting, Trained};

/// Trains a network. On the CPU, the same configuration, data and seed give the same weights, bit
/// for bit, on any number of threads and however often the training was interrupted and resumed
/// from its checkpoints.
///
/// # Errors
/// See [`TrainError`].
pub fn train(
    config: &Config,
    data: &Dataset<'_>,
    setting: &Setting,
    watcher: &mut dyn Watcher,
) -> Result<Trained, TrainError> {
    let mut run = Run::begin(config, data, setting, watcher)?;
    while !run.is_over() {
        match run.epoch() {
            Ok(()) => {}
            Err(TrainError::NotFinite(lost)) if config.on_divergence == OnDivergence::Keep => {
                run.keep_what_there_was(&lost);
                break;
            }
            Err(error) => {
                // The checkpoint that is being written is needed more than ever.
                run.settle_checkpoint();
                return Err(error);
            }
        }
    }
    Ok(run.end())
}

struct Run<'a> {
    config: &'a Config,
    data: &'a Dataset<'a>,
    seed: u64,
    edge: usize,
    loss: Loss,
    rates: Rates,
    augmentation: Option<Augmentation>,
    trainer: Trainer,
    device: Device,
    /// Whether a step's loss can be read at no cost, which is so on a CPU.
    eager: bool,
    shelf: Shelf,
    course: Course,
    best: Option<Arc<Weights>>,
    /// The initial weights, which are the result if no epoch was finished.
    start: Option<Weights>,
    checkpoints: Option<Checkpoints>,
    last_checkpoint: Instant,
    notes: Vec<Note>,
    watcher: &'a mut dyn Watcher,
}

impl<'a> Run<'a> {
    fn begin(
        config: &'a Config,
        data: &'a Dataset<'a>,
        setting: &Setting,
        watcher: &'a mut dyn Watcher,
    ) -> Result<Run<'a>, TrainError> {
        let counts = class_counts(&data.train);
        check(config, data.train.len(), counts)?;
        let notes = notes(config, data, counts);
        for note in &notes {
            watcher.note(&note.text);
        }
        let loss = Loss {
            kind: config.loss,
            alpha: config.focal_loss_alpha as f32,
            gamma: config.focal_loss_gamma as f32,
            class_weights: class_weights(counts, config.class_weights),
            label_smoothing: config.label_smoothing as f32,
        };
        let Setting { device, seed, .. } = *setting;
        let edge = data.volumes.edge().map_err(TrainError::Volumes)?;
        memory::check(config, &config.network(edge), device)?;
        let start = match &setting.start {
            Some(weights) => weights.clone(),
            None => Weights::init(&config.network(edge), seed),
        };
        let mut trainer = memory::guarded(config, device, || {
            Ok(Trainer::new(&start, config.learning(device), seed, device)?)
        })?;
        let shelf = Shelf::fill(&mut trainer, data, device, watcher)?;
        let steps = data.train.len().div_ceil(config.step_size());
        let mut course = Course::new(config);
        let mut best = None;
        let checkpoints = setting
            .checkpoints
            .as_ref()
            .map(|folder| Checkpoints::new(folder, fingerprint(config, data, setting, &start)));
        if let Some(kept) = &checkpoints
            && let Some(found) = kept.latest::<Course>(&start, |text| watcher.note(&text))
        {
            trainer.restore(&found.state);
            course = found.course;
            best = found.best;
            watcher.info(&format!(
                "continues from a checkpoint: epoch {}, after step {} of {steps}",
                course.epoch, course.step
            ));
        }
        let done = course.number(steps);
        watcher.begin(&Plan { epochs: config.epochs, steps, done });
        Ok(Run {
            config,
            data,
            seed,
            edge,
            loss,
            rates: Rates::new(config, steps),
            augmentation: Augmentation::new(config, seed),
            trainer,
            device,
            eager: device == Device::Cpu,
            shelf,
            course,
            best,
            start: (config.on_divergence == OnDivergence::Keep).then_some(start),
            checkpoints,
            last_checkpoint: Instant::now(),
            notes,
            watcher,
        })
    }

    fn is_over(&self) -> bool {
        self.course.epoch > self.config.epochs || self.course.early.is_over()
    }

    /// Trains one epoch, or the rest of it.
    fn epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.course.epoch;
        let order = epoch_order(&self.data.train, self.config.use_weighted_sampler, self.seed, epoch);
        let size = self.config.step_size();
        for (index, samples) in order.chunks(size).enumerate().skip(self.course.step) {
            if !self.step(index, samples)? {
                return Err(self.stopped(&order));
            }
            if self.eager {
                self.settle(&order)?;
            }
            let step = Step {
                epoch,
                step: self.course.step,
                number: self.number(),
                volumes: samples.len(),
                lr: self.lr(index),
                loss: self.eager.then(|| self.course.mean_loss()),
            };
            if self.watcher.step(&step) == Flow::Stop {
                return Err(self.stopped(&order));
            }
            if self.is_due() {
                self.settle(&order)?;
                self.checkpoint(false);
            }
        }
        self.settle(&order)?;
        if self.finish_epoch(order.len())? { Ok(()) } else { Err(self.stopped(&order)) }
    }

    /// Writes a checkpoint, so that the training can be resumed, and returns the error.
    fn stopped(&mut self, order: &[Sample]) -> TrainError {
        if let Err(error) = self.settle(order) {
            return error;
        }
        self.checkpoint(true);
        TrainError::Stopped
    }

    /// Number of steps that are done.
    fn number(&self) -> u64 {
        self.course.number(self.steps())
    }

    /// Number of steps in an epoch.
    fn steps(&self) -> usize {
        self.data.train.len().div_ceil(self.config.step_size())
    }

    /// The learning rate of a step of this epoch, counted from 0.
    fn lr(&self, step: usize) -> f64 {
        self.rates
            .at(u64::from(self.course.epoch - 1) * self.steps() as u64 + step as u64, &self.course.plateau)
    }

    /// One step of the optimiser, in as many batches as it takes; `false` if the user wants to stop
    /// before its end, in which case it has no effect.
    fn step(&mut self, index: usize, samples: &[Sample]) -> Result<bool, TrainError> {
        let lr = self.lr(index);
        if index == 0 {
            self.course.lr = lr;
        }
        let labels: Vec<u8> = samples.iter().map(|sample| sample.label).collect();
        let first = index * self.config.step_size();
        for (number, part) in samples.chunks(self.config.batch_size).enumerate() {
            if number > 0 && self.watcher.stopping() {
                self.trainer.abandon();
                return Ok(false);
            }
            let from = number * self.config.batch_size;
            self.batch(first + from, part, &labels[from..from + part.len()], &labels)?;
        }
        memory::guarded(self.config, self.device, || {
            self.trainer.update(lr);
            Ok(())
        })?;
        self.course.step += 1;
        Ok(true)
    }

    /// The forward and backward pass on the samples at `place` and after.
    fn batch(
        &mut self,
        place: usize,
        samples: &[Sample],
        labels: &[u8],
        all: &[u8],
    ) -> Result<(), TrainError> {
        let (epoch, edge) = (self.course.epoch, self.edge);
        let draw = |augmentation: &Augmentation, means: &[f32]| -> Vec<Change> {
            let places = place..place + samples.len();
            places.zip(means).map(|(place, &mean)| augmentation.draw(epoch, place, edge, mean)).collect()
        };
        let augmentation = self.augmentation.as_ref();
        if let Some((numbers, kept_means)) = self.shelf.numbers(samples) {
            let changes = augmentation.map(|a| draw(a, &kept_means)).unwrap_or_default();
            let batch = Batch { voxels: Voxels::Kept(&numbers), labels, changes: &changes };
            return memory::guarded(self.config, self.device, || {
                Ok(self.trainer.add(&batch, &self.loss, all)?)
            });
        }
        let volumes = read(self.data, samples)?;
        let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
        let changes = augmentation.map(|a| draw(a, &means(a, &volumes))).unwrap_or_default();
        let batch = Batch { voxels: Voxels::Host(&volumes), labels, changes: &changes };
        memory::guarded(self.config, self.device, || Ok(self.trainer.add(&batch, &self.loss, all)?))
    }

    /// Takes in the losses that are not known yet.
    fn settle(&mut self, order: &[Sample]) -> Result<(), TrainError> {
        let losses = memory::guarded(self.config, self.device, || Ok(self.trainer.losses()))?;
        let size = self.config.step_size();
        self.watcher.losses(self.number() + 1 - losses.len() as u64, &losses);
        for loss in losses.into_iter().map(f64::from) {
            let samples = order.chunks(size).nth(self.course.settled).unwrap_or_default();
            if !loss.is_finite() {
                let step = self.course.settled;
                return Err(self.not_finite(step + 1, loss, self.lr(step), "train", samples));
            }
            self.course.settle(loss, samples.len());
        }
        Ok(())
    }

    fn not_finite(
        &mut self,
        step: usize,
        loss: f64,
        lr: f64,
        part: &'static str,
        samples: &[Sample],
    ) -> TrainError {
        let epoch = self.course.epoch;
        let mut names: Vec<String> =
            samples.iter().map(|sample| self.data.volumes.name(sample.volume)).collect();
        names.sort();
        names.dedup();
        self.settle_checkpoint();
        let checkpoint = self.checkpoints.as_ref().and_then(Checkpoints::newest);
        let last = self.course.last_loss;
        TrainError::NotFinite(Box::new(NotFinite {
            epoch,
            step,
            part,
            loss,
            lr,
            last,
            series: names,
            checkpoint,
        }))
    }

    /// Ends the training early, with the best epoch until then.
    fn keep_what_there_was(&mut self, lost: &NotFinite) {
        let (epoch, part) = (lost.epoch, lost.part);
        let kept = match self.course.best_epoch {
            0 => "no epoch was finished, so that nothing was learnt".to_owned(),
            best => format!("the weights of epoch {best} are kept"),
        };
        let text = format!("the loss on {part} became no number in epoch {epoch} (lr {}): {kept}", lost.lr);
        self.watcher.note(&text);
        let values =
            [("epoch", epoch.into()), ("part", part.into()), ("best", self.course.best_epoch.into())];
        self.notes.push(Note::new("diverged", text, values));
        if self.best.is_none() {
            self.best = self.start.take().map(Arc::new);
        }
    }

    /// Validates, updates the schedule and the best weights, and begins the next epoch. `false` if
    /// the user wants to stop before that.
    fn finish_epoch(&mut self, volumes: usize) -> Result<bool, TrainError> {
        let train_loss = self.course.mean_loss();
        let Some((val_loss, val_auc)) = self.validate()? else { return Ok(false) };
        let watched = as_loss(self.config.early_stopping_on, train_loss, val_loss, val_auc);
        self.course.plateau.observe(watched);
        let best = self.course.early.observe(watched);
        if best {
            self.best = Some(Arc::new(self.trainer.weights()));
            self.course.best_epoch = self.course.epoch;
        }
        let (epoch, lr) = (self.course.epoch, self.course.lr);
        let row = EpochRow { epoch, train_loss, val_loss, val_auc, lr, best: false };
        let (epochs, steps) = (self.config.epochs, self.number());
        self.watcher.epoch(&Epoch { row: row.clone(), epochs, steps, volumes, best });
        self.course.end_epoch(row);
        let every = self.config.checkpoint_every;
        if every > 0 && epoch.is_multiple_of(every) && !self.is_over() {
            self.checkpoint(false);
        }
        Ok(true)
    }

    /// Loss and AUC on the validation set, each `None` if undefined; `None` instead of both if the
    /// user wants to stop.
    #[allow(clippy::type_complexity)] // it is called in one place only
    fn validate(&mut self) -> Result<Option<(Option<f64>, Option<f64>)>, TrainError> {
        let val = &self.data.val;
        if val.is_empty() {
            return Ok(Some((None, None)));
        }
        let mut logits = Vec::with_capacity(val.len());
        for samples in val.chunks(self.config.batch_size) {
            if self.watcher.stopping() {
                return Ok(None);
            }
            let answer = |voxels: Voxels<'_>| {
                memory::guarded(self.config, self.device, || Ok(self.trainer.logits(voxels)?))
            };
            logits.extend(if let Some((numbers, _)) = self.shelf.numbers(samples) {
                answer(Voxels::Kept(&numbers))?
            } else {
                let volumes = read(self.data, samples)?;
                answer(Voxels::Host(&volumes.iter().map(Vec::as_slice).collect::<Vec<_>>()))?
            });
        }
        let labels: Vec<u8> = val.iter().map(|sample| sample.label).collect();
        let positive: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        let scores: Vec<f64> = logits.iter().map(|&pair| probability(pair)).collect();
        let loss = self.loss.on_host(&logits, &labels);
        if !loss.is_finite() {
            let lost = |(sample, logits): (&Sample, &[f32; 2])| {
                (!logits.iter().all(|logit| logit.is_finite())).then_some(*sample)
            };
            let lost: Vec<Sample> = val.iter().zip(&logits).filter_map(lost).collect();
            return Err(self.not_finite(self.course.step, loss, self.course.lr, "val", &lost));
        }
        Ok(Some((Some(loss), auc(&positive, &scores).ok())))
    }

    /// Whether a checkpoint is due by time.
    fn is_due(&self) -> bool {
        let minutes = self.config.checkpoint_minutes;
        self.checkpoints.is_some()
            && minutes > 0.0
            && self.last_checkpoint.elapsed() >= Duration::from_secs_f64(minutes * 60.0)
    }

    /// Writes a checkpoint in the background, unless the last one is still being written. With
    /// `wait`, always writes one and waits until it is on disk.
    fn checkpoint(&mut self, wait: bool) {
        let Some(checkpoints) = self.checkpoints.as_mut().filter(|kept| wait || !kept.busy()) else { return };
        let (course, best) = (self.course.clone(), self.best.clone());
        let state = self.trainer.state();
        // The checkpoint after an epoch's end must be numbered after that of its last step.
        let number = 2 * state.counts.batches + u64::from(course.step == 0);
        let mut done = checkpoints.begin(Checkpoint { number, course, state, best });
        if wait {
            done = done.and(checkpoints.wait());
        }
        self.last_checkpoint = Instant::now();
        // A failed checkpoint only costs time, and only if the training is killed later.
        if let Err(error) = done {
            self.watcher.note(&error);
        }
    }

    /// Waits until the checkpoint that is being written is on disk.
    fn settle_checkpoint(&mut self) {
        if let Some(Err(error)) = self.checkpoints.as_mut().map(Checkpoints::wait) {
            self.watcher.note(&error);
        }
    }

    fn end(mut self) -> Trained {
        self.settle_checkpoint();
        let diverged = self.notes.iter().any(|note| note.code == "diverged");
        let stopped_early = !diverged && self.course.epoch <= self.config.epochs;
        let (last, best) = (self.course.epoch - 1, self.course.best_epoch);
        let said = if stopped_early {
            format!(
                "stopped early after epoch {last}: no later epoch was better than epoch {best}, whose weights are kept"
            )
        } else {
            format!("the weights of epoch {best} are kept")
        };
        // A diverged training has already reported which weights are kept.
        if !diverged {
            self.watcher.info(&said);
        }
        let Course { mut history, best_epoch, .. } = self.course;
        for row in &mut history {
            row.best = row.epoch == best_epoch;
        }
        Trained {
            weights: self.best.map_or_else(|| self.trainer.weights(), Arc::unwrap_or_clone),
            best_epoch,
            stopped_early,
            history,
            class_weights: self.loss.class_weights,
            notes: self.notes,
        }
    }
}
