//! Resampling along one axis: area averaging where it shrinks, linear where it grows. Knows no
//! DICOM.

/// For each output sample, the first input sample that it reads and the weights from there on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis(Vec<(usize, Vec<f32>)>);

impl Axis {
    /// From `n` samples to `m` over the same extent. Both must be at least 1.
    ///
    /// Shrinking: output `i` is the mean of the input over `[i n/m, (i + 1) n/m)`, samples at the
    /// edge counted by the part that lies inside, so that nothing aliases. Growing: linear between
    /// sample centres, constant beyond the outermost.
    pub(crate) fn new(n: usize, m: usize) -> Axis {
        let ratio = n as f64 / m as f64;
        Axis((0..m).map(|i| if n >= m { area(i, n, ratio) } else { linear(i, n, ratio) }).collect())
    }

    /// Output samples, each as (first input, weights).
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.0.iter().map(|(first, weights)| (*first, weights.as_slice()))
    }
}

fn area(i: usize, n: usize, ratio: f64) -> (usize, Vec<f32>) {
    let (low, high) = (i as f64 * ratio, (i + 1) as f64 * ratio);
    let first = (low.floor() as usize).min(n - 1);
    let last = (high.ceil() as usize).clamp(first + 1, n);
    let weights = (first..last)
        .map(|k| ((high.min((k + 1) as f64) - low.max(k as f64)).max(0.0) / ratio) as f32)
        .collect();
    (first, weights)
}

fn linear(i: usize, n: usize, ratio: f64) -> (usize, Vec<f32>) {
    let centre = ((i as f64 + 0.5) * ratio - 0.5).clamp(0.0, (n - 1) as f64);
    let first = (centre.floor() as usize).min(n.saturating_sub(2));
    let part = (centre - first as f64) as f32;
    if n == 1 { (0, vec![1.0]) } else { (first, vec![1.0 - part, part]) }
}

/// Reduces a `rows x columns` plane to `m x m`, row by row.
pub(crate) fn plane(
    values: &[f32],
    columns: usize,
    along_rows: &Axis,
    along_columns: &Axis,
    m: usize,
) -> Vec<f32> {
    // First each row to m values, then the rows: each input value is touched once.
    let narrow: Vec<f32> = values
        .chunks_exact(columns)
        .flat_map(|row| {
            along_columns.outputs().map(move |(first, weights)| {
                weights.iter().zip(&row[first..]).map(|(w, v)| w * v).sum::<f32>()
            })
        })
        .collect();
    let mut out = Vec::with_capacity(m * m);
    for (first, weights) in along_rows.outputs() {
        let mut sums = vec![0.0; m];
        for (weight, row) in weights.iter().zip(narrow.chunks_exact(m).skip(first)) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += weight * value;
            }
        }
        out.extend(sums);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(values: &[f32], m: usize) -> Vec<f32> {
        let axis = Axis::new(values.len(), m);
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
            let axis = Axis::new(n, 64);
            let mut seen = vec![0.0_f64; n];
            for (first, weights) in axis.outputs() {
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                weights.iter().enumerate().for_each(|(k, &w)| seen[first + k] += f64::from(w));
            }
            assert!(seen.iter().all(|s| (s - 64.0 / n as f64).abs() < 1e-6), "{n}");
        }
    }

    #[test]
    fn a_plane_is_reduced_along_both_axes() {
        // Rows 0 1 / 2 3 / 4 5 / 6 7 to 2 x 2.
        let values: Vec<f32> = (0..8_u8).map(f32::from).collect();
        let out = plane(&values, 2, &Axis::new(4, 2), &Axis::new(2, 2), 2);
        assert_eq!(out, [1.0, 2.0, 5.0, 6.0]);
    }
}
