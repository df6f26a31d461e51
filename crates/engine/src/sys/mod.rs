//! What the engine needs from the operating system: crash-safe files, fault points for tests, facts
//! about the machine, and amounts as text.

pub mod amount;
pub(crate) mod fault;
pub(crate) mod files;
pub(crate) mod machine;
