//! Rows of sums over the rows of a frame, and their means along the row.

// Inlined into code that is compiled for several instruction sets.
#![allow(clippy::inline_always)]

use crate::resample::Axis;

/// Number of rows that are averaged at the same time, one in each lane.
const LANES: usize = 8;

/// One row of sums for each output along the columns.
pub(crate) struct Sums {
    columns: usize,
    height: usize,
    /// Rows after the last one fill the lanes and stay empty.
    rows: Vec<f32>,
    /// [`LANES`] rows, transposed: column by column.
    turned: Vec<[f32; LANES]>,
}

impl Sums {
    pub(crate) fn new(columns: usize, height: usize) -> Sums {
        let rows = vec![0.0; height.next_multiple_of(LANES) * columns];
        Sums { columns, height, rows, turned: vec![[0.0; LANES]; columns] }
    }

    /// All rows, one after the other, set to zero.
    pub(crate) fn begin(&mut self) -> &mut [f32] {
        self.rows.fill(0.0);
        &mut self.rows
    }

    /// The means along `axis`, times `slope`, row by row.
    pub(crate) fn means(&mut self, axis: &Axis, slope: f32) -> Vec<f32> {
        let across = axis.outputs().count();
        let mut out = vec![0.0; self.height * across];
        pulp::Arch::new().dispatch(Means { sums: self, axis, slope, across, out: &mut out });
        out
    }
}

struct Means<'a> {
    sums: &'a mut Sums,
    axis: &'a Axis,
    slope: f32,
    across: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Means<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Means { sums: Sums { columns, rows, turned, .. }, axis, slope, across, out } = self;
        for (out, rows) in out.chunks_mut((LANES * across).max(1)).zip(rows.chunks_exact(LANES * *columns)) {
            let rows: [&[f32]; LANES] = std::array::from_fn(|lane| &rows[lane * *columns..][..*columns]);
            for (column, lanes) in turned.iter_mut().enumerate() {
                for (lane, row) in lanes.iter_mut().zip(&rows) {
                    *lane = row[column];
                }
            }
            for (output, (first, weights)) in axis.outputs().enumerate() {
                let mut means = [0.0; LANES];
                for (weight, lanes) in weights.iter().zip(&turned[first..]) {
                    for (mean, value) in means.iter_mut().zip(lanes) {
                        *mean += weight * value;
                    }
                }
                for (row, mean) in out.chunks_exact_mut(across.max(1)).zip(means) {
                    row[output] = mean * slope;
                }
            }
        }
    }
}
