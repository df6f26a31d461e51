//! What a training reports while it runs, and how it is asked to stop. Computes nothing.

use ctpipe_tables::EpochRow;

/// Whether to continue or to stop cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Continue.
    Go,
    /// The user wants to stop.
    Stop,
}

/// The extent of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Maximum number of epochs.
    pub epochs: u32,
    /// Number of steps in each epoch.
    pub steps: usize,
    /// Number of steps that were done before an interruption.
    pub done: u64,
}

/// One finished step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The step within this epoch, from 1.
    pub step: usize,
    /// The step within the whole training, from 1.
    pub number: u64,
    /// Number of volumes in the step.
    pub volumes: usize,
    /// The learning rate of the step.
    pub lr: f64,
    /// The mean loss of the epoch so far; `None` on a GPU, which reports losses later.
    pub loss: Option<f64>,
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// The row of the history.
    pub row: EpochRow,
    /// Maximum number of epochs.
    pub epochs: u32,
    /// Number of steps so far in the whole training.
    pub steps: u64,
    /// Number of volumes that were trained on.
    pub volumes: usize,
    /// Whether these are the best weights so far.
    pub best: bool,
}

/// Follows a training.
pub trait Watcher {
    /// Called before the first step.
    fn begin(&mut self, _plan: &Plan) {}
    /// Called after each step.
    fn step(&mut self, _step: &Step) -> Flow {
        Flow::Go
    }
    /// Whether the user wants to stop. Called within steps of several batches and within
    /// validation.
    fn stopping(&mut self) -> bool {
        false
    }
    /// Called with the losses of consecutive steps, of which the first has this number. Every loss
    /// is reported; on a GPU, later than its step.
    fn losses(&mut self, _first: u64, _losses: &[f32]) {}
    /// Called after each epoch.
    fn epoch(&mut self, _epoch: &Epoch) {}
    /// Called with information for the user.
    fn info(&mut self, _text: &str) {}
    /// Called with a warning for the user.
    fn note(&mut self, _text: &str) {}
}

/// Ignores everything.
impl Watcher for () {}
