//! `ctpipe status`: what is stale and why, running nothing.

use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Decision, Pipeline, Selection, describe};
use serde_json::json;

use crate::cli::{Global, Status};
use crate::context;
use crate::terminal::{print_json, say};

/// The exit code for "something is stale".
const STALE: u8 = 3;

pub(crate) fn status(global: &Global, args: &Status) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let decisions = dry_run(&pipeline, &Selection::default(), args.paranoid)?;
    show(global, &decisions)
}

/// One line a stage; 3 when any is stale.
pub(crate) fn show(global: &Global, decisions: &[(String, Decision)]) -> anyhow::Result<u8> {
    if global.json {
        let stages: Vec<_> = decisions
            .iter()
            .map(|(name, decision)| {
                json!({
                    "stage": name,
                    "decision": decision.state,
                    "key": decision.key.as_ref().map(ctpipe_engine::key::Key::hash),
                })
            })
            .collect();
        print_json(&stages)?;
    } else {
        let width = decisions.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, decision) in decisions {
            let (word, why) = describe(&decision.state);
            say!("{name:width$}  {word}: {why}");
        }
    }
    let stale = decisions.iter().any(|(_, decision)| decision.state.is_stale());
    Ok(if stale { STALE } else { 0 })
}

/// Of the longest word that stands at the start of a line.
pub(crate) fn width(pipeline: &Pipeline) -> usize {
    pipeline.nodes.iter().map(|node| node.name.len()).max().unwrap_or(0).max("pre-flight".len())
}
