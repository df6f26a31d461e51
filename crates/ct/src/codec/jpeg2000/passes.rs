//! Decodes the bit planes of a code-block (ITU-T T.800, annex D). As in `OpenJPEG`, four rows of a
//! column share one word of flags: what is significant in and around them, their signs, and which
//! of them have been visited.

// Each step is compiled separately for each row, so that its shifts are constants.
#![allow(clippy::inline_always)]

use super::arithmetic::{Decoder, State};

/// The subband that a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Band {
    /// Low-pass in both directions.
    LowLow,
    /// High-pass along rows.
    HighLow,
    /// High-pass along columns.
    LowHigh,
    /// High-pass in both directions.
    HighHigh,
}

impl Band {
    /// Number of directions in which it is high-pass.
    pub(super) fn gain(self) -> u32 {
        match self {
            Band::LowLow => 0,
            Band::HighLow | Band::LowHigh => 1,
            Band::HighHigh => 2,
        }
    }
}

// A word of flags. Bits 0 to 17 hold the significance, three bits a row (left, here, right), of the
// row above, the four rows and the row below. From bit 18 on: the sign of the row above; then, for
// each of the four rows, its sign, whether it has been refined, and whether this bit plane has
// visited it. The sign of row k is therefore bit 19 + 3 k. Bit 31 is the sign of the row below. The
// constants below are for row 0; those for row k are shifted by 3 k.
const ABOVE: u32 = 1 << 1;
const LEFT: u32 = 1 << 3;
const HERE: u32 = 1 << 4;
const RIGHT: u32 = 1 << 5;
const BELOW: u32 = 1 << 7;
/// All eight neighbours of a row.
const AROUND: u32 = 0x1EF;
const SIGN_ABOVE: u32 = 18;
const SIGN: u32 = 19;
const REFINED: u32 = 1 << 20;
const VISITED: u32 = 1 << 21;
const SIGN_BELOW: u32 = 31;
const ALL_VISITED: u32 = VISITED | VISITED << 3 | VISITED << 6 | VISITED << 9;
const ANY_HERE: u32 = HERE | HERE << 3 | HERE << 6 | HERE << 9;

/// Number of rows in a stripe.
const STRIPE: usize = 4;

/// Contexts: 0 to 8 for significance, 9 to 13 for signs, then these.
const SIGNS: i8 = 9;
const REFINEMENT: usize = 14;
const RUN: usize = 17;
const UNIFORM: usize = 18;
/// 19 are used.
const CONTEXTS: usize = 32;

/// Contexts of significance (table D.1) by the significant neighbours, for each [`Band`].
const SIGNIFICANCE: [[u8; 512]; 4] = {
    let mut table = [[0; 512]; 4];
    let mut around = 0;
    while around < 512 {
        let across = (around >> 3 & 1) + (around >> 5 & 1);
        let down = (around >> 1 & 1) + (around >> 7 & 1);
        let diagonal = (around & 1) + (around >> 2 & 1) + (around >> 6 & 1) + (around >> 8 & 1);
        table[0][around] = along(across, down, diagonal);
        table[1][around] = along(down, across, diagonal);
        table[2][around] = table[0][around];
        table[3][around] = diagonally(across + down, diagonal);
        around += 1;
    }
    table
};

const fn along(first: usize, second: usize, diagonal: usize) -> u8 {
    match (first, second, diagonal) {
        (2, ..) => 8,
        (1, 1.., _) => 7,
        (1, 0, 1..) => 6,
        (1, 0, 0) => 5,
        (_, 2, _) => 4,
        (_, 1, _) => 3,
        (_, _, 2..) => 2,
        (_, _, one) => one as u8,
    }
}

const fn diagonally(straight: usize, diagonal: usize) -> u8 {
    match (diagonal, straight) {
        (3.., _) => 8,
        (2, 1..) => 7,
        (2, 0) => 6,
        (1, 2..) => 5,
        (1, 1) => 4,
        (1, 0) => 3,
        (_, 2..) => 2,
        (_, one) => one as u8,
    }
}

/// Contexts of signs (tables D.2 and D.3) and, in bit 7, the value that inverts the sign. The index
/// holds the significance of above, left, right and below in bits 1, 3, 5 and 7, and the signs of
/// left, right, above and below in bits 0, 2, 4 and 6.
const SIGN_CONTEXTS: [u8; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let across = toward(index, 3, 0) + toward(index, 5, 2);
        let down = toward(index, 1, 4) + toward(index, 7, 6);
        let (across, down) = (sign_of(across), sign_of(down));
        let turned = across < 0 || (across == 0 && down < 0);
        let (across, down) = if turned { (-across, -down) } else { (across, down) };
        let context = SIGNS + if across == 0 { down } else { 3 + down };
        table[index] = context.cast_unsigned() | (turned as u8) << 7;
        index += 1;
    }
    table
};

/// 0 where the neighbour is not significant, otherwise its sign.
const fn toward(index: usize, significant: usize, negative: usize) -> i8 {
    if index >> significant & 1 == 0 { 0 } else { 1 - 2 * (index >> negative & 1 == 1) as i8 }
}

const fn sign_of(value: i8) -> i8 {
    (value > 0) as i8 - (value < 0) as i8
}

/// Memory that is reused for one block after another.
#[derive(Debug, Default)]
pub(super) struct Block {
    width: usize,
    height: usize,
    /// A word for each column of each stripe, with an empty border one word wide.
    flags: Vec<u32>,
    /// Twice each coefficient, so that the lowest bit is half a unit. The values of a stripe's
    /// column are stored together.
    values: Vec<[i32; STRIPE]>,
}

/// The words of one pass: those of the stripe, and those of the stripes above and below.
struct Stripe<'a> {
    above: &'a mut [u32],
    here: &'a mut [u32],
    below: &'a mut [u32],
    /// The values of its columns.
    values: &'a mut [[i32; STRIPE]],
    /// Flags that stay visited at the end of a bit plane: rows that do not exist.
    missing: u32,
}

impl Stripe<'_> {
    /// Tells the neighbours that a coefficient has become significant. `word` is the word of its
    /// own column.
    #[inline(always)]
    fn significant<const ROW: usize>(&mut self, column: usize, word: &mut u32, sign: u32) {
        self.here[column - 1] |= RIGHT << (3 * ROW);
        *word |= (sign << SIGN | HERE) << (3 * ROW);
        self.here[column + 1] |= LEFT << (3 * ROW);
        if ROW == 0 {
            // For the stripe above, this row is the row below.
            self.above[column - 1] |= 1 << 17;
            self.above[column] |= sign << SIGN_BELOW | 1 << 16;
            self.above[column + 1] |= 1 << 15;
        }
        if ROW == STRIPE - 1 {
            self.below[column - 1] |= 1 << 2;
            self.below[column] |= sign << SIGN_ABOVE | ABOVE;
            self.below[column + 1] |= 1;
        }
    }
}

/// What a pass over a bit plane needs.
struct Pass<'a, 'b> {
    decoder: Decoder<'b>,
    contexts: &'a mut [State; CONTEXTS],
    significance: &'static [u8; 512],
    /// In half units: the value of a coefficient that becomes significant, and the change of a
    /// refined one.
    value: i32,
}

impl Pass<'_, '_> {
    #[inline(always)]
    fn is_significant<const ROW: usize>(&mut self, word: u32) -> bool {
        let context = self.significance[(word >> (3 * ROW) & AROUND) as usize];
        self.decoder.symbol(&mut self.contexts[usize::from(context & 31)]) == 1
    }

    /// Reads the sign of a coefficient that has become significant.
    #[inline(always)]
    fn sign<const ROW: usize>(&mut self, stripe: &mut Stripe<'_>, column: usize, word: &mut u32) {
        let row = 3 * ROW as u32;
        let above = if ROW == 0 { SIGN_ABOVE } else { SIGN + row - 3 };
        let index = *word >> row & (ABOVE | LEFT | RIGHT | BELOW)
            | stripe.here[column - 1] >> (SIGN + row) & 1
            | (stripe.here[column + 1] >> (SIGN + row) & 1) << 2
            | (*word >> above & 1) << 4
            | (*word >> (SIGN + row + 3) & 1) << 6;
        let context = SIGN_CONTEXTS[index as usize & 255];
        let symbol = self.decoder.symbol(&mut self.contexts[usize::from(context & 31)]);
        let sign = symbol ^ u32::from(context >> 7);
        stripe.values[column - 1][ROW] = if sign == 0 { self.value } else { -self.value };
        stripe.significant::<ROW>(column, word, sign);
    }

    /// Significance propagation (section D.3.1).
    #[inline(always)]
    fn propagate<const ROW: usize>(&mut self, stripe: &mut Stripe<'_>, column: usize, word: &mut u32) {
        let row = 3 * ROW;
        if *word & (HERE | VISITED) << row == 0 && *word & AROUND << row != 0 {
            if self.is_significant::<ROW>(*word) {
                self.sign::<ROW>(stripe, column, word);
            }
            *word |= VISITED << row;
        }
    }

    /// Magnitude refinement (section D.3.3).
    #[inline(always)]
    fn refine<const ROW: usize>(&mut self, stripe: &mut Stripe<'_>, column: usize, word: &mut u32) {
        let row = 3 * ROW;
        if *word & (HERE | VISITED) << row == HERE << row {
            let context = if *word & REFINED << row != 0 {
                REFINEMENT + 2
            } else {
                REFINEMENT + usize::from(*word & AROUND << row != 0)
            };
            let bit = self.decoder.symbol(&mut self.contexts[context]);
            let value = &mut stripe.values[column - 1][ROW];
            // From the middle of the previous interval to the middle of the new one.
            let grows = (bit == 1) != (*value < 0);
            *value = value.wrapping_add(if grows { self.value } else { self.value.wrapping_neg() });
            *word |= REFINED << row;
        }
    }

    /// Cleanup (section D.3.4).
    #[inline(always)]
    fn clean<const ROW: usize>(&mut self, stripe: &mut Stripe<'_>, column: usize, word: &mut u32) {
        if *word & (HERE | VISITED) << (3 * ROW) == 0 && self.is_significant::<ROW>(*word) {
            self.sign::<ROW>(stripe, column, word);
        }
    }
}

/// Applies one of the three steps to each row of a column. Rows that the last stripe lacks count as
/// visited.
macro_rules! rows {
    ($pass:ident, $step:ident, &mut $stripe:ident, $column:ident, &mut $word:ident, from $first:expr) => {
        if $first == 0 {
            $pass.$step::<0>(&mut $stripe, $column, &mut $word);
        }
        if $first <= 1 {
            $pass.$step::<1>(&mut $stripe, $column, &mut $word);
        }
        if $first <= 2 {
            $pass.$step::<2>(&mut $stripe, $column, &mut $word);
        }
        if $first <= 3 {
            $pass.$step::<3>(&mut $stripe, $column, &mut $word);
        }
    };
}

/// Compiled for each instruction set together with everything inlined into it: most of the work is
/// shifts.
struct Passes<'a> {
    block: &'a mut Block,
    bytes: &'a [u8],
    band: Band,
    planes: u32,
    count: u32,
}

impl pulp::WithSimd for Passes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Passes { block, bytes, band, planes, count } = self;
        let mut decoder = Decoder::new(bytes);
        let mut contexts = [State::row(0); CONTEXTS];
        // Table D.7.
        contexts[0] = State::row(4);
        contexts[RUN] = State::row(3);
        contexts[UNIFORM] = State::row(46);
        let (contexts, significance) = (&mut contexts, &SIGNIFICANCE[band as usize]);
        // The very first pass is a cleanup, which is also the last pass of its plane.
        for number in 2..count + 2 {
            let unit = 1_i32 << planes.saturating_sub(number / 3).min(30);
            let value = if number % 3 == 1 { unit >> 1 } else { unit | unit >> 1 };
            let pass = Pass { decoder, contexts: &mut *contexts, significance, value };
            decoder = match number % 3 {
                0 => block.propagate(pass),
                1 => block.refine(pass),
                _ => block.clean(pass),
            };
        }
    }
}

impl Block {
    /// Decodes `passes` coding passes of a block of `width x height`; the first one is on bit plane
    /// `planes - 1`.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        (width, height): (usize, usize),
        band: Band,
        planes: u32,
        passes: u32,
    ) {
        (self.width, self.height) = (width, height);
        let (words, stripes) = (width + 2, height.div_ceil(STRIPE));
        self.flags.clear();
        self.flags.resize(words * (stripes + 2), 0);
        self.values.clear();
        self.values.resize(width * stripes, [0; STRIPE]);
        let missing = self.missing(stripes - 1);
        self.flags[words * stripes..][1..=width].fill(missing);
        pulp::Arch::new().dispatch(Passes { block: self, bytes, band, planes, count: passes });
    }

    /// The columns of the stripe that holds a row, and the index of the row within it.
    pub(super) fn row(&self, row: usize) -> (&[[i32; STRIPE]], usize) {
        (&self.values[row / STRIPE * self.width..][..self.width], row % STRIPE)
    }

    fn stripes(&self) -> std::ops::Range<usize> {
        0..self.height.div_ceil(STRIPE)
    }

    /// Flags that mark the missing rows of a stripe as visited.
    fn missing(&self, stripe: usize) -> u32 {
        (self.height - stripe * STRIPE..STRIPE).map(|row| VISITED << (3 * row)).sum()
    }

    #[inline(always)]
    fn stripe(&mut self, index: usize) -> Stripe<'_> {
        let missing = self.missing(index);
        let words = self.width + 2;
        let (above, from) = self.flags[index * words..].split_at_mut(words);
        let (here, from) = from.split_at_mut(words);
        let values = &mut self.values[index * self.width..][..self.width];
        Stripe { above, here, below: &mut from[..words], values, missing }
    }

    // The decoder is passed by value, so that its numbers stay in registers.

    #[inline(always)]
    fn propagate<'b>(&mut self, mut pass: Pass<'_, 'b>) -> Decoder<'b> {
        for index in self.stripes() {
            let mut stripe = self.stripe(index);
            for column in 1..=stripe.values.len() {
                let mut word = stripe.here[column];
                if word != 0 {
                    rows!(pass, propagate, &mut stripe, column, &mut word, from 0);
                    stripe.here[column] = word;
                }
            }
        }
        pass.decoder
    }

    #[inline(always)]
    fn refine<'b>(&mut self, mut pass: Pass<'_, 'b>) -> Decoder<'b> {
        for index in self.stripes() {
            let mut stripe = self.stripe(index);
            for column in 1..=stripe.values.len() {
                let mut word = stripe.here[column];
                if word & ANY_HERE != 0 {
                    rows!(pass, refine, &mut stripe, column, &mut word, from 0);
                    stripe.here[column] = word;
                }
            }
        }
        pass.decoder
    }

    #[inline(always)]
    fn clean<'b>(&mut self, mut pass: Pass<'_, 'b>) -> Decoder<'b> {
        for index in self.stripes() {
            let mut stripe = self.stripe(index);
            for column in 1..=stripe.values.len() {
                let mut word = stripe.here[column];
                let mut first = 0;
                if word == 0 {
                    // Nothing is significant in it or around it: one symbol covers all four rows,
                    // then the first significant row follows.
                    if pass.decoder.symbol(&mut pass.contexts[RUN]) == 0 {
                        continue;
                    }
                    first = pass.decoder.symbol(&mut pass.contexts[UNIFORM]) << 1;
                    first |= pass.decoder.symbol(&mut pass.contexts[UNIFORM]);
                    match first {
                        0 => pass.sign::<0>(&mut stripe, column, &mut word),
                        1 => pass.sign::<1>(&mut stripe, column, &mut word),
                        2 => pass.sign::<2>(&mut stripe, column, &mut word),
                        _ => pass.sign::<3>(&mut stripe, column, &mut word),
                    }
                    first += 1;
                }
                rows!(pass, clean, &mut stripe, column, &mut word, from first);
                stripe.here[column] = word & !ALL_VISITED | stripe.missing;
            }
        }
        pass.decoder
    }
}
