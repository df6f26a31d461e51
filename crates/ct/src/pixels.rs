//! One slice from file to HU. Knows no other slice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use dicom_pixeldata::{PixelDecoder, PixelRepresentation};

use crate::AIR_HU;
use crate::header::{chain, integer, number, without_path};

/// One slice in HU, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// `rows x columns` values in HU; padding is air.
    pub hu: Vec<f32>,
    /// How many of them are padding.
    pub padding: usize,
}

/// Why a slice could not be read. The text never holds a value of the file.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// The file could not be opened or parsed.
    #[error("cannot read the file: {0}")]
    Read(String),
    /// The pixel data could not be decoded.
    #[error("cannot decode the pixel data: {0}")]
    Decode(String),
    /// There is less pixel data than rows and columns ask for.
    #[error("the pixel data ends early: {found} bytes, {expected} are needed for {rows} x {columns}")]
    Truncated {
        /// Bytes that are there.
        found: usize,
        /// Bytes that should be there.
        expected: usize,
        /// Rows.
        rows: usize,
        /// Columns.
        columns: usize,
    },
    /// Colour, or more bits than CT has.
    #[error("not a single-channel image of 8 or 16 bits: {0}")]
    Layout(String),
}

/// Reads and decodes the first frame of a file and converts it to HU.
///
/// # Errors
/// As [`PixelError`] says; a decoder that panics is an error too.
pub fn read(path: &Path) -> Result<Slice, PixelError> {
    let attempt = || -> Result<Slice, PixelError> {
        let object = OpenFileOptions::new()
            .open_file(path)
            .map_err(|e| PixelError::Read(without_path(&chain(&e), path)))?;
        convert(&object)
    };
    catch_unwind(AssertUnwindSafe(attempt))
        .unwrap_or_else(|_| Err(PixelError::Decode("the decoder gave up on it".to_owned())))
}

fn convert(object: &DefaultDicomObject) -> Result<Slice, PixelError> {
    let decoded = object.decode_pixel_data_frame(0).map_err(|e| PixelError::Decode(chain(&e)))?;
    let (rows, columns) = (decoded.rows() as usize, decoded.columns() as usize);
    let bits = decoded.bits_allocated();
    if decoded.samples_per_pixel() != 1 || !(bits == 8 || bits == 16) {
        let samples = decoded.samples_per_pixel();
        return Err(PixelError::Layout(format!("{samples} samples of {bits} bits")));
    }
    let count = rows * columns;
    let bytes = decoded.data();
    let expected = count * usize::from(bits / 8);
    if bytes.len() < expected {
        return Err(PixelError::Truncated { found: bytes.len(), expected, rows, columns });
    }
    let stored = Stored {
        bits: u32::from(decoded.bits_stored()).clamp(1, u32::from(bits)),
        signed: decoded.pixel_representation() == PixelRepresentation::Signed,
    };
    let slope = number(object, tags::RESCALE_SLOPE).unwrap_or(1.0) as f32;
    let intercept = number(object, tags::RESCALE_INTERCEPT).unwrap_or(0.0) as f32;
    let padding_value = padding_value(object, stored);
    let mut padding = 0;
    let mut to_hu = |raw: u16| {
        let value = stored.value(raw);
        if Some(value) == padding_value {
            padding += 1;
            return AIR_HU;
        }
        value as f32 * slope + intercept
    };
    let hu = if bits == 8 {
        bytes[..expected].iter().map(|&byte| to_hu(u16::from(byte))).collect()
    } else {
        // The decoder hands out the machine's own byte order.
        bytes[..expected].as_chunks::<2>().0.iter().map(|pair| to_hu(u16::from_ne_bytes(*pair))).collect()
    };
    Ok(Slice { rows, columns, hu, padding })
}

/// How a stored value lies in its 8 or 16 bits.
#[derive(Debug, Clone, Copy)]
struct Stored {
    bits: u32,
    signed: bool,
}

impl Stored {
    /// Bits above the stored ones are not part of the value (PS3.5 section 8.1.1).
    fn value(self, raw: u16) -> i32 {
        let unused = 32 - self.bits;
        let raised = u32::from(raw) << unused;
        if self.signed { (raised.cast_signed()) >> unused } else { (raised >> unused).cast_signed() }
    }
}

/// (0028,0120), read as signed or unsigned like the pixels, whatever VR it was written with.
fn padding_value(object: &DefaultDicomObject, stored: Stored) -> Option<i32> {
    let element = object.element_opt(tags::PIXEL_PADDING_VALUE).ok()??;
    let value: i32 =
        element.to_int().ok().or_else(|| integer(object, tags::PIXEL_PADDING_VALUE).map(u32::cast_signed))?;
    let raw = (value & 0xFFFF) as u16;
    Some(stored.value(raw))
}

#[cfg(test)]
mod tests {
    use super::Stored;

    #[test]
    fn stored_bits_are_cut_out_and_sign_extended() {
        let signed12 = Stored { bits: 12, signed: true };
        assert_eq!(signed12.value(0x0FFF), -1);
        assert_eq!(signed12.value(0xF7FF), 2047, "bits above the stored ones are not the value's");
        assert_eq!(Stored { bits: 16, signed: true }.value(0xFC18), -1000);
        assert_eq!(Stored { bits: 12, signed: false }.value(0xFFFF), 4095);
    }
}
