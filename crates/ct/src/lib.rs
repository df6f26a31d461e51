//! DICOM series to a 64 x 64 x 64 volume of HU. Knows no table and no stage.
//!
//! [`header`] reads what a file says of itself, [`series`] holds the files of a series against each
//! other, [`pixels`] decodes one slice to HU and [`volume`] resamples slice by slice, so that no full
//! volume is ever in memory.

pub mod header;
pub mod pixels;
mod resample;
pub mod series;
pub mod volume;

pub use header::{Header, Scanned, scan};
pub use series::{Assessment, Code, Rules, assess};
pub use volume::{Quality, SIZE, Volume, VolumeError, build};

/// Air, in HU: what padding becomes.
pub const AIR_HU: f32 = -1000.0;
