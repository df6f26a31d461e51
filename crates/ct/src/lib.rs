//! DICOM files to a cube of HU. Knows no table and no stage.
//!
//! [`header`] reads what a file says of itself, [`series`] holds the files of a series against each
//! other, [`geometry`] puts their slices into a stack, [`image`] gives the frames of a file and
//! [`volume`] resamples slice by slice, so that no full volume is ever in memory. The DICOM reader and
//! the codecs below these take any bytes: nothing that a file claims is allocated before it is held
//! against the bytes that are there.

mod codec;
mod dicom;
pub mod discover;
mod fit;
pub mod geometry;
pub mod header;
pub mod image;
pub mod nifti;
pub mod pixels;
mod plane;
mod quality;
mod resample;
mod row;
pub mod series;
pub mod sheet;
mod slices;
mod source;
mod storage;
mod sums;
mod tally;
pub mod volume;
mod waiting;

pub use ctpipe_disk::{Room, to_path};

pub use codec::{CodecError, isolate_decoders, serve_decoder};
pub use discover::{Found, Listing, in_order, members};
pub use fit::Fit;
pub use geometry::Stack;
pub use header::{Header, Plane, Scanned, Text, scan};
pub use image::{Image, codec_name};
pub use quality::{Flag, Quality};
pub use series::{Assessment, Code, Rules, Slice, assess};
pub use source::Source;
pub use volume::{Request, Volume, VolumeError, build};

/// Air, in HU: what padding becomes.
pub const AIR_HU: f32 = -1000.0;
