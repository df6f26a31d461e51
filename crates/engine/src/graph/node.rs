//! A node of a pipeline, and the sources of its inputs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ctpipe_stage::{Params, Stage};

use crate::instance::Instance;
use crate::metrics::gate::Gate;
use crate::spec::limits::Limits;

/// The source of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The artifact of another stage, by its index in [`Pipeline::nodes`].
    Stage(usize),
    /// A file or folder of the user.
    Path {
        /// The path as written in the file.
        given: String,
        /// The resolved path.
        path: PathBuf,
    },
}

/// A stage of a pipeline, or an instance of a stage with a matrix, ready for the decision whether
/// it runs.
pub struct Node {
    /// Its name in the pipeline, `train` or `train@fold=0`.
    pub name: String,
    /// The instance, for a stage with a matrix.
    pub instance: Option<Instance>,
    /// The implementation of the stage.
    pub stage: Arc<dyn Stage>,
    /// All parameters, including defaults.
    pub params: Params,
    /// The source of each port; a port with several sources has an entry `port@label` for each.
    pub inputs: BTreeMap<String, Source>,
    /// The resource limits.
    pub limits: Limits,
    /// The conditions that its metrics must meet.
    pub gates: Vec<Gate>,
}

impl Node {
    /// The stage's name in the pipeline file, which its instances share.
    pub fn of(&self) -> &str {
        self.instance.as_ref().map_or(&self.name, |instance| &instance.of)
    }
}

/// The stages that a node reads directly.
pub(super) fn parents(node: &Node) -> impl Iterator<Item = usize> + '_ {
    node.inputs.values().filter_map(|source| match source {
        Source::Stage(index) => Some(*index),
        Source::Path { .. } => None,
    })
}
