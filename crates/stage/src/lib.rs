//! Everything that a stage sees of the engine: the [`Stage`] trait, the [`Task`] that it receives,
//! ports and parameters, items that are kept from run to run, and the [`Key`] and [`Manifest`] of
//! other stages' artifacts.
//!
//! A stage is a function from input files and parameters to output files. It depends on this crate
//! and not on the engine, so it can neither read the store nor decide what runs.

pub mod encoding;
mod error;
mod files;
mod items;
mod key;
pub mod label;
mod manifest;
mod message;
mod param;
pub mod parameters;
mod stage;
mod suggest;
mod task;
mod tree;

pub use error::{StageError, chain};
pub use files::{Files, Near};
pub use items::{ITEMS, Items, MadeFrom, Previous, Reuse};
pub use key::Key;
pub use label::Labelled;
pub use manifest::{MANIFEST, Made, Maker, Manifest, ManifestError};
pub use message::{Level, Listener, Message};
pub use param::{Kind, Param, Params};
pub use stage::{Finding, Output, Port, Stage};
pub use suggest::did_you_mean;
pub use task::{Account, Assignment, FindPrevious, Task};
pub use tree::{DigestRef, FileDigest, MISSING, Tree, TreeDiff};
