//! `artifacts/released`: the last result that passed all gates.

use ctpipe_stage::Level;

use crate::error::Result;
use crate::event::{Event, Judged, Observer, Released};
use crate::graph::{Node, Pipeline, Source};
use crate::history::StageRecord;
use crate::run::recorder::Recorder;
use crate::store::{Artifact, Store};

/// Judges the gates of all stages that the run brought up to date or used as they were.
pub(crate) fn judge(
    pipeline: &Pipeline,
    store: &Store,
    stages: &[StageRecord],
    recorder: &Recorder<'_>,
) -> Vec<Judged> {
    let mut all = Vec::new();
    for node in pipeline.nodes.iter().filter(|node| stages.iter().any(|stage| stage.stage == node.name)) {
        for gate in &node.gates {
            // The run holds the lock, so the current artifact is the one that it used.
            let artifact = store.current(&node.name).ok().flatten();
            let folder = artifact.map(|artifact| artifact.path).unwrap_or_default();
            let judged = gate.judge(&node.name, &folder);
            recorder.event(&Event::GateJudged { judged: judged.clone() });
            all.push(judged);
        }
    }
    all
}

/// Releases the result that the last gated stage judged, if all gates of the pipeline passed.
///
/// # Errors
/// If the link cannot be set; it is then unchanged.
pub(crate) fn release(
    pipeline: &Pipeline,
    store: &Store,
    judged: &[Judged],
    recorder: &Recorder<'_>,
) -> Result<()> {
    let gates = || pipeline.nodes.iter().filter(|node| !node.gates.is_empty());
    let asked = |name: &str| judged.iter().any(|judged| judged.stage == name);
    let Some(last) = last_gated(pipeline) else { return Ok(()) };
    if !gates().all(|node| asked(&node.name)) || judged.iter().any(|judged| !judged.passed) {
        return Ok(());
    }
    if pipeline.overridden {
        let text = "nothing is released, because --set is not part of the pipeline file".to_owned();
        recorder.note(Level::Info, text);
        return Ok(());
    }
    if gates().filter(|node| node.of() == last.of()).count() > 1 {
        let text = format!(
            "{} is one of several instances with the same gates, so none of them is released; put the gates on a stage that reads all of them",
            last.name
        );
        recorder.note(Level::Warning, text);
        return Ok(());
    }
    let Some(released) = to_be_released(pipeline, store, last, recorder)? else { return Ok(()) };
    // The links of the judging stages come first: after a kill in between, the next run sets the
    // other one.
    for node in gates() {
        if gates().filter(|other| other.of() == node.of()).count() == 1
            && let Some(gated) = store.current(&node.name)?
        {
            store.release(&format!("{}.{}", pipeline.released, node.of()), &gated)?;
        }
    }
    if store.release(&pipeline.released, &released)? {
        let manifest = &released.manifest;
        // An audit compares the link with this event.
        let released = Released {
            link: pipeline.released.clone(),
            stage: manifest.stage.clone(),
            key: manifest.key_hash.clone(),
        };
        recorder.event(&Event::Released { released });
    }
    Ok(())
}

/// The stage whose gates decide what is released: a stage that judges a model comes before one that
/// summarises, because what is released will be used.
fn last_gated(pipeline: &Pipeline) -> Option<&Node> {
    let gates = || pipeline.nodes.iter().filter(|node| !node.gates.is_empty());
    let judges = |node: &&Node| node.stage.judges().is_some_and(|port| node.inputs.contains_key(port));
    gates().rfind(judges).or_else(|| gates().next_back())
}

/// The result that a gated stage judged: the one that it reads, or its own. `None` if that one is
/// not current.
fn to_be_released(
    pipeline: &Pipeline,
    store: &Store,
    gated: &Node,
    recorder: &Recorder<'_>,
) -> Result<Option<Artifact>> {
    let Some(own) = store.current(&gated.name)? else { return Ok(None) };
    let port = gated.stage.judges().filter(|port| gated.inputs.contains_key(*port));
    let Some((port, Source::Stage(index))) = port.and_then(|port| Some((port, gated.inputs.get(port)?)))
    else {
        return Ok(Some(own));
    };
    let name = &pipeline.nodes[*index].name;
    let Some(read) = store.current(name)? else { return Ok(None) };
    if own.manifest.key.inputs.get(port) == Some(&read.manifest.content) {
        return Ok(Some(read));
    }
    let text = format!(
        "{} judged another {name} than the current one, so nothing is released; run it again",
        gated.name
    );
    recorder.note(Level::Warning, text);
    Ok(None)
}
