//! The arithmetic decoder (ITU-T T.800, annex C) in the form given by Taubman and Marcellin
//! (JPEG2000, Kluwer 2002, section 17.1.1): while the more probable symbol occurs, one number is
//! lowered and compared with zero.

// Each decoded symbol is one call. If it were not inlined, the call would cost more than the
// symbol.
#![allow(clippy::inline_always)]

/// The state of a context in one word: the probability of its less probable symbol (Qe of table
/// C.2, in bits 16 to 31), the more probable symbol (bit 32), and the states that follow the more
/// probable symbol (from bit 40) and the less probable one (from bit 48).
#[derive(Debug, Clone, Copy)]
pub(super) struct State(u64);

/// Qe, the next states after the more and the less probable symbol, and whether the two symbols are
/// exchanged (table C.2).
const TABLE: [(u64, u64, u64, bool); 47] = [
    (0x5601, 1, 1, true),
    (0x3401, 2, 6, false),
    (0x1801, 3, 9, false),
    (0x0AC1, 4, 12, false),
    (0x0521, 5, 29, false),
    (0x0221, 38, 33, false),
    (0x5601, 7, 6, true),
    (0x5401, 8, 14, false),
    (0x4801, 9, 14, false),
    (0x3801, 10, 14, false),
    (0x3001, 11, 17, false),
    (0x2401, 12, 18, false),
    (0x1C01, 13, 20, false),
    (0x1601, 29, 21, false),
    (0x5601, 15, 14, true),
    (0x5401, 16, 14, false),
    (0x5101, 17, 15, false),
    (0x4801, 18, 16, false),
    (0x3801, 19, 17, false),
    (0x3401, 20, 18, false),
    (0x3001, 21, 19, false),
    (0x2801, 22, 19, false),
    (0x2401, 23, 20, false),
    (0x2201, 24, 21, false),
    (0x1C01, 25, 22, false),
    (0x1801, 26, 23, false),
    (0x1601, 27, 24, false),
    (0x1401, 28, 25, false),
    (0x1201, 29, 26, false),
    (0x1101, 30, 27, false),
    (0x0AC1, 31, 28, false),
    (0x09C1, 32, 29, false),
    (0x08A1, 33, 30, false),
    (0x0521, 34, 31, false),
    (0x0441, 35, 32, false),
    (0x02A1, 36, 33, false),
    (0x0221, 37, 34, false),
    (0x0141, 38, 35, false),
    (0x0111, 39, 36, false),
    (0x0085, 40, 37, false),
    (0x0049, 41, 38, false),
    (0x0025, 42, 39, false),
    (0x0015, 43, 40, false),
    (0x0009, 44, 41, false),
    (0x0005, 45, 42, false),
    (0x0001, 45, 43, false),
    (0x5601, 46, 46, false),
];

/// [`TABLE`] for both values of the more probable symbol: state `2 * k + symbol`.
const STATES: [State; 128] = {
    let mut states = [State(0); 128];
    let mut index = 0;
    while index < 2 * TABLE.len() {
        let (probability, after_likely, after_unlikely, switches) = TABLE[index / 2];
        let likely = index as u64 % 2;
        let after_likely = 2 * after_likely + likely;
        let after_unlikely = 2 * after_unlikely + (likely ^ switches as u64);
        states[index] = State(probability << 16 | likely << 32 | after_likely << 40 | after_unlikely << 48);
        index += 1;
    }
    states
};

impl State {
    /// Row `k` of the table, with 0 as the more probable symbol.
    pub(super) const fn row(k: usize) -> State {
        STATES[2 * k]
    }

    #[inline(always)]
    fn probability(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    fn likely(self) -> u32 {
        (self.0 >> 32) as u32 & 1
    }

    /// The states after the more and the less probable symbol. Both are looked up before it is
    /// known which one occurred, so that the next symbol in this context does not have to wait.
    #[inline(always)]
    fn after(self) -> [State; 2] {
        [40, 48].map(|shift| STATES[(self.0 >> shift) as usize & 127])
    }
}

/// Reads symbols from one code word.
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    /// Index of the next byte to read.
    at: usize,
    /// The smaller of the distances that the code and the interval have left before a step is
    /// needed.
    room: i32,
    /// The standard's C and A (in its upper 16 bits), each minus `room`.
    code: u32,
    interval: u32,
    /// Shifts left until a byte is read.
    shifts: u32,
}

/// Lower bound of a normalised A.
const HALF: u32 = 0x8000 << 16;

impl<'a> Decoder<'a> {
    /// INITDEC (figure C.20).
    #[inline(always)]
    pub(super) fn new(bytes: &'a [u8]) -> Decoder<'a> {
        let first = bytes.first().copied().unwrap_or(0xFF);
        let mut decoder = Decoder { bytes, at: 1, room: 0, code: 0, interval: 0, shifts: 0 };
        let mut code = u32::from(first) << 16;
        decoder.take(&mut code);
        decoder.shifts -= 7;
        decoder.settle(code << 7, HALF);
        decoder
    }

    /// BYTEIN (figure C.19): after a marker or the end, all bits are ones.
    #[inline(always)]
    fn take(&mut self, code: &mut u32) {
        let stuffed = self.at > 0 && self.bytes.get(self.at - 1) == Some(&0xFF);
        let next = self.bytes.get(self.at).copied().unwrap_or(0xFF);
        let (bits, ones) = if stuffed { (7, next > 0x8F) } else { (8, false) };
        if ones {
            *code = code.wrapping_add(0xFF00);
            self.shifts = 8;
        } else {
            self.at += 1;
            *code = code.wrapping_add(u32::from(next) << (16 - bits));
            self.shifts = bits;
        }
    }

    #[inline(always)]
    fn settle(&mut self, code: u32, interval: u32) {
        let room = code.min(interval.wrapping_sub(HALF));
        self.room = room.cast_signed();
        (self.code, self.interval) = (code.wrapping_sub(room), interval.wrapping_sub(room));
    }

    /// The next symbol in a context: 0 or 1.
    #[inline(always)]
    pub(super) fn symbol(&mut self, context: &mut State) -> u32 {
        let state = *context;
        let probability = state.probability();
        self.room = self.room.wrapping_sub(probability.cast_signed());
        if self.room >= 0 {
            return state.likely();
        }
        // DECODE, LPS_EXCHANGE and MPS_EXCHANGE (figures C.15 to C.17).
        let beyond = self.room.unsigned_abs();
        let mut interval = self.interval.wrapping_sub(beyond);
        let mut code = self.code.wrapping_sub(beyond);
        let mut is_likely = interval >= probability;
        if self.code < beyond {
            code = code.wrapping_add(probability);
            interval = probability;
            is_likely = !is_likely;
        }
        let [after_likely, after_unlikely] = state.after();
        *context = if is_likely { after_likely } else { after_unlikely };
        // RENORMD (figure C.18).
        let mut shift = interval.leading_zeros();
        interval <<= shift;
        while shift > self.shifts {
            code <<= self.shifts;
            shift -= self.shifts;
            self.take(&mut code);
        }
        code <<= shift;
        self.shifts -= shift;
        self.settle(code, interval);
        state.likely() ^ u32::from(!is_likely)
    }
}
