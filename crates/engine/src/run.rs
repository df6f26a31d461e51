//! Brings stages up to date: decide, do, record, one stage after the other. Knows no stage by
//! name and no terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::event::{Event, Level, Observer, Outcome};
use crate::graph::{Node, Pipeline, Source};
use crate::items::{ITEMS, Previous, Reuse};
use crate::key::{Key, Reason};
use crate::limits::{self, Limits};
use crate::manifest::{Made, Maker, Manifest};
use crate::memory;
use crate::plan::{Decision, Planner, State, Upstream};
use crate::preflight::preflight;
use crate::record::Recorder;
use crate::schedule::bring_up_to_date;
use crate::stage::{FindPrevious, StageError, Task};
use crate::stat_cache::StatCache;
use crate::store::{Artifact, Store, intact};
use crate::tree::Tree;

/// Which stages a command is about.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These, with what they need; all when empty and nothing else is said.
    pub stages: Vec<String>,
    /// This and all that follows it, on what comes before it as it is.
    pub from: Option<String>,
    /// Nothing after this.
    pub to: Option<String>,
    /// Run the selected ones whether they are fresh or not.
    pub force: bool,
}

/// A selection, held against a pipeline.
#[derive(Debug, Clone)]
pub struct Scope {
    /// To be brought up to date.
    pub run: BTreeSet<usize>,
    /// Read by those, and used as they are.
    pub as_is: BTreeSet<usize>,
    /// To be run even when fresh.
    pub forced: BTreeSet<usize>,
}

impl Selection {
    /// Holds the selection against a pipeline.
    ///
    /// # Errors
    /// When a stage is unknown or the selection is empty.
    pub fn scope(&self, pipeline: &Pipeline) -> Result<Scope> {
        let all: BTreeSet<usize> = (0..pipeline.nodes.len()).collect();
        let mut run = all.clone();
        let mut named = BTreeSet::new();
        if let Some(from) = &self.from {
            if !self.stages.is_empty() {
                return Err(Error::Usage("name stages or use --from, not both".to_owned()));
            }
            run = pipeline.with_descendants(pipeline.index(from)?);
        }
        if !self.stages.is_empty() {
            run = BTreeSet::new();
            for stage in &self.stages {
                let index = pipeline.index(stage)?;
                named.insert(index);
                run.extend(pipeline.with_ancestors(index));
            }
        }
        if let Some(to) = &self.to {
            let before = pipeline.with_ancestors(pipeline.index(to)?);
            run = &run & &before;
            if run.is_empty() {
                let from = self.from.clone().unwrap_or_else(|| self.stages.join(", "));
                let message = format!("nothing lies between {from} and {to}: {to} does not read it");
                return Err(Error::Usage(message));
            }
        }
        // `--from` says to leave alone what comes before; without it nothing is left out below.
        let as_is = run.iter().flat_map(|&i| pipeline.parents(i)).filter(|i| !run.contains(i)).collect();
        let forced = match (self.force, named.is_empty()) {
            (false, _) => BTreeSet::new(),
            (true, true) => run.clone(),
            (true, false) => named,
        };
        Ok(Scope { run, as_is, forced })
    }
}

/// How to run.
pub struct Options<'a> {
    /// Which stages.
    pub selection: Selection,
    /// Go on with what does not depend on a stage that failed.
    pub keep_going: bool,
    /// Wait for another run instead of refusing.
    pub wait: bool,
    /// Read every file instead of believing the stat cache.
    pub paranoid: bool,
    /// Stages at a time, at most.
    pub jobs: usize,
    /// Who makes the artifacts.
    pub maker: Maker,
    /// Set by a signal: stop as soon as it is clean.
    pub stop: &'a AtomicBool,
}

/// What a run came to.
#[derive(Debug)]
pub struct Summary {
    /// Its folder under `artifacts/runs/`.
    pub folder: PathBuf,
    /// Stage to what became of it, in order.
    pub outcomes: Vec<(String, Outcome)>,
}

/// Brings the selected stages up to date.
///
/// # Errors
/// [`Error::Locked`], a problem found by the pre-flight check, or the stage that failed; what was
/// finished before is kept.
pub fn run(pipeline: &Pipeline, options: &Options<'_>, observer: &dyn Observer) -> Result<Summary> {
    let scope = options.selection.scope(pipeline)?;
    let store = Store::new(&pipeline.artifacts);
    let _lock = store.lock(options.wait)?;
    store.sweep()?;
    // Before anything is done: what a later program has made is not replaced.
    for node in &pipeline.nodes {
        if let Err(error @ Error::Later { .. }) = store.current(&node.name) {
            return Err(error);
        }
    }
    let cache = open_cache(&store, options.paranoid);
    let recorder = Recorder::start(&store, pipeline, &scope, options.maker.clone(), observer)?;
    let result = preflight(pipeline, &scope, &store, &recorder).and_then(|()| {
        let place = Place { pipeline, store: &store, cache: &cache };
        bring_up_to_date(place, &scope, options, &recorder)
    });
    // Losing the cache or the record's last page must not turn a good run into a failed one.
    if let Err(e) = cache.save(&store.stat_cache()) {
        recorder.note(Level::Warning, format!("the stat cache could not be saved: {e}"));
    }
    let folder = recorder.finish(result.as_ref().map_or_else(Error::exit_code, |_| 0));
    result.map(|outcomes| Summary { folder, outcomes })
}

/// The decisions of [`crate::plan::plan`] for a selection, as a dry run shows them.
///
/// # Errors
/// As [`run`], but nothing is locked or written.
pub fn dry_run(
    pipeline: &Pipeline,
    selection: &Selection,
    paranoid: bool,
) -> Result<Vec<(String, Decision)>> {
    let scope = selection.scope(pipeline)?;
    let store = Store::new(&pipeline.artifacts);
    let cache = open_cache(&store, paranoid);
    let mut planner = Planner::new(pipeline, &store, &cache);
    let mut upstream = Vec::new();
    let mut decisions = Vec::new();
    for (index, node) in pipeline.nodes.iter().enumerate() {
        if !scope.run.contains(&index) {
            upstream.push(as_is(&store, &cache, node, &scope, index)?);
            continue;
        }
        let mut decision = planner.decide(node, &upstream)?;
        if scope.forced.contains(&index) {
            decision.state = State::Will { reasons: vec![Reason::Forced] };
            decision.artifact = None;
        }
        upstream.push(decision.artifact.clone().map_or(Upstream::Unknown, |a| Upstream::Known(Box::new(a))));
        decisions.push((node.name.clone(), decision));
    }
    Ok(decisions)
}

/// The stat cache, or one that believes nothing.
pub fn open_cache(store: &Store, paranoid: bool) -> StatCache {
    if paranoid { StatCache::disabled() } else { StatCache::load(&store.stat_cache()) }
}

fn as_is(store: &Store, cache: &StatCache, node: &Node, scope: &Scope, index: usize) -> Result<Upstream> {
    if !scope.as_is.contains(&index) {
        return Ok(Upstream::Unknown);
    }
    match store.current(&node.name)? {
        Some(artifact) => match intact(&artifact, cache) {
            None => Ok(Upstream::Known(Box::new(artifact))),
            // A key made from the manifest's digest would stand for bytes that are no longer there.
            Some(path) => Err(Error::Usage(format!(
                "{path} of {} was altered by hand, so nothing can begin from it; run \"ctpipe run {}\" first",
                node.name, node.name
            ))),
        },
        None => Err(Error::Usage(format!(
            "there is no artifact of {} to begin from; run \"ctpipe run {}\" first",
            node.name, node.name
        ))),
    }
}

/// What the stages of a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a StatCache,
}

/// What becomes of a stage.
pub(crate) enum Step {
    /// It is no part of this run, and nothing in it reads it.
    Outside,
    /// Its artifact is there.
    Done(Outcome, Box<Artifact>),
    /// It has to run.
    Work(Box<Work>),
}

/// A stage that has to run, with all that it needs for that.
pub(crate) struct Work {
    key: Key,
    inputs: BTreeMap<String, PathBuf>,
    trees: BTreeMap<String, Arc<Tree>>,
    forced: bool,
}

/// Decides on a stage, and does what needs no work.
pub(crate) fn prepare(
    place: Place<'_>,
    planner: &mut Planner<'_>,
    index: usize,
    scope: &Scope,
    upstream: &[Upstream],
    options: &Options<'_>,
    recorder: &Recorder<'_>,
) -> Result<Step> {
    let node = &place.pipeline.nodes[index];
    if !scope.run.contains(&index) {
        return match as_is(place.store, place.cache, node, scope, index)? {
            Upstream::Unknown => Ok(Step::Outside),
            Upstream::Known(artifact) => {
                say_if_stale(planner, node, upstream, recorder)?;
                Ok(Step::Done(Outcome::AsIs, artifact))
            }
        };
    }
    let mut decision = planner.decide(node, upstream)?;
    if scope.forced.contains(&index) {
        decision.state = State::Will { reasons: vec![Reason::Forced] };
    }
    recorder.event(&Event::Decided { stage: node.name.clone(), state: decision.state.clone() });
    match (decision.state, decision.artifact, decision.key) {
        (State::Fresh, Some(artifact), _) => Ok(Step::Done(Outcome::Fresh, Box::new(artifact))),
        (State::Restore { .. }, Some(artifact), _) => {
            place.store.point(&node.name, &artifact.path)?;
            let no_cost =
                Made { seconds: 0.0, peak_memory: None, items: None, ..artifact.manifest.made.clone() };
            finished(node, Outcome::Restored, &artifact, &no_cost, recorder);
            Ok(Step::Done(Outcome::Restored, Box::new(artifact)))
        }
        (State::Will { reasons }, _, None) => Err(Error::Usage(format!(
            "stage {}: {}",
            node.name,
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ))),
        _ if options.stop.load(Ordering::Relaxed) => Err(Error::Interrupted),
        (state, _, key) => {
            let key = key.ok_or_else(|| Error::Usage(format!("stage {} has no inputs", node.name)))?;
            let trees = input_trees(planner, node, upstream)?;
            // So that the next decision can name the files that changed.
            for (port, tree) in &trees {
                if let Some(digest) = key.inputs.get(port) {
                    place.store.remember_tree(digest, tree)?;
                }
            }
            let forced = matches!(&state, State::Will { reasons } if reasons.contains(&Reason::Forced));
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
    options: &Options<'_>,
    recorder: &Recorder<'_>,
) -> Result<(Outcome, Artifact)> {
    let mut failed = 0;
    loop {
        if options.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        match execute(place, node, work, options, recorder) {
            Err(error @ Error::Stage { .. }) if failed < node.limits.retries => {
                failed += 1;
                wait_to_retry(node, failed, &error, options, recorder)?;
            }
            done => return done,
        }
    }
}

/// Waits before the next attempt, or stops.
fn wait_to_retry(
    node: &Node,
    failed: u32,
    error: &Error,
    options: &Options<'_>,
    recorder: &Recorder<'_>,
) -> Result<()> {
    let wait = Limits::wait_before(failed);
    let text = chain(error);
    let (next, all) = (failed + 1, node.limits.retries + 1);
    let note = format!("{text}; attempt {next} of {all} follows in {}", limits::in_words(wait));
    recorder.note(Level::Warning, note);
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if options.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs a stage and keeps what it made.
fn execute(
    place: Place<'_>,
    node: &Node,
    work: &Work,
    options: &Options<'_>,
    recorder: &Recorder<'_>,
) -> Result<(Outcome, Artifact)> {
    let Place { store, cache, .. } = place;
    let Work { key, inputs, trees, forced } = work;
    // Forced work is done whole: whoever doubts a result doubts its parts.
    let from_scratch = || None;
    let find = || store.previous(&node.name, key, cache);
    let find_previous: FindPrevious<'_> = if *forced { &from_scratch } else { &find };
    let draft = store.begin(&node.name)?;
    recorder.event(&Event::StageStarted { stage: node.name.clone() });
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    memory::reset_peak();
    let task = Task {
        stage: &node.name,
        params: &node.params,
        seed: place.pipeline.seed,
        inputs: inputs.clone(),
        trees: trees.clone(),
        find_previous,
        previous: OnceLock::new(),
        items: Mutex::new(None),
        out: draft.path().to_path_buf(),
        observer: recorder,
        stop: options.stop,
        deadline: node.limits.timeout.map(|timeout| clock + timeout),
    };
    // A panic is a mistake in a stage; it must cost that stage and not the record of the run.
    let result = catch_unwind(AssertUnwindSafe(|| node.stage.run(&task))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(StageError::Failed(format!("a mistake in ctpipe: {text}; please report it").into()))
    });

    match result {
        Ok(()) => {}
        Err(StageError::Interrupted) if task.is_late() && !options.stop.load(Ordering::Relaxed) => {
            let timeout = limits::in_words(node.limits.timeout.unwrap_or_default());
            let source = format!("it was stopped after its timeout of {timeout}").into();
            return Err(Error::Stage { stage: node.name.clone(), source });
        }
        Err(StageError::Interrupted) => return Err(Error::Interrupted),
        Err(StageError::Failed(source)) => {
            return Err(Error::Stage { stage: node.name.clone(), source });
        }
    }
    refuse_moved_inputs(cache, node, trees)?;
    let previous = task.previous.into_inner().flatten();
    let items = task.items.into_inner().unwrap_or_default();
    let outputs = collect(node, draft.path(), previous.as_deref())?;
    let list = items.as_ref().map(|(items, _)| items.to_json());
    if let Some(list) = &list {
        let path = draft.path().join(ITEMS);
        fs::write(&path, list).map_err(|e| Error::io("cannot write", &path, e))?;
    }
    let made = Made {
        by: options.maker.clone(),
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        peak_memory: memory::peak(),
        sources: sources(node),
        items: items.map(|(items, reused)| Reuse { items: items.0.len() as u64, reused }),
    };
    let list = list.map(|list| blake3::hash(&list).to_hex().to_string());
    let manifest = Manifest::new(&node.name, key.clone(), outputs, list, made.clone());
    let (outcome, artifact) = store.keep(draft, manifest)?;
    // All of it has been read in this run. What it shares with the previous one has new times there, too.
    for (name, file) in &artifact.manifest.outputs.files {
        let path = artifact.path.join(name);
        cache.vouch(&path, file);
        if let Some(previous) = previous.as_ref().filter(|p| p.shared(name, &path).is_some()) {
            cache.vouch(&previous.folder().join(name), file);
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

/// An input that changed while the stage read it would be kept under the digest of what it was before.
fn refuse_moved_inputs(cache: &StatCache, node: &Node, trees: &BTreeMap<String, Arc<Tree>>) -> Result<()> {
    for (port, source) in &node.inputs {
        if let Source::Path { given, path } = source
            && trees.get(port).map(Arc::as_ref) != Some(&Tree::of(path, cache)?)
        {
            let source = format!("{given} changed while it was read; run again").into();
            return Err(Error::Stage { stage: node.name.clone(), source });
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
fn collect(node: &Node, out: &std::path::Path, previous: Option<&Previous>) -> Result<Tree> {
    let fail = |message: String| Err(Error::Stage { stage: node.name.clone(), source: message.into() });
    for entry in walkdir::WalkDir::new(out) {
        let entry = entry.map_err(|e| Error::io("cannot list", out, e.into()))?;
        if entry.path_is_symlink() {
            let name = entry.path().strip_prefix(out).unwrap_or(entry.path()).display();
            return fail(format!("its output {name} is a link; outputs must be files"));
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
    let known = |name: &str, path: &std::path::Path| previous?.shared(name, path).cloned();
    Tree::by(out, |name, path, metadata| match known(name, path) {
        Some(file) => Ok(file),
        None => StatCache::disabled().digest(path, metadata),
    })
}

fn say_if_stale(
    planner: &mut Planner<'_>,
    node: &Node,
    upstream: &[Upstream],
    recorder: &Recorder<'_>,
) -> Result<()> {
    let decision = planner.decide(node, upstream)?;
    let why = match decision.state {
        State::Will { reasons } | State::Restore { reasons } => {
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        // For `May`: what it reads lies outside of this run and is not looked at.
        State::Fresh | State::May { .. } => return Ok(()),
    };
    recorder.note(Level::Warning, format!("{} is stale ({why}) and is used as it is", node.name));
    Ok(())
}

/// An error and its causes in one line, from general to specific.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = inner.source();
    }
    text
}
