//! Audit and collection of pipelines made of commands: correct artifacts have no findings, and
//! referenced ones are kept.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod audits;
mod collection;
mod world;
