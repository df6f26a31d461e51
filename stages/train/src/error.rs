//! Why a training gives no model. Each error says what would be right.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// Why a training gives no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The training set lacks a class.
    #[error(
        "the training set has {normal} normal and {pathology} pathological series; a training needs both"
    )]
    OneClass {
        /// Number of series with label 0.
        normal: usize,
        /// Number of series with label 1.
        pathology: usize,
    },
    /// A step takes more series than the training set has.
    #[error("{}", too_large(*.batch_size, *.accumulate, *.samples))]
    BatchTooLarge {
        /// Volumes per batch.
        batch_size: usize,
        /// Batches per step.
        accumulate: usize,
        /// Number of series in the training set.
        samples: usize,
    },
    /// The loss is no longer finite.
    #[error("{0}")]
    NotFinite(Box<NotFinite>),
    /// The training does not fit into memory.
    #[error("{0}")]
    Memory(String),
    /// A volume could not be read.
    #[error("cannot read a volume")]
    Volumes(#[source] Box<dyn Error + Send + Sync>),
    /// The network reported an error.
    #[error(transparent)]
    Network(#[from] ctpipe_network::Error),
    /// The watcher asked to stop.
    #[error("interrupted")]
    Stopped,
}

fn too_large(batch_size: usize, accumulate: usize, samples: usize) -> String {
    if accumulate == 1 {
        return format!(
            "batch_size {batch_size} is larger than the training set of {samples} series; use {samples} or less"
        );
    }
    format!(
        "batch_size {batch_size} times accumulate {accumulate} is {}, larger than the training set of {samples} \
         series; reduce one of them",
        batch_size * accumulate
    )
}

/// A loss that is not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct NotFinite {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The step within the epoch, from 1.
    pub step: usize,
    /// The set that the loss was computed on: train or val.
    pub part: &'static str,
    /// The loss: NaN or infinite.
    pub loss: f64,
    /// The learning rate at that step.
    pub lr: f64,
    /// The last finite loss, if there was one.
    pub last: Option<f64>,
    /// The series of the step; for val, the series whose logits are not finite.
    pub series: Vec<String>,
    /// The tensors of the checkpoint before it, if there is one.
    pub checkpoint: Option<PathBuf>,
}

/// Maximum number of series that are named.
const NAMED: usize = 64;

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotFinite { epoch, step, part, loss, lr, .. } = self;
        let names = self.series[..self.series.len().min(NAMED)].join(", ");
        let more = self.series.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        write!(f, "the loss on {part} became {loss} in epoch {epoch}, step {step} ({names}{more}); ")?;
        match self.last {
            Some(last) => write!(f, "the last finite loss was {}", number(last))?,
            None => write!(f, "it was the first step")?,
        }
        write!(
            f,
            ". Try a smaller lr than {lr}, clip_norm=1 or a warm-up (schedule=cosine, warmup_epochs=1), and look at \
             these series"
        )?;
        match &self.checkpoint {
            Some(path) => write!(
                f,
                ". The checkpoint before it is kept: train.init_from={} starts from it",
                path.display()
            ),
            None => Ok(()),
        }
    }
}

/// A loss in readable form, whatever its magnitude.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 || (1e-2..1e4).contains(&value.abs()) {
        format!("{value:.4}")
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn losses_of_any_size_can_be_read() {
        assert_eq!([0.4321, 0.0, 3.6e37, 1.25e-5].map(number), ["0.4321", "0.0000", "3.600e37", "1.250e-5"]);
    }
}
