//! What happens in a run, as data. Knows neither terminals nor files.

use serde::{Deserialize, Serialize};

use crate::gates::Judged;
use crate::items::Reuse;
use crate::locked::LockDifference;
use crate::plan::State;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Stops something.
    Error,
}

/// What became of a stage in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing had to be done.
    Fresh,
    /// An earlier result of the same key was made current again.
    Restored,
    /// It ran, and made a new artifact.
    Made,
    /// It ran, and made the bytes that were there already.
    Identical,
    /// It ran under a key that was there, and made other bytes; both are kept.
    Different,
    /// Used as it was, because the run began after it (`--from`).
    AsIs,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    RunStarted {
        /// Its name under `artifacts/runs/`.
        run: String,
        /// The stages that it covers, in order.
        stages: Vec<String>,
    },
    /// A line of the pre-flight check.
    Preflight {
        /// The stage that looked; empty for the engine's own.
        stage: String,
        /// How much it matters.
        level: Level,
        /// In words.
        text: String,
    },
    /// It was decided what to do with a stage.
    Decided {
        /// The stage.
        stage: String,
        /// What, and why.
        #[serde(flatten)]
        state: State,
    },
    /// A stage began to work.
    StageStarted {
        /// The stage.
        stage: String,
    },
    /// How far a stage is.
    Progress {
        /// The stage.
        stage: String,
        /// Of `total`, this much is done.
        done: u64,
        /// The whole.
        total: u64,
        /// What is counted.
        unit: String,
        /// Something short for the end of the line.
        note: String,
    },
    /// Something that a stage says.
    Log {
        /// The stage.
        stage: String,
        /// How much it matters.
        level: Level,
        /// In words.
        text: String,
    },
    /// A stage is done.
    StageFinished {
        /// The stage.
        stage: String,
        /// What became of it.
        outcome: Outcome,
        /// Its key.
        key: String,
        /// Digest of what its artifact holds.
        content: String,
        /// How long it worked.
        seconds: f64,
        /// Peak resident memory of the process meanwhile, in bytes, where the system tells.
        peak_memory: Option<u64>,
        /// How much of it was taken from an earlier artifact, for a stage that keeps items.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        items: Option<Reuse>,
    },
    /// A quality gate was asked.
    GateJudged {
        /// What it said.
        #[serde(flatten)]
        judged: Judged,
    },
    /// A stage did not succeed, or could not be tried.
    StageFailed {
        /// The stage.
        stage: String,
        /// The error and its causes, joined.
        error: String,
    },
    /// A stage is not what the lock says (`--locked`).
    LockDiffers {
        /// Which, in what, and why.
        #[serde(flatten)]
        difference: LockDifference,
    },
    /// The run is over.
    RunFinished {
        /// Its name.
        run: String,
        /// The process's exit code.
        exit_code: u8,
        /// How long it took.
        seconds: f64,
    },
}

/// Whoever wants to know.
pub trait Observer: Send + Sync {
    /// Told from any thread, also from within a stage.
    fn event(&self, event: &Event);
}

/// Nobody wants to know.
impl Observer for () {
    fn event(&self, _: &Event) {}
}
