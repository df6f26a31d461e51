//! The errors of the stage report. Knows no input by name.

use ctpipe_stage::StageError;

use std::path::PathBuf;

/// This crate's result.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failure of this stage; each says where it happened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input cannot be read.
    #[error("cannot read the report's inputs")]
    Tables(#[from] ctpipe_tables::Error),
    /// An input's manifest is damaged.
    #[error("cannot read what an input was made by")]
    Manifest(#[from] ctpipe_stage::ManifestError),
    /// A volume is not a cube.
    #[error("series {series_uid}: its volume has {voxels} voxels, expected a cube such as 64³ = 262144")]
    NotACube {
        /// Which series.
        series_uid: String,
        /// Number of voxels.
        voxels: usize,
    },
    /// A slice could not be encoded as an image.
    #[error("series {series_uid}: a slice cannot be written as PNG")]
    Image {
        /// Which series.
        series_uid: String,
        /// What the encoder said.
        source: png::EncodingError,
    },
    /// A chart could not be rendered to pixels.
    #[error("the chart {name} cannot be drawn as PNG")]
    Plot {
        /// Name of the chart.
        name: String,
        /// What the renderer said.
        source: ctpipe_plot::Error,
    },
    /// The spreadsheet could not be written.
    #[error("the predictions cannot be written as a spreadsheet")]
    Book(#[from] rust_xlsxwriter::XlsxError),
    /// The template does not match the data that it is given: a mistake in this crate.
    #[error("the page's template does not match its data")]
    Template(#[from] minijinja::Error),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// As the engine takes it.
pub(crate) fn failed(error: Error) -> StageError {
    StageError::Failed(Box::new(error))
}
