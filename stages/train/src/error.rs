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
    #[error("{}", not_finite(&Lost { epoch: *.epoch, step: *.step, loss: *.loss, lr: *.lr, last: *.last, kept: *.kept }, .part, .series))]
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
        /// Is there a checkpoint from before it?
        kept: bool,
        /// Of which part of the data the loss is: train or val.
        part: &'static str,
        /// What the step learnt from; of val, those without a finite answer.
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

/// The numbers of a loss that is none.
struct Lost {
    epoch: u32,
    step: usize,
    loss: f64,
    lr: f64,
    last: Option<f64>,
    kept: bool,
}

fn not_finite(lost: &Lost, part: &str, series: &[String]) -> String {
    let Lost { epoch, step, loss, lr, .. } = lost;
    let before = match lost.last {
        Some(last) => format!("the last finite loss was {last:.6}"),
        None => "it was the first step".to_owned(),
    };
    let kept = if lost.kept { "; the checkpoint before it is kept" } else { "" };
    let more = series.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = series[..series.len().min(NAMED)].join(", ");
    format!(
        "the loss on {part} became {loss} in epoch {epoch}, step {step} ({names}{more}); {before}{kept}. Try a smaller lr \
         than {lr}, clip_norm=1 or a warm-up (schedule=cosine, warmup_epochs=1), and look at these series"
    )
}
