//! The messages of a stage while it works.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Information.
    Info,
    /// Deserves a look.
    Warning,
    /// Something cannot continue.
    Error,
}

/// One message of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The progress of its work.
    Progress {
        /// Amount of work done, out of `total`.
        done: u64,
        /// The total amount; 0 where it is unknown.
        total: u64,
        /// What is counted.
        unit: String,
        /// A short note for the end of the line.
        note: String,
    },
    /// A line for the user.
    Log {
        /// How much it matters.
        level: Level,
        /// The text.
        text: String,
    },
}

/// Receives the messages of stages.
pub trait Listener: Send + Sync {
    /// Called from any thread of the stage with that name.
    fn message(&self, stage: &str, message: Message);
}

/// Ignores all messages.
impl Listener for () {
    fn message(&self, _: &str, _: Message) {}
}
