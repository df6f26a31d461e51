//! The pipeline file as it is written: stages, wiring, parameters, and whom to notify.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value as Json;

use super::axes::Matrix;
use super::limits::Limits;
use super::locate::{Side, locate};
use super::setting::{Given, Origin, Setting};
use crate::error::Problem;
use crate::metrics::gate::Gate;

/// One stage as it is written, with the profile and `--set` applied.
#[derive(Debug, Clone)]
pub(crate) struct StageSpec {
    pub(crate) origin: Origin,
    pub(crate) uses: Option<Setting<String>>,
    /// A command of the user's own.
    pub(crate) run: Option<Setting<String>>,
    /// The files that this command has to write.
    pub(crate) outputs: Vec<Setting<String>>,
    pub(crate) limits: Limits,
    pub(crate) matrix: Option<Setting<Matrix>>,
    /// The conditions on its metrics.
    pub(crate) gates: Vec<Gate>,
    pub(crate) inputs: BTreeMap<String, Setting<Given>>,
    pub(crate) params: BTreeMap<String, Setting<Json>>,
}

/// Whom to notify when a run or a quality gate fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// A command, run by `sh -c`.
    pub command: Option<String>,
    /// A URL to post to, or `$NAME` for a URL in an environment variable, because it may be a
    /// secret.
    pub webhook: Option<String>,
}

/// The pipeline file, read and checked for shape.
#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) file: PathBuf,
    pub(crate) profile: Option<String>,
    /// Did `--set` change anything?
    pub(crate) overridden: bool,
    /// The text of the file, in which places are looked up.
    pub(super) text: String,
    pub(crate) notify: Notify,
    /// The stages without a profile and with each profile, all without `--set`.
    pub(crate) variants: Vec<BTreeMap<String, StageSpec>>,
    /// The one seed of the pipeline, from which every random stream starts.
    pub seed: u64,
    pub(crate) stages: BTreeMap<String, StageSpec>,
}

impl Spec {
    /// The same file with other stages.
    pub(crate) fn with_stages(&self, stages: &BTreeMap<String, StageSpec>) -> Spec {
        Spec { stages: stages.clone(), variants: Vec::new(), ..self.clone() }
    }

    /// A problem with a setting, at the place where the setting is written.
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
