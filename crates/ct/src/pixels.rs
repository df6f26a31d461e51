//! The frames of one file as samples. Knows no other file.

use std::borrow::Cow;

use crate::codec::{self, CodecError, Shape};
use crate::dicom::dataset::{DataSet, Element};
use crate::dicom::frames::{encapsulated, pixel_data};
use crate::dicom::{Part10, Problem, Syntax};
use crate::header;

/// Why a frame could not be read. The text never holds a value of the file.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// The file could not be opened or parsed.
    #[error("cannot read the file: {0}")]
    Read(String),
    /// The pixel data could not be decoded.
    #[error("cannot decode the pixel data: {0}")]
    Decode(#[from] CodecError),
    /// A transfer syntax that ctpipe does not read, by name or by UID.
    #[error("transfer syntax {uid} is not supported{}", because(*.name))]
    Syntax {
        /// Its UID.
        uid: String,
        /// What it is.
        name: Option<&'static str>,
    },
    /// There is no pixel data.
    #[error("there is no pixel data")]
    Missing,
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
    /// Colour, or an unusual number of bits.
    #[error("not a single-channel image of 1, 8, 16 or 32 bits: {0}")]
    Layout(String),
}

fn because(name: Option<&str>) -> String {
    name.map(|name| format!(": {name}")).unwrap_or_default()
}

impl PixelError {
    /// The reason as it stands in tables.
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

/// What pixel data of a transfer syntax is coded in, for people.
pub fn codec_name(transfer_syntax: &str) -> &'static str {
    Syntax::of(transfer_syntax).name()
}

/// How a stored value lies in its bits (PS3.5 section 8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Bits of a sample in [`Frame::bytes`]: 8, 16 or 32.
    pub allocated: u32,
    /// The lowest of these are the value's.
    pub bits: u32,
    /// Whether the highest of those is a sign.
    pub signed: bool,
}

impl Stored {
    /// Bits above the stored ones are not part of the value.
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
    /// The samples' bytes; the file's own where it holds them as they are.
    pub bytes: Cow<'a, [u8]>,
    /// How to read them.
    pub stored: Stored,
    /// Rescale slope: HU per stored value.
    pub slope: f64,
    /// Rescale intercept in HU.
    pub intercept: f64,
    /// What means "nothing was measured here".
    pub padding: Option<Padding>,
}

/// Stored values that mean "nothing was measured here" (PS3.3 section C.7.5.1.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// The smallest and the largest.
    pub range: (i32, i32),
    /// They need more than the stored bits (-2000 among unsigned values of 12 bits): they are compared
    /// with all bits that are allocated.
    pub whole: bool,
}

impl Frame<'_> {
    /// The stored values.
    pub fn values(&self) -> impl Iterator<Item = i32> + '_ {
        let width = self.stored.allocated as usize / 8;
        self.bytes.chunks_exact(width).map(move |sample| {
            let raw = sample.iter().rev().fold(0, |raw, &byte| raw << 8 | u32::from(byte));
            self.stored.value(raw)
        })
    }
}

/// The frames of a file's bytes that are wanted (all, if that is empty), one after the other.
///
/// # Errors
/// What keeps every frame from being read; `each` gets the index of the frame and what is wrong with
/// that one.
pub fn frames<E: From<PixelError>>(
    bytes: &[u8],
    wanted: &[usize],
    mut each: impl FnMut(usize, Result<Frame<'_>, PixelError>) -> Result<(), E>,
) -> Result<(), E> {
    let part = Part10::open(bytes).ok_or_else(|| PixelError::Read("it is not DICOM".to_owned()))?;
    let unreadable = |problem: Problem| PixelError::Read(problem.to_string());
    let last = wanted.iter().max().copied();
    let (body, whole) = part.body(true, enough(&part, last)?).map_err(unreadable)?;
    let set = DataSet::read(&body, whole).map_err(unreadable)?;
    let image = Image::new(&part, &set)?;
    let rescales = header::rescales(&set);
    // A file that claims a million frames and has none must not be asked a million times: the first that
    // is not there is the last.
    let all = if wanted.is_empty() { 0..image.frames } else { 0..0 };
    for index in all.chain(wanted.iter().copied()) {
        let rescale = rescales.get(index).or(rescales.last()).copied().unwrap_or((1.0, 0.0));
        let frame = image.frame(index, rescale);
        let last = frame.is_err();
        each(index, frame)?;
        if last {
            break;
        }
    }
    Ok(())
}

/// Whether two frames hold the same values in the same unit; frames that cannot be read do not.
pub(crate) fn same((a, frame_a): (&[u8], usize), (b, frame_b): (&[u8], usize)) -> bool {
    let mut equal = false;
    let mut with_b = |a: Frame<'_>| {
        frames::<PixelError>(b, &[frame_b], |_, b| {
            let b = b?;
            let unit = |f: &Frame<'_>| (f.rows, f.columns, f.slope, f.intercept);
            equal = unit(&a) == unit(&b) && a.values().eq(b.values());
            Ok(())
        })
    };
    let read = frames::<PixelError>(a, &[frame_a], |_, frame| with_b(frame?));
    read.is_ok() && equal
}

/// A header inflates to this at most, and a file to as much and its frames.
const HEADER_INFLATED: usize = 16 << 20;
const MOST_INFLATED: usize = 1 << 30;

/// How much of a deflated file is needed for its frames up to `last` (all, if that is none).
fn enough(part: &Part10<'_>, last: Option<usize>) -> Result<usize, PixelError> {
    if part.syntax != Syntax::Deflated {
        return Ok(usize::MAX);
    }
    let unreadable = |problem: Problem| PixelError::Read(problem.to_string());
    let (start, whole) = part.body(true, HEADER_INFLATED).map_err(unreadable)?;
    let set = DataSet::read(&start, whole).map_err(unreadable)?;
    let image = Image::new(part, &set)?;
    let frames = last.map_or(image.frames, |last| last.saturating_add(1));
    let bytes = (image.shape.samples() * image.allocated as usize).div_ceil(8).saturating_mul(frames);
    Ok(bytes.saturating_add(HEADER_INFLATED).min(MOST_INFLATED))
}
/// Of a frame: 8192 x 8192. No CT has more, and no decoder is asked for more.
const MOST_PIXELS: u64 = 1 << 26;

/// What the pixel module of a data set says (PS3.3 section C.7.6.3).
struct Image<'a, 'd> {
    set: &'d DataSet<'a>,
    pixels: &'d Element<'a>,
    syntax: Syntax,
    shape: Shape,
    /// As in the file: 1, 8, 16 or 32.
    allocated: u32,
    stored: Stored,
    padding: Option<Padding>,
    frames: usize,
}

impl<'a, 'd> Image<'a, 'd> {
    fn new(part: &Part10<'_>, set: &'d DataSet<'a>) -> Result<Image<'a, 'd>, PixelError> {
        let name = match part.syntax {
            Syntax::Refused(name) => Some(Some(name)),
            Syntax::Unknown => Some(None),
            _ => None,
        };
        if let Some(name) = name {
            return Err(PixelError::Syntax { uid: part.transfer_syntax.clone(), name });
        }
        let word = |tag| set.word(tag).map(u32::from);
        let pixels = pixel_data(set).ok_or(PixelError::Missing)?;
        let (rows, columns) = (word(0x0028_0010).unwrap_or(0), word(0x0028_0011).unwrap_or(0));
        let samples = word(0x0028_0002).unwrap_or(1);
        let allocated = word(0x0028_0100).unwrap_or(16);
        let area = u64::from(rows) * u64::from(columns);
        if samples != 1 || ![1, 8, 16, 32].contains(&allocated) || !(1..=MOST_PIXELS).contains(&area) {
            let text = format!("{samples} samples of {allocated} bits, {rows} x {columns}");
            return Err(PixelError::Layout(text));
        }
        if pixels.tag != 0x7FE0_0010 {
            return Err(PixelError::Layout("floating-point pixel data".to_owned()));
        }
        // Encapsulated whatever the syntax says, or the other way round: the length tells.
        let syntax = match (part.syntax, pixels.undefined) {
            (Syntax::Native | Syntax::Deflated, true) => {
                return Err(PixelError::Read("encapsulated pixel data in a native syntax".to_owned()));
            }
            (_, false) => Syntax::Native,
            (syntax, true) => syntax,
        };
        let signed = word(0x0028_0103) == Some(1);
        let bits = word(0x0028_0101).filter(|bits| (1..=allocated).contains(bits)).unwrap_or(allocated);
        let unpacked = allocated.max(8);
        let shape = Shape { rows: rows as usize, columns: columns as usize, bits: unpacked as usize, signed };
        // A codec's samples have no foreign bits above them, and a lossy one's may overshoot.
        let clean = matches!(syntax, Syntax::Jpeg | Syntax::JpegLs | Syntax::Jpeg2000 | Syntax::JpegXl);
        let bits = if clean && !signed { unpacked } else { bits };
        let stored = Stored { allocated: unpacked, bits, signed };
        let frames = header::frames(set);
        Ok(Image { set, pixels, syntax, shape, allocated, stored, padding: padding(set, stored), frames })
    }

    fn frame(&self, index: usize, (slope, intercept): (f64, f64)) -> Result<Frame<'a>, PixelError> {
        let Shape { rows, columns, .. } = self.shape;
        let bytes = if self.syntax == Syntax::Native {
            self.native(index)?
        } else {
            let coded = encapsulated(self.set, index, self.frames).ok_or(PixelError::Missing)?;
            Cow::Owned(codec::decode(self.syntax, &coded, self.shape)?)
        };
        Ok(Frame { rows, columns, bytes, stored: self.stored, slope, intercept, padding: self.padding })
    }

    fn native(&self, index: usize) -> Result<Cow<'a, [u8]>, PixelError> {
        let Shape { rows, columns, .. } = self.shape;
        let value = self.pixels.value;
        let bits = rows * columns * self.allocated as usize;
        // Frames of single bits follow each other without padding.
        let (start, end) = (bits.saturating_mul(index), bits.saturating_mul(index + 1));
        let bytes = value.get(start / 8..end.div_ceil(8)).ok_or(PixelError::Truncated {
            found: value.len(),
            expected: end.div_ceil(8),
            rows,
            columns,
        })?;
        if self.allocated == 1 {
            let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1;
            let offset = start % 8;
            return Ok(Cow::Owned((offset..offset + rows * columns).map(bit).collect()));
        }
        let swapped = if !self.set.encoding.big_endian || self.pixels.vr == *b"OB" {
            0
        } else {
            // Bytes in words are swapped as words (PS3.5 section 8.1.2); wider samples as a whole.
            (self.allocated as usize / 8).max(2)
        };
        if swapped == 0 {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = bytes.to_vec();
        bytes.chunks_exact_mut(swapped).for_each(<[u8]>::reverse);
        Ok(Cow::Owned(bytes))
    }
}

/// Pixel Padding Value (0028,0120) and Range Limit (0028,0121), read as signed or unsigned like the
/// pixels, whatever VR they were written with.
fn padding(set: &DataSet<'_>, stored: Stored) -> Option<Padding> {
    let whole = Stored { bits: stored.allocated, ..stored };
    let of = |tag| {
        let word = set.word(tag)?;
        Some(match stored.allocated {
            8 | 16 => whole.value(u32::from(word)),
            _ if stored.signed => i32::from(word.cast_signed()),
            _ => i32::from(word),
        })
    };
    let value = of(0x0028_0120)?;
    let limit = of(0x0028_0121).unwrap_or(value);
    let range = (value.min(limit), value.max(limit));
    let fits = |value: i32| stored.value(value.cast_unsigned()) == value;
    Some(Padding { range, whole: !(fits(range.0) && fits(range.1)) })
}

#[cfg(test)]
mod tests {
    use super::Stored;

    #[test]
    fn stored_bits_are_cut_out_and_sign_extended() {
        let stored = |bits, signed| Stored { allocated: 16, bits, signed };
        let signed12 = stored(12, true);
        assert_eq!(signed12.value(0x0FFF), -1);
        assert_eq!(signed12.value(0xF7FF), 2047, "bits above the stored ones are not the value's");
        assert_eq!(stored(16, true).value(0xFC18), -1000);
        assert_eq!(stored(12, false).value(0xFFFF), 4095);
    }
}
