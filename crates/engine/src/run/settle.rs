//! Decides on a stage, and settles it if that takes no work: a fresh result is used, an earlier one
//! becomes current again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ctpipe_stage::{Key, Level, Made, Tree};

use crate::error::{Error, Result};
use crate::event::{Event, LockDifference, Observer, Outcome, State};
use crate::graph::{Node, Source};
use crate::plan::{Planner, Upstream};
use crate::run::context::RunContext;
use crate::run::recorder::Recorder;
use crate::store::Artifact;

/// What happens with a stage.
pub(super) enum Settled {
    /// Its artifact exists.
    Done(Outcome, Box<Artifact>),
    /// It has to run.
    Pending(Box<PendingStage>),
    /// Its existing result does not match the lock.
    Refused(LockDifference),
}

/// A stage that has to run, with all that it needs.
pub(super) struct PendingStage {
    pub(super) key: Key,
    pub(super) inputs: BTreeMap<String, PathBuf>,
    pub(super) trees: BTreeMap<String, Arc<Tree>>,
    pub(super) forced: bool,
}

/// Decides on a stage, and does what takes no work.
pub(super) fn settle(
    context: RunContext<'_>,
    planner: &mut Planner<'_>,
    node: &Node,
    forced: bool,
    upstream: &[Upstream],
) -> Result<Settled> {
    let decision = planner.decide(node, upstream, forced)?;
    context.recorder.event(&Event::Decided { stage: node.name.clone(), state: decision.state.clone() });
    match (decision.state, decision.artifact, decision.key) {
        (State::Fresh, Some(artifact), _) => {
            context.store.forget_finished_work(&node.name, &artifact.manifest.key_hash)?;
            Ok(Settled::Done(Outcome::Fresh, Box::new(artifact)))
        }
        (State::Restore { .. }, Some(artifact), _) => restore(context, node, artifact),
        (State::Will { reasons }, _, None) => Err(Error::Usage(format!(
            "stage {}: {}",
            node.name,
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ))),
        _ if context.stopping() => Err(Error::Interrupted),
        (_, _, key) => {
            let key = key.ok_or_else(|| Error::Usage(format!("stage {} has no inputs", node.name)))?;
            let pending = pending(context, planner, node, key, forced, upstream)?;
            Ok(Settled::Pending(Box::new(pending)))
        }
    }
}

/// Makes an earlier artifact of the same work current, from this stage or another.
fn restore(context: RunContext<'_>, node: &Node, artifact: Artifact) -> Result<Settled> {
    let RunContext { store, recorder, lock, .. } = context;
    // A run that must match the lock does not make a result current that the lock refuses.
    if let Some(difference) = lock.differs(&node.name, &artifact.manifest) {
        return Ok(Settled::Refused(difference));
    }
    let artifact = if artifact.manifest.stage == node.name {
        store.point(&node.name, &artifact.path)?;
        artifact
    } else {
        let text = format!("reused from {}, which is the same work", artifact.manifest.stage);
        recorder.event(&Event::Log { stage: node.name.clone(), level: Level::Info, text });
        store.adopt(&node.name, &artifact, sources(node))?
    };
    store.forget_finished_work(&node.name, &artifact.manifest.key_hash)?;
    let no_cost = Made { seconds: 0.0, peak_memory: None, items: None, ..artifact.manifest.made.clone() };
    finished(node, Outcome::Restored, &artifact, &no_cost, recorder);
    Ok(Settled::Done(Outcome::Restored, Box::new(artifact)))
}

/// Collects what the work needs, and remembers the content of its inputs.
fn pending(
    context: RunContext<'_>,
    planner: &mut Planner<'_>,
    node: &Node,
    key: Key,
    forced: bool,
    upstream: &[Upstream],
) -> Result<PendingStage> {
    let trees = input_trees(planner, node, upstream)?;
    for (port, tree) in &trees {
        if let Some(digest) = key.inputs.get(port) {
            planner.remember(digest, tree)?;
        }
    }
    if forced {
        context.store.force_work(&node.name, &key.hash())?;
    }
    Ok(PendingStage { key, inputs: input_paths(node, upstream), trees, forced })
}

/// Reports that a stage is done.
pub(super) fn finished(
    node: &Node,
    outcome: Outcome,
    artifact: &Artifact,
    made: &Made,
    recorder: &Recorder<'_>,
) {
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

/// The path of each input.
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

/// The user's paths that a stage reads, as they are written.
pub(super) fn sources(node: &Node) -> BTreeMap<String, String> {
    node.inputs
        .iter()
        .filter_map(|(port, source)| match source {
            Source::Path { given, .. } => Some((port.clone(), given.clone())),
            Source::Stage(_) => None,
        })
        .collect()
}

/// The content of each input.
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
