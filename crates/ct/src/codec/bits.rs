//! Reads the bits of a JPEG scan and removes byte stuffing (ITU-T T.81, section F.2.2.5).

/// Reads an entropy-coded segment and stops at a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, highest first.
    held: u64,
    /// How many of these bits are valid.
    count: u32,
    /// Zero bits that were added after the end.
    missing: u32,
}

/// Careless encoders omit a few zero bits at the end. A segment that needs more than these is
/// truncated.
const FORGIVEN: u32 = 64;

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, held: 0, count: 0, missing: 0 }
    }

    /// Makes at least 32 bits valid.
    #[inline]
    pub(super) fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(four) = self.bytes.get(self.at..).and_then(|b| b.first_chunk::<4>()) {
            let word = u32::from_be_bytes(*four);
            // No byte is 0xFF, so none is stuffed.
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

    /// The next `n` bits (1 to 32) without consuming them. [`fill`](Bits::fill) must be called
    /// first.
    #[inline]
    pub(super) fn peek(&self, n: u32) -> u32 {
        (self.held >> (64 - n)) as u32
    }

    #[inline]
    pub(super) fn take(&mut self, n: u32) {
        self.held <<= n;
        self.count = self.count.saturating_sub(n);
    }

    /// Whether more bits were read than the segment holds.
    pub(super) fn overrun(&self) -> bool {
        self.missing > FORGIVEN + self.count
    }

    /// Moves past the restart marker that must follow.
    pub(super) fn restart(&mut self) -> bool {
        self.held = 0;
        self.count = 0;
        self.missing = 0;
        // Reading ahead never passes a marker.
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(found) = rest.windows(2).position(|w| w[0] == 0xFF && w[1] & 0xF8 == 0xD0) else {
            return false;
        };
        self.at += found + 2;
        true
    }
}
