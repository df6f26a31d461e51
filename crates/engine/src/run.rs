//! Brings stages up to date: decide, do, record, one stage after the other. Knows no stage by
//! name and no terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::error::{Error, Result};
use crate::event::{Level, Observer, Outcome};
use crate::gates::{Judged, SAID_NO};
use crate::graph::{Node, Pipeline};
use crate::history::StageRecord;
use crate::key::Reason;
use crate::locked::{Lock, LockUse};
use crate::manifest::Maker;
use crate::plan::{Decision, Planner, State, Upstream};
use crate::preflight::preflight;
use crate::record::Recorder;
use crate::release::{judge, release};
use crate::schedule::bring_up_to_date;
use crate::stat_cache::StatCache;
use crate::store::{Store, intact};
use crate::work::Place;

/// Which stages a command is about. The name of a stage with a matrix stands for all its instances.
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
            run = pipeline.with_descendants(&pipeline.indices(from)?);
        }
        if !self.stages.is_empty() {
            for stage in &self.stages {
                named.extend(pipeline.indices(stage)?);
            }
            run = pipeline.with_ancestors(&named);
        }
        if let Some(to) = &self.to {
            let before = pipeline.with_ancestors(&pipeline.indices(to)?);
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

/// Makes a drawing of the stages that a run used and made, and of those that it did not finish with what became of each,
/// to stand in its page.
pub type Draw<'a> = &'a (dyn Fn(&[StageRecord], &BTreeMap<String, &'static str>) -> String + Sync);

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
    /// Draws the run's stages for its page, as SVG.
    pub draw: Option<Draw<'a>>,
    /// What to do with `pipeline.lock`.
    pub lock: LockUse,
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
    /// What the gates said.
    pub gates: Vec<Judged>,
}

impl Summary {
    /// The process's exit code: 0, or 5 where a gate said no.
    pub fn exit_code(&self) -> u8 {
        exit_code(&self.gates)
    }
}

fn exit_code(gates: &[Judged]) -> u8 {
    if gates.iter().all(|judged| judged.passed) { 0 } else { SAID_NO }
}

/// Brings the selected stages up to date.
///
/// # Errors
/// [`Error::Locked`], a problem found by the pre-flight check, or the stage that failed; what was
/// finished before is kept.
pub fn run(pipeline: &Pipeline, options: &Options<'_>, observer: &dyn Observer) -> Result<Summary> {
    let scope = options.selection.scope(pipeline)?;
    let store = Store::new(&pipeline.artifacts);
    let _lock = store.lock(options.wait, options.stop)?;
    store.sweep()?;
    refuse_later(pipeline, &store)?;
    let lock = Lock::open(pipeline, options.lock)?;
    let cache = open_cache(&store, options.paranoid);
    let recorder = Recorder::start(&store, pipeline, &scope, options.maker.clone(), observer)?;
    let mut result = preflight(pipeline, &scope, &store, &recorder).and_then(|()| {
        let place =
            Place { pipeline, store: &store, cache: &cache, options, recorder: &recorder, lock: &lock };
        bring_up_to_date(place, &scope)
    });
    // Losing the cache or the record's last page must not turn a good run into a failed one.
    if let Err(e) = cache.save(&store.stat_cache()) {
        recorder.note(Level::Warning, format!("the stat cache could not be saved: {e}"));
    }
    // Also after a failure: what succeeded is in the store.
    match lock.update(pipeline, &recorder.stages(), &options.maker) {
        Ok(None) => {}
        Ok(Some(note)) => recorder.note(Level::Info, note),
        // It was asked for.
        Err(e) if options.lock == LockUse::Write && result.is_ok() => result = Err(e),
        Err(e) => recorder.note(Level::Warning, format!("the lock could not be written: {}", chain(&e))),
    }
    let gates = judge(pipeline, &store, &recorder.stages(), &recorder);
    if result.is_ok()
        && let Err(e) = release(pipeline, &store, &gates, &recorder)
    {
        recorder.note(Level::Warning, format!("nothing could be released: {}", chain(&e)));
    }
    let drawing =
        options.draw.map(|draw| draw(&recorder.stages(), &recorder.unfinished())).unwrap_or_default();
    let folder =
        recorder.finish(&drawing, result.as_ref().map_or_else(Error::exit_code, |_| exit_code(&gates)));
    result.map(|outcomes| Summary { folder, outcomes, gates })
}

/// Before anything is done: what a later program has made is not replaced.
fn refuse_later(pipeline: &Pipeline, store: &Store) -> Result<()> {
    for node in &pipeline.nodes {
        if let Err(error @ Error::Later { .. }) = store.current(&node.name) {
            return Err(error);
        }
    }
    Ok(())
}

/// Decides on the stages of a selection as things stand, running nothing: what `status`, `why` and
/// `run --dry-run` show.
///
/// # Errors
/// As [`run`], but nothing is locked or written; a lock that a run could not use is not looked at.
pub fn dry_run(
    pipeline: &Pipeline,
    selection: &Selection,
    paranoid: bool,
    lock: LockUse,
) -> Result<Vec<(String, Decision)>> {
    let scope = selection.scope(pipeline)?;
    let store = Store::new(&pipeline.artifacts);
    let cache = open_cache(&store, paranoid);
    let lock = Lock::glance(pipeline, lock);
    let mut planner = Planner::new(pipeline, &store, &cache, &lock);
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

/// What the run begins from: the artifacts of stages that it reads and does not bring up to date. Such a
/// stage reads none that it does.
pub(crate) fn begin_from(
    place: Place<'_>,
    planner: &mut Planner<'_>,
    scope: &Scope,
) -> Result<Vec<Upstream>> {
    let nodes = &place.pipeline.nodes;
    let mut upstream = vec![Upstream::Unknown; nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| !scope.run.contains(index)) {
        upstream[index] = as_is(place.store, place.cache, node, scope, index)?;
        if let Upstream::Known(artifact) = &upstream[index] {
            let record = StageRecord::new(place.pipeline, node, Outcome::AsIs, artifact);
            place.recorder.stage(index, record);
            say_if_stale(planner, node, &upstream, place.recorder)?;
        }
    }
    Ok(upstream)
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
