//! JPEG 2000 (ITU-T T.800) as CT slices use it: one component, plain code-block passes, and any
//! number of layers, resolutions, precincts and tiles. Streams that are coded differently or
//! damaged are left to `OpenJPEG` (`super::openjpeg`), which supports the whole standard and runs
//! in its own process.
//!
//! Every step checks its input against the bytes that are there, and a [`Budget`] limits time and
//! memory, so no stream can end the process.

mod arithmetic;
mod codestream;
mod lifting;
mod packets;
mod passes;
mod tag_tree;

use std::ops::Range;

pub(super) use self::codestream::Size;
use self::codestream::{CodeStream, Coding, START};
use self::lifting::{Plane, Real, Wavelet, Whole, synthesize};
use self::packets::{Budget, Resolution, Subband, distribute};
use self::passes::Block;
use super::frame::{Decoded, Shape, pack};

/// Larger frames are also left to the other decoder, which has its own process and time limit.
const MOST_SAMPLES: usize = 1 << 21;

/// The code stream within a frame's bytes, which may be a JP2 file: everything from SOC and SIZ on.
pub(super) fn code_stream(bytes: &[u8]) -> Option<&[u8]> {
    let start = bytes.windows(START.len()).position(|window| window == START)?;
    Some(&bytes[start..])
}

/// Decodes a frame; `None` where this decoder does not support it.
pub(super) fn decode(bytes: &[u8], shape: Shape) -> Option<Decoded> {
    let stream = CodeStream::read(code_stream(bytes)?)?;
    let coding = &stream.coding;
    let size = &coding.size;
    let [columns, rows] = size.extent();
    if [rows, columns] != [shape.rows, shape.columns] || shape.samples() > MOST_SAMPLES {
        return None;
    }
    let mut samples = vec![0_i32; rows * columns];
    let mut block = Block::default();
    let mut budget = Budget::new(shape.samples(), size.precision);
    for (number, parts) in stream.tiles.iter().enumerate() {
        let tile = size.tile(number);
        let plane = if coding.style.reversible {
            tile_samples::<Whole>(coding, &tile, parts, &mut budget, &mut block)?
        } else {
            let plane = tile_samples::<Real>(coding, &tile, parts, &mut budget, &mut block)?;
            // Rounds half to even, as OpenJPEG does.
            let samples = plane.samples.iter().map(|sample| sample.round_ties_even() as i32).collect();
            Plane { at: plane.at, size: plane.size, samples }
        };
        let [left, top] = [0, 1].map(|i| (plane.at[i] - size.image[i].start) as usize);
        if plane.size[0] > 0 {
            for (row, line) in plane.samples.chunks_exact(plane.size[0]).enumerate() {
                samples[(top + row) * columns + left..][..line.len()].copy_from_slice(line);
            }
        }
    }
    // Annex G: unsigned samples are coded around zero.
    let (shift, low, high) = match (size.signed, size.precision) {
        (true, bits) => (0, -(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        (false, bits) => (1 << (bits - 1), 0, (1 << bits) - 1),
    };
    let extend = shape.sign_bits(size.signed, size.precision);
    let level = |sample: i32| sample.saturating_add(shift).clamp(low, high);
    Some(pack(samples.into_iter().map(|sample| level(sample) << extend >> extend), shape))
}

/// Converts the coefficients of a block for a transform.
trait Dequantize: Wavelet {
    /// Converts twice a coefficient, in units of `step`.
    fn sample(doubled: i32, step: f32) -> Self::Sample;
}

impl Dequantize for Whole {
    fn sample(doubled: i32, _: f32) -> i32 {
        doubled / 2
    }
}

impl Dequantize for Real {
    fn sample(doubled: i32, step: f32) -> f32 {
        doubled as f32 * (0.5 * step)
    }
}

fn tile_samples<W: Dequantize>(
    coding: &Coding,
    tile: &[Range<u32>; 2],
    parts: &[&[u8]],
    budget: &mut Budget,
    block: &mut Block,
) -> Option<Plane<W::Sample>> {
    let corners = [[tile[0].start, tile[1].start], [tile[0].end, tile[1].end]];
    let mut resolutions = Resolution::all(coding, corners, budget)?;
    distribute(coding, parts, &mut resolutions, budget)?;
    let mut image: Option<Plane<W::Sample>> = None;
    let mut joined = Vec::new();
    for resolution in &resolutions {
        let mut bands = resolution.bands.iter().map(|band| subband::<W>(coding, band, block, &mut joined));
        image = Some(match image {
            None => bands.next()?,
            Some(smaller) => {
                let bands = [smaller, bands.next()?, bands.next()?, bands.next()?];
                synthesize::<W>(resolution.at, resolution.size, bands)
            }
        });
    }
    image
}

/// The coefficients of a subband.
fn subband<W: Dequantize>(
    coding: &Coding,
    band: &Subband<'_>,
    block: &mut Block,
    joined: &mut Vec<u8>,
) -> Plane<W::Sample> {
    let [width, height] = band.size;
    let mut samples = vec![W::Sample::default(); width * height];
    let (exponent, mantissa) = coding.steps[band.number];
    // Equations E-3 and E-4; the gain of a subband is its number of high-pass directions.
    let gain = band.band.gain();
    let range = f64::from(coding.size.precision + gain) - f64::from(exponent);
    let step = (1.0 + f64::from(mantissa) / 2048.0) * range.exp2();
    for one in &band.blocks {
        let bytes = match one.pieces[..] {
            [] => continue,
            [piece] => piece,
            _ => {
                joined.clear();
                one.pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
                &*joined
            }
        };
        let [w, h] = one.size;
        block.decode(bytes, (w, h), band.band, one.planes, one.passes);
        for row in 0..h {
            let to = &mut samples[(one.at[1] + row) * width + one.at[0]..][..w];
            let (columns, place) = block.row(row);
            for (to, values) in to.iter_mut().zip(columns) {
                *to = W::sample(values[place & 3], step as f32);
            }
        }
    }
    Plane { at: band.at, size: band.size, samples }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        fs::read(format!("{}/tests/fixtures/jpeg2000/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    const SHAPE: Shape = Shape { rows: 61, columns: 75, bits: 16, signed: false };

    fn words(bytes: &[u8]) -> impl Iterator<Item = i32> {
        bytes.as_chunks::<2>().0.iter().map(|word| i32::from(u16::from_le_bytes(*word)))
    }

    #[test]
    fn all_forms_become_what_openjpeg_makes_of_them() {
        let table = String::from_utf8(fixture("expected.tsv")).unwrap();
        let mut ours = 0;
        for line in table.lines() {
            let [name, peer, tolerance, whose] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let stream = fixture(&format!("{name}.j2k"));
            let wanted = fixture(&format!("{peer}.raw"));
            let found = decode(&stream, SHAPE);
            assert_eq!(found.is_some(), whose == "ours", "{name}");
            ours += usize::from(found.is_some());
            let found = found.unwrap_or_else(|| crate::codec::openjpeg::decode(&stream, SHAPE).unwrap());
            let tolerance: i32 = tolerance.parse().unwrap();
            let off = words(&found).zip(words(&wanted)).map(|(a, b)| (a - b).abs()).max();
            assert!(off <= Some(tolerance) && found.len() == wanted.len(), "{name}: {off:?}");
        }
        assert_eq!(ours, 10);
    }

    #[test]
    fn another_size_and_what_is_cut_are_left_alone() {
        let stream = fixture("plain.j2k");
        assert!(decode(&stream, Shape { rows: 60, ..SHAPE }).is_none());
        for length in (0..stream.len() - 2).step_by(7) {
            assert!(decode(&stream[..length], SHAPE).is_none(), "{length} bytes");
        }
        // It is also found in the middle of other bytes.
        let wrapped = [b"....".as_slice(), &stream].concat();
        assert!(decode(&wrapped, SHAPE).is_some());
    }

    /// A packet for each of 65 535 layers, each of them empty for all 1 024 blocks. Its headers
    /// take two bits for each block but a walk over all of them.
    #[test]
    fn packets_of_nothing_end_soon() {
        let long = u32::to_be_bytes;
        let mut stream = b"\xFF\x4F\xFF\x51\0\x29\0\0".to_vec();
        for number in [512, 512, 0, 0, 512, 512, 0, 0] {
            stream.extend(long(number));
        }
        stream.extend(b"\0\x01\x0B\x01\x01");
        // A single resolution, blocks of 16 x 16, reversible; and one step for it.
        stream.extend(b"\xFF\x52\0\x0C\0\0\xFF\xFF\0\0\x02\x02\0\x01\xFF\x5C\0\x04\x40\x60");
        stream.extend(b"\xFF\x90\0\x0A\0\0\0\0\0\0\0\x01\xFF\x93");
        let packets = stream.len();
        let shape = Shape { rows: 512, columns: 512, ..SHAPE };
        // As many packets as the budget allows decode to an empty image.
        for (layers, good) in [(100_u16, true), (u16::MAX, false)] {
            stream.truncate(packets);
            let at = stream.windows(2).position(|w| w == b"\xFF\x52").unwrap() + 6;
            stream[at..at + 2].copy_from_slice(&layers.to_be_bytes());
            stream.extend(vec![0x80; usize::from(layers)]);
            stream.extend(b"\xFF\xD9");
            let found = decode(&stream, shape);
            assert_eq!(found.is_some(), good, "{layers}");
            assert!(found.is_none_or(|samples| words(&samples).all(|sample| sample == 2048)));
        }
    }

    /// Whatever a stream says, the decoder neither panics nor runs for long (all rounds take
    /// seconds).
    #[test]
    fn damage_is_survived() {
        let names = ["marked", "by_position", "tiles", "lossy"];
        let mut state = 20_261_127_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let mut decoded = 0;
        for round in 0..4000 {
            let mut stream = fixture(&format!("{}.j2k", names[round % names.len()]));
            for _ in 0..=random(4) {
                // The markers at the start are damaged as often as all that follows.
                let at = if random(2) == 0 { random(stream.len().min(150)) } else { random(stream.len()) };
                stream[at] = match random(3) {
                    0 => stream[at] ^ 1 << random(8),
                    1 => 0xFF,
                    _ => random(256) as u8,
                };
            }
            decoded += usize::from(decode(&stream, SHAPE).is_some());
        }
        assert!(decoded > 500, "{decoded}");
    }
}
