//! Sequential DCT-based JPEG (ITU-T T.81, annex F) of one component.

use super::bits::Bits;
use super::frame::CodecError;
use super::huffman::{Huffman, receive};
use super::jpeg_stream::{Stream, damaged};

/// The order of the coefficients in the stream (figure 5).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

pub(super) fn decode(stream: &Stream<'_>) -> Result<Vec<u16>, CodecError> {
    let ac = stream.ac.as_ref().ok_or_else(|| damaged("a Huffman table is missing"))?;
    let (rows, columns) = (stream.rows, stream.columns);
    let (down, across) = (rows.div_ceil(8), columns.div_ceil(8));
    let mut samples = vec![0_u16; rows * columns];
    let mut bits = Bits::new(stream.bytes, stream.at);
    let basis = basis();
    let level = (1 << (stream.precision - 1)) as f32;
    let largest = ((1 << stream.precision) - 1) as f32;
    let mut dc = 0_i32;
    for block in 0..down * across {
        if stream.restart > 0 && block > 0 && block.is_multiple_of(stream.restart) {
            if !bits.restart() {
                return Err(damaged("a restart marker is missing"));
            }
            dc = 0;
        }
        let mut coefficients = [0.0_f32; 64];
        coefficients_of(stream, ac, &mut bits, &mut dc, &mut coefficients)?;
        let values = inverse(&coefficients, &basis);
        let (top, left) = (block / across * 8, block % across * 8);
        for (y, values) in values.as_chunks::<8>().0.iter().enumerate().take(rows - top) {
            let width = (columns - left).min(8);
            let line = &mut samples[(top + y) * columns + left..][..width];
            for (to, value) in line.iter_mut().zip(values) {
                *to = (value + level).round_ties_even().clamp(0.0, largest) as u16;
            }
        }
        if bits.overrun() {
            return Err(damaged("the frame ends early"));
        }
    }
    Ok(samples)
}

fn coefficients_of(
    stream: &Stream<'_>,
    ac: &Huffman,
    bits: &mut Bits<'_>,
    dc: &mut i32,
    to: &mut [f32; 64],
) -> Result<(), CodecError> {
    bits.fill();
    let size = stream.dc.symbol(bits);
    if size > 16 {
        return Err(damaged("a code that is none"));
    }
    *dc = dc.wrapping_add(receive(bits, u32::from(size)));
    to[0] = *dc as f32 * f32::from(stream.quantisation[0]);
    let mut k = 1;
    while k < 64 {
        bits.fill();
        let symbol = ac.symbol(bits);
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (15, 0) => k += 16,
            (_, 0) => break,
            _ => {
                k += run;
                let value = receive(bits, size);
                let place = ZIGZAG.get(k).ok_or_else(|| damaged("a block of more than 64 values"))?;
                to[usize::from(*place)] = value as f32 * f32::from(stream.quantisation[k]);
                k += 1;
            }
        }
    }
    Ok(())
}

/// `basis[u][x] = C(u)/2 cos((2x+1) u pi / 16)` (section A.3.3).
fn basis() -> [[f32; 8]; 8] {
    std::array::from_fn(|u| {
        std::array::from_fn(|x| {
            let scale = if u == 0 { 0.125_f64.sqrt() } else { 0.5 };
            (scale * ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()) as f32
        })
    })
}

/// Transforms rows, then columns; zero coefficients are skipped.
fn inverse(coefficients: &[f32; 64], basis: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut rows = [0.0_f32; 64];
    let mut out = [0.0_f32; 64];
    for (row, to) in coefficients.as_chunks::<8>().0.iter().zip(rows.as_chunks_mut::<8>().0) {
        for (value, basis) in row.iter().zip(basis) {
            if *value != 0.0 {
                to.iter_mut().zip(basis).for_each(|(to, b)| *to += value * b);
            }
        }
    }
    for (row, basis) in rows.as_chunks::<8>().0.iter().zip(basis) {
        if row.iter().all(|value| *value == 0.0) {
            continue;
        }
        for (to, weight) in out.as_chunks_mut::<8>().0.iter_mut().zip(basis) {
            to.iter_mut().zip(row).for_each(|(to, value)| *to += weight * value);
        }
    }
    out
}
