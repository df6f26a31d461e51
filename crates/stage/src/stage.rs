//! A stage as the engine sees it: ports, parameters, outputs and one function.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::StageError;
use crate::message::Level;
use crate::param::{Param, Params};
use crate::task::Task;

/// A named input of a stage.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Port {
    /// Name under `inputs:`.
    pub name: &'static str,
    /// What the input is.
    pub doc: &'static str,
    /// Whether it may be left unwired.
    pub optional: bool,
    /// Whether it accepts several stages and paths, which [`Task::inputs_of`] reads.
    pub many: bool,
    /// The input when nothing is given: a path relative to the pipeline file.
    pub default: Option<&'static str>,
    /// Makes the file on first use where it is missing, such as a secret key.
    #[serde(skip)]
    pub make: Option<fn(&Path) -> io::Result<()>>,
}

impl Port {
    /// A port that must be wired.
    pub const fn required(name: &'static str, doc: &'static str) -> Port {
        Port { name, doc, optional: false, many: false, default: None, make: None }
    }

    /// A port that may be left unwired.
    pub const fn optional(name: &'static str, doc: &'static str) -> Port {
        Port { optional: true, ..Port::required(name, doc) }
    }

    /// A port that must be wired: to one stage or path, to several, or to all instances of a stage
    /// with a matrix.
    pub const fn many(name: &'static str, doc: &'static str) -> Port {
        Port { many: true, ..Port::required(name, doc) }
    }

    /// The same, but it may be left unwired.
    pub const fn optional_many(name: &'static str, doc: &'static str) -> Port {
        Port { optional: true, ..Port::many(name, doc) }
    }
}

/// A file or folder that a stage writes to its artifact.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Output {
    /// Path below the artifact; a folder ends with `/`.
    pub path: &'static str,
    /// What the output holds.
    pub doc: &'static str,
}

/// One line of the pre-flight check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `Info` for what is in order, `Warning` for what deserves a look, `Error` for what would stop
    /// the run.
    pub level: Level,
    /// The text.
    pub text: String,
}

impl Finding {
    /// Something that is in order.
    pub fn info(text: impl Into<String>) -> Finding {
        Finding { level: Level::Info, text: text.into() }
    }
    /// Something that deserves a look.
    pub fn warning(text: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, text: text.into() }
    }
    /// Something that would stop the run; it says what to do.
    pub fn error(text: impl Into<String>) -> Finding {
        Finding { level: Level::Error, text: text.into() }
    }
}

/// A stage: a function from input files and parameters to output files. The same inputs give the
/// same bytes.
pub trait Stage: Send + Sync {
    /// The name of the stage in `pipeline.yaml`.
    fn kind(&self) -> &'static str;
    /// Raised by hand when the same input would give different bytes.
    fn version(&self) -> u32;
    /// What it does, in one line.
    fn doc(&self) -> &'static str;
    /// Its inputs.
    fn ports(&self) -> &'static [Port];
    /// Its parameters.
    fn params(&self) -> &'static [Param];
    /// Its outputs. Each is checked to exist before the artifact is kept.
    fn outputs(&self) -> &'static [Output];
    /// The paths of [`Stage::outputs`], for a stage whose outputs are known only from the pipeline
    /// file.
    fn promised(&self) -> Vec<String> {
        self.outputs().iter().map(|output| output.path.to_owned()).collect()
    }
    /// Number of threads that it keeps busy; `None` for all threads of the machine.
    fn cpus(&self) -> Option<u32> {
        None
    }
    /// Number of GPUs that it computes on.
    fn gpus(&self, _params: &Params) -> u32 {
        0
    }
    /// Whether the pipeline's seed affects its outputs.
    fn seeded(&self) -> bool {
        false
    }
    /// The port whose artifact its metrics describe, which is released when its gates pass. `None`
    /// for its own artifact.
    fn judges(&self) -> Option<&'static str> {
        None
    }
    /// Whether it reads the manifests of its inputs, to show how they were made. The keys of the
    /// inputs are then part of its own key, because equal inputs made with different parameters
    /// give it different outputs.
    fn shows_lineage(&self) -> bool {
        false
    }
    /// Parameters that decide where the work is done and do not affect its result. They are not in
    /// the key; [`Stage::facts`] gives what they contribute to it.
    fn params_not_in_key(&self) -> &'static [&'static str] {
        &[]
    }
    /// Facts of this machine that affect the bytes and therefore belong in the key, such as the
    /// kind of device that `device: auto` stands for here.
    ///
    /// # Errors
    /// When the parameters request something that this machine does not have.
    fn facts(&self, _params: &Params) -> Result<BTreeMap<String, String>, String> {
        Ok(BTreeMap::new())
    }
    /// Checks of combinations of parameters, which no single parameter can check.
    ///
    /// # Errors
    /// What would be right.
    fn check(&self, _params: &Params) -> Result<(), String> {
        Ok(())
    }
    /// A quick look at the inputs before anything starts. `inputs` holds the paths given by the
    /// user, one of several as `port@label`; outputs of earlier stages do not exist yet.
    fn preflight(&self, _params: &Params, _inputs: &BTreeMap<String, PathBuf>) -> Vec<Finding> {
        Vec::new()
    }
    /// Dotted names of the figures in its `metrics.json` that a reader of the run history wants to
    /// see.
    fn key_metrics(&self) -> &'static [&'static str] {
        &[]
    }
    /// Whether the work is done in this process, so that its memory is the memory of the work.
    fn in_process(&self) -> bool {
        true
    }
    /// Does the work: reads `task.input(..)` and writes below `task.out()`.
    ///
    /// # Errors
    /// As [`StageError`] says.
    fn run(&self, task: &Task<'_>) -> Result<(), StageError>;
}
