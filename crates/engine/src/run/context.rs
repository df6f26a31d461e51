//! What the stages of a run share.

use std::sync::atomic::Ordering;

use crate::content::StatCache;
use crate::graph::Pipeline;
use crate::lock::Lock;
use crate::run::options::Options;
use crate::run::recorder::Recorder;
use crate::store::Store;

/// What the stages of a run share.
#[derive(Clone, Copy)]
pub(crate) struct RunContext<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a StatCache,
    pub(crate) options: &'a Options<'a>,
    pub(crate) recorder: &'a Recorder<'a>,
    pub(crate) lock: &'a Lock,
}

impl RunContext<'_> {
    /// Has the user asked to stop?
    pub(crate) fn stopping(self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }
}
