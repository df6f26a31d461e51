//! End-to-end tests through the binary: the commands of a user and their results.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)] // tests
#![allow(clippy::disallowed_methods)] // tests read the environment

#[path = "end_to_end/bad_input.rs"]
mod bad_input;
#[path = "end_to_end/book.rs"]
mod book;
#[path = "end_to_end/caching.rs"]
mod caching;
#[path = "end_to_end/commands.rs"]
mod commands;
#[path = "end_to_end/deploy.rs"]
mod deploy;
#[path = "end_to_end/dicom.rs"]
mod dicom;
#[path = "end_to_end/evaluation.rs"]
mod evaluation;
#[path = "end_to_end/events.rs"]
mod events;
#[path = "end_to_end/folds.rs"]
mod folds;
#[path = "end_to_end/gates.rs"]
mod gates;
#[path = "end_to_end/golden.rs"]
mod golden;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "end_to_end/interrupt.rs"]
mod interrupt;
#[path = "end_to_end/items.rs"]
mod items;
#[path = "end_to_end/json_schema.rs"]
mod json_schema;
#[path = "end_to_end/kills.rs"]
mod kills;
#[path = "end_to_end/lock_file.rs"]
mod lock_file;
#[path = "end_to_end/matrix.rs"]
mod matrix;
#[path = "end_to_end/network.rs"]
mod network;
#[path = "end_to_end/outputs.rs"]
mod outputs;
#[path = "end_to_end/past.rs"]
mod past;
#[path = "end_to_end/proof.rs"]
mod proof;
#[path = "end_to_end/real_series.rs"]
mod real_series;
#[path = "end_to_end/shells.rs"]
mod shells;
#[path = "end_to_end/training.rs"]
mod training;
#[path = "end_to_end/upgrade.rs"]
mod upgrade;
#[path = "end_to_end/whole.rs"]
mod whole;
