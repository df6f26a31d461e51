//! JPEG 2000 (ITU-T T.800) in any form, and HTJ2K (T.814), by the crate `openjp2` (`OpenJPEG` in Rust)
//! through its safe face, `jpeg2k`. The usual form of JPEG 2000 never comes here (`super::jpeg2000`).

use super::jpeg2000::code_stream;
use super::{CodecError, Decoded, Shape, expect_size, pack};

const CODEC: &str = "JPEG 2000";

pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let damaged = |problem: &str| CodecError::damaged(CODEC, problem);
    let bytes = code_stream(bytes).ok_or_else(|| damaged("no code stream"))?;
    let size = Size::read(&bytes[4..]).ok_or_else(|| damaged("its size is not usable"))?;
    expect_size(CODEC, [size.rows, size.columns, size.components], shape)?;
    // Nothing around the code stream is needed, palettes and colours least of all.
    let image = jpeg2k::Image::from_bytes(bytes).map_err(|e| CodecError::damaged(CODEC, &e))?;
    let component = image.components().first().ok_or_else(|| damaged("no component"))?;
    let found = [component.height() as usize, component.width() as usize, 1];
    expect_size(CODEC, found, shape)?;
    let extend = shape.sign_bits(component.is_signed(), component.precision());
    Ok(pack(component.data().iter().map(|&sample| sample << extend >> extend), shape))
}

/// What SIZ says (section A.5.1).
struct Size {
    rows: usize,
    columns: usize,
    components: usize,
}

/// Tiles of an image; real slices have one.
const MOST_TILES: usize = 4096;

impl Size {
    fn read(siz: &[u8]) -> Option<Size> {
        let word = |at: usize| Some(u32::from_be_bytes(*siz.get(at..)?.first_chunk()?) as usize);
        let (right, bottom, left, top) = (word(4)?, word(8)?, word(12)?, word(16)?);
        let (tile_width, tile_height) = (word(20)?, word(24)?);
        let components = usize::from(u16::from_be_bytes(*siz.get(36..)?.first_chunk()?));
        let (columns, rows) = (right.checked_sub(left)?, bottom.checked_sub(top)?);
        if tile_width == 0 || tile_height == 0 {
            return None;
        }
        let tiles = right.div_ceil(tile_width).checked_mul(bottom.div_ceil(tile_height))?;
        (tiles <= MOST_TILES).then_some(Size { rows, columns, components })
    }
}
