//! Builds the nodes of a stage: finds the built-in or the command, and checks axes and parameters
//! against its declaration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ctpipe_stage::{Params, Stage, did_you_mean};
use serde_json::Value;

use super::instances::Instances;
use super::node::{Node, Source};
use crate::error::Problem;
use crate::instance::{self, Instance, Point};
use crate::spec::axes::Axes;
use crate::spec::locate::Side;
use crate::spec::setting::{Given, Origin, Setting};
use crate::spec::{Spec, StageSpec};
use crate::stage::command::{self, Command};

/// The input for building a pipeline.
pub(super) struct Builder<'a> {
    pub(super) spec: &'a Spec,
    pub(super) root: &'a Path,
    pub(super) instances: Instances<'a>,
    pub(super) problems: Vec<Problem>,
}

/// One instance of a stage, or the stage itself where it has no matrix.
pub(super) struct Draft<'a> {
    /// The stage's name in the file.
    pub(super) stage: &'a str,
    pub(super) point: &'a Point,
    pub(super) written: &'a StageSpec,
    pub(super) inputs: BTreeMap<String, Setting<Given>>,
    /// The parameters, including axes that are parameters.
    pub(super) params: BTreeMap<String, Setting<Value>>,
}

impl Builder<'_> {
    pub(super) fn complain(&mut self, origin: &Origin, side: Side, message: String) {
        self.problems.push(self.spec.problem(origin, side, message));
    }

    /// All nodes of a stage.
    pub(super) fn stage(&mut self, name: &str, written: &StageSpec, known: &[Arc<dyn Stage>]) -> Vec<Node> {
        let built_in = if written.run.is_some() { None } else { self.find(name, written, known) };
        if built_in.is_none() && written.run.is_none() {
            return Vec::new();
        }
        let axes = self.instances.axes(name);
        if let Some(axes) = axes
            && !self.are_usable(name, axes, written, built_in.as_deref())
        {
            return Vec::new();
        }
        let points = self.instances.points(name).to_vec();
        let mut nodes = Vec::new();
        for point in &points {
            let (inputs, params) = (written.inputs.clone(), written.params.clone());
            let mut draft = Draft { stage: name, point, written, inputs, params };
            for (axis, value) in point {
                let is_parameter = built_in.as_ref().is_none_or(|stage| declares(stage.as_ref(), axis));
                let setting = axes.and_then(|axes| axes.get(axis)?.setting(value));
                draft.params.extend(setting.filter(|_| is_parameter).cloned().map(|s| (axis.clone(), s)));
            }
            let (stage, params, inputs) = match (&built_in, &written.run) {
                (Some(stage), _) => self.built_in(draft, stage),
                (None, Some(run)) => self.own(&draft, run),
                (None, None) => continue,
            };
            let axes = point.clone();
            let instance = (!axes.is_empty()).then(|| Instance { of: name.to_owned(), axes });
            let (limits, gates) = (written.limits, written.gates.clone());
            let name = instance::name(name, point);
            nodes.push(Node { name, instance, stage, params, inputs, limits, gates });
        }
        nodes
    }

    fn find(&mut self, name: &str, written: &StageSpec, known: &[Arc<dyn Stage>]) -> Option<Arc<dyn Stage>> {
        let (kind, origin, side) = match &written.uses {
            Some(uses) => (uses.value.as_str(), &uses.origin, Side::Value),
            None => (name, &written.origin, Side::Key),
        };
        let stage = known.iter().find(|stage| stage.kind() == kind).cloned();
        if stage.is_none() {
            let kinds: Vec<_> = known.iter().map(|stage| stage.kind()).collect();
            let hint = did_you_mean(kind, kinds.iter().copied());
            let message =
                format!("unknown stage \"{kind}\"{hint}; the built-in stages are: {}", kinds.join(", "));
            self.complain(origin, side, message);
        }
        stage
    }

    /// Whether each axis of a stage is either a parameter of it or an axis of a stage that it
    /// reads.
    fn are_usable(
        &mut self,
        name: &str,
        axes: &Axes,
        written: &StageSpec,
        built_in: Option<&dyn Stage>,
    ) -> bool {
        let before = self.problems.len();
        for (axis, values) in axes {
            if let Some(setting) = written.params.get(axis) {
                let message = match &setting.origin {
                    Origin::Argument(_) => {
                        format!(
                            "{axis} is an axis of the matrix of {name}; set {name}.matrix.{axis} to a list"
                        )
                    }
                    Origin::File(_) => {
                        format!("{axis} is both an axis of the matrix and a parameter; keep one")
                    }
                };
                self.complain(&setting.origin, Side::Key, message);
            }
            match built_in {
                None if written.inputs.contains_key(axis) => {
                    let message = format!("{axis} is also an input of {name}; rename the axis");
                    self.complain(&values.origin, Side::Key, message);
                }
                Some(stage) if !declares(stage, axis) && !self.reads_axis(written, axis) => {
                    let message = self.is_neither(name, axis, written, stage);
                    self.complain(&values.origin, Side::Key, message);
                }
                _ => {}
            }
        }
        self.problems.len() == before
    }

    fn is_neither(&self, name: &str, axis: &str, written: &StageSpec, stage: &dyn Stage) -> String {
        let hint = did_you_mean(axis, stage.params().iter().map(|param| param.name));
        let read = self.read_axes(written);
        let read = if read.is_empty() {
            "none of which has a matrix".to_owned()
        } else {
            format!("whose axes are: {}", read.join(", "))
        };
        format!("{axis} is neither a parameter of {name}{hint} nor an axis of a stage that it reads, {read}")
    }

    /// An input may be given among the parameters, where people (and `--set`) look for it.
    fn move_inputs_named_as_params(&mut self, draft: &mut Draft<'_>, stage: &dyn Stage) {
        for port in stage.ports().iter().filter(|port| !declares(stage, port.name)) {
            let Some(setting) = draft.params.remove(port.name) else { continue };
            let name = port.name;
            if setting.value.is_null() {
                draft.inputs.remove(name);
            } else if let Some(given) = given(&setting) {
                let twice = draft.inputs.contains_key(name) && matches!(setting.origin, Origin::File(_));
                if twice {
                    let message = format!("{name} is both an input and a parameter; keep one");
                    self.complain(&setting.origin, Side::Key, message);
                }
                draft.inputs.insert(name.to_owned(), Setting { value: given, origin: setting.origin });
            } else {
                let message =
                    format!("{name} must be a path or the name of a stage, found {}", setting.value);
                self.complain(&setting.origin, Side::Value, message);
            }
        }
    }

    fn built_in(&mut self, mut draft: Draft<'_>, stage: &Arc<dyn Stage>) -> Parts {
        self.move_inputs_named_as_params(&mut draft, stage.as_ref());
        let params = self.params(&draft, stage.as_ref());
        let inputs = self.wire(&draft, stage.as_ref());
        (stage.clone(), params, inputs)
    }

    fn params(&mut self, draft: &Draft<'_>, stage: &dyn Stage) -> Params {
        let declared = stage.params();
        let before = self.problems.len();
        let mut params: Params =
            declared.iter().map(|param| (param.name.to_owned(), param.default_value())).collect();
        for (name, setting) in &draft.params {
            let Some(param) = declared.iter().find(|param| param.name == name) else {
                let names: Vec<&str> = declared.iter().map(|param| param.name).collect();
                let hint = did_you_mean(name, names.iter().copied());
                let kind = stage.kind();
                let known = names.join(", ");
                let message = format!("{kind} has no parameter \"{name}\"{hint}; it has: {known}");
                self.complain(&setting.origin, Side::Key, message);
                continue;
            };
            match param.accept(&setting.value) {
                Ok(value) => {
                    params.insert(name.clone(), value);
                }
                Err(message) => self.complain(&setting.origin, Side::Value, message),
            }
        }
        if self.problems.len() == before
            && let Err(message) = stage.check(&params)
        {
            let message = format!("{}: {message}", instance::name(draft.stage, draft.point));
            self.complain(&draft.written.origin, Side::Key, message);
        }
        params
    }

    /// A command stage of the user. Its command and its outputs are parameters like any other.
    fn own(&mut self, draft: &Draft<'_>, run: &Setting<String>) -> Parts {
        let written = draft.written;
        let mut inputs = draft.inputs.clone();
        let mut params = Params::new();
        for (param, setting) in &draft.params {
            let Setting { value, origin } = setting;
            if let (Some(input), Some(value)) = (inputs.get_mut(param), given(setting)) {
                *input = Setting { value, origin: origin.clone() };
            } else if [command::RUN, command::OUTPUTS].contains(&param.as_str()) {
                let message =
                    format!("a parameter of a command cannot be called {param}; choose another name");
                self.complain(origin, Side::Key, message);
            } else if value.is_array() || value.is_object() {
                let message =
                    format!("a parameter of a command is a text, a number, or true or false; found {value}");
                self.complain(origin, Side::Value, message);
            } else if !value.is_null() {
                params.insert(param.clone(), value.clone());
            }
        }
        self.refuse_equal_variables(written, "inputs", inputs.keys());
        self.refuse_equal_variables(written, "parameters", params.keys());
        let outputs: Vec<String> = written.outputs.iter().map(|output| output.value.clone()).collect();
        params.insert(command::RUN.to_owned(), run.value.clone().into());
        params.insert(command::OUTPUTS.to_owned(), outputs.clone().into());
        let ports = inputs.keys().cloned().collect();
        let mut sources = BTreeMap::new();
        for (port, setting) in &inputs {
            if port.contains('@') {
                let message = format!("the name of an input cannot contain @, found \"{port}\"; rename it");
                self.complain(&setting.origin, Side::Key, message);
            }
            sources.extend(self.sources(draft, port, true, setting));
        }
        for file in command::files_named(self.root, &run.value) {
            let path = self.root.join(&file);
            sources.entry(file.clone()).or_insert(Source::Path { given: file, path });
        }
        let stage = Command { line: run.value.clone(), folder: self.root.to_path_buf(), ports, outputs };
        (Arc::new(stage), params, sources)
    }

    fn refuse_equal_variables<'n>(
        &mut self,
        written: &StageSpec,
        kind: &str,
        names: impl Iterator<Item = &'n String>,
    ) {
        let mut seen = BTreeMap::new();
        for name in names {
            if let Some(other) = seen.insert(command::variable("", name), name) {
                let message = format!("{kind} {other} and {name} would become the same variable; rename one");
                self.complain(&written.origin, Side::Key, message);
            }
        }
    }
}

/// The parts of a node besides its name and limits.
type Parts = (Arc<dyn Stage>, Params, BTreeMap<String, Source>);

fn declares(stage: &dyn Stage, param: &str) -> bool {
    stage.params().iter().any(|declared| declared.name == param)
}

/// A parameter's value read as an input: a text or a list of them.
fn given(setting: &Setting<Value>) -> Option<Given> {
    match &setting.value {
        Value::String(text) => Some(Given::One(text.clone())),
        Value::Array(list) => {
            let item = |(position, value): (usize, &Value)| {
                let origin = setting.origin.below(&position.to_string());
                Some(Setting { value: value.as_str()?.to_owned(), origin })
            };
            list.iter().enumerate().map(item).collect::<Option<_>>().map(Given::Several)
        }
        _ => None,
    }
}
