//! Huffman tables of JPEG (ITU-T T.81, annex C and section F.2.2.3).

use super::bits::Bits;

/// Codes of up to this many bits are found by one lookup.
pub(super) const FAST: u32 = 10;

/// A Huffman table for decoding.
#[derive(Clone)]
pub(super) struct Huffman {
    /// Length and symbol of the code that the next bits begin with; length 0 means a longer code.
    fast: Box<[(u8, u8); 1 << FAST]>,
    /// For each length, the exclusive upper bound of the codes, left-aligned in 16 bits.
    limits: [u32; 17],
    /// For each length, the index of its first symbol minus its first code, modulo 2^32.
    offsets: [u32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// Builds the table from the number of codes of each length and their symbols; `None` if they
    /// form no tree.
    pub(super) fn new(counts: [u8; 16], symbols: &[u8]) -> Option<Huffman> {
        let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
        let symbols = symbols.get(..total)?.to_vec();
        let mut fast = Box::new([(0, 0); 1 << FAST]);
        let (mut limits, mut offsets) = ([0; 17], [0; 17]);
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            offsets[length as usize] = (index as u32).wrapping_sub(code);
            for _ in 0..counts[length as usize - 1] {
                if code >= 1 << length {
                    return None;
                }
                if length <= FAST {
                    let first = (code << (FAST - length)) as usize;
                    fast[first..first + (1 << (FAST - length))].fill((length as u8, symbols[index]));
                }
                code += 1;
                index += 1;
            }
            limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(Huffman { fast, limits, offsets, symbols })
    }

    /// The next symbol. At least 16 bits must be available; an invalid code gives 255.
    #[inline]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> u8 {
        let (length, symbol) = self.fast[bits.peek(FAST) as usize];
        if length > 0 {
            bits.take(u32::from(length));
            return symbol;
        }
        self.long(bits)
    }

    /// Length and symbol of the code at the start of `next`, which holds [`FAST`] bits; length 0
    /// means a longer code.
    pub(super) fn short(&self, next: u32) -> (u32, u32) {
        let (length, symbol) = self.fast[next as usize];
        (u32::from(length), u32::from(symbol))
    }

    #[cold]
    fn long(&self, bits: &mut Bits<'_>) -> u8 {
        let next = bits.peek(16);
        for length in FAST + 1..=16 {
            if next < self.limits[length as usize] {
                let code = next >> (16 - length);
                bits.take(length);
                let index = code.wrapping_add(self.offsets[length as usize]) as usize;
                return self.symbols.get(index).copied().unwrap_or(u8::MAX);
            }
        }
        bits.take(16);
        u8::MAX
    }
}

/// Reads the value coded in `size` bits (section F.2.2.1, EXTEND). At least `size` bits must be
/// available.
#[inline]
pub(super) fn receive(bits: &mut Bits<'_>, size: u32) -> i32 {
    if size == 0 {
        return 0;
    }
    let value = bits.peek(size);
    bits.take(size);
    extend(value, size)
}

/// The value that `size` bits stand for.
#[inline]
pub(super) fn extend(value: u32, size: u32) -> i32 {
    let value = value.cast_signed();
    if size == 0 {
        0
    } else if value < 1 << (size - 1) {
        value - (1 << size) + 1
    } else {
        value
    }
}
