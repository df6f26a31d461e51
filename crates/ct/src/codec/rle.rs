//! RLE Lossless (PS3.5 annex G): a `PackBits` segment for each byte of a sample, the highest first.

use super::{CodecError, Decoded, Shape};

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
    // A byte of two makes 128 at most: nothing is allocated that the bytes cannot fill.
    if shape.bytes() > bytes.len().saturating_mul(64) {
        return Err(damaged("the frame ends early"));
    }
    let mut out = vec![0; shape.bytes()];
    for segment in 0..segments {
        let start = words[1 + segment];
        let end = if segment + 1 < segments { words[2 + segment] } else { bytes.len() };
        let coded =
            bytes.get(start..end.min(bytes.len())).ok_or_else(|| damaged("a segment lies outside"))?;
        let byte = width - 1 - segment;
        let samples = out.iter_mut().skip(byte).step_by(width);
        if !unpack(coded, samples) {
            return Err(damaged("a segment ends early"));
        }
    }
    Ok(out)
}

/// Whether every place was filled.
fn unpack<'a>(mut coded: &[u8], mut to: impl Iterator<Item = &'a mut u8>) -> bool {
    loop {
        let Some((&count, rest)) = coded.split_first() else { return to.next().is_none() };
        coded = rest;
        match count {
            0..=127 => {
                for _ in 0..=count {
                    let Some((&byte, rest)) = coded.split_first() else { return to.next().is_none() };
                    let Some(place) = to.next() else { return true };
                    *place = byte;
                    coded = rest;
                }
            }
            128 => {}
            129..=255 => {
                let Some((&byte, rest)) = coded.split_first() else { return to.next().is_none() };
                coded = rest;
                for _ in 0..257 - u16::from(count) {
                    let Some(place) = to.next() else { return true };
                    *place = byte;
                }
            }
        }
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
