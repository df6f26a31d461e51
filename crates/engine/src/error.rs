//! What can go wrong outside a stage, and which exit code it means. Knows no stage by name.

use std::io;
use std::path::{Path, PathBuf};

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file, a profile or `--set` cannot be used; nothing has been started.
    #[error("{0}")]
    Config(#[from] crate::spec::Problems),
    /// A command-line selection that does not fit the pipeline or what has been made so far.
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: String,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A stage did not succeed.
    #[error("stage {stage} failed")]
    Stage {
        /// The stage's name in the pipeline.
        stage: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What a stage read is not what its key says; trying again at once would not help.
    #[error("stage {stage} failed: {input} changed while it was read; run again")]
    Moved {
        /// The stage's name in the pipeline.
        stage: String,
        /// The input as the pipeline file names it.
        input: String,
    },
    /// Several stages did not succeed (`--keep-going`).
    #[error("{} stages failed: {}", .0.len(), .0.join(", "))]
    Stages(Vec<String>),
    /// An artifact's manifest, or the record of a run or of the tags, is not as it was written.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// An artifact was made by a later ctpipe, which an earlier one must not replace.
    #[error("{} was written by a later ctpipe (form {found}, this one knows {known}); use that one", path.display())]
    Later {
        /// Where its manifest lies.
        path: PathBuf,
        /// The manifest's form.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// A lock is no longer as it was written.
    #[error(
        "{}: {}; bring it back from git, or \"ctpipe run --lock\" makes what is not whole anew",
        path.display(),
        problems.join("; ")
    )]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// Every place that is not as it was.
        problems: Vec<String>,
    },
    /// A merge left a lock with two versions.
    #[error(
        "{} holds the conflict of a merge; \"ctpipe run --lock\" keeps the blocks that are whole and makes the others anew",
        .0.display()
    )]
    Conflict(PathBuf),
    /// A run with `--locked` came to something else than the lock says.
    #[error("not what the lock says:\n{}", .0.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n"))]
    Differs(Vec<crate::locked::LockDifference>),
    /// Another run holds the lock.
    #[error("another run is under way in {}; wait for it, or use --wait", .0.display())]
    Locked(PathBuf),
    /// The user asked to stop.
    #[error("interrupted; what was finished is kept, run again to go on")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Error {
        Error::Io { action: action.to_owned(), path: path.to_path_buf(), source }
    }

    /// Was the command typed wrongly, ended by hand or too early: is it news to nobody but who sits there?
    pub fn is_no_news(&self) -> bool {
        matches!(self, Error::Config(_) | Error::Usage(_) | Error::Locked(_) | Error::Interrupted)
    }

    /// The process's exit code: 1 a stage failed, 2 usage or configuration, 4 something does not match, 75 locked, 130
    /// interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Usage(_) | Error::Later { .. } | Error::Conflict(_) => 2,
            Error::Stage { .. } | Error::Moved { .. } | Error::Stages(_) | Error::Io { .. } => 1,
            Error::Manifest { .. } | Error::Damaged { .. } | Error::Differs(_) => 4,
            Error::Locked(_) => 75,
            Error::Interrupted => 130,
        }
    }
}
