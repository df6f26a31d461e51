//! Resampling along one axis in physical space: area averaging where it shrinks, linear
//! interpolation where it grows.

/// For each output sample, the first input sample that it reads, and the weights from there on. The
/// weights add up to the share of the output's cell that the input covers; the rest is air.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis(Vec<(usize, Vec<f32>)>);

/// Output cells along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cells {
    /// Where the first cell begins, in mm.
    pub(crate) low: f64,
    /// Length of each cell, in mm.
    pub(crate) step: f64,
    pub(crate) count: usize,
}

impl Cells {
    /// `count` cells from `low` to `high`.
    pub(crate) fn over((low, high): (f64, f64), count: usize) -> Cells {
        Cells { low, step: (high - low) / count as f64, count }
    }
}

/// Relative to a cell: less of a neighbouring cell is only rounding of positions.
const SLIVER: f64 = 1e-6;

impl Axis {
    /// From input samples at increasing `centres`, with cells between `borders` (one more than
    /// centres).
    ///
    /// Shrinking (input cells are on average no longer than output cells): the mean of the input
    /// over the output's cell, with samples at its edge weighted by the part that lies inside, so
    /// that nothing aliases. Growing: linear between the centres of input samples, and constant
    /// from the outermost centres to their borders.
    pub(crate) fn new(centres: &[f64], borders: &[f64], cells: Cells) -> Axis {
        let length = (borders[borders.len() - 1] - borders[0]) / centres.len() as f64;
        let shrinks = length <= cells.step * (1.0 + SLIVER);
        let cell = |i: usize| (cells.low + i as f64 * cells.step, cells.low + (i + 1) as f64 * cells.step);
        Axis(
            (0..cells.count)
                .map(|i| if shrinks { area(borders, cell(i)) } else { linear(centres, borders, cell(i)) })
                .collect(),
        )
    }

    /// From `count` samples with equal `spacing`, the first one centred at `first`.
    pub(crate) fn even(first: f64, spacing: f64, count: usize, cells: Cells) -> Axis {
        let centres: Vec<f64> = (0..count).map(|k| first + k as f64 * spacing).collect();
        let borders: Vec<f64> = (0..=count).map(|k| first + (k as f64 - 0.5) * spacing).collect();
        Axis::new(&centres, &borders, cells)
    }

    /// The output samples, each as (first input, weights).
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.0.iter().map(|(first, weights)| (*first, weights.as_slice()))
    }

    /// For each input sample, the output samples that read it, with their weights.
    pub(crate) fn inputs(&self, count: usize) -> Vec<Vec<(usize, f32)>> {
        let mut inputs = vec![Vec::new(); count];
        for (output, (first, weights)) in self.outputs().enumerate() {
            for (input, &weight) in inputs[first..].iter_mut().zip(weights) {
                input.push((output, weight));
            }
        }
        inputs
    }
}

fn area(borders: &[f64], (low, high): (f64, f64)) -> (usize, Vec<f32>) {
    let length = high - low;
    let sliver = SLIVER * length;
    let count = borders.len() - 1;
    let first = borders[1..].partition_point(|&end| end <= low + sliver);
    let last = borders[..count].partition_point(|&start| start < high - sliver);
    if first >= last {
        return (0, Vec::new());
    }
    // The outermost cells count by the part that lies inside; rounding must not affect those in
    // between.
    let part = |k: usize| {
        let inside = high.min(borders[k + 1]) - low.max(borders[k]);
        (inside / length).clamp(0.0, 1.0) as f32
    };
    (first, (first..last).map(part).collect())
}

fn linear(centres: &[f64], borders: &[f64], (low, high): (f64, f64)) -> (usize, Vec<f32>) {
    let at = 0.5 * (low + high);
    let sliver = SLIVER * (high - low);
    let last = centres.len() - 1;
    if at < borders[0] - sliver || at > borders[last + 1] + sliver {
        return (0, Vec::new());
    }
    let after = centres.partition_point(|&c| c <= at);
    if after == 0 || after > last {
        return (if after == 0 { 0 } else { last }, vec![1.0]);
    }
    let part = (at - centres[after - 1]) / (centres[after] - centres[after - 1]);
    (after - 1, vec![(1.0 - part) as f32, part as f32])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resamples values to `m` cells of equal length over the same extent.
    fn apply(values: &[f32], m: usize) -> Vec<f32> {
        let n = values.len();
        sums(values, &Axis::even(0.5, 1.0, n, Cells::over((0.0, n as f64), m)))
    }

    fn sums(values: &[f32], axis: &Axis) -> Vec<f32> {
        axis.outputs().map(|(first, w)| w.iter().zip(&values[first..]).map(|(w, v)| w * v).sum()).collect()
    }

    #[test]
    fn shrinking_averages_and_growing_interpolates_as_by_hand() {
        assert_eq!(apply(&[1.0, 3.0, 5.0, 7.0], 2), [2.0, 6.0]);
        // 3 to 2: each output covers one and a half samples.
        assert_eq!(apply(&[0.0, 3.0, 6.0], 2), [1.0, 5.0]);
        // 2 to 4: centres at -0.25, 0.25, 0.75, 1.25.
        assert_eq!(apply(&[0.0, 8.0], 4), [0.0, 2.0, 6.0, 8.0]);
        assert_eq!(apply(&[4.0], 3), [4.0; 3]);
    }

    #[test]
    fn every_output_is_an_average_and_every_input_counts_alike_when_shrinking() {
        for n in [64, 65, 100, 133, 512, 1000] {
            let spacing = 0.7371;
            let axis = Axis::even(
                -123.4,
                spacing,
                n,
                Cells::over((-123.4 - 0.5 * spacing, -123.4 + (n as f64 - 0.5) * spacing), 64),
            );
            let mut seen = vec![0.0_f64; n];
            for (first, weights) in axis.outputs() {
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                weights.iter().enumerate().for_each(|(k, &w)| seen[first + k] += f64::from(w));
            }
            assert!(seen.iter().all(|s| (s - 64.0 / n as f64).abs() < 1e-6), "{n}");
        }
    }

    #[test]
    fn uneven_samples_count_by_their_length_and_nothing_beyond_the_borders_does() {
        // Cells 0..2, 2..4, 4..10 to 0..5, 5..10.
        let axis =
            Axis::new(&[1.0, 3.0, 7.0], &[0.0, 2.0, 4.0, 10.0], Cells { low: 0.0, step: 5.0, count: 2 });
        assert_eq!(sums(&[10.0, 20.0, 30.0], &axis), [(20.0 + 40.0 + 30.0) / 5.0, 30.0]);
        // From -5: half of the first cell lies outside.
        let axis = Axis::even(0.5, 1.0, 10, Cells { low: -5.0, step: 10.0, count: 2 });
        assert_eq!(sums(&[1.0; 10], &axis), [0.5, 0.5]);
        // Growing: centres at 0 and 4, which are uneven on purpose.
        let axis =
            Axis::new(&[0.0, 4.0, 6.0], &[-2.0, 2.0, 5.0, 7.0], Cells { low: -3.0, step: 1.0, count: 10 });
        let found = sums(&[0.0, 8.0, 4.0], &axis);
        assert_eq!(found, [0.0, 0.0, 0.0, 1.0, 3.0, 5.0, 7.0, 7.0, 5.0, 4.0]);
    }

    #[test]
    fn inputs_are_the_outputs_the_other_way_round() {
        let axis = Axis::even(0.5, 1.0, 3, Cells::over((0.0, 3.0), 2));
        let third = 1.0_f32 / 1.5;
        let sixth = 0.5_f32 / 1.5;
        assert_eq!(axis.inputs(3), [vec![(0, third)], vec![(0, sixth), (1, sixth)], vec![(1, third)]]);
    }
}
