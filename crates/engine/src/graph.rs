//! From a written pipeline to one that can run: stages found, parameters resolved, inputs wired,
//! cycles refused. Touches no file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::command::{self, Command};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::locate::Side;
use crate::lock_file;
use crate::param::Params;
use crate::spec::{Origin, Problem, Problems, Setting, Spec, StageSpec};
use crate::stage::Stage;
use crate::suggest::did_you_mean;

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

/// One stage of a pipeline, ready to be decided on.
pub struct Node {
    /// Its name in the pipeline.
    pub name: String,
    /// What it does.
    pub stage: Arc<dyn Stage>,
    /// Every parameter, defaults filled in.
    pub params: Params,
    /// Port to source.
    pub inputs: BTreeMap<String, Source>,
    /// What it may take.
    pub limits: Limits,
}

/// A checked pipeline: its stages in an order in which each comes after what it reads.
pub struct Pipeline {
    /// The folder of the pipeline file; input paths start here.
    pub root: PathBuf,
    /// Where everything that is made goes.
    pub artifacts: PathBuf,
    /// Where git keeps what it came to, for the chosen profile.
    pub lock: PathBuf,
    /// Is it other than the file says, by `--set`?
    pub overridden: bool,
    /// The pipeline's one seed.
    pub seed: u64,
    /// The stages, in order.
    pub nodes: Vec<Node>,
}

impl Pipeline {
    /// Holds a written pipeline against the stages that there are.
    ///
    /// # Errors
    /// Every problem found: unknown stages, ports and parameters (with the nearest known one),
    /// values out of range, missing inputs, cycles.
    pub fn new(spec: &Spec, known: &[Arc<dyn Stage>]) -> Result<Pipeline> {
        let root = spec.file.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut problems = Vec::new();
        let names: Vec<&String> = spec.stages.keys().collect();
        let mut nodes = Vec::new();
        for (name, written) in &spec.stages {
            if let Some(run) = &written.run {
                nodes.push(own(spec, &root, name, run, written, &names, &mut problems));
            } else if let Some(stage) = find_stage(spec, name, written, known, &mut problems) {
                let written = with_inputs_named_as_params(spec, written, stage.as_ref(), &mut problems);
                let params = resolve_params(spec, &written, stage.as_ref(), &mut problems);
                let inputs = wire(spec, &root, name, &written, stage.as_ref(), &names, &mut problems);
                nodes.push(Node { name: name.clone(), stage, params, inputs, limits: written.limits });
            }
        }
        if problems.is_empty() {
            match order(&nodes) {
                Ok(order) => nodes = reorder(nodes, &order),
                Err(cycle) => {
                    let origin = &spec.stages[&cycle[0]].origin;
                    let around = [cycle.as_slice(), &cycle[..1]].concat().join(" -> ");
                    let text = format!("the stages read each other in a circle: {around}; break it");
                    problems.push(spec.problem(origin, Side::Key, text));
                }
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems).into());
        }
        let (artifacts, overridden) = (root.join("artifacts"), spec.overridden);
        let lock = lock_file::path_for(&spec.file, spec.profile.as_deref());
        Ok(Pipeline { root, artifacts, lock, overridden, seed: spec.seed, nodes })
    }

    /// The index of a stage by its name.
    ///
    /// # Errors
    /// When there is none; the error names the nearest.
    pub fn index(&self, name: &str) -> Result<usize> {
        self.nodes.iter().position(|node| node.name == name).ok_or_else(|| {
            let names = self.nodes.iter().map(|node| node.name.as_str());
            let hint = did_you_mean(name, names.clone());
            let all = names.collect::<Vec<_>>().join(", ");
            Error::Usage(format!("unknown stage \"{name}\"{hint}; stages: {all}"))
        })
    }

    /// The stages that a stage reads directly.
    pub fn parents(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        parents(&self.nodes[index])
    }

    /// A stage and all that it needs, directly or not.
    pub fn with_ancestors(&self, index: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([index]);
        for i in (0..=index).rev() {
            if found.contains(&i) {
                found.extend(self.parents(i));
            }
        }
        found
    }

    /// A stage and all that needs it, directly or not.
    pub fn with_descendants(&self, index: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([index]);
        for i in index..self.nodes.len() {
            if self.parents(i).any(|parent| found.contains(&parent)) {
                found.insert(i);
            }
        }
        found
    }
}

fn parents(node: &Node) -> impl Iterator<Item = usize> + '_ {
    node.inputs.values().filter_map(|source| match source {
        Source::Stage(index) => Some(*index),
        Source::Path { .. } => None,
    })
}

fn find_stage(
    spec: &Spec,
    name: &str,
    written: &StageSpec,
    known: &[Arc<dyn Stage>],
    problems: &mut Vec<Problem>,
) -> Option<Arc<dyn Stage>> {
    let (kind, origin, side) = match &written.uses {
        Some(uses) => (uses.value.as_str(), &uses.origin, Side::Value),
        None => (name, &written.origin, Side::Key),
    };
    let stage = known.iter().find(|stage| stage.kind() == kind).cloned();
    if stage.is_none() {
        let kinds: Vec<_> = known.iter().map(|stage| stage.kind()).collect();
        let hint = did_you_mean(kind, kinds.iter().copied());
        let message = format!("unknown stage \"{kind}\"{hint}; built in are: {}", kinds.join(", "));
        problems.push(spec.problem(origin, side, message));
    }
    stage
}

/// An input may be given among the parameters, where people (and `--set`) look for it.
fn with_inputs_named_as_params(
    spec: &Spec,
    written: &StageSpec,
    stage: &dyn Stage,
    problems: &mut Vec<Problem>,
) -> StageSpec {
    let mut written = written.clone();
    for port in stage.ports() {
        if stage.params().iter().any(|param| param.name == port.name) {
            continue;
        }
        let Some(setting) = written.params.remove(port.name) else { continue };
        let name = port.name;
        if setting.value.is_null() {
            written.inputs.remove(name);
        } else if let Some(path) = setting.value.as_str() {
            let twice = written.inputs.contains_key(name) && matches!(setting.origin, Origin::File(_));
            if twice {
                let message =
                    format!("{name} is given twice, among the inputs and among the params; keep one");
                problems.push(spec.problem(&setting.origin, Side::Key, message));
            }
            let setting = Setting { value: path.to_owned(), origin: setting.origin };
            written.inputs.insert(name.to_owned(), setting);
        } else {
            let message = format!("{name} must be a path or a stage's name, found {}", setting.value);
            problems.push(spec.problem(&setting.origin, Side::Value, message));
        }
    }
    written
}

fn resolve_params(
    spec: &Spec,
    written: &StageSpec,
    stage: &dyn Stage,
    problems: &mut Vec<Problem>,
) -> Params {
    let declared = stage.params();
    let before = problems.len();
    let mut params: Params =
        declared.iter().map(|param| (param.name.to_owned(), param.default_value())).collect();
    for (name, setting) in &written.params {
        let Some(param) = declared.iter().find(|param| param.name == name) else {
            let names: Vec<&str> = declared.iter().map(|param| param.name).collect();
            let hint = did_you_mean(name, names.iter().copied());
            let kind = stage.kind();
            let known = names.join(", ");
            let message = format!("{kind} has no parameter \"{name}\"{hint}; it has: {known}");
            problems.push(spec.problem(&setting.origin, Side::Key, message));
            continue;
        };
        match param.accept(&setting.value) {
            Ok(value) => {
                params.insert(name.clone(), value);
            }
            Err(message) => problems.push(spec.problem(&setting.origin, Side::Value, message)),
        }
    }
    if problems.len() == before
        && let Err(message) = stage.check(&params)
    {
        let message = format!("{}: {message}", stage.kind());
        problems.push(spec.problem(&written.origin, Side::Key, message));
    }
    params
}

/// A source refers to a stage by its place in `names`.
fn stage_or_path(root: &Path, given: &str, names: &[&String]) -> Source {
    match names.iter().position(|stage| *stage == given) {
        Some(index) => Source::Stage(index),
        None => Source::Path { given: given.to_owned(), path: root.join(given) },
    }
}

/// What an input is written to be.
fn source(
    spec: &Spec,
    root: &Path,
    setting: &Setting<String>,
    names: &[&String],
    problems: &mut Vec<Problem>,
) -> Source {
    let given = &setting.value;
    let source = stage_or_path(root, given, names);
    if let Source::Path { path, .. } = &source
        && !path.exists()
        && !given.contains(['/', '.'])
    {
        // Neither a stage nor a path that is there, and a bare word: a stage was meant.
        let hint = did_you_mean(given, names.iter().map(|n| n.as_str()));
        if !hint.is_empty() {
            let message = format!("\"{given}\" is neither a stage nor a path{hint}");
            problems.push(spec.problem(&setting.origin, Side::Value, message));
        }
    }
    source
}

/// A stage of the user's own. What its command and its outputs are, is a parameter like its others.
fn own(
    spec: &Spec,
    root: &Path,
    name: &str,
    run: &Setting<String>,
    written: &StageSpec,
    names: &[&String],
    problems: &mut Vec<Problem>,
) -> Node {
    let mut given = written.inputs.clone();
    let mut params = Params::new();
    for (param, Setting { value, origin }) in &written.params {
        if let (Some(input), Some(path)) = (given.get_mut(param), value.as_str()) {
            *input = Setting { value: path.to_owned(), origin: origin.clone() };
        } else if [command::RUN, command::OUTPUTS].contains(&param.as_str()) {
            let message = format!("a command's parameter cannot be called {param}; choose another name");
            problems.push(spec.problem(origin, Side::Key, message));
        } else if value.is_array() || value.is_object() {
            let message = format!("$PARAM_ variables hold a text, a number or true or false; found {value}");
            problems.push(spec.problem(origin, Side::Value, message));
        } else if !value.is_null() {
            params.insert(param.clone(), value.clone());
        }
    }
    let variables = |names: Vec<&String>, kind: &str, problems: &mut Vec<Problem>| {
        let mut seen = BTreeMap::new();
        for name in names {
            if let Some(other) = seen.insert(command::variable("", name), name) {
                let message = format!("{kind} {other} and {name} would be the same variable; rename one");
                problems.push(spec.problem(&written.origin, Side::Key, message));
            }
        }
    };
    variables(given.keys().collect(), "inputs", problems);
    variables(params.keys().collect(), "parameters", problems);
    let outputs: Vec<String> = written.outputs.iter().map(|output| output.value.clone()).collect();
    params.insert(command::RUN.to_owned(), run.value.clone().into());
    params.insert(command::OUTPUTS.to_owned(), outputs.clone().into());
    let mut inputs: BTreeMap<String, Source> =
        given.iter().map(|(port, at)| (port.clone(), source(spec, root, at, names, problems))).collect();
    let ports = inputs.keys().cloned().collect();
    for file in command::files_named(root, &run.value) {
        let path = root.join(&file);
        inputs.entry(file.clone()).or_insert(Source::Path { given: file, path });
    }
    let stage = Command { line: run.value.clone(), folder: root.to_path_buf(), ports, outputs };
    Node { name: name.to_owned(), stage: Arc::new(stage), params, inputs, limits: written.limits }
}

fn wire(
    spec: &Spec,
    root: &Path,
    name: &str,
    written: &StageSpec,
    stage: &dyn Stage,
    names: &[&String],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Source> {
    let mut inputs = BTreeMap::new();
    for (port, setting) in &written.inputs {
        if stage.ports().iter().any(|p| p.name == port) {
            inputs.insert(port.clone(), source(spec, root, setting, names, problems));
        } else {
            let ports: Vec<&str> = stage.ports().iter().map(|p| p.name).collect();
            let hint = did_you_mean(port, ports.iter().copied());
            let message =
                format!("{} has no input \"{port}\"{hint}; it has: {}", stage.kind(), ports.join(", "));
            problems.push(spec.problem(&setting.origin, Side::Key, message));
        }
    }
    for port in stage.ports() {
        if inputs.contains_key(port.name) {
            continue;
        }
        if let Some(default) = port.default {
            inputs.insert(port.name.to_owned(), stage_or_path(root, default, names));
        } else if !port.optional {
            let message = format!("stage {name} needs its input \"{}\": {}", port.name, port.doc);
            problems.push(spec.problem(&written.origin, Side::Key, message));
        }
    }
    inputs
}

/// Kahn's algorithm; among those that could come next the first in pipeline order does, so the
/// order depends on the file's names alone. On failure, one cycle by name.
fn order(nodes: &[Node]) -> std::result::Result<Vec<usize>, Vec<String>> {
    let mut order: Vec<usize> = Vec::new();
    let mut left: Vec<usize> = (0..nodes.len()).collect();
    while !left.is_empty() {
        let ready = left.iter().position(|&i| parents(&nodes[i]).all(|p| order.contains(&p)));
        match ready {
            Some(at) => order.push(left.remove(at)),
            None => return Err(cycle(nodes, &left)),
        }
    }
    Ok(order)
}

/// Every node in `stuck` has a parent in `stuck`: walking up must come round.
fn cycle(nodes: &[Node], stuck: &[usize]) -> Vec<String> {
    let mut walk = vec![stuck[0]];
    loop {
        let here = walk[walk.len() - 1];
        let up = parents(&nodes[here]).find(|p| stuck.contains(p)).unwrap_or(here);
        if let Some(start) = walk.iter().position(|&i| i == up) {
            // Walked against the flow; turned round it reads in the order of the data.
            return walk[start..].iter().rev().map(|&i| nodes[i].name.clone()).collect();
        }
        walk.push(up);
    }
}

fn reorder(nodes: Vec<Node>, order: &[usize]) -> Vec<Node> {
    let mut slots: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let new_index = |old: usize| order.iter().position(|&i| i == old).unwrap_or(old);
    order
        .iter()
        .filter_map(|&old| slots[old].take())
        .map(|mut node| {
            for source in node.inputs.values_mut() {
                if let Source::Stage(index) = source {
                    *index = new_index(*index);
                }
            }
            node
        })
        .collect()
}
