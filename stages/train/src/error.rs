//! Why there is no model. Each says what would be right.

use std::error::Error;

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
    #[error("{}", not_finite(*.epoch, *.step, *.loss, *.lr, *.last, .series))]
    NotFinite {
        /// Which.
        epoch: u32,
        /// Which, from 1.
        step: usize,
        /// NaN or infinite.
        loss: f64,
        /// The learning rate then.
        lr: f64,
        /// The last loss that was a number.
        last: Option<f64>,
        /// What the step learnt from; empty where it was the validation's loss.
        series: Vec<String>,
    },
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

/// Series that are named.
const NAMED: usize = 64;

fn not_finite(epoch: u32, step: usize, loss: f64, lr: f64, last: Option<f64>, series: &[String]) -> String {
    let before = match last {
        Some(last) => format!("the last finite loss was {last:.6}"),
        None => "it was the first step".to_owned(),
    };
    let what = if series.is_empty() {
        "the validation loss".to_owned()
    } else {
        let more = series.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = &series[..series.len().min(NAMED)];
        format!("the loss on {}{more}", names.join(", "))
    };
    format!(
        "{what} became {loss} in epoch {epoch}, step {step}; {before}; the checkpoint before it is kept. Try a smaller \
         lr than {lr}, clip_norm=1 or a warm-up (schedule=cosine, warmup_epochs=1), and look at these series"
    )
}
