//! The options of a run.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use ctpipe_stage::Maker;

use crate::history::StageRecord;
use crate::lock::LockUse;
use crate::run::selection::Selection;

/// Draws the graph of a run for its page: from the records of the stages, and from the stages that
/// were not finished, each with a word for its outcome.
pub type Draw<'a> = &'a (dyn Fn(&[StageRecord], &BTreeMap<String, &'static str>) -> String + Sync);

/// The options of a run.
pub struct Options<'a> {
    /// The stages to run.
    pub selection: Selection,
    /// When a stage fails, go on with the stages that do not depend on it.
    pub keep_going: bool,
    /// Wait for another run instead of refusing to start.
    pub wait: bool,
    /// Read every file instead of trusting the stat cache.
    pub paranoid: bool,
    /// Draws the graph of the run for its page, as SVG.
    pub draw: Option<Draw<'a>>,
    /// What to do with `pipeline.lock`.
    pub lock: LockUse,
    /// How many stages may run at a time.
    pub jobs: usize,
    /// The maker of the artifacts.
    pub maker: Maker,
    /// Set by a signal: stop as soon as that is possible cleanly.
    pub stop: &'a AtomicBool,
}
