//! Tag trees (ITU-T T.800, section B.10.2) and the bits of packet headers from which they are read.

/// Bits of a packet header. A byte of ones is followed by a zero bit (section B.10.1).
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0, byte: 0, left: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.left = if self.byte == 0xFF { 7 } else { 8 };
            self.byte = *self.bytes.get(self.at)?;
            self.at += 1;
        }
        self.left -= 1;
        Some(u32::from(self.byte >> self.left & 1))
    }

    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value: u32, _| Some(value << 1 | self.bit()?))
    }

    /// Where the header ends: a final byte of ones is followed by one more byte.
    pub(super) fn end(self) -> usize {
        self.at + usize::from(self.byte == 0xFF)
    }
}

/// Numbers on a grid. For each one either the value or a lower bound is known.
#[derive(Debug)]
pub(super) struct TagTree {
    /// Width and index of the first node of each level, from the leaves up.
    levels: Vec<(usize, usize)>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    least: u32,
    known: bool,
}

impl TagTree {
    pub(super) fn new([mut width, mut height]: [usize; 2]) -> TagTree {
        let (mut levels, mut count) = (Vec::new(), 0);
        if width * height > 0 {
            loop {
                levels.push((width, count));
                count += width * height;
                if width * height == 1 {
                    break;
                }
                (width, height) = (width.div_ceil(2), height.div_ceil(2));
            }
        }
        TagTree { levels, nodes: vec![Node::default(); count] }
    }

    /// Reads until it is known whether the number at `x`, `y` is below `limit`. Returns the number
    /// if it is, and otherwise a number that is not below `limit`. `None` where the bits end.
    pub(super) fn below(&mut self, [x, y]: [usize; 2], limit: u32, bits: &mut Bits<'_>) -> Option<u32> {
        let mut least = 0;
        for (level, &(width, first)) in self.levels.iter().enumerate().rev() {
            let node = self.nodes.get_mut(first + (y >> level) * width + (x >> level))?;
            node.least = node.least.max(least);
            while !node.known && node.least < limit {
                if bits.bit()? == 1 {
                    node.known = true;
                } else {
                    node.least += 1;
                }
            }
            least = node.least;
        }
        Some(least)
    }
}
