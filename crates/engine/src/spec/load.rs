//! Reads the pipeline file, applies a profile and then `--set`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_yaml::Value as Yaml;

use super::reader::Reader;
use super::written::{Notify, Spec};
use crate::error::{Problem, Problems};

/// The reference implementation's `random_state`.
const DEFAULT_SEED: u64 = 42;

impl Spec {
    /// Reads `file`, applies `profile` and then each `stage.param=value` of `sets`.
    ///
    /// # Errors
    /// All mistakes in the shape of the file, each with its place.
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
            // The place is given once, at the front.
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
        // Of two settings side by side, nobody can know which one is meant.
        assert_eq!(params(GOOD, None, &["train.lr=1e-3", "train.matrix.lr=[1e-3, 1e-4]"]), ["epochs", "lr"]);
    }

    #[test]
    fn one_number_is_one_value_of_an_axis_however_it_is_written() {
        for (values, said) in [
            ("[1, 1.0]", "lr has the value 1 twice"),
            ("[\"1e-3\", 0.001]", "lr has the same value twice, as 1e-3 and as 0.001"),
            ("[\"1.0\", 1]", "lr has the same value twice, as 1.0 and as 1"),
            ("[1e16, 10000000000000000]", "lr has the same value twice"),
        ] {
            let error = parse(GOOD, None, &[&format!("train.matrix.lr={values}")]).unwrap_err().to_string();
            assert!(error.contains(said), "{values}: {error}");
        }
        // Texts are not numbers, even if they look like numbers.
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
