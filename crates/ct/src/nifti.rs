//! Writes a stack on its own grid as NIfTI-1 (nifti.nimh.nih.gov/nifti-1), for 3D Slicer or
//! ITK-SNAP. The HU are not resampled, and padding is kept.

use std::io::{self, Write};

use crate::geometry::Stack;
use crate::pixels::Frame;
use crate::slices::each_frame;
use crate::source::Source;
use crate::volume::{self, VolumeError};

/// Why no `NIfTI` file was written.
#[derive(Debug, thiserror::Error)]
pub enum NiftiError {
    /// A slice could not be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The output could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// How HU are stored: as 16-bit integers where all of them are whole, otherwise in floating point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int16,
    Float32,
}

/// Number of slices in memory at a time.
const BATCH: usize = 16;

/// Writes the slices of a stack, in its order, to what `create` makes. `create` is called twice if
/// the first slices are whole numbers and later ones are not.
///
/// # Errors
/// When a slice cannot be read or the output cannot be written.
pub fn write<W: Write>(
    stack: &Stack,
    sources: &[Source],
    thickness: f64,
    create: &dyn Fn() -> io::Result<W>,
) -> Result<(), NiftiError> {
    for kind in [Kind::Int16, Kind::Float32] {
        let mut to = create()?;
        to.write_all(&header(stack, thickness, kind))?;
        if write_slices(stack, sources, kind, &mut to)? {
            to.flush()?;
            return Ok(());
        }
    }
    Ok(())
}

/// Writes all slices, and returns whether all values are of the kind.
fn write_slices(
    stack: &Stack,
    sources: &[Source],
    kind: Kind,
    to: &mut impl Write,
) -> Result<bool, NiftiError> {
    for (batch, sources) in sources.chunks(BATCH).enumerate() {
        let sources: Vec<&Source> = sources.iter().collect();
        let slices = each_frame(&sources, &|index, frame| {
            let slice = batch * BATCH + index;
            let frame = frame.map_err(|source| VolumeError::Slice { slice, source })?;
            volume::check_size(stack, slice, &frame)?;
            Ok::<_, VolumeError>(values(&frame, kind))
        });
        for slice in slices {
            match slice? {
                Some(bytes) => to.write_all(&bytes)?,
                None => return Ok(false),
            }
        }
    }
    Ok(true)
}

/// The values of a frame; `None` where one of them is not of the kind.
fn values(frame: &Frame<'_>, kind: Kind) -> Option<Vec<u8>> {
    let hu = frame.values().map(|value| f64::from(value) * frame.slope + frame.intercept);
    match kind {
        Kind::Float32 => Some(hu.flat_map(|hu| (hu as f32).to_le_bytes()).collect()),
        Kind::Int16 => {
            let mut bytes = Vec::with_capacity(2 * frame.rows * frame.columns);
            for hu in hu {
                let whole = hu as i16;
                if f64::from(whole) != hu {
                    return None;
                }
                bytes.extend_from_slice(&whole.to_le_bytes());
            }
            Some(bytes)
        }
    }
}

/// The header: 348 bytes and no extension. The qform holds the orthogonal grid, and the sform the
/// true grid, which a tilted gantry shears.
fn header(stack: &Stack, thickness: f64, kind: Kind) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let [rows, columns] = stack.size;
    let slices = stack.origins.len();
    let [row_spacing, column_spacing] = stack.pixel_spacing;
    let (first, last) = (stack.origins.first(), stack.origins.last());
    let origin = first.copied().unwrap_or_default();
    let steps = slices.saturating_sub(1).max(1) as f64;
    let mut step: [f64; 3] = std::array::from_fn(|i| (last.map_or(0.0, |l| l[i]) - origin[i]) / steps);
    if slices < 2 {
        step = [0.0, 0.0, thickness];
    }
    // From the stack's directions to LPS and then to NIfTI's RAS.
    let [along_row, along_column, normal] = stack.directions.0;
    let place = |v: [f64; 3]| -> [f64; 3] {
        let lps = |axis: usize| v[0] * along_row[axis] + v[1] * along_column[axis] + v[2] * normal[axis];
        [-lps(0), -lps(1), lps(2)]
    };
    let offset = place(origin);
    let matrix = [place([column_spacing, 0.0, 0.0]), place([0.0, row_spacing, 0.0]), place(step)];
    put(0, &348_i32.to_le_bytes());
    for (index, extent) in [3, columns, rows, slices, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * index, &(extent as u16).to_le_bytes());
    }
    let (datatype, bits) = match kind {
        Kind::Int16 => (4_i16, 16_i16),
        Kind::Float32 => (16, 32),
    };
    put(70, &datatype.to_le_bytes());
    put(72, &bits.to_le_bytes());
    let (quaternion, hand) =
        quaternion(std::array::from_fn(|c| place([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]][c])));
    // Measured along the line from slice to slice, as other DICOM readers do; a tilt makes it
    // longer than the distance between the planes.
    let distance = step.iter().map(|s| s * s).sum::<f64>().sqrt();
    for (index, value) in [hand, column_spacing, row_spacing, distance].into_iter().enumerate() {
        put(76 + 4 * index, &(value as f32).to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    // Millimetres.
    put(123, &[2]);
    put(148, b"ctpipe, HU");
    put(252, &1_i16.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for (index, value) in quaternion.into_iter().chain(offset).enumerate() {
        put(256 + 4 * index, &(value as f32).to_le_bytes());
    }
    for axis in 0..3 {
        let row = [matrix[0][axis], matrix[1][axis], matrix[2][axis], offset[axis]];
        for (index, value) in row.into_iter().enumerate() {
            put(280 + 16 * axis + 4 * index, &(value as f32).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    bytes
}

/// b, c and d of the unit quaternion of a rotation with the given columns, and -1 where the third
/// column had to be reversed to make a rotation (as `nifti_mat44_to_quatern` does).
fn quaternion(columns: [[f64; 3]; 3]) -> ([f64; 3], f64) {
    let [x, y, mut z] = columns;
    let cross = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    let hand = if (0..3).map(|i| cross[i] * z[i]).sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
    z = z.map(|v| v * hand);
    let r = |row: usize, column: usize| [x, y, z][column][row];
    let a = 1.0 + r(0, 0) + r(1, 1) + r(2, 2);
    let found = if a > 0.5 {
        let a = 0.5 * a.sqrt();
        [r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)].map(|v| 0.25 * v / a)
    } else {
        let xd = 1.0 + r(0, 0) - (r(1, 1) + r(2, 2));
        let yd = 1.0 + r(1, 1) - (r(0, 0) + r(2, 2));
        let zd = 1.0 + r(2, 2) - (r(0, 0) + r(1, 1));
        let (a, [b, c, d]) = if xd > 1.0 {
            let b = 0.5 * xd.sqrt();
            let by = 0.25 / b;
            (by * (r(2, 1) - r(1, 2)), [b, by * (r(0, 1) + r(1, 0)), by * (r(0, 2) + r(2, 0))])
        } else if yd > 1.0 {
            let c = 0.5 * yd.sqrt();
            let by = 0.25 / c;
            (by * (r(0, 2) - r(2, 0)), [by * (r(0, 1) + r(1, 0)), c, by * (r(1, 2) + r(2, 1))])
        } else {
            let d = 0.5 * zd.max(0.0).sqrt();
            let by = 0.25 / d.max(f64::MIN_POSITIVE);
            (by * (r(1, 0) - r(0, 1)), [by * (r(0, 2) + r(2, 0)), by * (r(1, 2) + r(2, 1)), d])
        };
        if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
    };
    (found, hand)
}
