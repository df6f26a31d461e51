//! Names what can go wrong while phantoms are written.
//!
//! It does not know who shows the message or which exit code it becomes.

use std::io;
use std::path::PathBuf;

/// Why a set of phantoms was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that no phantom can be made from.
    #[error("{name} is {value}, expected {range}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// The folder already holds data, which is never overwritten.
    #[error(
        "{} already exists: name another folder, or remove training_data, training_data.csv and truth.csv from this one first",
        .0.display()
    )]
    Occupied(PathBuf),
    /// The file system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The DICOM encoder said no.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file it was to become.
        path: PathBuf,
        /// What the encoder answered.
        source: Box<dicom_object::WriteError>,
    },
    /// The caller asked to stop; `training_data.csv` was not written.
    #[error("interrupted before all series were written; no training_data.csv was made")]
    Interrupted,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
