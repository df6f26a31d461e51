//! The errors of writing phantoms.

use std::io;
use std::path::PathBuf;

/// Why a set of phantoms was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is outside its range.
    #[error("{name} is {value}, expected {range}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Its value.
        value: String,
        /// The allowed range.
        range: &'static str,
    },
    /// The folder already holds data, which is never overwritten.
    #[error(
        "{} already exists: name another folder, or remove training_data, training_data.csv and truth.csv from this one first",
        .0.display()
    )]
    Occupied(PathBuf),
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file could not be encoded as DICOM.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The error of the encoder.
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
