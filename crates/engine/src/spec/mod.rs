//! `pipeline.yaml` as it is written: its shape, profiles and `--set`. The module [`crate::graph`]
//! checks it against the existing stages, ports and parameters.

pub(crate) mod axes;
pub(crate) mod limits;
mod load;
pub(crate) mod locate;
mod lock_path;
mod matrix;
mod reader;
pub(crate) mod setting;
mod written;

pub(crate) use lock_path::lock_path;
pub(crate) use written::StageSpec;
pub use written::{Notify, Spec};
