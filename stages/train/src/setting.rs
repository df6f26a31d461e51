//! What a training is given besides its configuration and data, and what it gives back. Trains nothing.

use std::path::PathBuf;

use ctpipe_network::{Device, Network, Weights};
use ctpipe_tables::{EpochRow, Note};

/// Where a training starts, and where it runs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Weights to start from; freshly drawn ones where there are none.
    pub start: Option<Weights>,
    /// On what.
    pub device: Device,
    /// Of every random stream.
    pub seed: u64,
    /// A folder for checkpoints, from which an interrupted training goes on by itself. They are told apart by
    /// configuration, seed, start, and the samples' numbers and labels, not by what the volumes hold: another data set
    /// wants another folder.
    pub checkpoints: Option<PathBuf>,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting { start: None, device: Device::Cpu, seed: 42, checkpoints: None }
    }
}

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
    pub notes: Vec<Note>,
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
