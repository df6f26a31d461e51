//! Turns a parsed pipeline file into a pipeline that can run: finds stages, expands matrices,
//! resolves parameters, connects inputs and rejects cycles.

mod build;
mod instances;
mod neighbours;
mod node;
mod order;
mod pipeline;
mod wiring;

pub use node::{Node, Source};
pub use pipeline::Pipeline;
