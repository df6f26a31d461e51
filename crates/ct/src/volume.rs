//! A series to one volume of 64³, slice by slice. Knows no table and no shard.

use std::path::Path;

use crate::pixels::{self, PixelError};
use crate::resample::{Axis, plane};

/// Edge of the volume in voxels.
pub const SIZE: usize = 64;

/// The window that becomes 0..1, in HU.
pub const WINDOW_HU: (f32, f32) = (-1000.0, 400.0);

/// A resampled and windowed series.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// `64³` voxels, slice by slice in the order given, row by row: 0 is -1000 HU or less, 65535 is
    /// 400 HU or more.
    pub voxels: Vec<u16>,
    /// What it is like.
    pub quality: Quality,
}

/// Numbers that tell whether a volume is what it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Smallest and largest HU of the source; padding counts as air.
    pub min_hu: f32,
    /// See `min_hu`.
    pub max_hu: f32,
    /// Mean HU of the resampled volume before the window.
    pub mean_hu: f32,
    /// Share of source voxels that are padding.
    pub padding_share: f64,
    /// Share of the volume's voxels below -950 HU.
    pub air_share: f64,
    /// Share of the volume's voxels within -150..150 HU.
    pub soft_tissue_share: f64,
}

/// Why a series could not be made a volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A slice could not be read: its place in the stack and why.
    #[error("slice {slice}: {source}")]
    Slice {
        /// Index in the stack, from 0.
        slice: usize,
        /// Why.
        source: PixelError,
    },
    /// A slice has another size than the first.
    #[error("slice {slice} is {rows} x {columns}, the first is {expected_rows} x {expected_columns}")]
    Size {
        /// Index in the stack, from 0.
        slice: usize,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// The first slice's rows.
        expected_rows: usize,
        /// The first slice's columns.
        expected_columns: usize,
    },
    /// There are no slices.
    #[error("there are no slices")]
    Empty,
}

impl VolumeError {
    /// The reason as it stands in tables.
    pub fn code(&self) -> &'static str {
        match self {
            VolumeError::Slice { source: PixelError::Read(_), .. } => "unreadable_file",
            VolumeError::Slice { source: PixelError::Decode(_), .. } => "decode_failed",
            VolumeError::Slice { source: PixelError::Truncated { .. }, .. } => "pixel_data_truncated",
            VolumeError::Slice { source: PixelError::Layout(_), .. } => "unsupported_pixels",
            VolumeError::Size { .. } => "mixed_size",
            VolumeError::Empty => "no_slices",
        }
    }
}

/// Reads the slices in the order given and resamples them to 64³. In memory at a time: one slice at
/// full size, and 16 KB for each that was read.
///
/// # Errors
/// The first slice that cannot be used.
pub fn build<P: AsRef<Path>>(slices: &[P]) -> Result<Volume, VolumeError> {
    let mut planes = Vec::with_capacity(slices.len());
    let mut size = None;
    let mut axes = None;
    let (mut min_hu, mut max_hu) = (f32::INFINITY, f32::NEG_INFINITY);
    let (mut padding, mut voxels) = (0, 0);
    for (index, path) in slices.iter().enumerate() {
        let slice =
            pixels::read(path.as_ref()).map_err(|source| VolumeError::Slice { slice: index, source })?;
        let (rows, columns) = *size.get_or_insert((slice.rows, slice.columns));
        if (slice.rows, slice.columns) != (rows, columns) || slice.hu.is_empty() {
            return Err(VolumeError::Size {
                slice: index,
                rows: slice.rows,
                columns: slice.columns,
                expected_rows: rows,
                expected_columns: columns,
            });
        }
        for &hu in &slice.hu {
            min_hu = min_hu.min(hu);
            max_hu = max_hu.max(hu);
        }
        padding += slice.padding;
        voxels += slice.hu.len();
        let (along_rows, along_columns) =
            axes.get_or_insert_with(|| (Axis::new(rows, SIZE), Axis::new(columns, SIZE)));
        planes.push(plane(&slice.hu, columns, along_rows, along_columns, SIZE));
    }
    if planes.is_empty() {
        return Err(VolumeError::Empty);
    }
    let hu = stack(&planes);
    let share =
        |inside: &dyn Fn(f32) -> bool| hu.iter().filter(|&&v| inside(v)).count() as f64 / hu.len() as f64;
    let quality = Quality {
        min_hu,
        max_hu,
        mean_hu: (hu.iter().map(|&v| f64::from(v)).sum::<f64>() / hu.len() as f64) as f32,
        padding_share: padding as f64 / voxels as f64,
        air_share: share(&|v| v < -950.0),
        soft_tissue_share: share(&|v| (-150.0..=150.0).contains(&v)),
    };
    Ok(Volume { voxels: hu.into_iter().map(window).collect(), quality })
}

/// Resamples along the third axis.
fn stack(planes: &[Vec<f32>]) -> Vec<f32> {
    let axis = Axis::new(planes.len(), SIZE);
    let mut hu = Vec::with_capacity(SIZE.pow(3));
    for (first, weights) in axis.outputs() {
        let mut sums = vec![0.0; SIZE * SIZE];
        for (weight, plane) in weights.iter().zip(&planes[first..]) {
            for (sum, value) in sums.iter_mut().zip(plane) {
                *sum += weight * value;
            }
        }
        hu.extend(sums);
    }
    hu
}

/// HU to 0..65535 over [`WINDOW_HU`]; one step is 0.02 HU.
fn window(hu: f32) -> u16 {
    let (low, high) = WINDOW_HU;
    (((hu - low) / (high - low)).clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_maps_its_ends_and_its_middle() {
        assert_eq!(window(-2000.0), 0);
        assert_eq!(window(-1000.0), 0);
        assert_eq!(window(-300.0), 32768);
        assert_eq!(window(400.0), 65535);
        assert_eq!(window(3000.0), 65535);
    }
}
