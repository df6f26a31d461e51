//! Reads the YAML of a pipeline, its profiles and `--set`, and reports every error in its shape.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use ctpipe_stage::did_you_mean;
use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use super::limits::Limits;
use super::locate::Side;
use super::setting::{Given, Origin, Setting};
use super::written::{Spec, StageSpec};
use crate::error::Problem;
use crate::layout::RESERVED;
use crate::metrics::gate::Gate;

/// The keys of a stage that a profile may change.
const CHANGEABLE: &[&str] =
    &["inputs", "params", "matrix", "gates", "timeout", "retries", "cpus", "gpus", "memory"];

/// The word for every stage on the command line.
const ALL: &str = "all";

pub(super) struct Reader {
    pub(super) spec: Spec,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    fn complain(&mut self, path: &[&str], side: Side, message: String) {
        self.problem(&origin(path), side, message);
    }

    pub(super) fn problem(&mut self, origin: &Origin, side: Side, message: String) {
        let problem = self.spec.problem(origin, side, message);
        self.problems.push(problem);
    }

    /// The entries of a mapping. Its keys must be in `known`, unless `known` is empty.
    fn entries<'y>(&mut self, yaml: &'y Yaml, path: &[&str], known: &[&str]) -> Vec<(&'y str, &'y Yaml)> {
        let mapping = match yaml {
            Yaml::Mapping(mapping) => mapping,
            Yaml::Null => return Vec::new(),
            other => {
                let found = describe(other);
                self.complain(path, Side::Value, format!("expected keys and values, found {found}"));
                return Vec::new();
            }
        };
        let mut entries = Vec::new();
        for (key, value) in mapping {
            let Some(key) = key.as_str() else {
                let found = describe(key);
                self.complain(path, Side::Value, format!("a key must be a name, found {found}"));
                continue;
            };
            if known.is_empty() || known.contains(&key) {
                entries.push((key, value));
            } else {
                let hint = did_you_mean(key, known.iter().copied());
                let expected = known.join(", ");
                let mut at = path.to_vec();
                at.push(key);
                self.complain(
                    &at,
                    Side::Key,
                    format!("unknown key \"{key}\"{hint}; expected one of: {expected}"),
                );
            }
        }
        entries
    }

    pub(super) fn root(&mut self, root: &Yaml, profile: Option<&str>) {
        let mut profiles = Vec::new();
        for (key, value) in self.entries(root, &[], &["seed", "stages", "notify", "profiles"]) {
            match key {
                "seed" => match value.as_u64() {
                    Some(seed) => self.spec.seed = seed,
                    None => self.complain(
                        &["seed"],
                        Side::Value,
                        format!("seed must be a whole number, 0 or greater, found {}", describe(value)),
                    ),
                },
                "stages" => {
                    for (name, stage) in self.entries(value, &["stages"], &[]) {
                        self.stage(name, stage);
                    }
                }
                "notify" => self.notify(value),
                _ => profiles = self.entries(value, &["profiles"], &[]),
            }
        }
        if self.spec.stages.is_empty() && self.problems.is_empty() {
            self.complain(&[], Side::Value, "no stages are declared; add a \"stages:\" section".into());
        }
        // All profiles are checked, not only the selected one, so that a mistake is found before
        // its profile is used.
        let base = self.spec.stages.clone();
        self.spec.variants.push(base.clone());
        let mut chosen = base.clone();
        for (name, overlay) in &profiles {
            self.profile(name, overlay);
            let changed = std::mem::replace(&mut self.spec.stages, base.clone());
            if profile == Some(*name) {
                chosen.clone_from(&changed);
            }
            self.spec.variants.push(changed);
        }
        self.spec.stages = chosen;
        if let Some(wanted) = profile
            && !profiles.iter().any(|(name, _)| *name == wanted)
        {
            let names: Vec<&str> = profiles.iter().map(|(name, _)| *name).collect();
            let hint = did_you_mean(wanted, names.iter().copied());
            let known = if names.is_empty() { "none is declared".to_owned() } else { names.join(", ") };
            self.problems.push(Problem {
                place: format!("--profile {wanted}"),
                message: format!("unknown profile \"{wanted}\"{hint}; profiles: {known}"),
            });
        }
    }

    fn notify(&mut self, yaml: &Yaml) {
        for (key, value) in self.entries(yaml, &["notify"], &["command", "webhook"]) {
            let at = ["notify", key];
            let text = self.text(value, &at, "must be a text").map(|setting| setting.value);
            if key == "command" {
                self.spec.notify.command = text;
                continue;
            }
            let is_address = |text: &str| {
                let name = text.strip_prefix('$').unwrap_or_default();
                text.starts_with("https://")
                    || text.starts_with("http://")
                    || !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            match text {
                // The address of a webhook is often a secret, so the message does not repeat it.
                Some(text) if !is_address(&text) => {
                    let message =
                        "\"webhook\" must be an address (https://...), or $NAME for one in the environment";
                    self.complain(&at, Side::Value, message.to_owned());
                }
                text => self.spec.notify.webhook = text,
            }
        }
    }

    fn stage(&mut self, name: &str, yaml: &Yaml) {
        if !is_word(name) {
            self.complain(
                &["stages", name],
                Side::Key,
                format!("stage name \"{name}\" must be made of letters, digits, - and _"),
            );
            return;
        }
        if RESERVED.contains(&name) {
            let message = format!(
                "a stage cannot be called {name}, because artifacts/{name} has another use; rename it"
            );
            self.complain(&["stages", name], Side::Key, message);
            return;
        }
        if name == ALL {
            let message = format!(
                "a stage cannot be called {ALL}, because \"audit --rerun {ALL}\" means every stage; rename it"
            );
            self.complain(&["stages", name], Side::Key, message);
            return;
        }
        let path = ["stages", name];
        let mut stage = StageSpec {
            origin: origin(&path),
            uses: None,
            run: None,
            outputs: Vec::new(),
            limits: Limits::default(),
            matrix: None,
            gates: Vec::new(),
            inputs: BTreeMap::new(),
            params: BTreeMap::new(),
        };
        let known = [&["uses", "run", "outputs"], CHANGEABLE].concat();
        for (key, value) in self.entries(yaml, &path, &known) {
            let at = ["stages", name, key];
            match key {
                "uses" => stage.uses = self.text(value, &at, "must name a built-in stage"),
                "run" => stage.run = self.text(value, &at, "must be a shell command"),
                "outputs" => stage.outputs = self.texts(value, &at),
                _ => self.section(&mut stage, key, value, &at),
            }
        }
        if stage.run.is_some() && stage.uses.is_some() {
            let message = "a stage has either \"uses\" (a built-in stage) or \"run\" (a command); keep one";
            self.complain(&["stages", name, "run"], Side::Key, message.to_owned());
        }
        if stage.run.is_none() && !stage.outputs.is_empty() {
            let message = "only a command (\"run\") has \"outputs\"; those of a built-in stage are fixed";
            self.complain(&["stages", name, "outputs"], Side::Key, message.to_owned());
        }
        self.spec.stages.insert(name.to_owned(), stage);
    }

    /// Reads a text that is not empty.
    fn text(&mut self, yaml: &Yaml, path: &[&str], must: &str) -> Option<Setting<String>> {
        let text = yaml.as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            let key = path[path.len() - 1];
            self.complain(path, Side::Value, format!("\"{key}\" {must}, found {}", describe(yaml)));
        }
        text.map(|text| Setting { value: text.to_owned(), origin: origin(path) })
    }

    /// Reads a list of gates; the list of a profile replaces that of the stage.
    fn gates(&mut self, yaml: &Yaml, path: &[&str]) -> Vec<Gate> {
        let mut gates = Vec::new();
        match yaml {
            Yaml::Null => {}
            Yaml::Sequence(list) => {
                for (index, item) in list.iter().enumerate() {
                    let place = index.to_string();
                    let at = [path, &[place.as_str()]].concat();
                    match item.as_str().unwrap_or(&describe(item)).parse::<Gate>() {
                        Ok(gate) => gates.push(gate),
                        Err(no_gate) => self.complain(&at, Side::Value, no_gate.to_string()),
                    }
                }
            }
            other => {
                let found = describe(other);
                let message =
                    format!("expected a list of gates such as [\"test.auc.ci_low >= 0.70\"], found {found}");
                self.complain(path, Side::Value, message);
            }
        }
        gates
    }

    /// Reads a list of paths below `$OUT`.
    fn texts(&mut self, yaml: &Yaml, path: &[&str]) -> Vec<Setting<String>> {
        let Yaml::Sequence(list) = yaml else {
            let found = describe(yaml);
            self.complain(path, Side::Value, format!("expected a list of files below $OUT, found {found}"));
            return Vec::new();
        };
        let mut texts: Vec<Setting<String>> = Vec::new();
        for item in list {
            let inside = |text: &&str| {
                let parts = Path::new(text).components();
                !text.is_empty() && parts.into_iter().all(|part| matches!(part, Component::Normal(_)))
            };
            match item.as_str().filter(inside) {
                Some(text) if texts.iter().any(|known| known.value == text) => {
                    self.complain(path, Side::Value, format!("output \"{text}\" is given twice"));
                }
                Some(text) => texts.push(Setting { value: text.to_owned(), origin: origin(path) }),
                None => {
                    let found = describe(item);
                    let message =
                        format!("an output is a path below $OUT, such as summary.csv, found {found}");
                    self.complain(path, Side::Value, message);
                }
            }
        }
        texts
    }

    /// Reads a section of a stage that a profile may change.
    fn section(&mut self, stage: &mut StageSpec, section: &str, yaml: &Yaml, path: &[&str]) {
        let limits = &mut stage.limits;
        let read = match section {
            "timeout" if yaml.is_null() => {
                limits.timeout = None;
                Ok(())
            }
            "timeout" => Limits::timeout(yaml.as_str().unwrap_or_default())
                .map(|timeout| limits.timeout = Some(timeout)),
            "retries" => Limits::retries(yaml.as_u64()).map(|retries| limits.retries = retries),
            "cpus" => Limits::count("cpus", 1, yaml.as_u64()).map(|cpus| limits.cpus = Some(cpus)),
            "gpus" => Limits::count("gpus", 0, yaml.as_u64()).map(|gpus| limits.gpus = Some(gpus)),
            "memory" => {
                Limits::memory(yaml.as_str().unwrap_or_default()).map(|memory| limits.memory = Some(memory))
            }
            "matrix" => {
                stage.matrix = self.matrix(yaml, &origin(path));
                Ok(())
            }
            "gates" => {
                stage.gates = self.gates(yaml, path);
                Ok(())
            }
            "inputs" => {
                self.inputs(stage, yaml, path);
                Ok(())
            }
            _ => {
                self.params(stage, yaml, path);
                Ok(())
            }
        };
        if let Err(message) = read {
            self.complain(path, Side::Value, format!("{message}, found {}", describe(yaml)));
        }
    }

    fn params(&mut self, stage: &mut StageSpec, yaml: &Yaml, path: &[&str]) {
        for (key, value) in self.entries(yaml, path, &[]) {
            let origin = origin(path).below(key);
            match serde_json::to_value(value) {
                Ok(value) => {
                    stage.params.insert(key.to_owned(), Setting { value, origin });
                }
                Err(e) => self.problem(&origin, Side::Value, format!("not a valid value: {e}")),
            }
        }
    }

    fn inputs(&mut self, stage: &mut StageSpec, yaml: &Yaml, path: &[&str]) {
        for (key, value) in self.entries(yaml, path, &[]) {
            let origin = origin(path).below(key);
            let given = match value {
                Yaml::Sequence(list) => {
                    let items = list.iter().enumerate().filter_map(|(position, item)| {
                        let value = self.source(item, &origin.below(&position.to_string()))?;
                        Some(Setting { value, origin: origin.below(&position.to_string()) })
                    });
                    Some(Given::Several(items.collect()))
                }
                one => self.source(one, &origin).map(Given::One),
            };
            stage.inputs.extend(given.map(|value| (key.to_owned(), Setting { value, origin })));
        }
    }

    /// Reads the name of a stage or a path.
    fn source(&mut self, yaml: &Yaml, origin: &Origin) -> Option<String> {
        if yaml.as_str().is_none() {
            let found = describe(yaml);
            let message = format!("an input is the name of a stage or a path, found {found}");
            self.problem(origin, Side::Value, message);
        }
        yaml.as_str().map(str::to_owned)
    }

    fn profile(&mut self, name: &str, overlay: &Yaml) {
        for (stage_name, changes) in self.entries(overlay, &["profiles", name], &[]) {
            let Some(mut stage) = self.spec.stages.get(stage_name).cloned() else {
                let hint = did_you_mean(stage_name, self.spec.stages.keys().map(String::as_str));
                self.complain(
                    &["profiles", name, stage_name],
                    Side::Key,
                    format!("profile \"{name}\" changes an unknown stage \"{stage_name}\"{hint}"),
                );
                continue;
            };
            let path = ["profiles", name, stage_name];
            for (section, value) in self.entries(changes, &path, CHANGEABLE) {
                self.section(&mut stage, section, value, &["profiles", name, stage_name, section]);
            }
            let is_ours = |origin: &Origin| matches!(origin, Origin::File(path) if path.starts_with(&["profiles".to_owned(), name.to_owned()]));
            Reader::axes_replace_params(&mut stage, |axis, param| is_ours(axis) && !is_ours(param));
            self.spec.stages.insert(stage_name.to_owned(), stage);
        }
    }

    pub(super) fn set(&mut self, argument: &str) {
        let origin = Origin::Argument(argument.to_owned());
        if let Err(message) = self.try_set(argument, &origin) {
            self.problem(&origin, Side::Value, message);
        }
    }

    fn try_set(&mut self, argument: &str, origin: &Origin) -> Result<(), String> {
        let (target, text) =
            argument.split_once('=').ok_or_else(|| "expected stage.param=value".to_owned())?;
        let unusable = |e: serde_yaml::Error| format!("\"{text}\" is not a value: {e}");
        let value: Json = serde_yaml::from_str(text).map_err(unusable)?;
        if target == "seed" {
            self.spec.seed = value
                .as_u64()
                .ok_or_else(|| format!("seed must be a whole number, 0 or greater, found {text}"))?;
            return Ok(());
        }
        let (stage, param) = target
            .split_once('.')
            .ok_or_else(|| format!("\"{target}\" is not of the form stage.param (or seed)"))?;
        let hint = did_you_mean(stage, self.spec.stages.keys().map(String::as_str));
        let spec =
            self.spec.stages.get_mut(stage).ok_or_else(|| format!("unknown stage \"{stage}\"{hint}"))?;
        match param.strip_prefix("matrix").filter(|rest| rest.is_empty() || rest.starts_with('.')) {
            Some(rest) => {
                let yaml: Yaml = serde_yaml::from_str(text).map_err(unusable)?;
                self.set_matrix(stage, rest, &yaml, origin);
                if let Some(spec) = self.spec.stages.get_mut(stage) {
                    let is_set = |origin: &Origin| matches!(origin, Origin::Argument(_));
                    Reader::axes_replace_params(spec, |axis, param| is_set(axis) && !is_set(param));
                }
            }
            None => {
                spec.params.insert(param.to_owned(), Setting { value, origin: origin.clone() });
            }
        }
        Ok(())
    }
}

fn origin(path: &[&str]) -> Origin {
    Origin::File(path.iter().map(|&key| key.to_owned()).collect())
}

pub(super) fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

pub(super) fn describe(yaml: &Yaml) -> String {
    match yaml {
        Yaml::Null => "nothing".to_owned(),
        Yaml::Bool(b) => b.to_string(),
        Yaml::Number(n) => n.to_string(),
        Yaml::String(s) => format!("\"{s}\""),
        Yaml::Sequence(_) => "a list".to_owned(),
        Yaml::Mapping(_) => "keys and values".to_owned(),
        Yaml::Tagged(_) => "a tagged value".to_owned(),
    }
}
