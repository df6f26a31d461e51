//! `pipeline.yaml` as it is written: shape, profiles and `--set`. Knows no stage's parameters;
//! `graph` holds those against what is written here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use crate::limits::Limits;
use crate::locate::{Side, locate};
use crate::suggest::did_you_mean;

/// One thing that is wrong with the configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File, line and column, or the command-line argument.
    pub place: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with the configuration: the user mends it in one go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {}", problem.place, problem.message)?;
        }
        Ok(())
    }
}

/// Where a setting came from, so that a problem with it can be shown there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Keys from the root of the file.
    File(Vec<String>),
    /// A `--set` argument.
    Argument(String),
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// One stage as it is written, profile and `--set` applied.
#[derive(Debug, Clone)]
pub(crate) struct StageSpec {
    pub(crate) origin: Origin,
    pub(crate) uses: Option<Setting<String>>,
    /// A command of the user's own.
    pub(crate) run: Option<Setting<String>>,
    /// What that command promises to write.
    pub(crate) outputs: Vec<Setting<String>>,
    pub(crate) limits: Limits,
    pub(crate) inputs: BTreeMap<String, Setting<String>>,
    pub(crate) params: BTreeMap<String, Setting<Json>>,
}

/// The pipeline file, read and checked for shape.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) file: PathBuf,
    text: String,
    /// The pipeline's one seed; every random stream starts from it.
    pub seed: u64,
    pub(crate) stages: BTreeMap<String, StageSpec>,
}

/// The reference's `random_state`.
const DEFAULT_SEED: u64 = 42;

impl Spec {
    /// Reads `file`, applies `profile` and then each `stage.param=value` of `sets`.
    ///
    /// # Errors
    /// Every problem of shape found, with its place.
    pub fn load(file: &Path, profile: Option<&str>, sets: &[String]) -> Result<Spec, Problems> {
        let text = std::fs::read_to_string(file).map_err(|e| {
            Problems(vec![Problem {
                place: file.display().to_string(),
                message: format!(
                    "cannot read the pipeline file: {e}; run in its folder or name it with --pipeline"
                ),
            }])
        })?;
        Spec::parse(file, text, profile, sets)
    }

    fn parse(file: &Path, text: String, profile: Option<&str>, sets: &[String]) -> Result<Spec, Problems> {
        let spec = Spec { file: file.to_path_buf(), text, seed: DEFAULT_SEED, stages: BTreeMap::new() };
        let root: Yaml = serde_yaml::from_str(&spec.text).map_err(|e| {
            let place = e.location().map_or(file.display().to_string(), |at| {
                format!("{}:{}:{}", file.display(), at.line(), at.column())
            });
            // The place is said once, in front.
            let message = e.to_string();
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            Problems(vec![Problem { place, message: format!("not valid YAML: {message}") }])
        })?;
        let mut reader = Reader { spec, problems: Vec::new() };
        reader.root(&root, profile);
        for set in sets {
            reader.set(set);
        }
        if reader.problems.is_empty() { Ok(reader.spec) } else { Err(Problems(reader.problems)) }
    }

    /// A problem with a setting, at the place that it came from.
    pub(crate) fn problem(&self, origin: &Origin, side: Side, message: String) -> Problem {
        let file = self.file.display();
        let place = match origin {
            Origin::Argument(argument) => format!("--set {argument}"),
            Origin::File(path) => match locate(&self.text, path, side) {
                Some((line, column)) => format!("{file}:{line}:{column}"),
                None => file.to_string(),
            },
        };
        Problem { place, message }
    }
}

/// What a stage has that a profile may change.
const CHANGEABLE: &[&str] = &["inputs", "params", "timeout", "retries", "cpus", "gpus", "memory"];

struct Reader {
    spec: Spec,
    problems: Vec<Problem>,
}

impl Reader {
    fn complain(&mut self, path: &[&str], side: Side, message: String) {
        let problem = self.spec.problem(&origin(path), side, message);
        self.problems.push(problem);
    }

    /// The entries of a mapping whose keys must be among `known` (all keys, when empty).
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

    fn root(&mut self, root: &Yaml, profile: Option<&str>) {
        let mut profiles = Vec::new();
        for (key, value) in self.entries(root, &[], &["seed", "stages", "profiles"]) {
            match key {
                "seed" => match value.as_u64() {
                    Some(seed) => self.spec.seed = seed,
                    None => self.complain(
                        &["seed"],
                        Side::Value,
                        format!("seed must be a whole number from 0, found {}", describe(value)),
                    ),
                },
                "stages" => {
                    for (name, stage) in self.entries(value, &["stages"], &[]) {
                        self.stage(name, stage);
                    }
                }
                _ => profiles = self.entries(value, &["profiles"], &[]),
            }
        }
        if self.spec.stages.is_empty() && self.problems.is_empty() {
            self.complain(&[], Side::Value, "no stages are declared; add a \"stages:\" section".into());
        }
        // All profiles are checked, whichever is chosen: a mistake in one should not wait for its night.
        for (name, overlay) in &profiles {
            let chosen = profile == Some(*name);
            let before = (!chosen).then(|| self.spec.stages.clone());
            self.profile(name, overlay);
            if let Some(before) = before {
                self.spec.stages = before;
            }
        }
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

    fn stage(&mut self, name: &str, yaml: &Yaml) {
        if !is_name(name) {
            self.complain(
                &["stages", name],
                Side::Key,
                format!("stage name \"{name}\" must be made of letters, digits, - and _"),
            );
            return;
        }
        let path = ["stages", name];
        let mut stage = StageSpec {
            origin: origin(&path),
            uses: None,
            run: None,
            outputs: Vec::new(),
            limits: Limits::default(),
            inputs: BTreeMap::new(),
            params: BTreeMap::new(),
        };
        let known = [&["uses", "run", "outputs"], CHANGEABLE].concat();
        for (key, value) in self.entries(yaml, &path, &known) {
            let at = ["stages", name, key];
            match key {
                "uses" => stage.uses = self.text(value, &at, "must name a built-in stage"),
                "run" => stage.run = self.text(value, &at, "must be a command of the shell"),
                "outputs" => stage.outputs = self.texts(value, &at),
                _ => self.section(&mut stage, key, value, &at),
            }
        }
        if stage.run.is_some() && stage.uses.is_some() {
            let message = "\"uses\" names a built-in stage and \"run\" a command; keep one";
            self.complain(&["stages", name, "run"], Side::Key, message.to_owned());
        }
        if stage.run.is_none() && !stage.outputs.is_empty() {
            let message = "\"outputs\" belongs to a command (\"run\"); built-in stages know theirs";
            self.complain(&["stages", name, "outputs"], Side::Key, message.to_owned());
        }
        self.spec.stages.insert(name.to_owned(), stage);
    }

    /// A text that is not empty.
    fn text(&mut self, yaml: &Yaml, path: &[&str], must: &str) -> Option<Setting<String>> {
        let text = yaml.as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            let key = path[path.len() - 1];
            self.complain(path, Side::Value, format!("\"{key}\" {must}, found {}", describe(yaml)));
        }
        text.map(|text| Setting { value: text.to_owned(), origin: origin(path) })
    }

    /// A list of paths below `$OUT`.
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
                    self.complain(path, Side::Value, format!("output \"{text}\" is there twice"));
                }
                Some(text) => texts.push(Setting { value: text.to_owned(), origin: origin(path) }),
                None => {
                    let found = describe(item);
                    let message =
                        format!("an output is a path inside $OUT, such as summary.csv, found {found}");
                    self.complain(path, Side::Value, message);
                }
            }
        }
        texts
    }

    /// A part of a stage that a profile may change.
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
            _ => {
                self.inputs_or_params(stage, section, yaml, path);
                Ok(())
            }
        };
        if let Err(message) = read {
            self.complain(path, Side::Value, format!("{message}, found {}", describe(yaml)));
        }
    }

    fn inputs_or_params(&mut self, stage: &mut StageSpec, section: &str, yaml: &Yaml, path: &[&str]) {
        for (key, value) in self.entries(yaml, path, &[]) {
            let mut at = path.to_vec();
            at.push(key);
            if section == "params" {
                match serde_json::to_value(value) {
                    Ok(value) => {
                        let origin = origin(&at);
                        stage.params.insert(key.to_owned(), Setting { value, origin });
                    }
                    Err(e) => self.complain(&at, Side::Value, format!("not a usable value: {e}")),
                }
            } else if let Some(text) = value.as_str() {
                let value = text.to_owned();
                stage.inputs.insert(key.to_owned(), Setting { value, origin: origin(&at) });
            } else {
                let found = describe(value);
                self.complain(
                    &at,
                    Side::Value,
                    format!("an input is a stage's name or a path, found {found}"),
                );
            }
        }
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
            self.spec.stages.insert(stage_name.to_owned(), stage);
        }
    }

    fn set(&mut self, argument: &str) {
        let origin = Origin::Argument(argument.to_owned());
        let result = argument
            .split_once('=')
            .ok_or_else(|| "expected stage.param=value".to_owned())
            .and_then(|(target, text)| {
                let value: Json =
                    serde_yaml::from_str(text).map_err(|e| format!("\"{text}\" is not a value: {e}"))?;
                if target == "seed" {
                    self.spec.seed = value
                        .as_u64()
                        .ok_or_else(|| format!("seed must be a whole number from 0, found {text}"))?;
                    return Ok(());
                }
                let (stage, param) = target
                    .split_once('.')
                    .ok_or_else(|| format!("\"{target}\" is not of the form stage.param (or seed)"))?;
                let hint = did_you_mean(stage, self.spec.stages.keys().map(String::as_str));
                let spec = self
                    .spec
                    .stages
                    .get_mut(stage)
                    .ok_or_else(|| format!("unknown stage \"{stage}\"{hint}"))?;
                let origin = origin.clone();
                spec.params.insert(param.to_owned(), Setting { value, origin });
                Ok(())
            });
        if let Err(message) = result {
            let problem = self.spec.problem(&origin, Side::Value, message);
            self.problems.push(problem);
        }
    }
}

fn origin(path: &[&str]) -> Origin {
    Origin::File(path.iter().map(|&key| key.to_owned()).collect())
}

/// A stage's name is also a folder's name under `artifacts/`.
fn is_name(name: &str) -> bool {
    let reserved = ["store", "runs", "live", "work", "tmp", "cache", "lock", "released"];
    !name.is_empty()
        && !reserved.contains(&name)
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn describe(yaml: &Yaml) -> String {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const GOOD: &str = "seed: 7\nstages:\n  ingest:\n    inputs: { dicom: data }\n  train:\n    params: { lr: 1e-4, epochs: 100 }\nprofiles:\n  demo:\n    train: { params: { epochs: 6 } }\n";

    fn parse(text: &str, profile: Option<&str>, sets: &[&str]) -> Result<Spec, Problems> {
        let sets: Vec<String> = sets.iter().map(|&s| s.to_owned()).collect();
        Spec::parse(Path::new("pipeline.yaml"), text.to_owned(), profile, &sets)
    }

    fn first_problem(text: &str) -> String {
        parse(text, None, &[]).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_overlays_the_file_and_set_overlays_the_profile() {
        let epochs = |profile, sets: &[&str]| {
            parse(GOOD, profile, sets).unwrap().stages["train"].params["epochs"].value.clone()
        };
        assert_eq!(epochs(None, &[]), 100);
        assert_eq!(epochs(Some("demo"), &[]), 6);
        assert_eq!(epochs(Some("demo"), &["train.epochs=2"]), 2);
        assert_eq!(parse(GOOD, None, &["seed=9"]).unwrap().seed, 9);
    }

    #[test]
    fn an_unknown_key_is_shown_with_line_column_and_the_nearest() {
        assert_eq!(
            first_problem("stages:\n  train:\n    parms: { lr: 1 }\n"),
            "pipeline.yaml:3:5: unknown key \"parms\" (did you mean \"params\"?); expected one of: uses, run, outputs, inputs, params, timeout, retries, cpus, gpus, memory"
        );
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = parse("sed: 1\nstages:\n  a: { imputs: {} }\n  b/c: {}\n", None, &[]).unwrap_err();
        assert_eq!(problems.0.len(), 3);
    }

    #[test]
    fn broken_yaml_and_empty_files_are_problems_with_a_place() {
        assert!(first_problem("stages: [").starts_with("pipeline.yaml:"));
        assert!(first_problem("").contains("no stages are declared"));
        assert!(first_problem("stages: 3").starts_with("pipeline.yaml:1:9: expected keys"));
    }

    #[test]
    fn an_alias_bomb_is_refused_quickly() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let items = vec![format!("*a{}", i - 1); 9].join(", ");
            let _ = writeln!(bomb, "a{i}: &a{i} [{items}]");
        }
        assert!(first_problem(&bomb).contains("not valid YAML"));
    }

    #[test]
    fn mistakes_on_the_command_line_name_the_argument() {
        let said = |set| parse(GOOD, None, &[set]).unwrap_err().to_string();
        assert_eq!(said("train"), "--set train: expected stage.param=value");
        assert_eq!(said("trian.lr=1"), "--set trian.lr=1: unknown stage \"trian\" (did you mean \"train\"?)");
        let profile = parse(GOOD, Some("dmo"), &[]).unwrap_err().to_string();
        assert_eq!(
            profile,
            "--profile dmo: unknown profile \"dmo\" (did you mean \"demo\"?); profiles: demo"
        );
    }
}
