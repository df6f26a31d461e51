//! How far a training has come. Knows no network.

use ctpipe_tables::EpochRow;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::schedule::{EarlyStopping, Plateau};

/// How far a training has come: what a checkpoint holds besides the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// In hand, from 1.
    pub(crate) epoch: u32,
    /// Steps of it that are done.
    pub(crate) step: usize,
    /// Of those, the ones whose loss is known.
    pub(crate) settled: usize,
    /// Sum of their losses, each times its volumes, and the volumes.
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
    /// Before the first step.
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

    /// Steps that are done, where an epoch has so many.
    pub(crate) fn number(&self, steps: usize) -> u64 {
        u64::from(self.epoch - 1) * steps as u64 + self.step as u64
    }

    /// Mean loss of the epoch so far.
    pub(crate) fn mean_loss(&self) -> f64 {
        self.total / self.volumes.max(1) as f64
    }

    /// Takes in the loss of the next step, on so many volumes.
    pub(crate) fn settle(&mut self, loss: f64, volumes: usize) {
        self.settled += 1;
        self.total += loss * volumes as f64;
        self.volumes += volumes;
        // Without the sign of a zero.
        self.last_loss = Some(loss + 0.0);
    }

    /// The epoch is over; the next one is in hand.
    pub(crate) fn end_epoch(&mut self, row: EpochRow) {
        self.history.push(row);
        self.epoch += 1;
        (self.step, self.settled, self.total, self.volumes) = (0, 0, 0.0, 0);
    }
}
