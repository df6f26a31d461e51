//! What can go wrong with a table, a shard or a labels file.

use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of this crate; each says which file and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not of the format that it should be.
    #[error("{}: {problem}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A table has other columns than its schema.
    #[error("{}: column \"{column}\" {problem}", path.display())]
    Column {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A volume is not in the shards.
    #[error("no volume of series {series_uid} in {}", path.display())]
    NoVolume {
        /// Which series.
        series_uid: String,
        /// Which folder.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::Io { action, path: path.to_path_buf(), source }
    }

    pub(crate) fn format(path: &Path, problem: impl std::fmt::Display) -> Error {
        Error::Format { path: path.to_path_buf(), problem: format!("{problem}") }
    }
}
