//! The execution of one stage, for a run or for an audit, and the stage that is a command of the
//! user's own.

pub(crate) mod command;
mod execute;

pub(crate) use execute::{Failure, execute};
