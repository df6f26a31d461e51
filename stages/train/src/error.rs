//! Why there is no model. Each says what would be right.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

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
    /// A step that never fills.
    #[error("{}", too_large(*.batch_size, *.accumulate, *.samples))]
    BatchTooLarge {
        /// Asked for.
        batch_size: usize,
        /// Batches a step.
        accumulate: usize,
        /// There are.
        samples: usize,
    },
    /// The loss is not a number any more.
    #[error("{0}")]
    NotFinite(Box<NotFinite>),
    /// It would not fit into memory, or did not.
    #[error("{0}")]
    Memory(String),
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

fn too_large(batch_size: usize, accumulate: usize, samples: usize) -> String {
    if accumulate == 1 {
        return format!(
            "batch_size {batch_size} is larger than the training part of {samples} series; use {samples} or less"
        );
    }
    format!(
        "batch_size {batch_size} times accumulate {accumulate} is {}, larger than the training part of {samples} \
         series; use less of either",
        batch_size * accumulate
    )
}

/// A loss that is no number.
#[derive(Debug, Clone, PartialEq)]
pub struct NotFinite {
    /// In which epoch, from 1.
    pub epoch: u32,
    /// In which of its steps, from 1.
    pub step: usize,
    /// Of which part of the data the loss is: train or val.
    pub part: &'static str,
    /// NaN or infinite.
    pub loss: f64,
    /// The learning rate then.
    pub lr: f64,
    /// The last loss that was a number.
    pub last: Option<f64>,
    /// What the step learnt from; of val, those without a finite answer.
    pub series: Vec<String>,
    /// The tensors of the checkpoint before it, where there is one.
    pub checkpoint: Option<PathBuf>,
}

/// Series that are named.
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

/// A loss as people read it, whatever its size.
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
