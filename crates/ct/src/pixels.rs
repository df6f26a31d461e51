//! One frame as samples, and why a frame cannot be read.

use std::borrow::Cow;
use std::io;

use crate::codec::CodecError;
use crate::dicom::Problem;

/// HU of air, which padding becomes.
pub const AIR_HU: f32 = -1000.0;

/// Why a frame could not be read. The text never holds a value of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PixelError {
    /// The file could not be opened or parsed.
    #[error("cannot read the file: {0}")]
    Read(String),
    /// The pixel data could not be decoded.
    #[error("cannot decode the pixel data: {0}")]
    Decode(#[from] CodecError),
    /// ctpipe does not read this transfer syntax.
    #[error("transfer syntax {uid} is not supported{}", because(*.name))]
    Syntax {
        /// UID of the transfer syntax.
        uid: String,
        /// Its name, if it is known.
        name: Option<&'static str>,
    },
    /// There is no pixel data.
    #[error("there is no pixel data")]
    Missing,
    /// There is less pixel data than rows and columns require.
    #[error("the pixel data ends early: {found} bytes, {expected} are needed for {rows} x {columns}")]
    Truncated {
        /// Bytes that are present.
        found: usize,
        /// Bytes that are required.
        expected: usize,
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// The image has colours or an unusual number of bits.
    #[error("not a single-channel image of 1, 8, 16 or 32 bits: {0}")]
    Layout(String),
}

fn because(name: Option<&str>) -> String {
    name.map(|name| format!(": {name}")).unwrap_or_default()
}

impl From<Problem> for PixelError {
    fn from(problem: Problem) -> PixelError {
        PixelError::Read(problem.to_string())
    }
}

impl From<io::Error> for PixelError {
    /// Uses only the kind of the error: its own text may hold a path.
    fn from(error: io::Error) -> PixelError {
        PixelError::Read(error.kind().to_string())
    }
}

impl PixelError {
    /// The reason code as written in tables.
    pub fn code(&self) -> &'static str {
        match self {
            PixelError::Read(_) => "unreadable_file",
            PixelError::Decode(_) => "decode_failed",
            PixelError::Syntax { .. } => "unsupported_transfer_syntax",
            PixelError::Missing => "no_pixel_data",
            PixelError::Truncated { .. } => "pixel_data_truncated",
            PixelError::Layout(_) => "unsupported_pixels",
        }
    }
}

/// How a stored value is laid out in its bits (PS3.5 section 8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Bits per sample in [`Frame::bytes`]: 8, 16 or 32.
    pub allocated: u32,
    /// The number of lowest bits that hold the value.
    pub bits: u32,
    /// Whether the highest of these bits is a sign.
    pub signed: bool,
}

impl Stored {
    /// Extracts the value. Bits above the stored ones are not part of it.
    #[inline]
    pub fn value(self, raw: u32) -> i32 {
        let unused = 32 - self.bits;
        let raised = raw << unused;
        if self.signed { (raised.cast_signed()) >> unused } else { (raised >> unused).cast_signed() }
    }
}

/// One frame: `rows x columns` samples, row by row, little endian.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The bytes of the samples, borrowed from the file where it holds them uncompressed.
    pub bytes: Cow<'a, [u8]>,
    /// How to read the samples.
    pub stored: Stored,
    /// Rescale slope: HU per stored value.
    pub slope: f64,
    /// Rescale intercept in HU.
    pub intercept: f64,
    /// Stored values that mean "nothing was measured here".
    pub padding: Option<Padding>,
}

/// Stored values that mean "nothing was measured here" (PS3.3 section C.7.5.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// The smallest and the largest such value.
    pub range: (i32, i32),
    /// Whether the values need more than the stored bits (such as -2000 among unsigned values of 12
    /// bits), so that they are compared with all allocated bits.
    pub whole: bool,
}

impl Frame<'_> {
    /// The stored values.
    pub fn values(&self) -> impl Iterator<Item = i32> + '_ {
        let width = self.stored.allocated as usize / 8;
        self.bytes.chunks_exact(width).map(move |sample| {
            let raw = match *sample {
                [a] => u32::from(a),
                [a, b] => u32::from(u16::from_le_bytes([a, b])),
                [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
                _ => 0,
            };
            self.stored.value(raw)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Stored;

    #[test]
    fn stored_bits_are_cut_out_and_sign_extended() {
        let stored = |bits, signed| Stored { allocated: 16, bits, signed };
        let signed12 = stored(12, true);
        assert_eq!(signed12.value(0x0FFF), -1);
        assert_eq!(signed12.value(0xF7FF), 2047, "bits above the stored ones are not part of the value");
        assert_eq!(stored(16, true).value(0xFC18), -1000);
        assert_eq!(stored(12, false).value(0xFFFF), 4095);
    }
}
