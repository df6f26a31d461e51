//! What a training takes besides its configuration and data, and what it returns. Trains nothing.

use std::path::PathBuf;

use ctpipe_network::{Device, Network, Weights};
use ctpipe_tables::{EpochRow, Note};

/// Where a training starts and where it runs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Weights to start from; random ones if there are none.
    pub start: Option<Weights>,
    /// The device to train on.
    pub device: Device,
    /// The seed of every random stream.
    pub seed: u64,
    /// A folder for checkpoints, from which an interrupted training continues by itself.
    /// Checkpoints are told apart by configuration, seed, device, initial weights, and the samples'
    /// numbers and labels, but not by the content of the volumes: use another folder for another
    /// data set.
    pub checkpoints: Option<PathBuf>,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting { start: None, device: Device::Cpu, seed: 42, checkpoints: None }
    }
}

/// The result of a training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The weights of the best epoch.
    pub weights: Weights,
    /// One row per epoch.
    pub history: Vec<EpochRow>,
    /// The epoch whose weights these are, from 1.
    pub best_epoch: u32,
    /// Whether early stopping ended the training.
    pub stopped_early: bool,
    /// Weights of the classes in the loss.
    pub class_weights: [f32; 2],
    /// Notes for the user.
    pub notes: Vec<Note>,
}

impl Trained {
    /// The trained network, ready to predict.
    ///
    /// # Errors
    /// If this build does not support the device.
    pub fn network(&self, device: Device) -> Result<Network, ctpipe_network::Error> {
        Network::new(&self.weights, device)
    }
}
