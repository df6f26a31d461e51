//! Reduces one frame to a small plane of HU above air, and collects statistics of its values. Each
//! row is converted and added where it belongs, so no whole frame is ever held in floating point.

// Code that is compiled for several instruction sets must be inlined where that happens, and must
// not branch.
#![allow(clippy::inline_always, clippy::needless_bitwise_bool)]

use crate::pending_rows::{self, Waiting};
use crate::pixels::Frame;
use crate::resample::Axis;
use crate::row_sums::Sums;
use crate::sample_row::{Narrow, Row, Scale};
use crate::value_histograms::{Counts, Tally};

/// Number of rows of a frame that the histograms look at, if the frame has as many.
const ROWS_SEEN: usize = 8;

/// The rows of a frame, each added to the outputs that read it.
struct Lines<'a> {
    frame: &'a Frame<'a>,
    scale: Scale,
    narrow: Option<Narrow>,
    /// For each row, the outputs that read it.
    inputs: &'a [Vec<(usize, f32)>],
    work: &'a mut Work,
}

/// Compiled for each instruction set together with everything inlined into it. None of them fuses
/// multiplication and addition, so all give the same bits.
impl pulp::WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        match self.narrow {
            Some(narrow) => self.add_narrow(narrow),
            None => self.add_wide(),
        }
    }
}

/// The bytes of each row, and whether the histograms look at it.
#[inline(always)]
fn rows<'a>(frame: &'a Frame<'_>, count: usize) -> impl Iterator<Item = (usize, &'a [u8], bool)> {
    let every = (frame.rows / ROWS_SEEN).max(1);
    let bytes_of_sample = frame.stored.allocated as usize / 8;
    let rows = frame.bytes.chunks_exact(frame.columns * bytes_of_sample).take(count).enumerate();
    rows.map(move |(row, bytes)| (row, bytes, row % every == every / 2))
}

impl Lines<'_> {
    #[inline(always)]
    fn add_narrow(self, narrow: Narrow) {
        let Work { row, narrow: waiting, sums, counts, .. } = &mut *self.work;
        let sums = sums.begin();
        let air = f32::from(narrow.air);
        let mut likely_padded = false;
        // The largest absolute value of the waiting samples.
        let mut largest = narrow.air.unsigned_abs();
        for (index, bytes, seen) in rows(self.frame, self.inputs.len()) {
            let to = waiting.next(index);
            // A row is mostly like the one before it.
            let measured = if likely_padded { None } else { narrow.measured(bytes, to) };
            let (min, max, padding) = match measured {
                Some((min, max)) => (min, max, 0),
                None => narrow.padded(bytes, to),
            };
            likely_padded = padding > 0;
            if min <= max {
                row.min = row.min.min(i32::from(min) + narrow.bias);
                row.max = row.max.max(i32::from(max) + narrow.bias);
                largest = largest.max(min.unsigned_abs()).max(max.unsigned_abs());
            }
            if seen {
                row.convert(self.frame.stored, self.scale, bytes);
                Tally::look(&row.above, self.scale.slope as f32, counts);
            } else {
                row.padding += u32::from(padding);
            }
            if waiting.len() == pending_rows::MOST || index + 1 == self.inputs.len() {
                if i16::try_from(usize::from(largest) * waiting.len()).is_ok() {
                    waiting.add::<i16>(self.inputs, air, sums);
                } else {
                    waiting.add::<i32>(self.inputs, air, sums);
                }
                largest = narrow.air.unsigned_abs();
            }
        }
    }

    #[inline(always)]
    fn add_wide(self) {
        let Work { row, wide: waiting, sums, counts, .. } = &mut *self.work;
        let sums = sums.begin();
        for (index, bytes, seen) in rows(self.frame, self.inputs.len()) {
            row.convert(self.frame.stored, self.scale, bytes);
            waiting.next(index).copy_from_slice(&row.above);
            if seen {
                Tally::look(&row.above, self.scale.slope as f32, counts);
            }
            if waiting.len() == pending_rows::MOST || index + 1 == self.inputs.len() {
                waiting.add::<f32>(self.inputs, 0.0, sums);
            }
        }
    }
}

/// How frames of one size at one position are reduced; computed once for all of them.
#[derive(Clone)]
pub(crate) struct Reduction {
    /// For each row, the outputs that read it.
    inputs: Vec<Vec<(usize, f32)>>,
    along_rows: Axis,
}

/// Memory that is reused to reduce one frame after another, and statistics of the frames so far.
pub(crate) struct Work {
    row: Row,
    narrow: Waiting<i16>,
    wide: Waiting<f32>,
    sums: Sums,
    counts: Counts,
    tally: Tally,
}

impl Work {
    /// For frames of `columns` columns that are reduced to `height` rows.
    pub(crate) fn new(columns: usize, height: usize) -> Work {
        Work {
            row: Row::new(columns),
            narrow: Waiting::new(columns),
            wide: Waiting::new(columns),
            sums: Sums::new(columns, height),
            counts: Counts::new(columns),
            tally: Tally::new(),
        }
    }

    /// The statistics of all frames.
    pub(crate) fn tally(mut self) -> Tally {
        self.counts.move_to(&mut self.tally);
        self.tally
    }
}

impl Reduction {
    /// For frames of `rows` rows, to the outputs along their columns and along their rows.
    pub(crate) fn new(rows: usize, along_columns: &Axis, along_rows: Axis) -> Reduction {
        Reduction { inputs: along_columns.inputs(rows), along_rows }
    }

    /// The reduced frame as HU above air, row by row; `None` where its rescale slope is unusable.
    pub(crate) fn reduce(&self, frame: &Frame<'_>, work: &mut Work) -> Option<Vec<f32>> {
        let scale = Scale::of(frame)?;
        Some(self.reduce_as(frame, scale, Narrow::of(frame.stored, scale), work))
    }

    fn reduce_as(
        &self,
        frame: &Frame<'_>,
        scale: Scale,
        narrow: Option<Narrow>,
        work: &mut Work,
    ) -> Vec<f32> {
        let Frame { rows, columns, .. } = *frame;
        work.row.begin();
        work.narrow.begin();
        work.wide.begin();
        let inputs = &self.inputs;
        pulp::Arch::new().dispatch(Lines { frame, scale, narrow, inputs, work: &mut *work });
        let Work { row, sums, counts, tally, .. } = work;
        counts.make_room(tally, rows * columns);
        let seen = row.min <= row.max;
        if seen {
            let (a, b) = (scale.hu(row.min), scale.hu(row.max));
            tally.min_hu = tally.min_hu.min(a.min(b));
            tally.max_hu = tally.max_hu.max(a.max(b));
        }
        tally.padding += u64::from(row.padding);
        tally.samples += (rows * columns) as u64;
        sums.means(&self.along_rows, scale.slope as f32)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::pixels::{Padding, Stored};
    use crate::resample::Cells;

    /// Enough rows for some of them to wait for each other.
    const ROWS: usize = 200;

    /// [`ROWS`] x 48 samples of 16 bits, a third of them at the ends of the range of the bits.
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
                // With more outputs than rows, rows are read several times each and do not fill
                // whole blocks. Reused memory must hold nothing of the previous frame.
                let (mut a, mut b) = (Work::new(48, 16), Work::new(48, 16));
                for (padding, rows) in
                    paddings.into_iter().flat_map(|padding| [(padding, ROWS), (padding, 13)])
                {
                    let reduction = Reduction::new(rows, &even(rows), even(48));
                    let frame = Frame {
                        rows,
                        columns: 48,
                        bytes: Cow::Owned(samples(bits)[..rows * 48 * 2].to_vec()),
                        stored: Stored { allocated: 16, bits, signed },
                        slope,
                        intercept,
                        padding,
                    };
                    let scale = Scale::of(&frame).unwrap();
                    let Some(narrow) = Narrow::of(frame.stored, scale) else { continue };
                    narrowed += 1;
                    let wide = reduction.reduce_as(&frame, scale, None, &mut a);
                    let narrow = reduction.reduce_as(&frame, scale, Some(narrow), &mut b);
                    let bits_of = |plane: &[f32]| plane.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
                    let case = format!(
                        "{bits} bits, signed {signed}, {slope}, {intercept}, {padding:?}, {rows} rows"
                    );
                    assert_eq!(bits_of(&wide), bits_of(&narrow), "{case}");
                }
                assert_eq!(a.tally(), b.tally(), "{bits} bits, signed {signed}, {slope}, {intercept}");
            }
        }
        assert!(narrowed > 40, "{narrowed}");
    }

    /// Values that a scanner writes outside its circle become air and are counted, not measured. By
    /// hand: 32 x 32 samples of 40 HU, except for a quarter of them.
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
            let mut work = Work::new(32, 2);
            let plane = Reduction::new(32, &halves(), halves()).reduce(&frame, &mut work).unwrap();
            assert_eq!(plane, [0.0, 1040.0, 1040.0, 1040.0]);
            let tally = work.tally();
            assert_eq!((tally.padding, tally.samples), (256, 1024));
            assert_eq!((tally.min_hu, tally.max_hu), (40.0, 40.0));
            // Every fourth row is looked at, and every second value of it.
            let bin = (40 - Tally::LOWEST) as usize;
            assert_eq!(tally.histogram[bin], 4 * 8 + 4 * 16);
            assert_eq!(tally.histogram.iter().sum::<u64>(), 96);
            assert_eq!(tally.differences[0], 96);
        }
    }
}
