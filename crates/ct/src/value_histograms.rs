//! Statistics of a source's values: extremes, padding, histograms.

// Inlined into code that is compiled for several instruction sets, and free of branches.
#![allow(clippy::inline_always, clippy::needless_bitwise_bool)]

use crate::pixels::AIR_HU;

/// Adds nothing to a sum, and is never the difference of two numbers.
pub(crate) const PADDING: f32 = -0.0;

/// Statistics of a source's values. Sums over slices do not depend on the order of the slices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tally {
    pub(crate) min_hu: f64,
    pub(crate) max_hu: f64,
    pub(crate) padding: u64,
    pub(crate) samples: u64,
    /// Every second sample of some rows, with a bin for each HU from [`Tally::LOWEST`].
    pub(crate) histogram: Vec<u64>,
    /// Differences of neighbours in soft tissue, with a bin for each HU.
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

    /// Counts every second value of a row, and its difference to the next one. Both are above air;
    /// padding is not counted.
    #[inline(always)]
    pub(crate) fn look(above: &[f32], slope: f32, counts: &mut Counts) {
        let hu = |value: f32| value * slope + AIR_HU;
        let is_padding =
            |a: f32, b: f32| mask(a.to_bits() == PADDING.to_bits()) | mask(b.to_bits() == PADDING.to_bits());
        let lowest = Tally::LOWEST as f32 - 0.5;
        let pairs = above.as_chunks::<2>().0;
        // The bins are computed first, for many values at once, in loops that each do one thing.
        // Then the values are counted one by one.
        let Counts { slots, histogram, differences, .. } = counts;
        for (slot, &[a, b]) in slots.iter_mut().zip(pairs) {
            // Below the first bin it is negative.
            let seen = whole((hu(a) - lowest).max(-1.0).min(Tally::BINS as f32)).wrapping_add(1);
            *slot = seen & !is_padding(a, b);
        }
        histogram.count(slots);
        for (slot, &[a, b]) in slots.iter_mut().zip(pairs) {
            let (u, v) = (hu(a), hu(b));
            let tissue = mask(u.min(v) >= -100.0) & mask(u.max(v) <= 200.0) & !is_padding(a, b);
            // At most 300.
            let difference =
                whole(((u - v).abs() + 0.5).min(Tally::DIFFERENCES as f32 - 1.0)).wrapping_add(1);
            *slot = difference & tissue;
        }
        differences.count(slots);
    }
}

/// All bits or none: values that are not counted go to slot 0 without a branch, which could not be
/// predicted.
#[inline(always)]
fn mask(is: bool) -> i32 {
    i32::from(is).wrapping_neg()
}

/// What rows add to a [`Tally`].
pub(crate) struct Counts {
    /// Upper bound of how many samples have been counted.
    counted: u64,
    /// The slots of the current row's values.
    slots: Vec<i32>,
    histogram: Bins,
    differences: Bins,
}

impl Counts {
    pub(crate) fn new(columns: usize) -> Counts {
        Counts {
            counted: 0,
            slots: vec![0; columns / 2],
            histogram: Bins::new(Tally::BINS),
            differences: Bins::new(Tally::DIFFERENCES),
        }
    }

    /// Moves the counts to `tally` when another frame with this many samples could overflow them.
    pub(crate) fn make_room(&mut self, tally: &mut Tally, samples: usize) {
        self.counted += samples as u64;
        if self.counted > u64::from(u32::MAX / 2) {
            self.move_to(tally);
        }
    }

    /// Moves the counts to `tally`.
    pub(crate) fn move_to(&mut self, tally: &mut Tally) {
        self.histogram.move_to(&mut tally.histogram);
        self.differences.move_to(&mut tally.differences);
        self.counted = 0;
    }
}

/// A histogram counted in two halves: neighbours are often alike, and incrementing the same number
/// again would wait for the previous increment. Slot 0 holds what is not counted, the last slot
/// what is above the range.
struct Bins([Vec<u32>; 2]);

impl Bins {
    fn new(bins: usize) -> Bins {
        Bins([vec![0; bins + 2], vec![0; bins + 2]])
    }

    #[inline(always)]
    fn count(&mut self, slots: &[i32]) {
        // As slices, because the compiler would reload the address of a vector's memory after every
        // write.
        let [even, odd] = self.0.each_mut().map(Vec::as_mut_slice);
        let mut pairs = slots.chunks_exact(2);
        for pair in &mut pairs {
            add_one(even, pair[0]);
            add_one(odd, pair[1]);
        }
        for &slot in pairs.remainder() {
            add_one(even, slot);
        }
    }

    fn move_to(&mut self, bins: &mut [u64]) {
        for half in &mut self.0 {
            for (bin, count) in bins.iter_mut().zip(&mut half[1..]) {
                *bin += u64::from(std::mem::take(count));
            }
        }
    }
}

#[inline(always)]
fn add_one(counts: &mut [u32], slot: i32) {
    if let Some(count) = counts.get_mut(slot as usize) {
        *count = count.wrapping_add(1);
    }
}

/// The largest integer not above a small number. A cast would check for NaN and range, one value at
/// a time; this leaves the integer in the lowest bits of a sum.
#[inline(always)]
pub(crate) fn whole(small: f32) -> i32 {
    const UNIT: f32 = 12_582_912.0;
    (small.floor() + UNIT).to_bits().wrapping_sub(UNIT.to_bits()).cast_signed()
}
