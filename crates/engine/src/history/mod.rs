//! The history of runs: records, names, tags and the comparison of two runs.

pub mod compare;
mod record;
mod resolve;
mod run_id;
pub mod tags;

pub(crate) use record::RECORD;
pub use record::{RunRecord, StageRecord};
pub use resolve::resolve;
pub use run_id::ids;
pub(crate) use run_id::{LATEST, next_id};
