//! DICOM as bytes: where a file's elements and frames lie. Knows no series.

pub(crate) mod dataset;
pub(crate) mod file;
pub(crate) mod frames;
pub(crate) mod syntax;

pub(crate) use dataset::{DataSet, Tag};
pub(crate) use file::Part10;
pub(crate) use syntax::Syntax;

/// Why bytes cannot be read as DICOM. The text never holds a value of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// Not an error: the part that was read ends before the pixel data.
    #[error("the part that was read ends before the pixel data")]
    NeedsMore,
    /// An element is longer than the file.
    #[error("the file ends in element {}: {found} of {promised} bytes are there", name(*tag))]
    Truncated {
        /// The element.
        tag: u32,
        /// Bytes that it should have.
        promised: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// More sequences in sequences than any real file has.
    #[error("sequences are nested too deep")]
    TooDeep,
    /// More elements than any real file has.
    #[error("there are too many elements")]
    TooMany,
    /// The deflated data set is damaged or grows beyond all measure.
    #[error("the deflated data set cannot be inflated")]
    Deflate,
}

/// `(7FE0,0010)`.
fn name(tag: Tag) -> String {
    format!("({:04X},{:04X})", tag >> 16, tag & 0xFFFF)
}
