//! What a run would do and what its result would be, without running anything.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::event::LockDifference;
use crate::graph::Pipeline;
use crate::lock::{Lock, LockUse};
use crate::plan::{Decision, Planner, Upstream};
use crate::run::selection::Selection;
use crate::run::start::{as_is, open_cache};
use crate::store::Store;

/// Decides on the stages of a selection without running anything: what `status`, `why` and
/// `run --dry-run` show.
///
/// # Errors
/// As for [`crate::run::run`], but nothing is locked or written; a lock that a run could not use is
/// ignored.
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
        let decision = planner.decide(node, &upstream, scope.forced.contains(&index))?;
        upstream.push(decision.artifact.clone().map_or(Upstream::Unknown, |a| Upstream::Known(Box::new(a))));
        decisions.push((node.name.clone(), decision));
    }
    Ok(decisions)
}

/// Compares what a run would come to, as far as that is known beforehand, with the lock.
///
/// # Errors
/// [`Error::Differs`], and if there is no lock or it cannot be used.
pub fn foresee(pipeline: &Pipeline, decisions: &[(String, Decision)]) -> Result<()> {
    let lock = Lock::open(pipeline, LockUse::Hold)?;
    let mut differences: Vec<LockDifference> = decisions
        .iter()
        .filter_map(|(stage, decision)| match (&decision.artifact, &decision.key) {
            (Some(artifact), _) => lock.differs(stage, &artifact.manifest),
            (None, Some(key)) => lock.refuses(stage, key),
            // What the stage reads has to be made first.
            (None, None) => None,
        })
        .collect();
    if decisions.len() == pipeline.nodes.len() {
        differences.extend(lock.gone(pipeline));
    }
    // The stages that the run would use as they are.
    let decided = |index: usize| decisions.iter().any(|(name, _)| *name == pipeline.nodes[index].name);
    let inside = (0..pipeline.nodes.len()).filter(|&index| decided(index));
    let outside: BTreeSet<usize> =
        inside.flat_map(|index| pipeline.parents(index)).filter(|&index| !decided(index)).collect();
    let store = Store::new(&pipeline.artifacts);
    for index in outside {
        let name = &pipeline.nodes[index].name;
        differences.extend(store.current(name)?.and_then(|artifact| lock.differs(name, &artifact.manifest)));
    }
    if differences.is_empty() { Ok(()) } else { Err(Error::Differs(differences)) }
}
