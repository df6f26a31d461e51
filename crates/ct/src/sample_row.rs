//! Converts a row of samples to numbers above air: any samples to f32 ([`Row`]), and 16-bit samples
//! without widening them ([`Narrow`]). Padding becomes air and is counted.

// Inlined into code that is compiled for several instruction sets, and free of branches.
#![allow(clippy::inline_always, clippy::needless_bitwise_bool)]

use crate::pixels::AIR_HU;
use crate::pixels::{Frame, Stored};
use crate::value_histograms::PADDING;

/// Nothing that was measured is below this: scanners fill the area outside their circle with -2000
/// or -3024, and noise around air does not reach this low.
const LOWEST_HU: f64 = -1024.0;

/// How stored values become HU.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) slope: f64,
    intercept: f64,
    /// Values outside this range were not measured.
    measured: (i32, i32),
    padding: (i32, i32),
    /// Whether padding is compared with all bits.
    whole: bool,
    /// Air as a stored value.
    air: f32,
}

impl Scale {
    /// `None` where the rescale slope is unusable, or values become larger than any HU.
    pub(crate) fn of(frame: &Frame<'_>) -> Option<Scale> {
        let Frame { slope, intercept, .. } = *frame;
        let usable = (1e-6..=1e4).contains(&slope.abs()) && intercept.abs() <= 1e6;
        let limit = (LOWEST_HU - intercept) / slope;
        let measured =
            if slope > 0.0 { (limit.ceil() as i32, i32::MAX) } else { (i32::MIN, limit.floor() as i32) };
        let padding = frame.padding.map_or((i32::MAX, i32::MIN), |p| p.range);
        let whole = frame.padding.is_some_and(|p| p.whole);
        let air = ((f64::from(AIR_HU) - intercept) / slope) as f32;
        usable.then_some(Scale { slope, intercept, measured, padding, whole, air })
    }

    pub(crate) fn hu(self, value: i32) -> f64 {
        f64::from(value) * self.slope + self.intercept
    }
}

/// The values of a row, above air.
pub(crate) struct Row {
    values: Vec<i32>,
    /// The values that are not padding.
    kept: Vec<i32>,
    pub(crate) above: Vec<f32>,
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) padding: u32,
}

impl Row {
    pub(crate) fn new(columns: usize) -> Row {
        Row {
            values: vec![0; columns],
            kept: vec![0; columns],
            above: vec![0.0; columns],
            min: i32::MAX,
            max: i32::MIN,
            padding: 0,
        }
    }

    /// Begins another frame, with nothing seen.
    pub(crate) fn begin(&mut self) {
        (self.min, self.max, self.padding) = (i32::MAX, i32::MIN, 0);
    }

    /// Converts a row of the frame.
    #[inline(always)]
    pub(crate) fn convert(&mut self, stored: Stored, scale: Scale, bytes: &[u8]) {
        let (min, max) = unpack(stored, bytes, &mut self.values);
        let (from, to) = scale.padding;
        if scale.whole {
            // Padding shows in bits that are not part of the values.
            let mut compared = vec![0; self.values.len()];
            let whole = Stored { bits: stored.allocated, ..stored };
            unpack(whole, bytes, &mut compared);
            for (value, compared) in self.values.iter_mut().zip(compared) {
                if compared >= from && compared <= to {
                    *value = OUTSIDE;
                }
            }
            self.measure(scale, (1, 0));
        } else if min < scale.measured.0 || max > scale.measured.1 || (from <= max && to >= min) {
            self.measure(scale, (from, to));
        } else {
            // Most rows contain no padding.
            for (above, value) in self.above.iter_mut().zip(&self.values) {
                *above = *value as f32 - scale.air;
            }
            (self.min, self.max) = (self.min.min(min), self.max.max(max));
        }
    }

    /// Converts values of which some are padding. Each loop handles one type of number and has no
    /// branches, so that many values are processed at once. No loop writes to the memory that it
    /// reads from, because the compiler would use masked stores for that, which are slow on some
    /// processors.
    #[inline(always)]
    fn measure(&mut self, scale: Scale, (from, to): (i32, i32)) {
        let (low, high) = scale.measured;
        let (mut min, mut max, mut padding) = (i32::MAX, i32::MIN, 0_i32);
        for (kept, &value) in self.kept.iter_mut().zip(&self.values) {
            let pad = ((value >= from) & (value <= to)) | (value < low) | (value > high);
            let value = if pad { OUTSIDE } else { value };
            *kept = value;
            padding = padding.wrapping_add(i32::from(value == OUTSIDE));
            min = min.min(if value == OUTSIDE { i32::MAX } else { value });
            // The smallest possible number: it becomes the maximum only when nothing was measured.
            max = max.max(value);
        }
        for (above, &value) in self.above.iter_mut().zip(&self.kept) {
            *above = if value == OUTSIDE { PADDING } else { value as f32 - scale.air };
        }
        self.padding += padding.cast_unsigned();
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
    }
}

/// A number that is no stored value: these have at most 32 bits, and of 32-bit values this one is
/// far from any HU.
const OUTSIDE: i32 = i32::MIN;

/// Converts samples to stored values; returns the smallest and the largest.
#[inline(always)]
fn unpack(stored: Stored, bytes: &[u8], to: &mut [i32]) -> (i32, i32) {
    match stored.allocated {
        8 => unpack_as(stored, to, bytes.iter().map(|&byte| u32::from(byte))),
        16 => {
            let words = bytes.as_chunks::<2>().0.iter();
            unpack_as(stored, to, words.map(|word| u32::from(u16::from_le_bytes(*word))))
        }
        _ => unpack_as(stored, to, bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word))),
    }
}

#[inline(always)]
fn unpack_as(stored: Stored, to: &mut [i32], raw: impl Iterator<Item = u32>) -> (i32, i32) {
    let (mut min, mut max) = (i32::MAX, i32::MIN);
    let unused = 32 - stored.bits;
    if stored.signed {
        for (to, raw) in to.iter_mut().zip(raw) {
            *to = (raw << unused).cast_signed() >> unused;
            (min, max) = (min.min(*to), max.max(*to));
        }
    } else {
        for (to, raw) in to.iter_mut().zip(raw) {
            *to = ((raw << unused) >> unused).cast_signed();
            (min, max) = (min.min(*to), max.max(*to));
        }
    }
    (min, max)
}

/// 16-bit samples that stay 16 bits wide until they are added: twice as many are processed at a
/// time, and a row takes a quarter of the memory. Counts and sums equal those of [`Row`] to the
/// bit.
#[derive(Clone, Copy)]
pub(crate) struct Narrow {
    /// Mask of the stored bits.
    mask: u16,
    /// The bit that is inverted. For signed values it is the sign, which is subtracted again and so
    /// extends into the bits above. For unsigned values of 16 bits it is the highest bit, which
    /// makes them signed. Shifts are avoided because they are slow.
    turn: u16,
    less: u16,
    /// Stored value minus the narrow value.
    pub(crate) bias: i32,
    measured: (i16, i16),
    padding: (i16, i16),
    /// All padding lies below all measured values, so the other limits need no check.
    only_below: bool,
    pub(crate) air: i16,
}

impl Narrow {
    /// `None` for other widths, and where air or a limit does not fit in 16 bits.
    pub(crate) fn of(stored: Stored, scale: Scale) -> Option<Narrow> {
        if stored.allocated != 16 || scale.whole {
            return None;
        }
        let highest = 1_u16 << (stored.bits - 1);
        let (turn, less, bias) = match stored.signed {
            true => (highest, highest, 0),
            false if stored.bits == 16 => (highest, 0, i32::from(highest)),
            false => (0, 0, 0),
        };
        let narrow = |value: i32| {
            let value = i64::from(value) - i64::from(bias);
            value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
        };
        let within = |limit: i32| {
            (i64::from(i16::MIN)..=i64::from(i16::MAX)).contains(&(i64::from(limit) - i64::from(bias)))
        };
        let (low, high) = scale.measured;
        let (from, to) = scale.padding;
        let ends_fit =
            [low, high, from, to].iter().all(|&end| end == i32::MIN || end == i32::MAX || within(end));
        let whole = scale.air.fract() == 0.0 && scale.air.abs() < 1e6;
        let fits = whole && ends_fit && within(scale.air as i32);
        // Without padding, a range that the values of no row reach: such rows take the fast path.
        let mut padding = if from <= to { (narrow(from), narrow(to)) } else { (i16::MAX, i16::MIN) };
        let mut measured = (narrow(low), narrow(high));
        // Padding that reaches from the bottom up to the measured range only moves the lower limit.
        let lowest = if stored.signed || bias > 0 { i16::MIN } else { 0 };
        if from <= to && padding.0 <= measured.0.max(lowest) && padding.1 < i16::MAX {
            measured.0 = measured.0.max(padding.1 + 1);
            padding = (i16::MAX, i16::MIN);
        }
        fits.then(|| Narrow {
            mask: u16::MAX >> (16 - stored.bits),
            turn,
            less,
            bias,
            measured,
            padding,
            only_below: measured.1 == i16::MAX && padding.0 > padding.1,
            air: narrow(scale.air as i32),
        })
    }

    #[inline(always)]
    fn value(self, raw: [u8; 2]) -> i16 {
        ((u16::from_le_bytes(raw) & self.mask) ^ self.turn).wrapping_sub(self.less).cast_signed()
    }

    /// Converts a row without padding and returns the smallest and the largest value; `None` where
    /// there is padding.
    #[inline(always)]
    pub(crate) fn measured(self, bytes: &[u8], to: &mut [i16]) -> Option<(i16, i16)> {
        let (mut min, mut max) = (i16::MAX, i16::MIN);
        for (to, raw) in to.iter_mut().zip(bytes.as_chunks::<2>().0) {
            let value = self.value(*raw);
            *to = value;
            min = min.min(value);
            max = max.max(value);
        }
        let ((low, high), (from, till)) = (self.measured, self.padding);
        (min >= low && max <= high && (from > max || till < min)).then_some((min, max))
    }

    /// Converts a row; padding becomes air. Returns the smallest and the largest value that is not
    /// padding, and the number of padding samples.
    #[inline(always)]
    pub(crate) fn padded(self, bytes: &[u8], to: &mut [i16]) -> (i16, i16, u16) {
        let ((low, high), (from, till)) = (self.measured, self.padding);
        let (mut min, mut max, mut padding) = (i16::MAX, i16::MIN, 0_u16);
        if self.only_below {
            for (to, raw) in to.iter_mut().zip(bytes.as_chunks::<2>().0) {
                let value = self.value(*raw);
                let pad = value < low;
                min = min.min(if pad { i16::MAX } else { value });
                // Where everything is padding, this stays smaller than the minimum.
                max = max.max(value);
                padding = padding.wrapping_add(u16::from(pad));
                *to = if pad { self.air } else { value };
            }
            return (min, max, padding);
        }
        for (to, raw) in to.iter_mut().zip(bytes.as_chunks::<2>().0) {
            let value = self.value(*raw);
            let pad = ((value >= from) & (value <= till)) | (value < low) | (value > high);
            min = min.min(if pad { i16::MAX } else { value });
            max = max.max(if pad { i16::MIN } else { value });
            // A row has at most 65535 samples.
            padding = padding.wrapping_add(u16::from(pad));
            *to = if pad { self.air } else { value };
        }
        (min, max, padding)
    }
}
