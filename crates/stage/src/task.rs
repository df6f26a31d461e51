//! What a stage receives to do its work, and what it reports about that work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use serde::de::DeserializeOwned;

use crate::error::StageError;
use crate::files::Files;
use crate::items::{Items, Previous};
use crate::label::{Labelled, compare};
use crate::message::{Level, Listener, Message};
use crate::param::Params;
use crate::tree::Tree;

/// Finds the artifact from which items can be taken over; called only by stages that keep items.
pub type FindPrevious<'a> = &'a (dyn Fn() -> Option<Previous> + Sync);

/// One piece of work: everything that the engine gives to a stage.
pub struct Assignment<'a> {
    /// The stage's name in the pipeline.
    pub stage: &'a str,
    /// Every parameter that the stage declares.
    pub params: &'a Params,
    /// The pipeline's seed.
    pub seed: u64,
    /// The GPUs that only this stage uses while it runs.
    pub gpus: &'a [String],
    /// Path of the input at each port; one of several inputs is `port@label`.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Content of the input at each port.
    pub trees: BTreeMap<String, Arc<Tree>>,
    /// The folder that becomes the artifact.
    pub out: PathBuf,
    /// The folder that is kept when a run fails.
    pub work: PathBuf,
    /// The folder for files that can be watched while the stage runs.
    pub live: PathBuf,
    /// Finds the artifact from which items can be taken over.
    pub find_previous: FindPrevious<'a>,
    /// Receives progress and messages of the stage.
    pub listener: &'a dyn Listener,
    /// Set when the user asks to stop.
    pub stop: &'a AtomicBool,
    /// The time by which the work must be done.
    pub deadline: Option<Instant>,
    /// Whether the work is repeated in order to compare its result.
    pub again: bool,
}

/// What a stage has reported about its work when it is done.
pub struct Account {
    /// The artifact from which it has requested to take over items.
    pub previous: Option<Arc<Previous>>,
    /// What its items were made from, and how many of them it took over from the previous artifact.
    pub items: Option<(Items, u64)>,
    /// Names of the files that it opens, for each port.
    pub opened: BTreeMap<String, BTreeSet<String>>,
}

/// What a stage receives to do its work.
pub struct Task<'a> {
    given: Assignment<'a>,
    previous: OnceLock<Option<Arc<Previous>>>,
    items: Mutex<Option<(Items, u64)>>,
    opened: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl<'a> Task<'a> {
    /// The task of an assignment.
    pub fn new(given: Assignment<'a>) -> Task<'a> {
        Task { given, previous: OnceLock::new(), items: Mutex::new(None), opened: Mutex::default() }
    }

    /// What the stage has reported about its work.
    pub fn into_account(self) -> Account {
        Account {
            previous: self.previous.into_inner().flatten(),
            items: self.items.into_inner().unwrap_or_default(),
            opened: self.opened.into_inner().unwrap_or_default(),
        }
    }

    /// Every parameter as given, by name.
    pub fn raw_params(&self) -> &Params {
        self.given.params
    }
}

impl Task<'_> {
    /// The parameters as the stage's own type. They were checked against its declaration, so a
    /// failure here is a mistake in the stage.
    ///
    /// # Errors
    /// When the type does not match the declaration.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        let object = self.given.params.clone().into_iter().collect();
        serde_json::from_value(serde_json::Value::Object(object)).map_err(|e| StageError::Failed(Box::new(e)))
    }

    /// The stage's name in the pipeline.
    pub fn stage(&self) -> &str {
        self.given.stage
    }

    /// The pipeline's seed.
    pub fn seed(&self) -> u64 {
        self.given.seed
    }

    /// The GPUs that no other stage uses at the same time, as named in `CUDA_VISIBLE_DEVICES`.
    /// Empty for a stage that requests none, and where no GPU is known.
    pub fn gpus(&self) -> &[String] {
        self.given.gpus
    }

    /// The path of a required input.
    ///
    /// # Errors
    /// When the stage asks for a port that it did not declare as required, or that has several
    /// inputs.
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

    /// The path of an optional input, if it is wired; also `None` for several inputs (see
    /// [`Task::inputs_of`]).
    pub fn optional_input(&self, port: &str) -> Option<&Path> {
        self.given.inputs.get(port).map(PathBuf::as_path)
    }

    /// All inputs of a port that accepts [several](Port::many), in the order of their labels, with
    /// numbers by value. A label says how the inputs differ (`fold=0`), or is the name or position
    /// in a list. It is empty where one stage or path is given. The result is empty when the port
    /// is not wired.
    pub fn inputs_of(&self, port: &str) -> Vec<(&str, &Path)> {
        let found = self.given.inputs.iter().filter_map(|(input, path)| {
            let Labelled { name, label } = Labelled::parse(input);
            (name == port).then_some((label.unwrap_or_default(), path.as_path()))
        });
        let mut inputs: Vec<_> = found.collect();
        inputs.sort_by(|(a, _), (b, _)| compare(a, b));
        inputs
    }

    /// The files of an input; none for an input that is not wired. One of several inputs is
    /// `port@label`.
    pub fn files(&self, port: &str) -> Files<'_> {
        static NONE: Tree = Tree::EMPTY;
        Files(self.given.trees.get(port).map_or(&NONE, Arc::as_ref))
    }

    /// Digest of one of these [files](Task::files), known without reading it. `None` when the file
    /// did not exist at the start of the run.
    pub fn digest(&self, port: &str, name: &str) -> Option<&str> {
        Some(self.given.trees.get(port)?.get(name)?.digest)
    }

    /// Declares that the stage opens only the [files](Task::files) of an input with these names
    /// (and those named before), and that it does not list the input's folder. Only these files are
    /// then checked again when the work is done. An input without such a declaration must be
    /// unchanged as a whole.
    pub fn opens(&self, port: &str, names: impl IntoIterator<Item = String>) {
        if let Ok(mut opened) = self.opened.lock() {
            opened.entry(port.to_owned()).or_default().extend(names);
        }
    }

    /// An earlier artifact of the same stage, version, parameters and seed, from which items can be
    /// taken over unchanged. `None` where there is none, and when the user asks for all work to be
    /// repeated.
    pub fn previous(&self) -> Option<Arc<Previous>> {
        self.previous.get_or_init(|| (self.given.find_previous)().map(Arc::new)).clone()
    }

    /// Reports what each item of this artifact was made from (name to [`crate::MadeFrom::digest`]),
    /// and how many items were taken over from the [previous](Task::previous) artifact. An artifact
    /// must have the same bytes whether they were taken over or not.
    pub fn keep_items(&self, made_from: BTreeMap<String, String>, reused: u64) {
        if let Ok(mut items) = self.items.lock() {
            *items = Some((Items(made_from), reused));
        }
    }

    /// Whether earlier work is repeated to compare its result, which is then discarded. Nobody
    /// outside is told about such work.
    pub fn is_rerun(&self) -> bool {
        self.given.again
    }

    /// The folder to write to; it becomes the artifact.
    pub fn out(&self) -> &Path {
        &self.given.out
    }

    /// A folder that is kept when a run of this key fails or is killed: the next run finds what
    /// this one left there, such as checkpoints. It is removed when the stage succeeds. A run with
    /// `--force` begins with an empty folder, except for what an interrupted forced run left there.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn work(&self) -> Result<&Path, StageError> {
        made(&self.given.work)
    }

    /// A folder for files that can be watched while the stage runs. They are not outputs, and
    /// nothing depends on them.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn live(&self) -> Result<&Path, StageError> {
        made(&self.given.live)
    }

    /// Reports progress: `done` of `total`, counted in `unit`.
    pub fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        let message = Message::Progress { done, total, unit: unit.to_owned(), note: note.to_owned() };
        self.given.listener.message(self.given.stage, message);
    }

    /// Sends a message that the user should read now and find in the record of the run later.
    pub fn log(&self, level: Level, text: impl Into<String>) {
        self.given.listener.message(self.given.stage, Message::Log { level, text: text.into() });
    }

    /// Whether the user has asked to stop, or the time is over. A stage asks this between pieces of
    /// work; see [`Task::check_stop`].
    pub fn stopping(&self) -> bool {
        self.given.stop.load(Ordering::Relaxed) || self.is_late()
    }

    /// Whether its time is over.
    pub fn is_late(&self) -> bool {
        self.given.deadline.is_some_and(|deadline| Instant::now() >= deadline)
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
        .map_err(|e| StageError::failed(format!("cannot create {}: {e}", folder.display())))?;
    Ok(folder)
}
