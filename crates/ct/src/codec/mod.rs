//! One coded frame to its samples. Knows no data set.

mod bits;
mod dct;
mod huffman;
mod isolated;
mod jpeg;
mod jpeg2000;
mod jpegls;
mod lossless;
mod openjpeg;
mod rle;
mod xl;

use crate::dicom::Syntax;

pub use isolated::{isolate_decoders, serve_decoder};

/// What the data set says of a frame; a stream that says otherwise is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) columns: usize,
    /// Bits of a sample in [`Decoded`]: 8, 16 or 32.
    pub(crate) bits: usize,
    /// Whether the data set reads its samples as signed.
    pub(crate) signed: bool,
}

impl Shape {
    pub(crate) fn samples(self) -> usize {
        self.rows * self.columns
    }

    pub(crate) fn bytes(self) -> usize {
        self.samples() * (self.bits / 8)
    }

    /// Bits above a JPEG 2000 sample that its sign is extended into. Signed in the data set and unsigned in
    /// the stream: the stream's highest bit is the sign.
    fn sign_bits(self, signed: bool, precision: u32) -> u32 {
        if self.signed && !signed { 32 - precision.clamp(1, 32) } else { 0 }
    }
}

/// `rows x columns` samples, row by row, little endian.
pub(crate) type Decoded = Vec<u8>;

/// Why a frame could not be decoded. The text holds no value of the file but sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The stream is damaged.
    #[error("{codec}: {problem}")]
    Damaged {
        /// Which codec.
        codec: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The stream is not what the data set says.
    #[error("{codec}: the stream is {found}, the data set says {expected}")]
    Mismatch {
        /// Which codec.
        codec: &'static str,
        /// What the stream is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

impl CodecError {
    fn damaged(codec: &'static str, problem: &(impl ToString + ?Sized)) -> CodecError {
        CodecError::Damaged { codec, problem: problem.to_string() }
    }
}

/// Refuses a stream of another size before anything is allocated for it.
fn expect_size(codec: &'static str, found: [usize; 3], shape: Shape) -> Result<(), CodecError> {
    let [rows, columns, components] = found;
    if [rows, columns, components] == [shape.rows, shape.columns, 1] {
        return Ok(());
    }
    Err(CodecError::Mismatch {
        codec,
        found: format!("{rows} x {columns} of {components} components"),
        expected: format!("{} x {} of one", shape.rows, shape.columns),
    })
}

/// Decodes a frame.
pub(crate) fn decode(syntax: Syntax, bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    match syntax {
        Syntax::Rle => rle::decode(bytes, shape),
        Syntax::Jpeg => jpeg::decode(bytes, shape),
        Syntax::JpegLs => jpegls::decode(bytes, shape),
        Syntax::Jpeg2000 => match jpeg2000::decode(bytes, shape) {
            Some(frame) => Ok(frame),
            None => isolated::decode(syntax, bytes, shape),
        },
        Syntax::JpegXl => isolated::decode(syntax, bytes, shape),
        Syntax::Native | Syntax::Deflated | Syntax::Refused(_) | Syntax::Unknown => {
            Err(CodecError::damaged("pixel data", "not a coded frame"))
        }
    }
}

/// Samples as bytes of the shape's width; wider ones are cut.
fn pack(samples: impl Iterator<Item = i32>, shape: Shape) -> Decoded {
    // Of one width each, so that several samples are written at once.
    fn fill<const N: usize>(to: &mut [u8], samples: impl Iterator<Item = i32>) {
        for (to, sample) in to.as_chunks_mut::<N>().0.iter_mut().zip(samples) {
            to.copy_from_slice(&sample.to_le_bytes()[..N]);
        }
    }
    let mut out = vec![0; shape.bytes()];
    match shape.bits {
        8 => fill::<1>(&mut out, samples),
        16 => fill::<2>(&mut out, samples),
        _ => fill::<4>(&mut out, samples),
    }
    out
}
