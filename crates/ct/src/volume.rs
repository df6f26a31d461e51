//! Turns a series into one volume, slice by slice.

// Inlined into code that is compiled for several instruction sets.
#![allow(clippy::inline_always)]

use std::sync::{Mutex, PoisonError};

use crate::fit::{self, Fit, Fitted};
use crate::geometry::{Canonical, Stack};
use crate::pixels::AIR_HU;
use crate::pixels::{Frame, PixelError};
use crate::plane::{Reduction, Work};
use crate::quality::Quality;
use crate::resample::{Axis, Cells};
use crate::slices::each_frame;
use crate::source::Source;
use crate::value_histograms::{Tally, whole};

/// The window that is mapped to 0..1, in HU.
pub const WINDOW_HU: (f32, f32) = (-1000.0, 400.0);

/// A resampled and windowed series.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Voxels along each axis.
    pub size: usize,
    /// `size³` voxels from the feet to the head, each slice from the front to the back, each line
    /// from the patient's right to the left. 0 is -1000 HU or less, 65535 is 400 HU or more.
    pub voxels: Vec<u16>,
    /// Figures that tell whether it looks as it should.
    pub quality: Quality,
}

/// How a series becomes a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Voxels along each axis.
    pub size: usize,
    /// Which part of the series fills the volume.
    pub fit: Fit,
}

/// Why a series could not become a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A slice could not be decoded.
    #[error("slice {slice}: {source}")]
    Slice {
        /// Index in the stack, from 0.
        slice: usize,
        /// The reason.
        source: PixelError,
    },
    /// A slice has a different size from the first one.
    #[error("slice {slice} is {rows} x {columns}, the first is {expected_rows} x {expected_columns}")]
    Size {
        /// Index in the stack, from 0.
        slice: usize,
        /// Rows of the slice.
        rows: usize,
        /// Columns of the slice.
        columns: usize,
        /// Rows of the first slice.
        expected_rows: usize,
        /// Columns of the first slice.
        expected_columns: usize,
    },
    /// The rescale slope is zero or not a number.
    #[error("slice {slice}: the rescale slope is zero or no number")]
    Slope {
        /// Index in the stack, from 0.
        slice: usize,
    },
    /// There are no slices.
    #[error("there are no slices")]
    Empty,
}

impl VolumeError {
    /// The reason code as written in tables.
    pub fn code(&self) -> &'static str {
        match self {
            VolumeError::Slice { source, .. } => source.code(),
            VolumeError::Size { .. } => "mixed_size",
            VolumeError::Slope { .. } => "rescale_not_usable",
            VolumeError::Empty => "no_slices",
        }
    }
}

/// Reads the slices of a stack, in its order, and resamples them. In memory at a time: one slice
/// for each thread, and `size²` numbers for each slice.
///
/// # Errors
/// The error of the first slice that cannot be used.
pub fn build(stack: &Stack, sources: &[Source], request: Request) -> Result<Volume, VolumeError> {
    let (hu, tally, fitted) = resampled(stack, sources, request)?;
    let quality = Quality::of(&hu, &tally, stack, &fitted);
    let mut voxels = vec![0; hu.len()];
    pulp::Arch::new().dispatch(Windowed { hu: &hu, voxels: &mut voxels });
    Ok(Volume { size: request.size, voxels, quality })
}

/// The volume in HU, the statistics of its source, and the part of the source that was taken.
fn resampled(
    stack: &Stack,
    sources: &[Source],
    request: Request,
) -> Result<(Vec<f32>, Tally, Fitted), VolumeError> {
    let whole = Fitted::whole(stack);
    match request.fit {
        Fit::Stretch => {
            let (hu, tally) = gather(stack, sources, &whole.cells(request.size))?;
            Ok((turn(hu, request.size, stack), tally, whole))
        }
        Fit::Isotropic => {
            let fitted = whole.cube();
            let (hu, tally) = gather(stack, sources, &fitted.cells(request.size))?;
            Ok((turn(hu, request.size, stack), tally, fitted))
        }
        Fit::Lungs => {
            let (overview, tally) = gather(stack, sources, &whole.cells(fit::OVERVIEW))?;
            let fitted = whole.lungs(&overview, stack);
            let (hu, _) = gather(stack, sources, &fitted.cells(request.size))?;
            Ok((turn(hu, request.size, stack), tally, fitted))
        }
    }
}

/// Resamples onto cells along the stack's own directions (along a row, along a column, the normal).
/// Returns HU, with the normal as the slowest axis.
fn gather(stack: &Stack, sources: &[Source], cells: &[Cells; 3]) -> Result<(Vec<f32>, Tally), VolumeError> {
    if sources.is_empty() || sources.len() != stack.origins.len() {
        return Err(VolumeError::Empty);
    }
    let centres: Vec<f64> = stack.origins.iter().map(|o| o[2]).collect();
    let along = Axis::new(&centres, &stack.borders(), cells[2]);
    // Slices outside the requested part are not even read.
    let used = along.inputs(sources.len());
    let places: Vec<usize> = (0..sources.len()).filter(|&place| !used[place].is_empty()).collect();
    let wanted: Vec<&Source> = places.iter().map(|&place| &sources[place]).collect();
    // All slices lie alike, except with a tilted gantry.
    let usual = InPlane::new(stack, 0, cells);
    let works: Mutex<Vec<Work>> = Mutex::default();
    let found = each_frame(&wanted, &|index, frame| {
        let slice = places[index];
        let frame = frame.map_err(|source| VolumeError::Slice { slice, source })?;
        check_size(stack, slice, &frame)?;
        let own = (!usual.fits(stack, slice)).then(|| InPlane::new(stack, slice, cells));
        let reduction = &own.as_ref().unwrap_or(&usual).reduction;
        let work = works.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut work = work.unwrap_or_else(|| Work::new(frame.columns, cells[1].count));
        let plane = reduction.reduce(&frame, &mut work);
        works.lock().unwrap_or_else(PoisonError::into_inner).push(work);
        plane.ok_or(VolumeError::Slope { slice })
    });
    let mut planes: Vec<Vec<f32>> = vec![Vec::new(); sources.len()];
    for (place, plane) in places.iter().zip(found) {
        planes[*place] = plane?;
    }
    let area = cells[0].count * cells[1].count;
    let mut hu = Vec::with_capacity(area * cells[2].count);
    for (first, weights) in along.outputs() {
        let mut sums = vec![0.0; area];
        for (weight, plane) in weights.iter().zip(&planes[first..]) {
            for (sum, value) in sums.iter_mut().zip(plane) {
                *sum += weight * value;
            }
        }
        hu.extend(sums.iter().map(|above| above + AIR_HU));
    }
    // The tally holds sums and extremes, so it does not matter which thread saw what.
    let mut tally = Tally::new();
    let works = works.into_inner().unwrap_or_else(PoisonError::into_inner);
    for work in works {
        tally.add(&work.tally());
    }
    Ok((hu, tally))
}

/// Checks that a slice has the same size as the first one.
pub(crate) fn check_size(stack: &Stack, slice: usize, frame: &Frame<'_>) -> Result<(), VolumeError> {
    let [expected_rows, expected_columns] = stack.size;
    let Frame { rows, columns, .. } = *frame;
    if [rows, columns] == stack.size {
        return Ok(());
    }
    Err(VolumeError::Size { slice, rows, columns, expected_rows, expected_columns })
}

/// How slices that begin at one position are reduced in their plane.
struct InPlane {
    at: [f64; 2],
    reduction: Reduction,
}

impl InPlane {
    fn new(stack: &Stack, slice: usize, cells: &[Cells; 3]) -> InPlane {
        let [u, v, _] = stack.origins[slice];
        let ([rows, columns], [row_spacing, column_spacing]) = (stack.size, stack.pixel_spacing);
        let along_rows = Axis::even(u, column_spacing, columns, cells[0]);
        let along_columns = Axis::even(v, row_spacing, rows, cells[1]);
        InPlane { at: [u, v], reduction: Reduction::new(rows, &along_columns, along_rows) }
    }

    fn fits(&self, stack: &Stack, slice: usize) -> bool {
        let [u, v, _] = stack.origins[slice];
        self.at == [u, v]
    }
}

/// From the stack's own directions to the patient's: x to the left, y to the back, z to the head.
fn turn(values: Vec<f32>, size: usize, stack: &Stack) -> Vec<f32> {
    let Canonical(axes) = stack.directions.canonical();
    if axes == [(0, false), (1, false), (2, false)] {
        return values;
    }
    // Step through the values along each direction of the stack.
    let steps = [1, size, size * size];
    let at = |axis: usize, index: usize| {
        let (of, against) = axes[axis];
        steps[of] * if against { size - 1 - index } else { index }
    };
    let mut turned = Vec::with_capacity(values.len());
    for z in 0..size {
        for y in 0..size {
            let start = at(2, z) + at(1, y);
            match axes[0] {
                (0, false) => turned.extend_from_slice(&values[start..][..size]),
                (0, true) => turned.extend(values[start..][..size].iter().rev()),
                _ => turned.extend((0..size).map(|x| values[start + at(0, x)])),
            }
        }
    }
    turned
}

/// HU to 0..65535 over [`WINDOW_HU`], rounded; one step is 0.02 HU.
struct Windowed<'a> {
    hu: &'a [f32],
    voxels: &'a mut [u16],
}

impl pulp::WithSimd for Windowed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let (low, high) = WINDOW_HU;
        for (voxel, hu) in self.voxels.iter_mut().zip(self.hu) {
            *voxel = whole(((hu - low) / (high - low)).clamp(0.0, 1.0) * f32::from(u16::MAX) + 0.5) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_maps_its_ends_and_its_middle() {
        let mut voxels = [7; 5];
        let hu = [-2000.0, -1000.0, -300.0, 400.0, 3000.0];
        pulp::Arch::new().dispatch(Windowed { hu: &hu, voxels: &mut voxels });
        assert_eq!(voxels, [0, 0, 32768, 65535, 65535]);
    }
}
