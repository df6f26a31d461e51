//! `artifacts/released`: the last result that all gates said yes to. Knows no metric.

use crate::error::Result;
use crate::event::{Event, Level, Observer};
use crate::gates::Judged;
use crate::graph::{Node, Pipeline, Source};
use crate::history::StageRecord;
use crate::record::Recorder;
use crate::store::{Artifact, Store};

/// Asks the gates of all stages that the run has brought up to date, or used as they were.
pub(crate) fn judge(
    pipeline: &Pipeline,
    store: &Store,
    stages: &[StageRecord],
    recorder: &Recorder<'_>,
) -> Vec<Judged> {
    let mut all = Vec::new();
    for node in pipeline.nodes.iter().filter(|node| stages.iter().any(|stage| stage.stage == node.name)) {
        for gate in &node.gates {
            // What is current is what the run came to: it holds the lock.
            let artifact = store.current(&node.name).ok().flatten();
            let folder = artifact.map(|artifact| artifact.path).unwrap_or_default();
            let judged = gate.judge(&node.name, &folder);
            recorder.event(&Event::GateJudged { judged: judged.clone() });
            all.push(judged);
        }
    }
    all
}

/// Makes what the last gated stage has judged the released result, if all gates of the pipeline have said yes.
///
/// # Errors
/// When the link cannot be set; then it is as it was.
pub(crate) fn release(
    pipeline: &Pipeline,
    store: &Store,
    judged: &[Judged],
    recorder: &Recorder<'_>,
) -> Result<()> {
    let gates = || pipeline.nodes.iter().filter(|node| !node.gates.is_empty());
    // One that judges a model before one that sums up: what is released is to be used.
    let judges = |node: &&Node| node.stage.judges().is_some_and(|port| node.inputs.contains_key(port));
    let Some(last) = gates().rfind(judges).or_else(|| gates().next_back()) else {
        return Ok(());
    };
    let asked = |name: &str| judged.iter().any(|judged| judged.stage == name);
    let all_asked = gates().all(|node| asked(&node.name));
    if !all_asked || judged.iter().any(|judged| !judged.passed) {
        return Ok(());
    }
    if pipeline.overridden {
        let text = "nothing is released, because --set is no part of the pipeline file".to_owned();
        recorder.note(Level::Info, text);
        return Ok(());
    }
    if gates().filter(|node| node.of() == last.of()).count() > 1 {
        let text = format!(
            "{} is one of several with the same gates, so none of them is released; put the gates on a stage that reads \
             all of them",
            last.name
        );
        recorder.note(Level::Warning, text);
        return Ok(());
    }
    let Some(gated) = store.current(&last.name)? else { return Ok(()) };
    let port = last.stage.judges().filter(|port| last.inputs.contains_key(*port));
    let released: Artifact = match port.and_then(|port| Some((port, last.inputs.get(port)?))) {
        None | Some((_, Source::Path { .. })) => gated.clone(),
        Some((port, Source::Stage(index))) => {
            let name = &pipeline.nodes[*index].name;
            let Some(read) = store.current(name)? else { return Ok(()) };
            if gated.manifest.key.inputs.get(port) != Some(&read.manifest.content) {
                let text = format!(
                    "{} has judged another {name} than the current one, so nothing is released; run it again",
                    last.name
                );
                recorder.note(Level::Warning, text);
                return Ok(());
            }
            read
        }
    };
    // First what judged it: of a kill in between, the next run sets the other one.
    for node in gates() {
        if gates().filter(|other| other.of() == node.of()).count() == 1
            && let Some(gated) = store.current(&node.name)?
        {
            store.release(&format!("{}.{}", pipeline.released, node.of()), &gated)?;
        }
    }
    if store.release(&pipeline.released, &released)? {
        let manifest = &released.manifest;
        let key = manifest.key_hash.get(..12).unwrap_or(&manifest.key_hash);
        // An audit holds the link against this line.
        let text = format!("{} {} {key}: all gates said yes", pipeline.released, manifest.stage);
        recorder.note(Level::Info, text);
    }
    Ok(())
}
