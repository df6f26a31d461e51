//! What a stage is to the engine: ports, parameters, outputs and one function. Knows no stage.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{Event, Level, Observer};
use crate::inputs::Files;
use crate::items::{Items, Previous};
use crate::matrix::compare;
use crate::param::{Param, Params};
use crate::tree::Tree;

/// A named input of a stage.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Port {
    /// Name under `inputs:`.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// May it be left unwired?
    pub optional: bool,
    /// May it be given several stages and paths? [`Task::inputs_of`] reads them.
    pub many: bool,
    /// Wired to this (a path relative to the pipeline file) when nothing is given.
    pub default: Option<&'static str>,
    /// Makes the file on first use (a secret key, say), where it is missing.
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

    /// A port that must be wired, to one stage or path, to several, or to all instances of a stage with a matrix.
    pub const fn many(name: &'static str, doc: &'static str) -> Port {
        Port { many: true, ..Port::required(name, doc) }
    }

    /// The same, and it may be left unwired.
    pub const fn optional_many(name: &'static str, doc: &'static str) -> Port {
        Port { optional: true, ..Port::many(name, doc) }
    }
}

/// A file or folder that a stage leaves in its artifact.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Output {
    /// Path below the artifact; a folder ends with `/`.
    pub path: &'static str,
    /// What it holds.
    pub doc: &'static str,
}

/// One line of the pre-flight check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `Info` for what is there, `Warning` for what deserves a look, `Error` for what would stop the run.
    pub level: Level,
    /// In words.
    pub text: String,
}

impl Finding {
    /// Something that is as it should be.
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

/// Why a stage did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It noticed [`Task::stopping`] and left.
    #[error("interrupted")]
    Interrupted,
    /// It cannot be done; the error says what to do.
    #[error(transparent)]
    Failed(#[from] Box<dyn StdError + Send + Sync>),
}

impl StageError {
    /// A failure of the stage, from whatever error it was; made for `map_err`.
    pub fn failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> StageError {
        StageError::Failed(error.into())
    }
}

/// A stage: a function from input files and parameters to output files. Same inputs, same bytes.
pub trait Stage: Send + Sync {
    /// The name under which `pipeline.yaml` knows it.
    fn kind(&self) -> &'static str;
    /// Raised by hand when the same input would give other bytes.
    fn version(&self) -> u32;
    /// What it does, in one line.
    fn doc(&self) -> &'static str;
    /// Its inputs.
    fn ports(&self) -> &'static [Port];
    /// Its parameters.
    fn params(&self) -> &'static [Param];
    /// What it writes; each is checked to be there before the artifact is kept.
    fn outputs(&self) -> &'static [Output];
    /// The paths of [`Stage::outputs`], for a stage whose outputs are known only from the pipeline file.
    fn promised(&self) -> Vec<String> {
        self.outputs().iter().map(|output| output.path.to_owned()).collect()
    }
    /// Threads that it keeps busy; `None` for all that there are.
    fn cpus(&self) -> Option<u32> {
        None
    }
    /// GPUs that it computes on.
    fn gpus(&self, _params: &Params) -> u32 {
        0
    }
    /// Does the pipeline's seed change what it makes?
    fn seeded(&self) -> bool {
        false
    }
    /// The port whose artifact its metrics are of: what is released when its gates say yes. `None` for its own artifact.
    fn judges(&self) -> Option<&'static str> {
        None
    }
    /// Does it read the manifests of its inputs, to show how they came about? Then their keys are in its
    /// own: equal inputs made with other parameters are not the same to it.
    fn shows_lineage(&self) -> bool {
        false
    }
    /// Parameters that say where the work is done and not what comes of it: they are not in the key, and
    /// [`Stage::facts`] says what of them is.
    fn params_not_in_key(&self) -> &'static [&'static str] {
        &[]
    }
    /// Facts of this machine that change the bytes and so belong in the key, such as the kind of
    /// device that `device: auto` stands for here.
    ///
    /// # Errors
    /// When the parameters ask for what this machine does not have.
    fn facts(&self, _params: &Params) -> Result<BTreeMap<String, String>, String> {
        Ok(BTreeMap::new())
    }
    /// Checks that no single parameter can: combinations.
    ///
    /// # Errors
    /// What would be right.
    fn check(&self, _params: &Params) -> Result<(), String> {
        Ok(())
    }
    /// A quick look at the inputs before anything is started. `inputs` holds the paths given by
    /// the user, one of several as `port@label`; what an earlier stage makes is not there yet.
    fn preflight(&self, _params: &Params, _inputs: &BTreeMap<String, PathBuf>) -> Vec<Finding> {
        Vec::new()
    }
    /// Dotted names in its [`crate::metrics_file`] that somebody who goes through the history of runs wants to see.
    fn key_metrics(&self) -> &'static [&'static str] {
        &[]
    }
    /// Is the work done in this process, so that its memory is that of the work?
    fn in_process(&self) -> bool {
        true
    }
    /// Does the work: reads `task.input(..)`, writes below `task.out()`.
    ///
    /// # Errors
    /// As [`StageError`] says.
    fn run(&self, task: &Task<'_>) -> Result<(), StageError>;
}

/// Looks for the artifact to take items from; asked only by stages that keep some.
pub(crate) type FindPrevious<'a> = &'a (dyn Fn() -> Option<Previous> + Sync);

/// What a stage is given to do its work.
pub struct Task<'a> {
    pub(crate) stage: &'a str,
    pub(crate) params: &'a Params,
    pub(crate) seed: u64,
    /// Those of the machine's GPUs that are this stage's while it runs.
    pub(crate) gpus: &'a [String],
    pub(crate) inputs: BTreeMap<String, PathBuf>,
    /// What the inputs hold.
    pub(crate) trees: BTreeMap<String, Arc<Tree>>,
    pub(crate) out: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) live: PathBuf,
    pub(crate) find_previous: FindPrevious<'a>,
    pub(crate) previous: OnceLock<Option<Arc<Previous>>>,
    /// What the stage said of its items, and how many it took from the previous artifact.
    pub(crate) items: Mutex<Option<(Items, u64)>>,
    /// What it said of the files that it opens, by port.
    pub(crate) opened: Mutex<BTreeMap<String, BTreeSet<String>>>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) stop: &'a AtomicBool,
    /// When it has to be done.
    pub(crate) deadline: Option<Instant>,
    /// Is it done once more, to be compared?
    pub(crate) again: bool,
}

impl Task<'_> {
    /// The parameters as the stage's own type. They were checked against its declaration, so a
    /// failure here is a mistake in the stage.
    ///
    /// # Errors
    /// When the type does not fit the declaration.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        let object = self.params.clone().into_iter().collect();
        serde_json::from_value(serde_json::Value::Object(object)).map_err(|e| StageError::Failed(Box::new(e)))
    }

    /// The stage's name in the pipeline.
    pub fn stage(&self) -> &str {
        self.stage
    }

    /// The pipeline's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The GPUs that no other stage uses meanwhile, as `CUDA_VISIBLE_DEVICES` names them; empty for a stage
    /// that asks for none, and where none is known of.
    pub fn gpus(&self) -> &[String] {
        self.gpus
    }

    /// Where a required input lies.
    ///
    /// # Errors
    /// When the stage asks for a port that it did not declare as required, or that has several.
    pub fn input(&self, port: &str) -> Result<&Path, StageError> {
        self.optional_input(port).ok_or_else(|| {
            StageError::failed(match self.inputs_of(port).len() {
                0 => format!("port {port} is not wired"),
                count => {
                    format!("port {port} has {count} inputs, each with a label; all of them are to be read")
                }
            })
        })
    }

    /// Where an optional input lies, when it is wired; `None` too for several (see [`Task::inputs_of`]).
    pub fn optional_input(&self, port: &str) -> Option<&Path> {
        self.inputs.get(port).map(PathBuf::as_path)
    }

    /// All inputs of a port that takes [several](Port::many), in the order of their labels, numbers by their size. A
    /// label says what they differ in (`fold=0`), is the name or the position in a list, and is empty where one stage or path is given.
    /// Empty when the port is not wired.
    pub fn inputs_of(&self, port: &str) -> Vec<(&str, &Path)> {
        let found = self.inputs.iter().filter_map(|(name, path)| {
            let rest = name.strip_prefix(port)?;
            let label = if rest.is_empty() { rest } else { rest.strip_prefix('@')? };
            Some((label, path.as_path()))
        });
        let mut inputs: Vec<_> = found.collect();
        inputs.sort_by(|(a, _), (b, _)| compare(a, b));
        inputs
    }

    /// The files of an input; none of one that is not wired. One of several inputs is `port@label`.
    pub fn files(&self, port: &str) -> Files<'_> {
        static NONE: Tree = Tree::EMPTY;
        Files(self.trees.get(port).map_or(&NONE, Arc::as_ref))
    }

    /// Digest of one of these [files](Task::files): known without reading it again. `None` when it was not there when
    /// the run began.
    pub fn digest(&self, port: &str, name: &str) -> Option<&str> {
        Some(self.trees.get(port)?.get(name)?.digest)
    }

    /// Says that of an input only the [files](Task::files) of these names (and of those named before) are opened, and that its folder is not listed: then only
    /// these are looked at again when the work is done. An input that nothing is said of must be as it was as a whole.
    pub fn opens(&self, port: &str, names: impl IntoIterator<Item = String>) {
        if let Ok(mut opened) = self.opened.lock() {
            opened.entry(port.to_owned()).or_default().extend(names);
        }
    }

    /// An earlier artifact of the same stage, version, parameters and seed, from which items can be
    /// taken as they are. `None` where there is none, and when the user asks for all to be done again.
    pub fn previous(&self) -> Option<Arc<Previous>> {
        self.previous.get_or_init(|| (self.find_previous)().map(Arc::new)).clone()
    }

    /// Says what each item of this artifact was made from (name to [`crate::MadeFrom::digest`]) and how many
    /// of them were taken from the [previous](Task::previous) one. An artifact must have the same bytes
    /// whether they were or not.
    pub fn keep_items(&self, made_from: BTreeMap<String, String>, reused: u64) {
        if let Ok(mut items) = self.items.lock() {
            *items = Some((Items(made_from), reused));
        }
    }

    /// Is this work that was done before, done once more to compare what it makes, and then thrown away? Then nobody
    /// outside is told of it.
    pub fn is_rerun(&self) -> bool {
        self.again
    }

    /// The folder to write to; it becomes the artifact.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// A folder that outlives a run of this key that fails or is killed: the next one finds what this one left
    /// there (checkpoints, say). It is removed when the stage succeeds, and a run with `--force` begins with an empty one
    /// (but for what a forced run left there that was interrupted).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn work(&self) -> Result<&Path, StageError> {
        made(&self.work)
    }

    /// A folder for what can be watched while the stage runs; no output, and nothing depends on it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn live(&self) -> Result<&Path, StageError> {
        made(&self.live)
    }

    /// Reports how far the work is: `done` of `total` of what `unit` names.
    pub fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        self.observer.event(&Event::Progress {
            stage: self.stage.to_owned(),
            done,
            total,
            unit: unit.to_owned(),
            note: note.to_owned(),
        });
    }

    /// Says something that the user should read now and find in the run's record later.
    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.observer.event(&Event::Log { stage: self.stage.to_owned(), level, text: text.into() });
    }

    /// Has the user asked to stop, or is the time over? Asked between pieces of work; see
    /// [`Task::check_stop`].
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.is_late()
    }

    pub(crate) fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// `Err(Interrupted)` when the user has asked to stop, or the time is over.
    ///
    /// # Errors
    /// [`StageError::Interrupted`].
    pub fn check_stop(&self) -> Result<(), StageError> {
        if self.stopping() { Err(StageError::Interrupted) } else { Ok(()) }
    }
}

fn made(folder: &Path) -> Result<&Path, StageError> {
    std::fs::create_dir_all(folder)
        .map_err(|e| StageError::failed(format!("cannot make {}: {e}", folder.display())))?;
    Ok(folder)
}
