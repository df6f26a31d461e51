//! A checked pipeline, and the lookup of names in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctpipe_stage::{Labelled, Stage, did_you_mean};

use super::build::Builder;
use super::instances::Instances;
use super::node::{Node, parents};
use super::order;
use crate::error::{Error, Problems, Result};
use crate::instance;
use crate::layout::{ARTIFACTS, released_link};
use crate::spec::locate::Side;
use crate::spec::{Notify, Spec, lock_path};

/// A checked pipeline: its stages are sorted so that each comes after the stages that it reads.
pub struct Pipeline {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    /// The folder of the pipeline file; input paths are relative to it.
    pub root: PathBuf,
    /// The folder of all artifacts.
    pub artifacts: PathBuf,
    /// The lock file of the chosen profile, which is kept in git.
    pub lock: PathBuf,
    /// The names of all nodes of the file, without a profile and with each profile, where they can
    /// be determined.
    pub names: Option<BTreeSet<String>>,
    /// The name of the link to the released result, for the chosen profile.
    pub released: String,
    /// Whether `--set` has changed the pipeline.
    pub overridden: bool,
    /// Who is notified when a run fails.
    pub notify: Notify,
    /// The seed of the pipeline.
    pub seed: u64,
    /// The stages, in order.
    pub nodes: Vec<Node>,
    /// The built-in stages, used or not.
    pub(crate) built_in: Vec<Arc<dyn Stage>>,
}

impl Pipeline {
    /// Checks a parsed pipeline against the known stages.
    ///
    /// # Errors
    /// Every problem found: unknown stages, ports, axes and parameters (with the nearest known one),
    /// values out of range, missing inputs, cycles.
    pub fn new(spec: &Spec, known: &[Arc<dyn Stage>]) -> Result<Pipeline> {
        let root = spec.file.parent().map(Path::to_path_buf).unwrap_or_default();
        let instances = Instances::new(spec).map_err(Problems)?;
        let mut builder = Builder { spec, root: &root, instances, problems: Vec::new() };
        let mut nodes = Vec::new();
        for (name, written) in &spec.stages {
            nodes.extend(builder.stage(name, written, known));
        }
        if builder.problems.is_empty() {
            match order::order(&nodes) {
                Ok(order) => nodes = order::reorder(nodes, &order),
                Err(cycle) => {
                    let around = [cycle.as_slice(), &cycle[..1]].concat().join(" -> ");
                    let message = format!("the stages depend on each other in a cycle: {around}; break it");
                    if let Some(stage) = spec.stages.get(&cycle[0]) {
                        builder.complain(&stage.origin, Side::Key, message);
                    }
                }
            }
        }
        if !builder.problems.is_empty() {
            // A problem of a stage occurs in each of its instances and is reported once.
            let mut told = BTreeSet::new();
            builder.problems.retain(|problem| told.insert((problem.place.clone(), problem.message.clone())));
            return Err(Problems(builder.problems).into());
        }
        let (artifacts, overridden) = (root.join(ARTIFACTS), spec.overridden);
        let lock = lock_path(&spec.file, spec.profile.as_deref());
        let released = released_link(spec.profile.as_deref());
        Ok(Pipeline {
            file: spec.file.clone(),
            root,
            artifacts,
            names: Instances::all_names(spec),
            released,
            lock,
            overridden,
            notify: spec.notify.clone(),
            seed: spec.seed,
            nodes,
            built_in: known.to_vec(),
        })
    }

    /// The indices of the nodes that a name refers to: one node, or all instances of a stage with a
    /// matrix that have the named values (`train@fold=0`; `train` names all of them).
    ///
    /// # Errors
    /// When no node matches; the error names the nearest name.
    pub fn indices(&self, name: &str) -> Result<BTreeSet<usize>> {
        let Labelled { name: stage, label } = Labelled::parse(name);
        let words = label.map_or_else(|| Some(Vec::new()), instance::words);
        let wanted = |node: &Node| match &node.instance {
            _ if node.name == name => true,
            Some(instance) => instance.of == stage && words.as_ref().is_some_and(|words| instance.has(words)),
            None => false,
        };
        let nodes = self.nodes.iter().enumerate();
        let found: BTreeSet<usize> = nodes.filter(|(_, node)| wanted(node)).map(|(index, _)| index).collect();
        if found.is_empty() { Err(self.unknown(name, stage)) } else { Ok(found) }
    }

    fn unknown(&self, name: &str, stage: &str) -> Error {
        let instances: Vec<&str> =
            self.nodes.iter().filter(|node| node.of() == stage).map(|node| node.name.as_str()).collect();
        if name != stage && !instances.is_empty() {
            let hint = did_you_mean(name, instances.iter().copied());
            let count = instances.len();
            let shown = instances.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
            let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
            return Error::Usage(format!("there is no {name}{hint}; there are: {shown}{more}"));
        }
        let mut names: Vec<&str> = self.nodes.iter().map(Node::of).collect();
        names.dedup();
        let hint = did_you_mean(name, names.iter().copied());
        Error::Usage(format!("unknown stage \"{name}\"{hint}; stages: {}", names.join(", ")))
    }

    /// The stages that a stage reads directly.
    pub fn parents(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        parents(&self.nodes[index])
    }

    /// The given stages and all that they depend on, directly or not.
    pub fn with_ancestors(&self, of: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut found = of.clone();
        for i in (0..self.nodes.len()).rev() {
            if found.contains(&i) {
                found.extend(self.parents(i));
            }
        }
        found
    }

    /// The given stages and all that depend on them, directly or not.
    pub fn with_descendants(&self, of: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut found = of.clone();
        for i in 0..self.nodes.len() {
            if self.parents(i).any(|parent| found.contains(&parent)) {
                found.insert(i);
            }
        }
        found
    }
}

/// How many instances an error names before it counts the rest.
const SHOWN: usize = 10;
