//! DICOM as bytes: where the elements and frames of a file lie.

pub(crate) mod dataset;
pub(crate) mod file;
pub(crate) mod frames;
mod problem;
pub(crate) mod syntax;

pub(crate) use dataset::DataSet;
pub(crate) use file::Part10;
pub(crate) use problem::Problem;
pub(crate) use syntax::Syntax;
