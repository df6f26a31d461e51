//! `pipeline.yaml` as it is written: shape, profiles and `--set`. Knows no stage's parameters;
//! `graph` holds those against what is written here.

mod matrix;
mod reader;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use crate::gates::Gate;
use crate::limits::Limits;
use crate::locate::{Side, locate};
use crate::matrix::Matrix;
pub(crate) use reader::OURS;
use reader::Reader;

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

impl Origin {
    /// Of a key, or of an item by its position, below this one.
    pub(crate) fn below(&self, key: &str) -> Origin {
        match self {
            Origin::File(path) => Origin::File([path.as_slice(), &[key.to_owned()]].concat()),
            Origin::Argument(argument) => Origin::Argument(argument.clone()),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// What an input is written to be: each a stage's name or a path.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    One(String),
    Several(Vec<Setting<String>>),
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
    pub(crate) matrix: Option<Setting<Matrix>>,
    /// What its metrics must reach.
    pub(crate) gates: Vec<Gate>,
    pub(crate) inputs: BTreeMap<String, Setting<Given>>,
    pub(crate) params: BTreeMap<String, Setting<Json>>,
}

/// Who is told of a run that failed, or of which a gate said no.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// Run by `sh -c`.
    pub command: Option<String>,
    /// Posted to; `$NAME` for an address in the environment, which may be a secret.
    pub webhook: Option<String>,
}

/// The pipeline file, read and checked for shape.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) file: PathBuf,
    pub(crate) profile: Option<String>,
    /// Did `--set` change anything?
    pub(crate) overridden: bool,
    text: String,
    pub(crate) notify: Notify,
    /// The stages as they are without a profile and with each, none of `--set`.
    pub(crate) variants: Vec<BTreeMap<String, StageSpec>>,
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
        let spec = Spec {
            file: file.to_path_buf(),
            profile: profile.map(str::to_owned),
            overridden: !sets.is_empty(),
            text,
            notify: Notify::default(),
            variants: Vec::new(),
            seed: DEFAULT_SEED,
            stages: BTreeMap::new(),
        };
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

    /// The same file with other stages.
    pub(crate) fn with_stages(&self, stages: &BTreeMap<String, StageSpec>) -> Spec {
        Spec { stages: stages.clone(), variants: Vec::new(), ..self.clone() }
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
    fn an_axis_takes_the_place_of_a_parameter_that_was_given_before_it() {
        let profile = GOOD.replace("params: { epochs: 6 }", "matrix: { lr: [1e-3, 1e-4] }");
        let params = |text: &str, profile, sets: &[&str]| {
            let spec = parse(text, profile, sets).unwrap();
            spec.stages["train"].params.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(params(&profile, Some("demo"), &[]), ["epochs"]);
        assert_eq!(params(&profile, None, &[]), ["epochs", "lr"]);
        assert_eq!(params(GOOD, None, &["train.matrix.lr=[1e-3, 1e-4]"]), ["epochs"]);
        assert_eq!(params(GOOD, Some("demo"), &["train.matrix={epochs: [1, 2]}"]), ["lr"]);
        // Which of two that stand side by side is meant cannot be known.
        assert_eq!(params(GOOD, None, &["train.lr=1e-3", "train.matrix.lr=[1e-3, 1e-4]"]), ["epochs", "lr"]);
    }

    #[test]
    fn one_number_is_one_value_of_an_axis_however_it_is_written() {
        for (values, said) in [
            ("[1, 1.0]", "lr has the value 1 twice"),
            ("[\"1e-3\", 0.001]", "lr has one value twice, as 1e-3 and as 0.001"),
            ("[\"1.0\", 1]", "lr has one value twice, as 1.0 and as 1"),
            ("[1e16, 10000000000000000]", "lr has one value twice"),
        ] {
            let error = parse(GOOD, None, &[&format!("train.matrix.lr={values}")]).unwrap_err().to_string();
            assert!(error.contains(said), "{values}: {error}");
        }
        // Texts are no numbers, whatever they look like.
        for values in ["[9007199254740992, 9007199254740993, a, 1a]", "[\"3.1\", \"3.10\", \"3.11\"]"] {
            parse(GOOD, None, &[&format!("train.matrix.lr={values}")]).unwrap();
        }
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
            "pipeline.yaml:3:5: unknown key \"parms\" (did you mean \"params\"?); expected one of: uses, run, outputs, inputs, params, matrix, gates, timeout, retries, cpus, gpus, memory"
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
