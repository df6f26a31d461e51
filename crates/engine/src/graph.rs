//! From a written pipeline to one that can run: stages found, matrices expanded, parameters resolved, inputs
//! wired, cycles refused. Touches no file.

mod build;
mod layout;
mod order;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gates::Gate;
use crate::limits::Limits;
use crate::locate::Side;
use crate::lock_file;
use crate::matrix::{self, Instance};
use crate::param::Params;
use crate::spec::{Notify, Problems, Spec};
use crate::stage::Stage;
use crate::store::RELEASED;
use crate::suggest::did_you_mean;
use build::Builder;
use layout::Layout;

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The artifact of another stage, by its index in [`Pipeline::nodes`].
    Stage(usize),
    /// A file or folder of the user's.
    Path {
        /// As it is written.
        given: String,
        /// Where that is.
        path: PathBuf,
    },
}

/// One stage of a pipeline, or one instance of a stage with a matrix, ready to be decided on.
pub struct Node {
    /// Its name in the pipeline, `train` or `train@fold=0`.
    pub name: String,
    /// Which instance it is, for a stage with a matrix.
    pub instance: Option<Instance>,
    /// What it does.
    pub stage: Arc<dyn Stage>,
    /// Every parameter, defaults filled in.
    pub params: Params,
    /// Port to source; a port that has several has each as `port@label`.
    pub inputs: BTreeMap<String, Source>,
    /// What it may take.
    pub limits: Limits,
    /// What its metrics must reach.
    pub gates: Vec<Gate>,
}

impl Node {
    /// The stage's name in the pipeline file, which instances share.
    pub fn of(&self) -> &str {
        self.instance.as_ref().map_or(&self.name, |instance| &instance.of)
    }
}

/// A checked pipeline: its stages in an order in which each comes after what it reads.
pub struct Pipeline {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    /// The folder of the pipeline file; input paths start here.
    pub root: PathBuf,
    /// Where everything that is made goes.
    pub artifacts: PathBuf,
    /// Where git keeps what it came to, for the chosen profile.
    pub lock: PathBuf,
    /// The names of all nodes that the file has, without a profile and with each, where they can be told.
    pub names: Option<BTreeSet<String>>,
    /// The name of the link to what is released, for the chosen profile.
    pub released: String,
    /// Is it other than the file says, by `--set`?
    pub overridden: bool,
    /// Who is told when it fails.
    pub notify: Notify,
    /// The pipeline's one seed.
    pub seed: u64,
    /// The stages, in order.
    pub nodes: Vec<Node>,
    /// What is built in, used or not.
    pub(crate) built_in: Vec<Arc<dyn Stage>>,
}

/// No pipeline file is larger.
const LARGEST: u64 = 1 << 20;

/// The name of the link to what is released.
fn released(spec: &Spec) -> String {
    spec.profile.as_ref().map_or_else(|| RELEASED.to_owned(), |profile| format!("{RELEASED}@{profile}"))
}

impl Pipeline {
    /// Is it the name of an instance that its stage has under no profile any more, in no pipeline file of the folder:
    /// a value was taken out of its matrix? `elsewhere`: as [`Pipeline::names_elsewhere`] has it.
    pub(crate) fn has_lost(&self, name: &str, elsewhere: Option<&BTreeSet<String>>) -> bool {
        let Some((stage, _)) = name.split_once('@') else { return false };
        let of_stage = |known: &String| known.split('@').next() == Some(stage);
        let current = self.nodes.iter().any(|node| node.name == name);
        let lost = |names: &BTreeSet<String>| names.iter().any(of_stage) && !names.contains(name);
        !current
            && self.names.as_ref().is_some_and(lost)
            && elsewhere.is_some_and(|names| !names.contains(name))
    }

    /// The names of all nodes of the folder's other pipeline files, whose results are in the same `artifacts/`; `None` where
    /// one of them cannot be understood.
    pub(crate) fn names_elsewhere(&self) -> Option<BTreeSet<String>> {
        let folder = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut names = BTreeSet::new();
        for file in entries.filter(|path| path.file_name() != self.file.file_name()) {
            if self.is_a_pipeline(&file) {
                let spec = Spec::load(&file, None, &[]).ok()?;
                names.extend(Layout::all_names(&spec)?);
            }
        }
        Some(names)
    }

    /// Whatever it is called. Other programs have files with `stages:`, too (a list, or stages of another kind); what is no
    /// YAML now and speaks of stages may be ours.
    fn is_a_pipeline(&self, file: &Path) -> bool {
        let is_small =
            std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() < LARGEST);
        let text = if is_small { std::fs::read_to_string(file).unwrap_or_default() } else { String::new() };
        if !text.contains("stages") {
            return false;
        }
        let Ok(root) = serde_yaml::from_str::<serde_yaml::Value>(&text) else {
            let begins = |line: &str| line.trim_start_matches(['\u{feff}', '"', '\'']).starts_with("stages");
            return text.lines().any(begins);
        };
        let Some(stages) = root.get("stages").and_then(serde_yaml::Value::as_mapping) else { return false };
        stages.iter().any(|(name, stage)| {
            let is_built_in = self.built_in.iter().any(|known| name.as_str() == Some(known.kind()));
            is_built_in || ["run", "uses"].iter().any(|key| stage.get(key).is_some())
        })
    }

    /// Holds a written pipeline against the stages that there are.
    ///
    /// # Errors
    /// Every problem found: unknown stages, ports, axes and parameters (with the nearest known one),
    /// values out of range, missing inputs, cycles.
    pub fn new(spec: &Spec, known: &[Arc<dyn Stage>]) -> Result<Pipeline> {
        let root = spec.file.parent().map(Path::to_path_buf).unwrap_or_default();
        let layout = Layout::new(spec).map_err(Problems)?;
        let mut builder = Builder { spec, root: &root, layout, problems: Vec::new() };
        let mut nodes = Vec::new();
        for (name, written) in &spec.stages {
            nodes.extend(builder.stage(name, written, known));
        }
        if builder.problems.is_empty() {
            match order::order(&nodes) {
                Ok(order) => nodes = order::reorder(nodes, &order),
                Err(cycle) => {
                    let around = [cycle.as_slice(), &cycle[..1]].concat().join(" -> ");
                    let message = format!("the stages read each other in a circle: {around}; break it");
                    if let Some(stage) = spec.stages.get(&cycle[0]) {
                        builder.complain(&stage.origin, Side::Key, message);
                    }
                }
            }
        }
        if !builder.problems.is_empty() {
            // What is wrong with a stage is so with each of its instances, and is told once.
            let mut told = BTreeSet::new();
            builder.problems.retain(|problem| told.insert((problem.place.clone(), problem.message.clone())));
            return Err(Problems(builder.problems).into());
        }
        let (artifacts, overridden) = (root.join("artifacts"), spec.overridden);
        let lock = lock_file::path_for(&spec.file, spec.profile.as_deref());
        let released = released(spec);
        Ok(Pipeline {
            file: spec.file.clone(),
            root,
            artifacts,
            names: Layout::all_names(spec),
            released,
            lock,
            overridden,
            notify: spec.notify.clone(),
            seed: spec.seed,
            nodes,
            built_in: known.to_vec(),
        })
    }

    /// The indices of what a name means: of one node, or of all instances of a stage with a matrix that have
    /// the values that are named (`train@fold=0`; all of them for `train`).
    ///
    /// # Errors
    /// When there is none; the error names the nearest.
    pub fn indices(&self, name: &str) -> Result<BTreeSet<usize>> {
        let (stage, words) = match name.split_once('@') {
            Some((stage, words)) => (stage, matrix::words(words)),
            None => (name, Some(Vec::new())),
        };
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

    /// Stages and all that they need, directly or not.
    pub fn with_ancestors(&self, of: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut found = of.clone();
        for i in (0..self.nodes.len()).rev() {
            if found.contains(&i) {
                found.extend(self.parents(i));
            }
        }
        found
    }

    /// Stages and all that needs them, directly or not.
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

fn parents(node: &Node) -> impl Iterator<Item = usize> + '_ {
    node.inputs.values().filter_map(|source| match source {
        Source::Stage(index) => Some(*index),
        Source::Path { .. } => None,
    })
}
