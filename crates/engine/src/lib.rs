//! The engine: plans, runs and the artifact store of a pipeline of stages.
//!
//! ```text
//! spec (pipeline.yaml) -> graph (Pipeline) -> key -> plan (State and reasons) -> run -> store
//!                                                    beside it: audit, gc, lock and history
//! ```
//!
//! The crate `ctpipe-stage` defines what a stage is, [`key`] what identifies a result, and
//! [`store`] how a result lies on disk. Each module imports only modules that come before it in
//! this list: `sys`, [`event`], `instance`, [`html`], `layout`, [`exit_code`], [`error`],
//! [`content`], [`metrics`], [`spec`], `stage`, [`key`], [`store`], [`graph`], [`history`],
//! [`lock`], [`plan`], and then [`run`], [`audit`] and [`gc`], which do not import each other.

pub mod audit;
pub mod content;
pub mod error;
pub mod event;
pub mod exit_code;
pub mod gc;
pub mod graph;
pub mod history;
pub mod html;
mod instance;
pub mod key;
mod layout;
pub mod lock;
pub mod metrics;
pub mod plan;
pub mod run;
pub mod schema;
pub mod spec;
mod stage;
pub mod store;
mod sys;

pub use error::{Error, Result, chain};
pub use event::{Event, Observer, Outcome, State, describe};
pub use graph::{Node, Pipeline, Source};
pub use instance::Instance;
pub use plan::Decision;
pub use run::{Options, Selection};
pub use spec::Spec;
pub use store::Store;
pub use sys::amount;
