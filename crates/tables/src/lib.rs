//! The schemas of every table and JSON file that passes between stages, and the volume shards. It
//! depends on neither DICOM nor Burn, and computes nothing.

mod column;
mod comparison;
mod delimited;
mod described;
pub mod error;
pub mod evaluation;
mod figure;
pub mod folds;
pub mod instances;
pub mod json;
mod json_file;
pub mod labels;
pub mod note;
pub mod row_groups;
pub mod rows;
mod saliency;
pub mod search;
pub mod shards;
pub mod table;

pub use described::{Described, DescribedColumn, TABLES};
pub use error::{Error, Result};
pub use note::{Note, Reason};
pub use rows::{
    EpochRow, InstanceRow, Part, PredictionRow, SaliencyRow, SeriesRow, SplitRow, Status, VolumeRow,
};
pub use table::Table;
