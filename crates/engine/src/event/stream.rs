//! The events of a run, in the order in which they can occur, and the trait of their observers.

use ctpipe_stage::{Level, Listener, Message, Reuse};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judged::Judged;
use super::lock_difference::LockDifference;
use super::released::Released;
use super::state::State;

/// The outcome of a stage in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The stage was up to date.
    Fresh,
    /// An earlier result of the same key was made current again.
    Restored,
    /// The stage ran and made a new artifact.
    Made,
    /// The stage ran and made the same content as an existing artifact.
    Identical,
    /// The stage ran under an existing key and made different content; both artifacts are kept.
    Different,
    /// The existing result was used unchecked, because the run began after this stage (`--from`).
    AsIs,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    RunStarted {
        /// Its name under `artifacts/runs/`.
        run: String,
        /// The selected stages, in order.
        stages: Vec<String>,
    },
    /// A line of the pre-flight check.
    Preflight {
        /// The stage that made the check; empty for the engine's own checks.
        stage: String,
        /// The severity.
        level: Level,
        /// The message.
        text: String,
    },
    /// It was decided what to do with a stage.
    Decided {
        /// The stage.
        stage: String,
        /// The decision, and its reasons.
        #[serde(flatten)]
        state: State,
    },
    /// A stage began to work.
    StageStarted {
        /// The stage.
        stage: String,
    },
    /// The progress of a stage.
    Progress {
        /// The stage.
        stage: String,
        /// The amount of `total` that is done.
        done: u64,
        /// The total amount.
        total: u64,
        /// The unit of `done` and `total`.
        unit: String,
        /// A short note for the end of the line.
        note: String,
    },
    /// A message of a stage.
    Log {
        /// The stage.
        stage: String,
        /// The severity.
        level: Level,
        /// The message.
        text: String,
    },
    /// A stage is done.
    StageFinished {
        /// The stage.
        stage: String,
        /// Its outcome.
        outcome: Outcome,
        /// Its key.
        key: String,
        /// The digest of its artifact's content.
        content: String,
        /// How long it ran, in seconds.
        seconds: f64,
        /// The peak resident memory of the process while the stage ran, in bytes, where the system
        /// reports it.
        peak_memory: Option<u64>,
        /// For a stage that keeps items, how much was taken from an earlier artifact.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        items: Option<Reuse>,
    },
    /// A quality gate was evaluated.
    GateJudged {
        /// The verdict.
        #[serde(flatten)]
        judged: Judged,
    },
    /// All gates passed, and a result was released.
    Released {
        /// The result, and the link that leads to it.
        #[serde(flatten)]
        released: Released,
    },
    /// A stage failed or could not be started.
    StageFailed {
        /// The stage.
        stage: String,
        /// The error and its causes, joined.
        error: String,
    },
    /// A stage differs from the lock (`--locked`).
    LockDiffers {
        /// The stage, the difference and its causes.
        #[serde(flatten)]
        difference: LockDifference,
    },
    /// The run is over.
    RunFinished {
        /// Its name.
        run: String,
        /// The exit code of the process.
        exit_code: u8,
        /// The duration, in seconds.
        seconds: f64,
    },
}

/// Receives the events of a run.
pub trait Observer: Send + Sync {
    /// Called for each event, from any thread, also from within a stage.
    fn event(&self, event: &Event);
}

/// An observer that ignores all events.
impl Observer for () {
    fn event(&self, _: &Event) {}
}

/// Passes the messages of stages on as events.
pub(crate) struct Heard<'a>(pub(crate) &'a dyn Observer);

impl Listener for Heard<'_> {
    fn message(&self, stage: &str, message: Message) {
        let stage = stage.to_owned();
        self.0.event(&match message {
            Message::Progress { done, total, unit, note } => {
                Event::Progress { stage, done, total, unit, note }
            }
            Message::Log { level, text } => Event::Log { stage, level, text },
        });
    }
}
