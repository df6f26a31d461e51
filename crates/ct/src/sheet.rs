//! A contact sheet of a series' slices and of the volume made from them, to look at.

use crate::pixels::AIR_HU;
use crate::pixels::{Frame, PixelError};
use crate::plane::{Reduction, Work};
use crate::resample::{Axis, Cells};
use crate::slices::each_frame;
use crate::source::Source;
use crate::volume::{Volume, WINDOW_HU};

/// A grey image, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `width x height` pixels; 0 is -1000 HU or less, 255 is 400 HU or more.
    pub pixels: Vec<u8>,
}

/// Edge of a tile, and of the only tile of a single slice.
const TILE: usize = 128;
const LARGE: usize = 512;
const ACROSS: usize = 8;
const DOWN: usize = 3;
/// Width of the gap between tiles.
const GAP: usize = 2;
const GREY: u8 = 64;

/// Draws slices of a series (evenly chosen, in the given order) and, below them, slices of its
/// volume.
///
/// # Errors
/// The error of the first slice that cannot be read.
pub fn contact_sheet(sources: &[Source], volume: Option<&Volume>) -> Result<Picture, PixelError> {
    let edge = if sources.len() == 1 { LARGE } else { TILE };
    let shown: Vec<&Source> = chosen(sources.len()).into_iter().map(|index| &sources[index]).collect();
    let tiles = each_frame(&shown, &|_, frame| Ok(tile(&frame?, edge)));
    let tiles: Vec<Vec<u8>> = tiles.into_iter().collect::<Result<_, PixelError>>()?;
    let mut picture = lay_out(&tiles, edge);
    if let Some(volume) = volume {
        let tiles: Vec<Vec<u8>> = chosen(volume.size).into_iter().map(|z| enlarged(volume, z)).collect();
        let below = lay_out(&tiles, TILE);
        picture = stacked(&picture, &below);
    }
    Ok(picture)
}

/// Indices of evenly spaced slices: the middle of each of equal shares of `count`.
fn chosen(count: usize) -> Vec<usize> {
    let wanted = count.min(ACROSS * DOWN);
    (0..wanted).map(|k| (2 * k + 1) * count / (2 * wanted)).collect()
}

fn grey(above_air: f32) -> u8 {
    let (low, high) = WINDOW_HU;
    ((above_air + AIR_HU - low) / (high - low) * 255.0).clamp(0.0, 255.0).round() as u8
}

/// Draws a slice with the true proportions of its pixels.
fn tile(frame: &Frame<'_>, edge: usize) -> Vec<u8> {
    let longest = frame.rows.max(frame.columns) as f64;
    let along = |count: usize| {
        let low = 0.5 * (count as f64 - longest);
        Axis::even(0.5, 1.0, count, Cells::over((low, low + longest), edge))
    };
    let reduction = Reduction::new(frame.rows, &along(frame.rows), along(frame.columns));
    match reduction.reduce(frame, &mut Work::new(frame.columns, edge)) {
        Some(plane) => plane.into_iter().map(grey).collect(),
        None => vec![GREY; edge * edge],
    }
}

/// Draws a slice of the volume, repeating each voxel to fill the tile.
fn enlarged(volume: &Volume, z: usize) -> Vec<u8> {
    let size = volume.size;
    let at = |p: usize| p * size / TILE;
    let voxel = |y: usize, x: usize| (volume.voxels[(z * size + at(y)) * size + at(x)] >> 8) as u8;
    (0..TILE * TILE).map(|p| voxel(p / TILE, p % TILE)).collect()
}

fn lay_out(tiles: &[Vec<u8>], edge: usize) -> Picture {
    let across = tiles.len().clamp(1, ACROSS);
    let down = tiles.len().div_ceil(across).max(1);
    let (width, height) = (across * (edge + GAP) + GAP, down * (edge + GAP) + GAP);
    let mut pixels = vec![GREY; width * height];
    for (index, tile) in tiles.iter().enumerate() {
        let (top, left) = (GAP + index / across * (edge + GAP), GAP + index % across * (edge + GAP));
        for (row, line) in tile.chunks_exact(edge).enumerate() {
            pixels[(top + row) * width + left..][..edge].copy_from_slice(line);
        }
    }
    Picture { width, height, pixels }
}

fn stacked(a: &Picture, b: &Picture) -> Picture {
    let width = a.width.max(b.width);
    let lines = |p: &Picture| -> Vec<u8> {
        let line = |line: &[u8]| [line, &vec![GREY; width - p.width]].concat();
        p.pixels.chunks_exact(p.width).flat_map(line).collect()
    };
    Picture { width, height: a.height + b.height, pixels: [lines(a), lines(b)].concat() }
}
