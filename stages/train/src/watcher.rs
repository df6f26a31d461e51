//! What a training tells of itself while it runs, and how it is asked to stop. Computes nothing.

use ctpipe_tables::EpochRow;

/// Go on, or stop cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Go,
    /// The user wants to stop.
    Stop,
}

/// What a training is going to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Epochs at most.
    pub epochs: u32,
    /// Steps of each.
    pub steps: usize,
    /// Steps that were done before an interruption.
    pub done: u64,
}

/// One finished step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// From 1.
    pub epoch: u32,
    /// In this epoch, from 1.
    pub step: usize,
    /// In the whole training, from 1.
    pub number: u64,
    /// Volumes that it learnt from.
    pub volumes: usize,
    /// Learning rate.
    pub lr: f64,
    /// Mean loss of the epoch so far; a GPU tells it at the end of the epoch.
    pub loss: Option<f64>,
}

/// One finished epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// What goes into the history.
    pub row: EpochRow,
    /// Epochs at most.
    pub epochs: u32,
    /// Steps so far in the whole training.
    pub steps: u64,
    /// Volumes that were learnt from.
    pub volumes: usize,
    /// Are these the best weights so far?
    pub best: bool,
}

/// Whoever wants to follow the training.
pub trait Watcher {
    /// Before the first step.
    fn begin(&mut self, _plan: &Plan) {}
    /// After each step.
    fn step(&mut self, _step: &Step) -> Flow {
        Flow::Go
    }
    /// Does the user want to stop? Asked within steps of several batches and within validation.
    fn stopping(&mut self) -> bool {
        false
    }
    /// Losses of steps in a row, the first with this number; all are told, a GPU's later than its steps.
    fn losses(&mut self, _first: u64, _losses: &[f32]) {}
    /// After each epoch.
    fn epoch(&mut self, _epoch: &Epoch) {}
    /// Something worth knowing.
    fn info(&mut self, _text: &str) {}
    /// Something that deserves a look.
    fn note(&mut self, _text: &str) {}
}

/// Nobody wants to.
impl Watcher for () {}
