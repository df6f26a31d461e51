//! What can go wrong outside a stage, and the exit code for it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use ctpipe_stage::chain;

use crate::event::LockDifference;
use crate::exit_code;

/// The engine's result type.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file, a profile or `--set` cannot be used; nothing was started.
    #[error("{0}")]
    Config(#[from] Problems),
    /// A command-line selection that does not fit the pipeline or its results so far.
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, such as "cannot read".
        action: String,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A stage failed.
    #[error("stage {stage} failed")]
    Stage {
        /// The stage's name in the pipeline.
        stage: String,
        /// The stage's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What a stage read no longer matches its key; trying again at once would not help.
    #[error("stage {stage} failed: {input} changed while it was read; run again")]
    Moved {
        /// The stage's name in the pipeline.
        stage: String,
        /// The input as the pipeline file names it.
        input: String,
    },
    /// Several stages failed (`--keep-going`).
    #[error("{} stages failed: {}", .0.len(), .0.join(", "))]
    Stages(Vec<String>),
    /// An artifact's manifest, the record of a run or a tag is not as it was written.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it, and what to do about it.
        problem: String,
    },
    /// An artifact was made by a later ctpipe, which an earlier one must not replace.
    #[error("{} was written by a later ctpipe (form {found}; this one reads up to {known}); use that version", path.display())]
    Later {
        /// The path of its manifest.
        path: PathBuf,
        /// The format of the manifest.
        found: u32,
        /// The latest format that this program reads.
        known: u32,
    },
    /// A lock was altered after it was written.
    #[error(
        "{}: {}; restore it from git, or let \"ctpipe run --lock\" write the damaged parts again",
        path.display(),
        problems.join("; ")
    )]
    Damaged {
        /// The path of the lock.
        path: PathBuf,
        /// Every place that was altered.
        problems: Vec<String>,
    },
    /// A merge left conflict markers in a lock.
    #[error(
        "{} contains a merge conflict; \"ctpipe run --lock\" keeps the intact blocks and writes the others again",
        .0.display()
    )]
    Conflict(PathBuf),
    /// A run with `--locked` came to something else than the lock says.
    #[error("this differs from the lock:\n{}", .0.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n"))]
    Differs(Vec<LockDifference>),
    /// Another run holds the lock.
    #[error("another run is in progress in {}; wait for it, or use --wait", .0.display())]
    Locked(PathBuf),
    /// The user asked to stop.
    #[error("interrupted; what was finished is kept; run again to continue")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Error {
        Error::Io { action: action.to_owned(), path: path.to_path_buf(), source }
    }

    /// Is the error news only to the person who typed the command: wrong usage, an interruption, or
    /// a run in progress?
    pub fn is_no_news(&self) -> bool {
        matches!(self, Error::Config(_) | Error::Usage(_) | Error::Locked(_) | Error::Interrupted)
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Usage(_) | Error::Later { .. } | Error::Conflict(_) => exit_code::USAGE,
            Error::Stage { .. } | Error::Moved { .. } | Error::Stages(_) | Error::Io { .. } => {
                exit_code::STAGE_FAILED
            }
            Error::Manifest { .. } | Error::Damaged { .. } | Error::Differs(_) => exit_code::MISMATCH,
            Error::Locked(_) => exit_code::LOCKED,
            Error::Interrupted => exit_code::INTERRUPTED,
        }
    }
}

/// One mistake in the configuration, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, line and column, or the command-line argument.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All mistakes in the configuration, so that the user can correct them in one go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {}", problem.place, problem.message)?;
        }
        Ok(())
    }
}
