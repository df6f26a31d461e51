//! The progress of a training. Knows no network.

use ctpipe_tables::EpochRow;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::schedule::{EarlyStopping, Plateau};

/// The progress of a training, which a checkpoint holds besides the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// The current epoch, from 1.
    pub(crate) epoch: u32,
    /// Number of steps of this epoch that are done.
    pub(crate) step: usize,
    /// How many of these have a known loss.
    pub(crate) settled: usize,
    /// Sum of their losses, each times its number of volumes; then the sum of these numbers.
    pub(crate) total: f64,
    pub(crate) volumes: usize,
    /// Learning rate at the start of the epoch.
    pub(crate) lr: f64,
    pub(crate) plateau: Plateau,
    pub(crate) early: EarlyStopping,
    pub(crate) history: Vec<EpochRow>,
    pub(crate) best_epoch: u32,
    pub(crate) last_loss: Option<f64>,
}

impl Course {
    /// The progress before the first step.
    pub(crate) fn new(config: &Config) -> Course {
        Course {
            epoch: 1,
            step: 0,
            settled: 0,
            total: 0.0,
            volumes: 0,
            lr: config.lr,
            plateau: Plateau::new(config),
            early: EarlyStopping::new(config.early_stopping_patience),
            history: Vec::new(),
            best_epoch: 0,
            last_loss: None,
        }
    }

    /// Number of steps that are done in all, if each epoch has `steps`.
    pub(crate) fn number(&self, steps: usize) -> u64 {
        u64::from(self.epoch - 1) * steps as u64 + self.step as u64
    }

    /// The mean loss of the epoch so far.
    pub(crate) fn mean_loss(&self) -> f64 {
        self.total / self.volumes.max(1) as f64
    }

    /// Adds the loss of the next step, on this many volumes.
    pub(crate) fn settle(&mut self, loss: f64, volumes: usize) {
        self.settled += 1;
        self.total += loss * volumes as f64;
        self.volumes += volumes;
        // Adding zero turns -0.0 into 0.0.
        self.last_loss = Some(loss + 0.0);
    }

    /// Ends the epoch and begins the next one.
    pub(crate) fn end_epoch(&mut self, row: EpochRow) {
        self.history.push(row);
        self.epoch += 1;
        (self.step, self.settled, self.total, self.volumes) = (0, 0, 0.0, 0);
    }
}
