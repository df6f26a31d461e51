//! What a run starts from: the stat cache, and the artifacts of stages that it reads but does not
//! bring up to date.

use ctpipe_stage::Level;

use crate::content::StatCache;
use crate::error::{Error, Result};
use crate::event::{Outcome, State};
use crate::graph::{Node, Pipeline};
use crate::history::StageRecord;
use crate::plan::{Planner, Upstream};
use crate::run::context::RunContext;
use crate::run::recorder::Recorder;
use crate::run::selection::Scope;
use crate::store::{Store, intact};

/// Runs before anything else: what a later ctpipe made is not replaced.
pub(super) fn refuse_later(pipeline: &Pipeline, store: &Store) -> Result<()> {
    for node in &pipeline.nodes {
        if let Err(error @ Error::Later { .. }) = store.current(&node.name) {
            return Err(error);
        }
    }
    Ok(())
}

/// The stat cache, or one that trusts nothing.
pub(crate) fn open_cache(store: &Store, paranoid: bool) -> StatCache {
    if paranoid { StatCache::disabled() } else { StatCache::load(&store.layout.stat_cache()) }
}

/// The artifacts of stages that the run reads but does not bring up to date. No such stage reads
/// one that the run brings up to date.
pub(super) fn begin_from(
    context: RunContext<'_>,
    planner: &mut Planner<'_>,
    scope: &Scope,
) -> Result<Vec<Upstream>> {
    let nodes = &context.pipeline.nodes;
    let mut upstream = vec![Upstream::Unknown; nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| !scope.run.contains(index)) {
        upstream[index] = as_is(context.store, context.cache, node, scope, index)?;
        if let Upstream::Known(artifact) = &upstream[index] {
            let record = StageRecord::new(context.pipeline, node, Outcome::AsIs, artifact);
            context.recorder.stage(index, record);
            say_if_stale(planner, node, &upstream, context.recorder)?;
        }
    }
    Ok(upstream)
}

pub(super) fn as_is(
    store: &Store,
    cache: &StatCache,
    node: &Node,
    scope: &Scope,
    index: usize,
) -> Result<Upstream> {
    if !scope.as_is.contains(&index) {
        return Ok(Upstream::Unknown);
    }
    match store.current(&node.name)? {
        Some(artifact) => match intact(&artifact, cache) {
            None => Ok(Upstream::Known(Box::new(artifact))),
            // A key made from the digest in the manifest would stand for bytes that no longer
            // exist.
            Some(path) => Err(Error::Usage(format!(
                "{path} of {} was changed by hand, so it cannot be used; run \"ctpipe run {}\" first",
                node.name, node.name
            ))),
        },
        None => Err(Error::Usage(format!(
            "there is no artifact of {} to start from; run \"ctpipe run {}\" first",
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
    let decision = planner.decide(node, upstream, false)?;
    let why = match decision.state {
        State::Will { reasons } | State::Restore { reasons } => {
            reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        // In the state `May`, what the stage reads lies outside this run and is not checked.
        State::Fresh | State::May { .. } => return Ok(()),
    };
    recorder.note(Level::Warning, format!("{} is stale ({why}) but is used as it is", node.name));
    Ok(())
}
