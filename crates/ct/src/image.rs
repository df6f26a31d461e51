//! Opens the image in one file. Its frames are read and decoded one at a time, if necessary by
//! several threads, and only the requested frames are read.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;

use ctpipe_disk::AlignedBuffer;

use crate::codec::{self, Shape};
use crate::dicom::dataset::DataSet;
use crate::dicom::frames::{Fragments, pixel_data};
use crate::dicom::{Part10, Problem, Syntax};
use crate::header;
use crate::pixels::{Frame, Padding, PixelError, Stored};
use crate::source::{self, Source};
use crate::storage::Storage;

/// The name of a transfer syntax's codec, for people.
pub fn codec_name(transfer_syntax: &str) -> &'static str {
    Syntax::of(transfer_syntax).name()
}

/// How much of a deflated data set is kept inflated in memory. What lies beyond that is inflated
/// again for each frame.
const INFLATED: usize = 16 << 20;
/// Largest frame, 8192 x 8192. No CT has more, and no decoder is given more.
const MOST_PIXELS: u64 = 1 << 26;
/// A coded frame larger than this and than twice its samples is refused.
const MOST_CODED: u64 = 16 << 20;

impl Source {
    /// Whether both hold the same values in the same unit. A source that cannot be read equals no
    /// other.
    pub fn same_pixels(&self, other: &Source) -> bool {
        let (mut room_a, mut room_b) = (AlignedBuffer::default(), AlignedBuffer::default());
        let mut same = || {
            let (a, b) =
                (Image::open(self, AlignedBuffer::default())?, Image::open(other, AlignedBuffer::default())?);
            let (a, b) = (a.frame(self.frame, &mut room_a)?, b.frame(other.frame, &mut room_b)?);
            let unit = |f: &Frame<'_>| (f.rows, f.columns, f.slope, f.intercept);
            Ok::<bool, PixelError>(unit(&a) == unit(&b) && a.values().eq(b.values()))
        };
        same().unwrap_or(false)
    }
}

/// The image in one file (PS3.3 section C.7.6.3).
#[derive(Debug)]
pub struct Image {
    storage: Storage,
    described: Described,
}

impl Image {
    /// Opens the file that a source names, without reading its frame. `room` is memory that may be
    /// reused.
    ///
    /// # Errors
    /// When the file cannot be read, or none of its frames can.
    pub fn open(source: &Source, room: AlignedBuffer) -> Result<Image, PixelError> {
        let storage = match &source.member {
            None => Storage::open(File::open(&source.path)?, room)?,
            Some(member) => Storage::memory(source::member(&source.path, member)?),
        };
        Image::from_storage(storage)
    }

    /// The same from the bytes of a file.
    ///
    /// # Errors
    /// When no frame can be read.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Image, PixelError> {
        Image::from_storage(Storage::memory(bytes))
    }

    fn from_storage(mut storage: Storage) -> Result<Image, PixelError> {
        let (syntax, start) = {
            let part = Part10::open(storage.head());
            let part = part.ok_or_else(|| PixelError::Read("it is not DICOM".to_owned()))?;
            let name = match part.syntax {
                Syntax::Refused(name) => Some(Some(name)),
                Syntax::Unknown => Some(None),
                _ => None,
            };
            if let Some(name) = name {
                return Err(PixelError::Syntax { uid: part.transfer_syntax, name });
            }
            (part.syntax, part.start())
        };
        if syntax == Syntax::Deflated {
            storage = storage.inflated(start, INFLATED)?;
            let described = Described::new(&storage, 0, Syntax::Native)?.ok_or(PixelError::Missing)?;
            return Ok(Image { storage, described });
        }
        let mut wanted = storage.head().len();
        loop {
            if let Some(described) = Described::new(&storage, start, syntax)? {
                return Ok(Image { storage, described });
            }
            if storage.complete() || wanted >= header::LARGEST {
                return Err(PixelError::Missing);
            }
            wanted *= 4;
            storage.fill(wanted as u64)?;
        }
    }

    /// Number of frames that the file claims to have. It may have fewer.
    pub fn frames(&self) -> usize {
        self.described.frames
    }

    /// Reads a frame, and decodes it where it is coded. `room` is memory that may be reused.
    ///
    /// # Errors
    /// When there is no such frame or it is damaged.
    pub fn frame<'a>(&'a self, index: usize, room: &'a mut AlignedBuffer) -> Result<Frame<'a>, PixelError> {
        let Described { syntax, shape, stored, padding, .. } = self.described;
        let bytes = match &self.described.pixels {
            Pixels::Native { start, length, swapped } => {
                self.native(index, (*start, *length), *swapped, room)?
            }
            Pixels::Coded(fragments) => {
                let coded = self.coded(fragments.of(index), room)?;
                Cow::Owned(codec::decode(syntax, &coded, shape)?)
            }
        };
        let rescales = &self.described.rescales;
        let (slope, intercept) = rescales.get(index).or(rescales.last()).copied().unwrap_or((1.0, 0.0));
        let Shape { rows, columns, .. } = shape;
        Ok(Frame { rows, columns, bytes, stored, slope, intercept, padding })
    }

    /// Returns the memory, to be used for another file.
    pub fn into_room(self) -> AlignedBuffer {
        self.storage.into_room()
    }

    fn native<'a>(
        &'a self,
        index: usize,
        (start, length): (u64, u64),
        swapped: usize,
        room: &'a mut AlignedBuffer,
    ) -> Result<Cow<'a, [u8]>, PixelError> {
        let Described { shape: Shape { rows, columns, .. }, allocated, .. } = self.described;
        let bits = rows as u64 * columns as u64 * u64::from(allocated);
        // Frames with one bit per sample follow each other without padding.
        let first = bits.saturating_mul(index as u64);
        let (from, to) = (first / 8, first.saturating_add(bits).div_ceil(8));
        let there = to.min(length).saturating_sub(from) as usize;
        let bytes = self.storage.at(start.saturating_add(from), there, room)?;
        if (bytes.len() as u64) < to - from {
            let found = from as usize + bytes.len();
            return Err(PixelError::Truncated { found, expected: to as usize, rows, columns });
        }
        if allocated == 1 {
            let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1;
            let offset = (first % 8) as usize;
            return Ok(Cow::Owned((offset..offset + rows * columns).map(bit).collect()));
        }
        if swapped == 0 {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut bytes = bytes.to_vec();
        bytes.chunks_exact_mut(swapped).for_each(<[u8]>::reverse);
        Ok(Cow::Owned(bytes))
    }

    /// The fragments of a frame as one piece.
    fn coded<'a>(
        &'a self,
        fragments: &[Range<u64>],
        room: &'a mut AlignedBuffer,
    ) -> Result<Cow<'a, [u8]>, PixelError> {
        let length: u64 = fragments.iter().map(|f| f.end - f.start).sum();
        if length > MOST_CODED + 2 * self.described.shape.bytes() as u64 {
            return Err(PixelError::Layout(format!("a coded frame of {length} bytes")));
        }
        match fragments {
            [] => Err(PixelError::Missing),
            [one] => Ok(Cow::Borrowed(self.storage.at(one.start, (one.end - one.start) as usize, room)?)),
            many => {
                let mut all = Vec::new();
                for one in many {
                    all.extend_from_slice(self.storage.at(
                        one.start,
                        (one.end - one.start) as usize,
                        room,
                    )?);
                }
                Ok(Cow::Owned(all))
            }
        }
    }
}

/// What a data set says about its image.
#[derive(Debug)]
struct Described {
    syntax: Syntax,
    shape: Shape,
    /// As in the file: 1, 8, 16 or 32.
    allocated: u32,
    stored: Stored,
    padding: Option<Padding>,
    /// Slope and intercept of each frame, or one pair for all frames.
    rescales: Vec<(f64, f64)>,
    frames: usize,
    pixels: Pixels,
}

/// Where the frames are.
#[derive(Debug)]
enum Pixels {
    /// One after the other, with bytes swapped in groups of this size.
    Native {
        start: u64,
        length: u64,
        swapped: usize,
    },
    Coded(Fragments),
}

impl Described {
    /// Reads the data set that begins at `start`; `None` where its pixel data are not in memory
    /// yet.
    fn new(storage: &Storage, start: usize, syntax: Syntax) -> Result<Option<Described>, PixelError> {
        let set = match DataSet::read(&storage.head()[start..], storage.complete()) {
            Err(Problem::NeedsMore) => return Ok(None),
            other => other?,
        };
        let Some(pixels) = pixel_data(&set) else { return Ok(None) };
        let word = |tag| set.word(tag).map(u32::from);
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
        // Encapsulated although the syntax says otherwise, or the other way round: the length
        // decides.
        let syntax = match (syntax, pixels.undefined()) {
            (Syntax::Native, true) => {
                return Err(PixelError::Read("encapsulated pixel data in a native syntax".to_owned()));
            }
            (_, false) => Syntax::Native,
            (syntax, true) => syntax,
        };
        let signed = word(0x0028_0103) == Some(1);
        let bits = word(0x0028_0101).filter(|bits| (1..=allocated).contains(bits)).unwrap_or(allocated);
        let unpacked = allocated.max(8);
        let shape = Shape { rows: rows as usize, columns: columns as usize, bits: unpacked as usize, signed };
        // Samples from a codec have no foreign bits above them, and those of a lossy one may
        // overshoot.
        let clean = matches!(syntax, Syntax::Jpeg | Syntax::JpegLs | Syntax::Jpeg2000 | Syntax::JpegXl);
        let bits = if clean && !signed { unpacked } else { bits };
        let stored = Stored { allocated: unpacked, bits, signed };
        let frames = header::frames(&set);
        let at = (start + pixels.start) as u64;
        let pixels = if syntax == Syntax::Native {
            let swapped = if !set.encoding.big_endian || pixels.vr == *b"OB" {
                0
            } else {
                // Bytes in words are swapped word by word (PS3.5 section 8.1.2); wider samples as a
                // whole.
                (allocated as usize / 8).max(2)
            };
            let length = u64::from(pixels.promised).min(storage.length().saturating_sub(at));
            Pixels::Native { start: at, length, swapped }
        } else {
            Pixels::Coded(Fragments::find(&set, storage, at, frames)?)
        };
        let (padding, rescales) = (padding(&set, stored), header::rescales(&set));
        Ok(Some(Described { syntax, shape, allocated, stored, padding, rescales, frames, pixels }))
    }
}

/// Pixel Padding Value (0028,0120) and Range Limit (0028,0121), read as signed or unsigned like the
/// pixels, whatever VR they are written with.
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
