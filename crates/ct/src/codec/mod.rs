//! Decodes one coded frame to its samples.

mod bits;
mod dct;
mod frame;
mod huffman;
mod isolated;
mod jpeg;
mod jpeg2000;
mod jpeg_stream;
mod jpegls;
mod lossless;
mod openjpeg;
mod rle;
mod xl;

use crate::dicom::Syntax;

pub use frame::CodecError;
pub(crate) use frame::{Decoded, Shape};
pub use isolated::{isolate_decoders, serve_decoder};

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
