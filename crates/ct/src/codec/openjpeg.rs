//! JPEG 2000 (ITU-T T.800) in any form, and HTJ2K (T.814), decoded by the crate `openjp2`
//! (`OpenJPEG` in Rust) through its safe wrapper `jpeg2k`. The usual form of JPEG 2000 does not
//! come here (see `super::jpeg2000`).

use super::frame::{CodecError, Decoded, Shape, expect_size, pack};
use super::jpeg2000::{Size, code_stream};

const CODEC: &str = "JPEG 2000";

pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let damaged = |problem: &str| CodecError::damaged(CODEC, problem);
    let bytes = code_stream(bytes).ok_or_else(|| damaged("no code stream"))?;
    let size = Size::of(bytes).filter(|size| size.tiles() <= MOST_TILES);
    let size = size.ok_or_else(|| damaged("its size is not usable"))?;
    let [columns, rows] = size.extent();
    expect_size(CODEC, [rows, columns, size.components], shape)?;
    // Only the code stream is needed, and above all no palettes and colours.
    let image = jpeg2k::Image::from_bytes(bytes).map_err(|e| CodecError::damaged(CODEC, &e))?;
    let component = image.components().first().ok_or_else(|| damaged("no component"))?;
    let found = [component.height() as usize, component.width() as usize, 1];
    expect_size(CODEC, found, shape)?;
    let extend = shape.sign_bits(component.is_signed(), component.precision());
    Ok(pack(component.data().iter().map(|&sample| sample << extend >> extend), shape))
}

/// Maximum number of tiles; real slices have one.
const MOST_TILES: u64 = 4096;
