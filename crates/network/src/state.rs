//! The complete state of a network in training, on the host: what a checkpoint holds.

use serde::{Deserialize, Serialize};

use crate::weights::Weights;

/// The progress of a training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Number of steps of the optimiser.
    pub steps: u64,
    /// Number of batches seen; more than steps where gradients are accumulated.
    pub batches: u64,
    /// Number of batches in the running statistics, including those of the initial weights.
    pub tracked: i64,
}

/// The state of a training; tensors are in the order of the network's slots.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The weights in training, including the running statistics.
    pub weights: Weights,
    /// The moving average of the weights, where one is kept.
    pub average: Option<Weights>,
    /// Adam's two moments or SGD's velocity for each tensor; empty for a tensor that has not moved
    /// yet.
    pub memory: Vec<Vec<Vec<f32>>>,
    /// The progress of the training.
    pub counts: Counts,
}

impl State {
    /// Every tensor of the state with its name (`weights.NAME`, `average.NAME` or `memory.K.NAME`)
    /// and its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, &[f32])> {
        let slots = self.weights.config().slots();
        let mut all = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let shape = || slot.shape.clone();
            all.push((format!("weights.{}", slot.name), shape(), self.weights.values[index].as_slice()));
            if let Some(average) = &self.average {
                all.push((format!("average.{}", slot.name), shape(), average.values[index].as_slice()));
            }
            for (k, values) in self.memory[index].iter().enumerate() {
                all.push((format!("memory.{k}.{}", slot.name), shape(), values.as_slice()));
            }
        }
        all
    }

    /// The state of a network like `like`, from its named tensors.
    ///
    /// # Errors
    /// The name of a tensor that is missing or has a different length.
    pub fn from_tensors(
        like: &Weights,
        counts: Counts,
        mut tensor: impl FnMut(&str) -> Option<Vec<f32>>,
    ) -> Result<State, String> {
        let slots = like.config().slots();
        let mut fitting = |name: String, len: usize| match tensor(&name) {
            Some(values) if values.len() == len => Ok(Some(values)),
            Some(values) => Err(format!("{name} has {} values instead of {len}", values.len())),
            None => Ok(None),
        };
        let mut weights = like.clone();
        let mut average = Some(like.clone());
        let mut memory = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let name = format!("weights.{}", slot.name);
            weights.values[index] =
                fitting(name.clone(), slot.len())?.ok_or(format!("there is no {name}"))?;
            match (fitting(format!("average.{}", slot.name), slot.len())?, &mut average) {
                (Some(values), Some(average)) => average.values[index] = values,
                _ => average = None,
            }
            let mut remembered = Vec::new();
            while let Some(values) =
                fitting(format!("memory.{}.{}", remembered.len(), slot.name), slot.len())?
            {
                remembered.push(values);
            }
            memory.push(remembered);
        }
        weights.steps = counts.tracked;
        if let Some(average) = &mut average {
            average.steps = counts.tracked;
        }
        Ok(State { weights, average, memory, counts })
    }
}
