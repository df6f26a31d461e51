//! Lossless JPEG (ITU-T T.81, annex H).

use super::bits::Bits;
use super::frame::CodecError;
use super::huffman::{FAST, Huffman, extend, receive};
use super::jpeg_stream::{Stream, damaged};

pub(super) fn decode(stream: &Stream<'_>) -> Result<Vec<u16>, CodecError> {
    if !(1..=7).contains(&stream.selection) {
        return Err(damaged("a predictor that is none of 1 to 7"));
    }
    let (rows, columns) = (stream.rows, stream.columns);
    // A restart interval must begin at a line; the standard allows nothing else.
    let restart = stream.restart / columns;
    if !stream.restart.is_multiple_of(columns) {
        return Err(damaged("a restart interval within a line"));
    }
    let mut samples = vec![0_u16; rows * columns];
    let mut bits = Bits::new(stream.bytes, stream.at);
    let table = Differences::new(&stream.dc);
    let initial = 1_i32 << (stream.precision - stream.shift - 1);
    for row in 0..rows {
        let (above, from) = samples.split_at_mut(row * columns);
        let line = &mut from[..columns];
        let fresh = row == 0 || (restart > 0 && row % restart == 0);
        if fresh && row > 0 && !bits.restart() {
            return Err(damaged("a restart marker is missing"));
        }
        if fresh {
            first_line(&table, &mut bits, initial, line);
        } else {
            let above = &above[(row - 1) * columns..];
            next_line(stream.selection, &table, &mut bits, above, line);
        }
        if bits.overrun() {
            return Err(damaged("the frame ends early"));
        }
    }
    if stream.shift > 0 {
        for sample in &mut samples {
            *sample <<= stream.shift;
        }
    }
    Ok(samples)
}

/// Number of bits looked up at once: enough for most codes and the value that follows them.
const WHOLE: u32 = 12;

/// Huffman codes of differences, together with the values that follow the codes.
struct Differences<'a> {
    table: &'a Huffman,
    /// For the next bits: how many of them form a difference, and its value; 0 when these bits do
    /// not suffice.
    whole: Box<[(u16, i16); 1 << WHOLE]>,
}

impl Differences<'_> {
    fn new(table: &Huffman) -> Differences<'_> {
        let mut whole = Box::new([(0, 0); 1 << WHOLE]);
        for (next, entry) in (0_u32..).zip(whole.iter_mut()) {
            let (length, size) = table.short(next >> (WHOLE - FAST));
            let total = length + size;
            if length > 0 && total <= WHOLE {
                let value = (next >> (WHOLE - total)) & ((1 << size) - 1);
                *entry = (total as u16, extend(value, size) as i16);
            }
        }
        Differences { table, whole }
    }

    /// The next difference, modulo 2^16 (section H.1.2.2).
    #[allow(clippy::inline_always)] // the loop of a whole frame
    #[inline(always)]
    fn next(&self, bits: &mut Bits<'_>) -> i32 {
        bits.fill();
        let (length, value) = self.whole[bits.peek(WHOLE) as usize];
        if length > 0 {
            bits.take(u32::from(length));
            return i32::from(value);
        }
        self.longer(bits)
    }

    #[cold]
    fn longer(&self, bits: &mut Bits<'_>) -> i32 {
        match self.table.symbol(bits) {
            16 => 1 << 15,
            // 255 is not a code: what follows is garbage anyway.
            size => receive(bits, u32::from(size).min(16)),
        }
    }
}

/// Predicts each sample from the one on its left.
fn first_line(table: &Differences<'_>, bits: &mut Bits<'_>, initial: i32, line: &mut [u16]) {
    let mut left = initial;
    for to in line {
        left = (left + table.next(bits)) & 0xFFFF;
        *to = left as u16;
    }
}

/// Predicts the first sample from the one above it, and the others with the scan's predictor.
fn next_line(selection: u8, table: &Differences<'_>, bits: &mut Bits<'_>, above: &[u16], line: &mut [u16]) {
    macro_rules! by {
        (|$a:ident, $b:ident, $c:ident| $predicted:expr) => {{
            let mut $c = i32::from(above[0]);
            let mut $a = ($c + table.next(bits)) & 0xFFFF;
            line[0] = $a as u16;
            for (to, over) in line[1..].iter_mut().zip(&above[1..]) {
                let $b = i32::from(*over);
                $a = ($predicted + table.next(bits)) & 0xFFFF;
                *to = $a as u16;
                #[allow(unused_assignments)]
                {
                    $c = $b;
                }
            }
        }};
    }
    // Left, above, above left (table H.1).
    match selection {
        1 => by!(|a, _b, c| a),
        2 => by!(|a, b, c| b),
        3 => by!(|a, _b, c| c),
        4 => by!(|a, b, c| a + b - c),
        5 => by!(|a, b, c| a + ((b - c) >> 1)),
        6 => by!(|a, b, c| b + ((a - c) >> 1)),
        _ => by!(|a, b, c| (a + b) >> 1),
    }
}
