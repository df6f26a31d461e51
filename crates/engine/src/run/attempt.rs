//! Runs one stage, with retries, and keeps the result as an artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ctpipe_stage::{
    Account, Assignment, FindPrevious, ITEMS, Items, Level, Made, Manifest, Previous, Reuse, Tree,
};

use crate::content::{StatCache, still_holds, tree_by, tree_of};
use crate::error::{Error, Result, chain};
use crate::event::{Event, Heard, Observer, Outcome};
use crate::graph::{Node, Source};
use crate::run::context::RunContext;
use crate::run::settle::{PendingStage, finished, sources};
use crate::spec::limits::Limits;
use crate::stage::{Failure, execute};
use crate::store::Artifact;
use crate::sys::amount::in_words;
use crate::sys::{fault, files, machine};

/// Runs a stage, with as many attempts as it may have.
pub(super) fn run_with_retries(
    context: RunContext<'_>,
    node: &Node,
    pending: &PendingStage,
    gpus: &[String],
) -> Result<(Outcome, Artifact)> {
    let mut failed = 0;
    loop {
        if context.stopping() {
            return Err(Error::Interrupted);
        }
        match attempt(context, node, pending, gpus) {
            Err(error @ Error::Stage { .. }) if failed < node.limits.retries => {
                failed += 1;
                wait_to_retry(context, node, failed, &error)?;
            }
            done => return done,
        }
    }
}

/// Waits before the next attempt, or stops.
fn wait_to_retry(context: RunContext<'_>, node: &Node, failed: u32, error: &Error) -> Result<()> {
    let wait = Limits::wait_before(failed);
    let text = chain(error);
    let (next, all) = (failed + 1, node.limits.retries + 1);
    let note = format!("{text}; attempt {next} of {all} follows in {}", in_words(wait));
    context.recorder.note(Level::Warning, note);
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if context.stopping() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs a stage once and keeps what it made.
fn attempt(
    context: RunContext<'_>,
    node: &Node,
    pending: &PendingStage,
    gpus: &[String],
) -> Result<(Outcome, Artifact)> {
    let RunContext { store, cache, options, recorder, .. } = context;
    let draft = store.begin(&node.name)?;
    recorder.event(&Event::StageStarted { stage: node.name.clone() });
    let started = jiff::Timestamp::now();
    let clock = Instant::now();
    let measurement = machine::Measurement::start();
    let account = work(context, node, pending, gpus, draft.path())?;
    refuse_moved_inputs(cache, node, &pending.trees, &account.opened)?;
    let previous = account.previous.as_deref();
    let outputs = collect(node, draft.path(), previous)?;
    let list = account.items.as_ref().map(|(items, _)| write_items(draft.path(), items)).transpose()?;
    let made = Made {
        by: options.maker.clone(),
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds: clock.elapsed().as_secs_f64(),
        peak_memory: measurement.peak().filter(|_| node.stage.in_process()),
        sources: sources(node),
        items: account.items.map(|(items, reused)| Reuse { items: items.0.len() as u64, reused }),
    };
    let manifest = Manifest::new(&node.name, pending.key.clone(), outputs, list, made.clone());
    let (outcome, artifact) = store.keep(draft, manifest)?;
    store.forget_work(&node.name, &artifact.manifest.key_hash)?;
    vouch(cache, &artifact, previous);
    if outcome == Outcome::Different {
        let text = format!(
            "{} is not deterministic: the same key gave different bytes; both are kept, the new ones in {}",
            node.name,
            artifact.path.display()
        );
        recorder.note(Level::Warning, text);
    }
    finished(node, outcome, &artifact, &made, recorder);
    Ok((outcome, artifact))
}

/// Runs the stage with `out` as its folder.
fn work(
    context: RunContext<'_>,
    node: &Node,
    pending: &PendingStage,
    gpus: &[String],
    out: &Path,
) -> Result<Account> {
    let RunContext { pipeline, store, cache, options, recorder, .. } = context;
    let PendingStage { key, inputs, trees, forced } = pending;
    // Forced work starts from nothing: a user who doubts a result also doubts its parts.
    let from_scratch = || None;
    let find = || store.previous(&node.name, key, cache);
    let find_previous: FindPrevious<'_> = if *forced { &from_scratch } else { &find };
    let key_hash = key.hash();
    let assignment = Assignment {
        stage: &node.name,
        params: &node.params,
        seed: pipeline.seed,
        gpus,
        inputs: inputs.clone(),
        trees: trees.clone(),
        out: out.to_path_buf(),
        work: store.layout.work(&node.name, &key_hash),
        live: store.layout.live(&node.name, &key_hash),
        find_previous,
        listener: &Heard(recorder),
        stop: options.stop,
        deadline: node.limits.timeout.map(|timeout| Instant::now() + timeout),
        again: false,
    };
    execute(node.stage.as_ref(), assignment).map_err(|failure| {
        let source = match failure {
            Failure::Interrupted => return Error::Interrupted,
            Failure::Late => {
                let timeout = in_words(node.limits.timeout.unwrap_or_default());
                format!("it was stopped after its timeout of {timeout}").into()
            }
            Failure::Failed(source) => source,
        };
        Error::Stage { stage: node.name.clone(), source }
    })
}

/// Refuses inputs that changed while the stage read them, because they would be recorded under
/// their old digest. If the stage said which files it `opened`, the others may change: nothing was
/// made from them.
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
            (Some(tree), Some(names)) => still_holds(tree, names, path, cache)?,
            (tree, _) => tree == Some(&tree_of(path, cache)?),
        };
        if !same {
            return Err(Error::Moved { stage: node.name.clone(), input: given.clone() });
        }
    }
    Ok(())
}

/// Writes the list of what the items were made from; returns its digest.
fn write_items(out: &Path, items: &Items) -> Result<String> {
    let list = items.to_json();
    let path = out.join(ITEMS);
    fault::point().and_then(|()| fs::write(&path, &list)).map_err(|e| Error::io("cannot write", &path, e))?;
    Ok(blake3::hash(&list).to_hex().to_string())
}

/// Tells the cache what was written: all of it has been read in this run. Files shared with the
/// previous artifact have new times there, too.
fn vouch(cache: &StatCache, artifact: &Artifact, previous: Option<&Previous>) {
    for (name, file) in artifact.manifest.outputs.files() {
        let path = artifact.path.join(name);
        cache.vouch(&path, &file.to_digest());
        if let Some(previous) = previous.filter(|previous| previous.shared(name, &path).is_some()) {
            cache.vouch(&previous.folder().join(name), &file.to_digest());
        }
    }
}

/// What a stage wrote, once every declared output exists and no link leads out of the folder.
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
            return fail(format!("its output {} has a name that is not UTF-8; rename it", name.display()));
        }
    }
    for path in node.stage.promised() {
        if !out.join(&path).exists() {
            let doc = node.stage.outputs().iter().find(|output| output.path == path);
            let doc = doc.map_or_else(
                || ", which its `outputs` declare".to_owned(),
                |output| format!(" ({})", output.doc),
            );
            return fail(format!("it did not write {path}{doc}"));
        }
    }
    // A file linked from the previous artifact was checked against its manifest when the stage
    // asked for it.
    let known = |name: &str, path: &Path| previous?.shared(name, path);
    tree_by(out, |name, path, metadata| match known(name, path) {
        Some(file) => Ok(file),
        None => StatCache::disabled().digest(path, metadata),
    })
}
