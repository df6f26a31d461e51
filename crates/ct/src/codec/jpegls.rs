//! JPEG-LS (ITU-T T.87), decoded by the crate `pure_jpegls`, which is safe Rust. The size of the
//! stream is checked against the data set before the crate sees it, and a panic costs only the
//! frame.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::frame::{CodecError, Decoded, Shape, expect_size, pack};

const CODEC: &str = "JPEG-LS";

pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let damaged = |problem: &str| CodecError::damaged(CODEC, problem);
    let frame = frame(bytes).ok_or_else(|| damaged("no frame header"))?;
    let [_, a, b, c, d, components, ..] = *frame else {
        return Err(damaged("a frame header that is too short"));
    };
    let size = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), u16::from(components)];
    expect_size(CODEC, size.map(usize::from), shape)?;
    // A run covers at most one line, and a line takes at least one bit.
    if bytes.len() < shape.rows / 8 {
        return Err(damaged("the frame ends early"));
    }
    let (columns, rows) = (shape.columns as u32, shape.rows as u32);
    let (samples, ..) = catch_unwind(AssertUnwindSafe(|| jpegls::decode(bytes, columns, rows)))
        .map_err(|_| damaged("the decoder gave up on it"))?
        .map_err(|error| CodecError::damaged(CODEC, &error))?;
    Ok(pack(samples.into_iter().map(i32::from), shape))
}

/// The parameters of SOF55.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        let head: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        match head {
            [0xFF, 0xF7, ..] => return bytes.get(at + 4..at + 2 + length),
            [0xFF, 0xFF, ..] => at += 1,
            [0xFF, 0xDA, ..] => return None,
            [0xFF, ..] => at += 2 + length.max(2),
            _ => return None,
        }
    }
}
