//! JPEG XL (ISO/IEC 18181), decoded by the crate `jxl-oxide`.

use jxl_oxide::{AllocTracker, JxlImage};

use super::frame::{CodecError, Decoded, Shape, expect_size, pack};

const CODEC: &str = "JPEG XL";

/// Memory that the decoder may use, for each byte of the frame and in addition to that.
const PER_BYTE: usize = 24;
const BESIDE: usize = 32 << 20;

pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let damaged = |error: &dyn std::fmt::Display| CodecError::damaged(CODEC, error);
    let limit = AllocTracker::with_limit(shape.bytes() * PER_BYTE + BESIDE);
    let image = JxlImage::builder().alloc_tracker(limit).read(bytes).map_err(|e| damaged(&e))?;
    let components = image.pixel_format().channels();
    expect_size(CODEC, [image.height() as usize, image.width() as usize, components], shape)?;
    let bits = image.image_header().metadata.bit_depth.bits_per_sample();
    let render = image.render_frame(0).map_err(|e| damaged(&e))?;
    let planes = render.image_planar();
    let plane = planes.first().ok_or_else(|| damaged(&"no component"))?;
    expect_size(CODEC, [plane.height(), plane.width(), 1], shape)?;
    let largest = (1_u64 << bits.min(24)) as f32 - 1.0;
    Ok(pack(plane.buf().iter().map(|&value| (value * largest).round_ties_even() as i32), shape))
}
