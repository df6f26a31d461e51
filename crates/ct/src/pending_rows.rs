//! Rows that wait to be added to the outputs that read them, so that the sums of an output are read
//! and written once for several rows.
//!
//! Consecutive rows with equal weights are added up first and weighted once. The type that they are
//! added up in is wide enough to keep integers exact, so 16-bit samples give the same sums as the
//! same samples in f32.

// Inlined into code that is compiled for several instruction sets.
#![allow(clippy::inline_always)]

use std::ops::Range;

/// A number in which rows of `T` are added up.
pub(crate) trait Sum<T>: Copy + Default {
    /// The sum plus one more value.
    fn and(self, value: T) -> Self;
    fn to_f32(self) -> f32;
}

/// For when the sum of all waiting rows fits in 16 bits.
impl Sum<i16> for i16 {
    #[inline(always)]
    fn and(self, value: i16) -> i16 {
        self.wrapping_add(value)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
}

impl Sum<i16> for i32 {
    #[inline(always)]
    fn and(self, value: i16) -> i32 {
        self.wrapping_add(i32::from(value))
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }
}

impl Sum<f32> for f32 {
    #[inline(always)]
    fn and(self, value: f32) -> f32 {
        self + value
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

/// Maximum number of waiting rows.
pub(crate) const MOST: usize = 8;
/// Number of columns whose sums stay in registers.
const BLOCK: usize = 32;

/// The waiting rows.
pub(crate) struct Waiting<T> {
    columns: usize,
    /// Space for [`MOST`] rows.
    values: Vec<T>,
    /// Index of the first waiting row, and the index after the last one.
    rows: Range<usize>,
}

/// Consecutive rows with equal weights, counted from the first waiting row.
#[derive(Clone, Copy, Default)]
struct Alike {
    weight: f32,
    first: usize,
    count: usize,
}

impl<T: Copy + Default> Waiting<T> {
    pub(crate) fn new(columns: usize) -> Waiting<T> {
        Waiting { columns, values: vec![T::default(); MOST * columns], rows: 0..0 }
    }

    /// Begins another frame, with no waiting rows.
    pub(crate) fn begin(&mut self) {
        self.rows = 0..0;
    }

    /// The space for the values of `row`; rows must be consecutive.
    #[inline(always)]
    pub(crate) fn next(&mut self, row: usize) -> &mut [T] {
        if self.rows.is_empty() {
            self.rows = row..row;
        }
        self.rows.end += 1;
        &mut self.values[(row - self.rows.start) * self.columns..][..self.columns]
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds all waiting rows, each minus `air`, to the outputs that read them. `inputs` holds, for
    /// each row, its outputs and their weights.
    #[inline(always)]
    pub(crate) fn add<S: Sum<T>>(&mut self, inputs: &[Vec<(usize, f32)>], air: f32, sums: &mut [f32]) {
        let reads = &inputs[self.rows.clone()];
        self.rows = 0..0;
        let outputs = || reads.iter().flatten().map(|&(output, _)| output);
        let (Some(first), Some(last)) = (outputs().min(), outputs().max()) else { return };
        for output in first..=last {
            let mut groups = [Alike::default(); MOST];
            let mut count = 0;
            for (row, reads) in reads.iter().enumerate() {
                let Some(&(_, weight)) = reads.iter().find(|&&(of, _)| of == output) else { continue };
                let before = groups[..count].last_mut();
                let alike =
                    |b: &&mut Alike| b.weight.to_bits() == weight.to_bits() && b.first + b.count == row;
                if let Some(before) = before.filter(alike) {
                    before.count += 1;
                } else {
                    groups[count] = Alike { weight, first: row, count: 1 };
                    count += 1;
                }
            }
            self.add_to::<S>(&groups[..count], air, &mut sums[output * self.columns..][..self.columns]);
        }
    }

    #[inline(always)]
    fn add_to<S: Sum<T>>(&self, groups: &[Alike], air: f32, sums: &mut [f32]) {
        let (blocks, rest) = sums.as_chunks_mut::<BLOCK>();
        let behind = blocks.len() * BLOCK;
        for &Alike { weight, first, count } in groups {
            let rows = self.values[first * self.columns..].chunks_exact(self.columns).take(count);
            let air = air * count as f32;
            for (index, block) in blocks.iter_mut().enumerate() {
                let mut alike = [S::default(); BLOCK];
                for row in rows.clone() {
                    let Some(values) = row.as_chunks::<BLOCK>().0.get(index) else { continue };
                    for lane in 0..BLOCK {
                        alike[lane] = alike[lane].and(values[lane]);
                    }
                }
                for lane in 0..BLOCK {
                    block[lane] += weight * (alike[lane].to_f32() - air);
                }
            }
        }
        for (column, sum) in rest.iter_mut().enumerate() {
            for &Alike { weight, first, count } in groups {
                let rows =
                    (first..first + count).map(|row| self.values[row * self.columns + behind + column]);
                let alike = rows.fold(S::default(), S::and);
                *sum += weight * (alike.to_f32() - air * count as f32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: rows 1 to 4 with weights 0.5, 1, 1 and 0.25 and 40 columns; each value is ten times
    /// the row plus the column.
    #[test]
    fn rows_are_weighted_less_air_and_split_between_outputs() {
        let inputs = [vec![(0, 0.5)], vec![(0, 1.0)], vec![(0, 1.0)], vec![(0, 0.25), (1, 0.75)]];
        let (mut narrow, mut wide) = (Waiting::<i16>::new(40), Waiting::<f32>::new(40));
        for row in 0..4 {
            let value = |column: i16| 10 * (row + 1) + column;
            let to = narrow.next(row as usize);
            to.iter_mut().zip(0..).for_each(|(to, column)| *to = value(column));
            let to = wide.next(row as usize);
            to.iter_mut().zip(0..).for_each(|(to, column)| *to = f32::from(value(column)) - 2.0);
        }
        let mut sums = [vec![0.0; 80], vec![0.0; 80], vec![0.0; 80]];
        let rows = narrow.rows.clone();
        narrow.add::<i16>(&inputs, 2.0, &mut sums[0]);
        narrow.rows = rows;
        narrow.add::<i32>(&inputs, 2.0, &mut sums[1]);
        wide.add::<f32>(&inputs, 0.0, &mut sums[2]);
        for column in 0..40 {
            let c = column as f32 - 2.0;
            let expected = (0.5 * (10.0 + c) + 20.0 + c + 30.0 + c + 0.25 * (40.0 + c), 0.75 * (40.0 + c));
            for sums in &sums {
                assert_eq!((sums[column], sums[40 + column]), expected, "{column}");
            }
        }
        assert_eq!(narrow.len() + wide.len(), 0);
    }
}
