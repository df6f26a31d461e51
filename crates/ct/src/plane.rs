//! One frame to a small plane of HU above air, and what its values are like. Each sample is converted
//! once and added where it belongs: no frame is ever held in floating point.

use crate::AIR_HU;
use crate::pixels::Frame;
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

    fn see(&mut self, hu: f64) {
        let bin = hu.round() as i32 - Tally::LOWEST;
        if let Some(count) = usize::try_from(bin).ok().and_then(|bin| self.histogram.get_mut(bin)) {
            *count += 1;
        }
    }

    fn compare(&mut self, a: f64, b: f64) {
        const SOFT: std::ops::RangeInclusive<f64> = -100.0..=200.0;
        if SOFT.contains(&a) && SOFT.contains(&b) {
            let difference = ((a - b).abs().round() as usize).min(Tally::DIFFERENCES - 1);
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
    /// `None` where the rescale slope is no number to scale by.
    fn of(frame: &Frame<'_>) -> Option<Scale> {
        let Frame { slope, intercept, .. } = *frame;
        let usable = slope.is_finite() && intercept.is_finite() && slope.abs() > 1e-12;
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
    above: Vec<f32>,
    min: i32,
    max: i32,
    padding: u32,
}

impl Row {
    /// Converts samples of `N` bytes.
    #[inline]
    fn convert<const N: usize>(&mut self, frame: &Frame<'_>, scale: Scale, bytes: &[u8]) {
        let stored = frame.stored;
        let unused = 32 - stored.bits;
        let allocated = 32 - stored.allocated;
        let (mut min, mut max, mut padding) = (i32::MAX, i32::MIN, 0_u32);
        let (low, high) = scale.measured;
        let (from, to) = scale.padding;
        for (above, sample) in self.above.iter_mut().zip(bytes.as_chunks::<N>().0) {
            let mut word = [0; 4];
            word[..N].copy_from_slice(sample);
            let raw = u32::from_le_bytes(word);
            let cut = |unused: u32| {
                let raised = raw << unused;
                if stored.signed { raised.cast_signed() >> unused } else { (raised >> unused).cast_signed() }
            };
            let value = cut(unused);
            let compared = if scale.whole { cut(allocated) } else { value };
            let pad = (compared >= from && compared <= to) || value < low || value > high;
            padding += u32::from(pad);
            *above = if pad { PADDING } else { value as f32 - scale.air };
            min = min.min(if pad { i32::MAX } else { value });
            max = max.max(if pad { i32::MIN } else { value });
        }
        (self.min, self.max, self.padding) = (self.min.min(min), self.max.max(max), self.padding + padding);
    }
}

/// Every so many rows are looked at for the histogram.
const ROWS_SEEN: usize = 8;

/// Reduces a frame to `along_rows` x `along_columns` outputs of HU above air, row by row; `None` where
/// its rescale slope is no number to scale by.
pub(crate) fn reduce(
    frame: &Frame<'_>,
    along_columns: &Axis,
    along_rows: &Axis,
    tally: &mut Tally,
) -> Option<Vec<f32>> {
    let scale = Scale::of(frame)?;
    let Frame { rows, columns, .. } = *frame;
    let height = along_columns.outputs().count();
    let mut sums = vec![0.0_f32; height * columns];
    let mut row = Row { above: vec![0.0; columns], min: i32::MAX, max: i32::MIN, padding: 0 };
    let width = frame.stored.allocated as usize / 8;
    let inputs = along_columns.inputs(rows);
    for ((index, bytes), outputs) in frame.bytes.chunks_exact(columns * width).enumerate().zip(inputs) {
        match width {
            1 => row.convert::<1>(frame, scale, bytes),
            2 => row.convert::<2>(frame, scale, bytes),
            _ => row.convert::<4>(frame, scale, bytes),
        }
        for (output, weight) in outputs {
            let sums = &mut sums[output * columns..][..columns];
            sums.iter_mut().zip(&row.above).for_each(|(sum, value)| *sum += weight * value);
        }
        if index % ROWS_SEEN == ROWS_SEEN / 2 {
            look(&row.above, scale, tally);
        }
    }
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

/// Every second sample and its neighbour, without padding.
fn look(above: &[f32], scale: Scale, tally: &mut Tally) {
    let hu = |value: f32| f64::from(value) * scale.slope + f64::from(AIR_HU);
    for [a, b] in above.as_chunks::<2>().0 {
        if a.to_bits() != PADDING.to_bits() && b.to_bits() != PADDING.to_bits() {
            tally.see(hu(*a));
            tally.compare(hu(*a), hu(*b));
        }
    }
}
