//! The engine: stages, keys, plans, runs and the artifact store.
//!
//! ```text
//! spec (pipeline.yaml) -> graph (Pipeline) -> key -> plan (State and reasons) -> run -> store
//! ```
//!
//! It knows nothing of CT or of learning: a [`Stage`] is ports, parameters, outputs and one
//! function. What identifies a result is in [`key`]; what it looks like on disk is in [`store`].

pub mod audit;
mod bytes;
mod command;
pub mod compare;
pub mod error;
pub mod event;
pub mod event_schema;
mod fault;
mod files;
pub mod gates;
pub mod gc;
pub mod graph;
pub mod history;
pub mod inputs;
pub mod items;
mod json_schema;
pub mod key;
pub mod limits;
mod locate;
pub mod lock_file;
pub mod locked;
mod machine;
pub mod manifest;
pub mod matrix;
pub mod metrics_file;
mod page;
pub mod param;
pub mod parameters;
pub mod plan;
mod preflight;
mod record;
mod release;
mod result_schema;
pub mod run;
mod schedule;
pub mod schema;
pub mod spec;
pub mod stage;
pub mod stat_cache;
pub mod store;
mod suggest;
pub mod tags;
pub mod tree;
mod work;

pub use error::{Error, Result};
pub use event::{Event, Level, Observer, Outcome};
pub use graph::{Node, Pipeline, Source};
pub use inputs::{Files, Near};
pub use items::{MadeFrom, Previous, Reuse};
pub use manifest::{MANIFEST, Maker, Manifest};
pub use matrix::Instance;
pub use page::{STYLE as PAGE_STYLE, describe, escape};
pub use param::{Kind, Param, Params};
pub use plan::{Decision, State};
pub use run::{Options, Selection};
pub use spec::Spec;
pub use stage::{Finding, Output, Port, Stage, StageError, Task};
pub use store::Store;
pub use suggest::did_you_mean;
