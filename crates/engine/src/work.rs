//! One stage, from the decision to the artifact: what is there is taken, what is not is made and kept. Knows
//! no other stage but by what it has made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::event::{Event, Level, Observer, Outcome};
use crate::fault;
use crate::files;
use crate::graph::{Node, Pipeline, Source};
use crate::items::{ITEMS, Previous, Reuse};
use crate::key::{Key, Reason};
use crate::limits::{self, Limits};
use crate::locked::{Lock, LockDifference};
use crate::machine;
use crate::manifest::{Made, Manifest};
use crate::plan::{Planner, State, Upstream};
use crate::record::Recorder;
use crate::run::{Options, chain};
use crate::stage::{FindPrevious, StageError, Task};
use crate::stat_cache::StatCache;
use crate::store::{Artifact, Store};
use crate::tree::Tree;

/// What the stages of a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a StatCache,
    pub(crate) options: &'a Options<'a>,
    pub(crate) recorder: &'a Recorder<'a>,
    pub(crate) lock: &'a Lock,
}

impl Place<'_> {
    fn stopping(self) -> bool {
        self.options.stop.load(Ordering::Relaxed)
    }
}

/// What becomes of a stage.
pub(crate) enum Step {
    /// Its artifact is there.
    Done(Outcome, Box<Artifact>),
    /// It has to run.
    Work(Box<Work>),
    /// What there is for it is not what the lock says.
    Refused(LockDifference),
}

/// A stage that has to run, with all that it needs for that.
pub(crate) struct Work {
    pub(crate) key: Key,
    inputs: BTreeMap<String, PathBuf>,
    trees: BTreeMap<String, Arc<Tree>>,
    forced: bool,
}

/// Decides on a stage, and does what needs no work.
pub(crate) fn prepare(
    place: Place<'_>,
    planner: &mut Planner<'_>,
    node: &Node,
    forced: bool,
    upstream: &[Upstream],
) -> Result<Step> {
    let mut decision = planner.decide(node, upstream)?;
    if forced {
        decision.state = State::Will { reasons: vec![Reason::Forced] };
    }
    place.recorder.event(&Event::Decided { stage: node.name.clone(), state: decision.state.clone() });
    match (decision.state, decision.artifact, decision.key) {
        (State::Fresh, Some(artifact), _) => {
            place.store.forget_finished_work(&node.name, &artifact.manifest.key_hash)?;
            Ok(Step::Done(Outcome::Fresh, Box::new(artifact)))
        }
        (State::Restore { .. }, Some(artifact), _) => {
            // What a run that is held to the lock refuses, it does not make current either.
            if let Some(difference) = place.lock.differs(&node.name, &artifact.manifest) {
                return Ok(Step::Refused(difference));
            }
            let artifact = if artifact.manifest.stage == node.name {
                place.store.point(&node.name, &artifact.path)?;
                artifact
            } else {
                let text = format!("taken over from {}, which is the same work", artifact.manifest.stage);
                place.recorder.event(&Event::Log { stage: node.name.clone(), level: Level::Info, text });
                place.store.adopt(&node.name, &artifact, sources(node))?
            };
            place.store.forget_finished_work(&node.name, &artifact.manifest.key_hash)?;
            let no_cost =
                Made { seconds: 0.0, peak_memory: None, items: None, ..artifact.manifest.made.clone() };
            finished(node, Outcome::Restored, &artifact, &no_cost, place.recorder);
            Ok(Step::Done(Outcome::Restored, Box::new(artifact)))
        }
        (State::Will { reasons }, _, None) => Err(Error::Usage(format!(
            "stage {}: {}",
            node.name,
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ))),
        _ if place.stopping() => Err(Error::Interrupted),
        (_, _, key) => {
            let key = key.ok_or_else(|| Error::Usage(format!("stage {} has no inputs", node.name)))?;
            let trees = input_trees(planner, node, upstream)?;
            for (port, tree) in &trees {
                if let Some(digest) = key.inputs.get(port) {
                    planner.remember(digest, tree)?;
                }
            }
            if forced {
                place.store.force_work(&node.name, &key.hash())?;
            }
            let inputs = input_paths(node, upstream);
            Ok(Step::Work(Box::new(Work { key, inputs, trees, forced })))
        }
    }
}

/// Runs a stage, as often as it may be tried.
pub(crate) fn work(
    place: Place<'_>,
    node: &Node,
    work: &Work,
    gpus: &[String],
) -> Result<(Outcome, Artifact)> {
    let mut failed = 0;
    loop {
        if place.stopping() {
            return Err(Error::Interrupted);
        }
        match execute(place, node, work, gpus) {
            Err(error @ Error::Stage { .. }) if failed < node.limits.retries => {
                failed += 1;
                wait_to_retry(place, node, failed, &error)?;
            }
            done => return done,
        }
    }
}

/// Waits before the next attempt, or stops.
fn wait_to_retry(place: Place<'_>, node: &Node, failed: u32, error: &Error) -> Result<()> {
    let wait = Limits::wait_before(failed);
    let text = chain(error);
    let (next, all) = (failed + 1, node.limits.retries + 1);
    let note = format!("{text}; attempt {next} of {all} follows in {}", limits::in_words(wait));
    place.recorder.note(Level::Warning, note);
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if place.stopping() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs a stage and keeps what it made.
fn execute(place: Place<'_>, node: &Node, work: &Work, gpus: &[String]) -> Result<(Outcome, Artifact)> {
    let Place { store, cache, options, recorder, .. } = place;
    let Work { key, inputs, trees, forced } = work;
    // Forced work is done whole: whoever doubts a result doubts its parts.
    let from_scratch = || None;
    let find = || store.previous(&node.name, key, cache);
    let find_previous: FindPrevious<'_> = if *forced { &from_scratch } else { &find };
    let key_hash = key.hash();
    let draft = store.begin(&node.name)?;
    recorder.event(&Event::StageStarted { stage: node.name.clone() });
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    let measurement = machine::Measurement::start();
    let task = Task {
        stage: &node.name,
        params: &node.params,
        seed: place.pipeline.seed,
        gpus,
        inputs: inputs.clone(),
        trees: trees.clone(),
        find_previous,
        previous: OnceLock::new(),
        items: Mutex::new(None),
        opened: Mutex::default(),
        out: draft.path().to_path_buf(),
        work: store.work(&node.name, &key_hash),
        live: store.live(&node.name, &key_hash),
        observer: recorder,
        stop: options.stop,
        deadline: node.limits.timeout.map(|timeout| clock + timeout),
        again: false,
    };
    // A panic is a mistake in a stage; it must cost that stage and not the record of the run.
    let result = catch_unwind(AssertUnwindSafe(|| node.stage.run(&task))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(StageError::Failed(format!("a mistake in ctpipe: {text}; please report it").into()))
    });
    match result {
        Ok(()) => {}
        Err(StageError::Interrupted) if task.is_late() && !place.stopping() => {
            let timeout = limits::in_words(node.limits.timeout.unwrap_or_default());
            let source = format!("it was stopped after its timeout of {timeout}").into();
            return Err(Error::Stage { stage: node.name.clone(), source });
        }
        Err(StageError::Interrupted) => return Err(Error::Interrupted),
        Err(StageError::Failed(source)) => {
            return Err(Error::Stage { stage: node.name.clone(), source });
        }
    }
    refuse_moved_inputs(cache, node, trees, &task.opened.into_inner().unwrap_or_default())?;
    let previous = task.previous.into_inner().flatten();
    let items = task.items.into_inner().unwrap_or_default();
    let outputs = collect(node, draft.path(), previous.as_deref())?;
    let list = items.as_ref().map(|(items, _)| items.to_json());
    if let Some(list) = &list {
        let path = draft.path().join(ITEMS);
        fault::point()
            .and_then(|()| fs::write(&path, list))
            .map_err(|e| Error::io("cannot write", &path, e))?;
    }
    let made = Made {
        by: options.maker.clone(),
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        peak_memory: measurement.peak().filter(|_| node.stage.in_process()),
        sources: sources(node),
        items: items.map(|(items, reused)| Reuse { items: items.0.len() as u64, reused }),
    };
    let list = list.map(|list| blake3::hash(&list).to_hex().to_string());
    let manifest = Manifest::new(&node.name, key.clone(), outputs, list, made.clone());
    let (outcome, artifact) = store.keep(draft, manifest)?;
    store.forget_work(&node.name, &key_hash)?;
    // All of it has been read in this run. What it shares with the previous one has new times there, too.
    for (name, file) in artifact.manifest.outputs.files() {
        let path = artifact.path.join(name);
        cache.vouch(&path, &file.to_digest());
        if let Some(previous) = previous.as_ref().filter(|p| p.shared(name, &path).is_some()) {
            cache.vouch(&previous.folder().join(name), &file.to_digest());
        }
    }
    if outcome == Outcome::Different {
        recorder.note(
            Level::Warning,
            format!(
                "{} is not deterministic: the same key gave other bytes; both are kept, the new ones in {}",
                node.name,
                artifact.path.display()
            ),
        );
    }
    finished(node, outcome, &artifact, &made, recorder);
    Ok((outcome, artifact))
}

fn finished(node: &Node, outcome: Outcome, artifact: &Artifact, made: &Made, recorder: &Recorder<'_>) {
    recorder.event(&Event::StageFinished {
        stage: node.name.clone(),
        outcome,
        key: artifact.manifest.key_hash.clone(),
        content: artifact.manifest.content.clone(),
        seconds: made.seconds,
        peak_memory: made.peak_memory,
        items: made.items,
    });
}

fn input_paths(node: &Node, upstream: &[Upstream]) -> BTreeMap<String, PathBuf> {
    node.inputs
        .iter()
        .filter_map(|(port, source)| match source {
            Source::Path { path, .. } => Some((port.clone(), path.clone())),
            Source::Stage(index) => match &upstream[*index] {
                Upstream::Known(artifact) => Some((port.clone(), artifact.path.clone())),
                Upstream::Unknown => None,
            },
        })
        .collect()
}

fn sources(node: &Node) -> BTreeMap<String, String> {
    node.inputs
        .iter()
        .filter_map(|(port, source)| match source {
            Source::Path { given, .. } => Some((port.clone(), given.clone())),
            Source::Stage(_) => None,
        })
        .collect()
}

/// An input that changed while the stage read it would be kept under the digest of what it was before. Of
/// those of which the stage said what it `opened`, the rest may change: nothing was made of it.
fn refuse_moved_inputs(
    cache: &StatCache,
    node: &Node,
    trees: &BTreeMap<String, Arc<Tree>>,
    opened: &BTreeMap<String, BTreeSet<String>>,
) -> Result<()> {
    for (port, source) in &node.inputs {
        let Source::Path { given, path } = source else { continue };
        let tree = trees.get(port).map(Arc::as_ref);
        let same = match (tree, opened.get(port)) {
            (Some(tree), Some(names)) => tree.still_has(names, path, cache)?,
            (tree, _) => tree == Some(&Tree::of(path, cache)?),
        };
        if !same {
            return Err(Error::Moved { stage: node.name.clone(), input: given.clone() });
        }
    }
    Ok(())
}

/// What each input holds.
fn input_trees(
    planner: &mut Planner<'_>,
    node: &Node,
    upstream: &[Upstream],
) -> Result<BTreeMap<String, Arc<Tree>>> {
    let mut trees = BTreeMap::new();
    for (port, source) in &node.inputs {
        let tree = match source {
            Source::Path { given, .. } => planner.input(given)?.map(|input| input.tree),
            Source::Stage(index) => match &upstream[*index] {
                Upstream::Known(artifact) => Some(Arc::new(artifact.manifest.outputs.clone())),
                Upstream::Unknown => None,
            },
        };
        trees.extend(tree.map(|tree| (port.clone(), tree)));
    }
    Ok(trees)
}

/// What a stage wrote, once all that it declared is there and nothing leads out of it.
fn collect(node: &Node, out: &Path, previous: Option<&Previous>) -> Result<Tree> {
    let fail = |message: String| Err(Error::Stage { stage: node.name.clone(), source: message.into() });
    files::open_folders(out).map_err(|e| Error::io("cannot list", out, e))?;
    for entry in walkdir::WalkDir::new(out) {
        let entry = entry.map_err(|e| Error::io("cannot list", out, e.into()))?;
        let name = entry.path().strip_prefix(out).unwrap_or(entry.path());
        if entry.path_is_symlink() {
            return fail(format!("its output {} is a link; outputs must be files", name.display()));
        }
        if name.to_str().is_none() {
            return fail(format!(
                "its output {} has a name that is not UTF-8; name it otherwise",
                name.display()
            ));
        }
    }
    for path in node.stage.promised() {
        if !out.join(&path).exists() {
            let doc = node.stage.outputs().iter().find(|output| output.path == path);
            let doc =
                doc.map_or_else(|| ", which it promises".to_owned(), |output| format!(" ({})", output.doc));
            return fail(format!("it did not write {path}{doc}"));
        }
    }
    // What was linked from the previous artifact was found as its manifest says when the stage asked for it.
    let known = |name: &str, path: &Path| previous?.shared(name, path);
    Tree::by(out, |name, path, metadata| match known(name, path) {
        Some(file) => Ok(file),
        None => StatCache::disabled().digest(path, metadata),
    })
}
