//! RLE Lossless (PS3.5 annex G): one `PackBits` segment for each byte of a sample, highest byte
//! first.

use super::frame::{CodecError, Decoded, Shape};

const CODEC: &str = "RLE";

pub(super) fn decode(bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let damaged = |problem: &str| CodecError::damaged(CODEC, problem);
    let header: &[u8; 64] = bytes.first_chunk().ok_or_else(|| damaged("no header of 64 bytes"))?;
    let words: Vec<usize> =
        header.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b) as usize).collect();
    let width = shape.bits / 8;
    let segments = words[0];
    if segments != width {
        return Err(CodecError::Mismatch {
            codec: CODEC,
            found: format!("{segments} segments"),
            expected: format!("{width}"),
        });
    }
    // Two bytes give at most 128: nothing is allocated that the bytes cannot fill.
    if shape.bytes() > bytes.len().saturating_mul(64) {
        return Err(damaged("the frame ends early"));
    }
    let mut out = vec![0; shape.bytes()];
    let mut segment_bytes = Vec::with_capacity(shape.samples());
    for segment in 0..segments {
        let start = words[1 + segment];
        let end = if segment + 1 < segments { words[2 + segment] } else { bytes.len() };
        let coded =
            bytes.get(start..end.min(bytes.len())).ok_or_else(|| damaged("a segment lies outside"))?;
        let byte = width - 1 - segment;
        segment_bytes.clear();
        unpack(coded, shape.samples(), &mut segment_bytes);
        if segment_bytes.len() < shape.samples() {
            return Err(damaged("a segment ends early"));
        }
        for (sample, &value) in out.chunks_exact_mut(width).zip(&segment_bytes) {
            sample[byte] = value;
        }
    }
    Ok(out)
}

/// Unpacks `wanted` bytes, or fewer where the segment ends earlier.
fn unpack(mut coded: &[u8], wanted: usize, to: &mut Vec<u8>) {
    while to.len() < wanted {
        let missing = wanted - to.len();
        let Some((&count, rest)) = coded.split_first() else { return };
        coded = match count {
            0..=127 => {
                let (bytes, rest) = rest.split_at(rest.len().min(usize::from(count) + 1));
                to.extend_from_slice(&bytes[..bytes.len().min(missing)]);
                rest
            }
            128 => rest,
            129..=255 => {
                let Some((&byte, rest)) = rest.split_first() else { return };
                to.resize(to.len() + (257 - usize::from(count)).min(missing), byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_by_hand() {
        // Two segments: high bytes 1 1 1 2, low bytes 5 6 7 7.
        let mut coded = vec![0; 64];
        coded[0] = 2;
        coded[4] = 64;
        coded[8] = 68;
        coded.extend([254, 1, 0, 2]);
        coded.extend([1, 5, 6, 255, 7, 128]);
        let shape = Shape { rows: 2, columns: 2, bits: 16, signed: false };
        assert_eq!(decode(&coded, shape).as_deref(), Ok(&[5, 1, 6, 1, 7, 1, 7, 2][..]));
        assert!(decode(&coded[..66], shape).is_err());
        assert!(decode(&coded, Shape { bits: 8, ..shape }).is_err());
    }
}
