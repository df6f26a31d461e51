//! One frame to a small plane of HU above air, and what its values are like. Each sample is converted
//! once and added where it belongs: no frame is ever held in floating point.

// What is compiled for several instruction sets must be inlined into where that is done, and branch on
// nothing.
#![allow(clippy::inline_always, clippy::needless_bitwise_bool)]

use crate::AIR_HU;
use crate::pixels::{Frame, Stored};
use crate::resample::Axis;

/// Below this, nothing is that was measured: scanners fill what lies outside their circle with -2000 or
/// -3024, and noise about air does not reach here.
const LOWEST_HU: f64 = -1024.0;

/// What the source's values are like; sums over slices do not depend on their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    pub(crate) min_hu: f64,
    pub(crate) max_hu: f64,
    pub(crate) padding: u64,
    pub(crate) samples: u64,
    /// One sample in sixteen, a bin for each HU from [`Tally::LOWEST`].
    pub(crate) histogram: Vec<u64>,
    /// Differences of neighbours in soft tissue, a bin for each HU.
    pub(crate) differences: Vec<u64>,
}

impl Tally {
    pub(crate) const LOWEST: i32 = -1200;
    const BINS: usize = 2400;
    const DIFFERENCES: usize = 256;

    pub(crate) fn new() -> Tally {
        Tally {
            min_hu: f64::INFINITY,
            max_hu: f64::NEG_INFINITY,
            padding: 0,
            samples: 0,
            histogram: vec![0; Tally::BINS],
            differences: vec![0; Tally::DIFFERENCES],
        }
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.min_hu = self.min_hu.min(other.min_hu);
        self.max_hu = self.max_hu.max(other.max_hu);
        self.padding += other.padding;
        self.samples += other.samples;
        self.histogram.iter_mut().zip(&other.histogram).for_each(|(a, b)| *a += b);
        self.differences.iter_mut().zip(&other.differences).for_each(|(a, b)| *a += b);
    }

    #[inline]
    fn see(&mut self, hu: f32) {
        // To the nearest, without a call for each: below the first bin it is negative, far off saturated.
        let bin = (hu - (Tally::LOWEST as f32 - 0.5)).floor() as i64;
        if let Some(count) = usize::try_from(bin).ok().and_then(|bin| self.histogram.get_mut(bin)) {
            *count += 1;
        }
    }

    #[inline]
    fn compare(&mut self, a: f32, b: f32) {
        if a.min(b) >= -100.0 && a.max(b) <= 200.0 {
            let difference = (((a - b).abs() + 0.5) as usize).min(Tally::DIFFERENCES - 1);
            self.differences[difference] += 1;
        }
    }
}

/// How stored values become HU.
#[derive(Clone, Copy)]
struct Scale {
    slope: f64,
    intercept: f64,
    /// Values beyond these are nothing that was measured.
    measured: (i32, i32),
    padding: (i32, i32),
    /// Padding is compared with all bits.
    whole: bool,
    /// Air as a stored value.
    air: f32,
}

impl Scale {
    /// `None` where the rescale slope is no number to scale by, or values become what no HU is.
    fn of(frame: &Frame<'_>) -> Option<Scale> {
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

    fn hu(self, value: i32) -> f64 {
        f64::from(value) * self.slope + self.intercept
    }
}

/// Adds nothing, and is no difference of two numbers.
const PADDING: f32 = -0.0;

/// A row's values above air.
struct Row {
    values: Vec<i32>,
    above: Vec<f32>,
    min: i32,
    max: i32,
    padding: u32,
}

impl Row {
    fn new(columns: usize) -> Row {
        Row { values: vec![0; columns], above: vec![0.0; columns], min: i32::MAX, max: i32::MIN, padding: 0 }
    }

    /// Converts a row of the frame.
    #[inline(always)]
    fn convert(&mut self, stored: Stored, scale: Scale, bytes: &[u8]) {
        let (min, max) = unpack(stored, bytes, &mut self.values);
        let (from, to) = scale.padding;
        if scale.whole {
            // Padding shows in bits that the values do not have.
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
            // Most rows: nothing in them is padding.
            for (above, value) in self.above.iter_mut().zip(&self.values) {
                *above = *value as f32 - scale.air;
            }
            (self.min, self.max) = (self.min.min(min), self.max.max(max));
        }
    }

    /// From values of which some are padding. Loops of one kind of number each and no branches, so that
    /// many values are done at once.
    #[inline(always)]
    fn measure(&mut self, scale: Scale, (from, to): (i32, i32)) {
        let (low, high) = scale.measured;
        for value in &mut self.values {
            let pad = ((*value >= from) & (*value <= to)) | (*value < low) | (*value > high);
            *value = if pad { OUTSIDE } else { *value };
        }
        let (mut min, mut max, mut padding) = (i32::MAX, i32::MIN, 0_i32);
        for &value in &self.values {
            padding += i32::from(value == OUTSIDE);
            min = min.min(if value == OUTSIDE { i32::MAX } else { value });
            // The smallest number there is: no maximum but of nothing.
            max = max.max(value);
        }
        for (above, &value) in self.above.iter_mut().zip(&self.values) {
            *above = if value == OUTSIDE { PADDING } else { value as f32 - scale.air };
        }
        self.padding += padding.cast_unsigned();
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
    }
}

/// No stored value: these have 32 bits at most, and of 32 this one is far from any HU.
const OUTSIDE: i32 = i32::MIN;

/// Samples to stored values; the smallest and the largest.
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

/// Every so many rows are looked at for the histogram.
const ROWS_SEEN: usize = 8;

/// The rows of a frame, each added to the outputs that read it.
struct Lines<'a> {
    frame: &'a Frame<'a>,
    scale: Scale,
    /// Bytes of a sample.
    width: usize,
    /// For each row, the outputs that read it.
    inputs: &'a [Vec<(usize, f32)>],
    row: &'a mut Row,
    sums: &'a mut [f32],
    tally: &'a mut Tally,
}

/// Compiled for each instruction set with all that is inlined into it. None fuses a product and a sum,
/// so that all give the same bits.
impl pulp::WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Lines { frame, scale, width, inputs, row, sums, tally } = self;
        let columns = frame.columns;
        let lines = frame.bytes.chunks_exact(columns * width).enumerate();
        for ((index, bytes), outputs) in lines.zip(inputs) {
            row.convert(frame.stored, scale, bytes);
            for &(output, weight) in outputs {
                let sums = &mut sums[output * columns..][..columns];
                for (sum, value) in sums.iter_mut().zip(&row.above) {
                    *sum += weight * value;
                }
            }
            if index % ROWS_SEEN == ROWS_SEEN / 2 {
                look(&row.above, scale, tally);
            }
        }
    }
}

/// What becomes of frames of one size at one place: computed once for all of them.
#[derive(Clone)]
pub(crate) struct Reduction {
    /// For each row, the outputs that read it.
    inputs: Vec<Vec<(usize, f32)>>,
    height: usize,
    along_rows: Axis,
}

impl Reduction {
    /// Frames of so many `rows`, to the outputs along their columns and along their rows.
    pub(crate) fn new(rows: usize, along_columns: &Axis, along_rows: Axis) -> Reduction {
        let height = along_columns.outputs().count();
        Reduction { inputs: along_columns.inputs(rows), height, along_rows }
    }

    /// A frame as HU above air, row by row; `None` where its rescale slope is no number to scale by.
    pub(crate) fn reduce(&self, frame: &Frame<'_>, tally: &mut Tally) -> Option<Vec<f32>> {
        let scale = Scale::of(frame)?;
        let Frame { rows, columns, .. } = *frame;
        let Reduction { inputs, height, along_rows } = self;
        let height = *height;
        let mut sums = vec![0.0_f32; height * columns];
        let mut row = Row::new(columns);
        let width = frame.stored.allocated as usize / 8;
        let lines = Lines { frame, scale, width, inputs, row: &mut row, sums: &mut sums, tally };
        pulp::Arch::new().dispatch(lines);
        let seen = row.min <= row.max;
        if seen {
            let (a, b) = (scale.hu(row.min), scale.hu(row.max));
            tally.min_hu = tally.min_hu.min(a.min(b));
            tally.max_hu = tally.max_hu.max(a.max(b));
        }
        tally.padding += u64::from(row.padding);
        tally.samples += (rows * columns) as u64;
        let slope = scale.slope as f32;
        let mut out = Vec::with_capacity(height * height);
        for sums in sums.chunks_exact(columns) {
            for (first, weights) in along_rows.outputs() {
                let sum: f32 = weights.iter().zip(&sums[first..]).map(|(w, v)| w * v).sum();
                out.push(sum * slope);
            }
        }
        Some(out)
    }
}

/// Every second sample and its neighbour, without padding.
#[inline(always)]
fn look(above: &[f32], scale: Scale, tally: &mut Tally) {
    let slope = scale.slope as f32;
    let hu = |value: f32| value * slope + AIR_HU;
    for [a, b] in above.as_chunks::<2>().0 {
        if a.to_bits() != PADDING.to_bits() && b.to_bits() != PADDING.to_bits() {
            tally.see(hu(*a));
            tally.compare(hu(*a), hu(*b));
        }
    }
}
