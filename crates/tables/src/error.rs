//! What can go wrong with a table, a shard or a labels file.

use std::path::{Path, PathBuf};

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Each one names the file and says what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file does not have the expected format.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The columns of a table do not match its schema.
    #[error("{}: column \"{column}\" {problem}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A volume is not in the shards.
    #[error("no volume of series {series_uid} in {}", path.display())]
    NoVolume {
        /// The series.
        series_uid: String,
        /// The folder.
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
