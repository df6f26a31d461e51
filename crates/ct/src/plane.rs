//! One frame to a small plane of HU above air, and what its values are like. Each sample is converted
//! once and added where it belongs: no frame is ever held in floating point.

// What is compiled for several instruction sets must be inlined into where that is done, and branch on
// nothing.
#![allow(clippy::inline_always, clippy::needless_bitwise_bool)]

use std::ops::Range;

use crate::AIR_HU;
use crate::pixels::{Frame, Stored};
use crate::resample::Axis;
use crate::tally::{Counts, PADDING, Tally};

/// Below this, nothing is that was measured: scanners fill what lies outside their circle with -2000 or
/// -3024, and noise about air does not reach here.
const LOWEST_HU: f64 = -1024.0;

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

/// A row's values above air.
struct Row {
    values: Vec<i32>,
    /// Those that are not padding.
    kept: Vec<i32>,
    above: Vec<f32>,
    min: i32,
    max: i32,
    padding: u32,
}

impl Row {
    fn new(columns: usize) -> Row {
        Row {
            values: vec![0; columns],
            kept: vec![0; columns],
            above: vec![0.0; columns],
            min: i32::MAX,
            max: i32::MIN,
            padding: 0,
        }
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
    /// many values are done at once; and nothing is written to where it was read from, of which masked
    /// stores would be made, which are slow on some processors.
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
            // The smallest number there is: no maximum but of nothing.
            max = max.max(value);
        }
        for (above, &value) in self.above.iter_mut().zip(&self.kept) {
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

/// Samples of 16 bits that stay 16 bits wide until they are added: twice as many at a time, and a row
/// takes a quarter of the memory. What is counted and added is the same to the bit as by [`Row`].
#[derive(Clone, Copy)]
struct Narrow {
    /// Raises the stored bits to the top; unsigned ones become signed by turning their highest bit.
    raise: u32,
    turn: u16,
    /// Stored value less the narrow one.
    bias: i32,
    measured: (i16, i16),
    padding: (i16, i16),
    /// What is padding lies below all that was measured: no other end has to be looked at.
    only_below: bool,
    air: i16,
}

impl Narrow {
    /// `None` for other widths, and where air or a limit is no such number.
    fn of(stored: Stored, scale: Scale) -> Option<Narrow> {
        if stored.allocated != 16 || scale.whole {
            return None;
        }
        let bias = if stored.signed { 0 } else { 1 << (stored.bits - 1) };
        let turn = if stored.signed { 0 } else { 1 << 15 };
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
        // Without padding, a range that no row's values reach into: such rows take the short way.
        let padding = if from <= to { (narrow(from), narrow(to)) } else { (i16::MAX, i16::MIN) };
        let measured = (narrow(low), narrow(high));
        fits.then(|| Narrow {
            raise: 16 - stored.bits,
            turn,
            bias,
            measured,
            padding,
            only_below: measured.1 == i16::MAX && (from > to || padding.1 < measured.0),
            air: narrow(scale.air as i32),
        })
    }

    #[inline(always)]
    fn value(self, raw: [u8; 2]) -> i16 {
        ((u16::from_le_bytes(raw) << self.raise) ^ self.turn).cast_signed() >> self.raise
    }

    /// Converts a row of which nothing is padding: the smallest and the largest; `None` where there is
    /// some.
    #[inline(always)]
    fn measured(self, bytes: &[u8], to: &mut [i16]) -> Option<(i16, i16)> {
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

    /// Converts a row; padding becomes air. The smallest and the largest that is none, and how many are.
    #[inline(always)]
    fn padded(self, bytes: &[u8], to: &mut [i16]) -> (i16, i16, u16) {
        let ((low, high), (from, till)) = (self.measured, self.padding);
        let (mut min, mut max, mut padding) = (i16::MAX, i16::MIN, 0_u16);
        if self.only_below {
            for (to, raw) in to.iter_mut().zip(bytes.as_chunks::<2>().0) {
                let value = self.value(*raw);
                let pad = value < low;
                min = min.min(if pad { i16::MAX } else { value });
                // Where all is padding, smaller than the smallest.
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
            // A row has no more than 65535.
            padding = padding.wrapping_add(u16::from(pad));
            *to = if pad { self.air } else { value };
        }
        (min, max, padding)
    }
}

/// So many rows are looked at for the histograms, of frames that have them.
const ROWS_SEEN: usize = 16;

/// Rows that wait to be added, so that an output's sums are read and written once for several of them.
/// What a sum is made of and in which order stays the same.
struct Waiting {
    /// So many rows have room.
    values: Vec<i16>,
    /// The first, and behind the last.
    rows: Range<usize>,
}

impl Waiting {
    const MOST: usize = 8;
    /// Columns whose sums stay in registers.
    const BLOCK: usize = 32;

    fn new(columns: usize) -> Waiting {
        Waiting { values: vec![0; Waiting::MOST * columns], rows: 0..0 }
    }

    /// Room for the row's values; those before it follow each other.
    #[inline(always)]
    fn next(&mut self, row: usize, columns: usize) -> &mut [i16] {
        if self.rows.is_empty() {
            self.rows = row..row;
        }
        self.rows.end += 1;
        &mut self.values[(row - self.rows.start) * columns..][..columns]
    }

    /// Adds all that wait to the outputs that read them.
    #[inline(always)]
    fn add(&mut self, inputs: &[Vec<(usize, f32)>], air: f32, columns: usize, sums: &mut [f32]) {
        let reads = &inputs[self.rows.clone()];
        self.rows = 0..0;
        let outputs = || reads.iter().flatten().map(|&(output, _)| output);
        let (Some(first), Some(last)) = (outputs().min(), outputs().max()) else { return };
        for output in first..=last {
            let mut terms = [(0.0, 0_usize); Waiting::MOST];
            let mut count = 0;
            for (row, reads) in reads.iter().enumerate() {
                if let Some(&(_, weight)) = reads.iter().find(|&&(of, _)| of == output) {
                    terms[count] = (weight, row * columns);
                    count += 1;
                }
            }
            let sums = &mut sums[output * columns..][..columns];
            let (blocks, rest) = sums.as_chunks_mut::<{ Waiting::BLOCK }>();
            let behind = blocks.len() * Waiting::BLOCK;
            for (index, block) in blocks.iter_mut().enumerate() {
                let mut held = *block;
                for &(weight, start) in &terms[..count] {
                    let values = &self.values[start + index * Waiting::BLOCK..][..Waiting::BLOCK];
                    for (sum, &value) in held.iter_mut().zip(values) {
                        *sum += weight * (f32::from(value) - air);
                    }
                }
                *block = held;
            }
            for &(weight, start) in &terms[..count] {
                for (sum, &value) in rest.iter_mut().zip(&self.values[start + behind..]) {
                    *sum += weight * (f32::from(value) - air);
                }
            }
        }
    }
}

/// The rows of a frame, each added to the outputs that read it.
struct Lines<'a> {
    frame: &'a Frame<'a>,
    scale: Scale,
    narrow: Option<Narrow>,
    /// Bytes of a sample.
    width: usize,
    /// For each row, the outputs that read it.
    inputs: &'a [Vec<(usize, f32)>],
    row: &'a mut Row,
    sums: &'a mut [f32],
    counts: &'a mut Counts,
}

/// Compiled for each instruction set with all that is inlined into it. None fuses a product and a sum,
/// so that all give the same bits.
impl pulp::WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Lines { frame, scale, narrow, width, inputs, row, sums, counts } = self;
        let columns = frame.columns;
        let slope = scale.slope as f32;
        let every = (frame.rows / ROWS_SEEN).max(1);
        let air = narrow.map_or(0.0, |narrow| f32::from(narrow.air));
        let mut waiting = Waiting::new(columns);
        let mut likely_padded = false;
        let lines = frame.bytes.chunks_exact(columns * width).enumerate();
        for ((index, bytes), outputs) in lines.zip(inputs) {
            let seen = index % every == every / 2;
            if let Some(narrow) = narrow.filter(|_| !seen) {
                let to = waiting.next(index, columns);
                // Rows are mostly like the one before them.
                let measured = if likely_padded { None } else { narrow.measured(bytes, to) };
                let (min, max, padding) = match measured {
                    Some((min, max)) => (min, max, 0),
                    None => narrow.padded(bytes, to),
                };
                likely_padded = padding > 0;
                if min <= max {
                    row.min = row.min.min(i32::from(min) + narrow.bias);
                    row.max = row.max.max(i32::from(max) + narrow.bias);
                }
                row.padding += u32::from(padding);
                if waiting.rows.len() == Waiting::MOST {
                    waiting.add(inputs, air, columns, sums);
                }
                continue;
            }
            waiting.add(inputs, air, columns, sums);
            row.convert(frame.stored, scale, bytes);
            for &(output, weight) in outputs {
                for (sum, value) in sums[output * columns..][..columns].iter_mut().zip(&row.above) {
                    *sum += weight * value;
                }
            }
            if seen {
                Tally::look(&row.above, slope, counts);
            }
        }
        waiting.add(inputs, air, columns, sums);
    }
}

/// Rows of sums that are averaged at the same time: each waits for nothing of the others.
const TOGETHER: usize = 4;

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
        Some(self.reduce_as(frame, scale, Narrow::of(frame.stored, scale), tally))
    }

    fn reduce_as(
        &self,
        frame: &Frame<'_>,
        scale: Scale,
        narrow: Option<Narrow>,
        tally: &mut Tally,
    ) -> Vec<f32> {
        let Frame { rows, columns, .. } = *frame;
        let Reduction { inputs, height, along_rows } = self;
        let height = *height;
        // Rows beyond the last stay empty.
        let mut sums = vec![0.0_f32; height.next_multiple_of(TOGETHER) * columns];
        let (mut row, mut counts) = (Row::new(columns), Counts::new(columns));
        let width = frame.stored.allocated as usize / 8;
        let lines = Lines {
            frame,
            scale,
            narrow,
            width,
            inputs,
            row: &mut row,
            sums: &mut sums,
            counts: &mut counts,
        };
        pulp::Arch::new().dispatch(lines);
        counts.add_to(tally);
        let seen = row.min <= row.max;
        if seen {
            let (a, b) = (scale.hu(row.min), scale.hu(row.max));
            tally.min_hu = tally.min_hu.min(a.min(b));
            tally.max_hu = tally.max_hu.max(a.max(b));
        }
        tally.padding += u64::from(row.padding);
        tally.samples += (rows * columns) as u64;
        let slope = scale.slope as f32;
        let across = along_rows.outputs().count();
        let mut out = vec![0.0; sums.len() / columns * across];
        for (out, sums) in out.chunks_exact_mut(TOGETHER * across).zip(sums.chunks_exact(TOGETHER * columns))
        {
            let rows: [&[f32]; TOGETHER] = std::array::from_fn(|row| &sums[row * columns..][..columns]);
            for (output, (first, weights)) in along_rows.outputs().enumerate() {
                let inputs = rows.map(|row| &row[first..][..weights.len()]);
                let mut means = [0.0; TOGETHER];
                for (k, weight) in weights.iter().enumerate() {
                    for (mean, input) in means.iter_mut().zip(inputs) {
                        *mean += weight * input[k];
                    }
                }
                for (row, mean) in means.into_iter().enumerate() {
                    out[row * across + output] = mean * slope;
                }
            }
        }
        out.truncate(height * across);
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::pixels::Padding;
    use crate::resample::Cells;

    /// Enough rows for some of them to wait for each other.
    const ROWS: usize = 200;

    /// [`ROWS`] x 48 samples of 16 bits, a third of them at the ends of what the bits can hold.
    fn samples(bits: u32) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let ends = [0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, 0xF830];
        (0..ROWS * 48)
            .flat_map(|_| {
                let (which, value) = (next(), next());
                let value = if which % 3 == 0 { ends[which as usize / 3 % ends.len()] } else { value };
                (value as u16).to_le_bytes()
            })
            .collect()
    }

    #[test]
    fn narrow_samples_become_the_same_bits_as_wide_ones() {
        let even = |count: usize| Axis::even(0.5, 1.0, count, Cells::over((0.0, count as f64), 16));
        let reduction = Reduction::new(ROWS, &even(ROWS), even(48));
        let paddings = [
            None,
            Some(Padding { range: (-2000, -2000), whole: false }),
            Some(Padding { range: (0, 100), whole: false }),
            Some(Padding { range: (4095, 65535), whole: false }),
        ];
        let mut narrowed = 0;
        for (bits, signed) in [(12, false), (12, true), (13, true), (16, true), (16, false), (1, true)] {
            for (slope, intercept) in
                [(1.0, -1024.0), (1.0, 0.0), (1.0, -32768.0), (2.0, -1024.0), (0.5, 3.0), (-1.0, 100.0)]
            {
                for padding in paddings {
                    let frame = Frame {
                        rows: ROWS,
                        columns: 48,
                        bytes: Cow::Owned(samples(bits)),
                        stored: Stored { allocated: 16, bits, signed },
                        slope,
                        intercept,
                        padding,
                    };
                    let scale = Scale::of(&frame).unwrap();
                    let Some(narrow) = Narrow::of(frame.stored, scale) else { continue };
                    narrowed += 1;
                    let (mut a, mut b) = (Tally::new(), Tally::new());
                    let wide = reduction.reduce_as(&frame, scale, None, &mut a);
                    let narrow = reduction.reduce_as(&frame, scale, Some(narrow), &mut b);
                    let bits_of = |plane: &[f32]| plane.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
                    let case = format!("{bits} bits, signed {signed}, {slope}, {intercept}, {padding:?}");
                    assert_eq!(bits_of(&wide), bits_of(&narrow), "{case}");
                    assert_eq!(a, b, "{case}");
                }
            }
        }
        assert!(narrowed > 40, "{narrowed}");
    }

    /// What a scanner writes outside of its circle is air, is no measured value, and is counted: by hand,
    /// 32 x 32 samples of 40 HU but for a quarter.
    #[test]
    fn values_outside_of_the_scanners_circle_are_air() {
        for fill in [-2000_i16, -3024] {
            let value = |row: usize, column: usize| if row < 16 && column < 16 { fill } else { 40 };
            let samples = (0..32 * 32).map(|i| value(i / 32, i % 32));
            let frame = Frame {
                rows: 32,
                columns: 32,
                bytes: Cow::Owned(samples.flat_map(i16::to_le_bytes).collect()),
                stored: Stored { allocated: 16, bits: 16, signed: true },
                slope: 1.0,
                intercept: 0.0,
                padding: None,
            };
            let halves = || Axis::even(0.5, 1.0, 32, Cells::over((0.0, 32.0), 2));
            let mut tally = Tally::new();
            let plane = Reduction::new(32, &halves(), halves()).reduce(&frame, &mut tally).unwrap();
            assert_eq!(plane, [0.0, 1040.0, 1040.0, 1040.0]);
            assert_eq!((tally.padding, tally.samples), (256, 1024));
            assert_eq!((tally.min_hu, tally.max_hu), (40.0, 40.0));
            // Every second row is looked at, and every second value of it.
            let bin = (40 - Tally::LOWEST) as usize;
            assert_eq!(tally.histogram[bin], 8 * 8 + 8 * 16);
            assert_eq!(tally.histogram.iter().sum::<u64>(), 192);
            assert_eq!(tally.differences[0], 192);
        }
    }
}
