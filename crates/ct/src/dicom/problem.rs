//! Why bytes cannot be read as DICOM.

/// Why bytes cannot be read as DICOM. The text never holds a value of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// Not an error: the part that was read ends before the pixel data.
    #[error("the part that was read ends before the pixel data")]
    NeedsMore,
    /// An element is longer than the file.
    #[error("the file ends in element {}: {found} of {promised} bytes are there", name(*tag))]
    Truncated {
        /// Tag of the element.
        tag: u32,
        /// Bytes that the element should have.
        promised: usize,
        /// Bytes that are present.
        found: usize,
    },
    /// Sequences nested deeper than in any real file.
    #[error("sequences are nested too deep")]
    TooDeep,
    /// More elements than in any real file.
    #[error("there are too many elements")]
    TooMany,
    /// The deflated data set is damaged, or it grows beyond any real size.
    #[error("the deflated data set cannot be inflated")]
    Deflate,
}

/// The tag as text, such as `(7FE0,0010)`.
fn name(tag: u32) -> String {
    format!("({:04X},{:04X})", tag >> 16, tag & 0xFFFF)
}
