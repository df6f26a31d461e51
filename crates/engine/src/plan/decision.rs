//! The decision on a stage, and what is known about the stages and paths that it reads.

use std::sync::Arc;

use ctpipe_stage::{Key, Tree};

use crate::event::State;
use crate::store::Artifact;

/// A decision and what it is based on.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What has to be done.
    pub state: State,
    /// The key, unless an input is still unknown.
    pub key: Option<Key>,
    /// The artifact to use: the current one if fresh, the earlier one if restored.
    pub artifact: Option<Artifact>,
    /// The artifact that is current now, whatever the decision is.
    pub current: Option<Artifact>,
}

/// What is known about a stage's artifact while the pipeline is being planned.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    /// The artifact that it has or will have.
    Known(Box<Artifact>),
    /// It has to run first.
    Unknown,
}

/// The content of an input path.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) tree: Arc<Tree>,
    pub(crate) digest: String,
}
