//! Turns DICOM files into a cube of HU.
//!
//! [`header`] reads what a file says about itself, [`series`] checks the files of a series against
//! each other, [`geometry`] arranges their slices as a stack, [`image`] gives the frames of a file,
//! and [`volume`] resamples slice by slice, so that no full volume is ever in memory. The DICOM
//! reader and the codecs below these accept any bytes: no claim of a file leads to an allocation
//! before it is checked against the bytes that are present.

mod codec;
mod dicom;
pub mod discover;
mod fit;
pub mod geometry;
pub mod header;
pub mod image;
pub mod nifti;
mod pending_rows;
pub mod pixels;
mod plane;
mod quality;
mod resample;
mod row_sums;
mod sample_row;
pub mod series;
pub mod sheet;
mod slices;
mod source;
mod storage;
mod value_histograms;
pub mod volume;

pub use ctpipe_disk::{AlignedBuffer, to_path};

pub use codec::{CodecError, isolate_decoders, serve_decoder};
pub use discover::{Found, Listing, in_order, members};
pub use fit::Fit;
pub use geometry::Stack;
pub use header::{Header, Plane, Scanned, Text, scan};
pub use image::{Image, codec_name};
pub use pixels::AIR_HU;
pub use quality::{Flag, Quality};
pub use series::{Assessment, Code, Rules, Slice, assess};
pub use source::Source;
pub use volume::{Request, Volume, VolumeError, build};
