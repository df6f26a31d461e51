//! Audit and collection of pipelines made of commands: what is right is called so, and what is referred to stays.
//! Knows no stage but the shell's.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod audits;
mod collection;
mod world;
