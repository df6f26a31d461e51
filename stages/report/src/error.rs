//! What can go wrong while a report is made. Knows no input by name.

use std::path::PathBuf;

/// This crate's result.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failure of this stage; each says where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input cannot be read.
    #[error("cannot read what the report is made of")]
    Tables(#[from] ctpipe_tables::Error),
    /// An input's manifest is damaged.
    #[error("cannot read what an input was made by")]
    Manifest(#[from] ctpipe_engine::Error),
    /// A volume is not a cube.
    #[error("series {series_uid}: its volume has {voxels} voxels, expected a cube such as 64³ = 262144")]
    NotACube {
        /// Which series.
        series_uid: String,
        /// How many it has.
        voxels: usize,
    },
    /// A slice could not be made an image.
    #[error("series {series_uid}: a slice cannot be written as PNG")]
    Image {
        /// Which series.
        series_uid: String,
        /// What the encoder said.
        source: png::EncodingError,
    },
    /// A chart could not be made pixels.
    #[error("the chart {name} cannot be drawn as PNG")]
    Plot {
        /// Which.
        name: String,
        /// What the renderer said.
        source: ctpipe_plot::Error,
    },
    /// The spreadsheet could not be written.
    #[error("the predictions cannot be written as a spreadsheet")]
    Book(#[from] rust_xlsxwriter::XlsxError),
    /// The template and what it is given do not fit: a mistake in this crate.
    #[error("the template of the page does not fit its data")]
    Template(#[from] minijinja::Error),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
