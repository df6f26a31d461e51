//! Bits of a JPEG scan, byte stuffing undone (ITU-T T.81, section F.2.2.5).

/// Reads an entropy-coded segment; stops at a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, highest first.
    held: u64,
    /// How many of them are valid.
    count: u32,
    /// Bits that were made up behind the end.
    missing: u32,
}

/// A few zeros behind the end are what careless encoders leave out; a segment that needs more is cut.
const FORGIVEN: u32 = 64;

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, held: 0, count: 0, missing: 0 }
    }

    /// At least 32 valid bits.
    #[inline]
    pub(super) fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(four) = self.bytes.get(self.at..).and_then(|b| b.first_chunk::<4>()) {
            let word = u32::from_be_bytes(*four);
            // No byte is 0xFF: none is stuffed.
            if (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 == 0 {
                self.held |= u64::from(word) << (32 - self.count);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        self.fill_slowly();
    }

    #[cold]
    fn fill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(0xFF) | None, _) => {
                    self.missing += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next `n` of 1 to 32 bits, not taken. [`fill`](Bits::fill) came before.
    #[inline]
    pub(super) fn peek(&self, n: u32) -> u32 {
        (self.held >> (64 - n)) as u32
    }

    #[inline]
    pub(super) fn take(&mut self, n: u32) {
        self.held <<= n;
        self.count = self.count.saturating_sub(n);
    }

    /// Whether more was read than there is.
    pub(super) fn overrun(&self) -> bool {
        self.missing > FORGIVEN + self.count
    }

    /// Goes behind the restart marker that must follow.
    pub(super) fn restart(&mut self) -> bool {
        self.held = 0;
        self.count = 0;
        self.missing = 0;
        // Reading ahead never goes beyond a marker.
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(found) = rest.windows(2).position(|w| w[0] == 0xFF && w[1] & 0xF8 == 0xD0) else {
            return false;
        };
        self.at += found + 2;
        true
    }
}
