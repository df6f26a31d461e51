//! `ctpipe status`: what is stale and why, running nothing.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_engine::locked::LockUse;
use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Decision, Node, Pipeline, Selection, describe};
use serde_json::json;

use crate::cli::{Global, Status};
use crate::context;
use crate::terminal::{print_json, say};

/// The exit code for "something is stale".
const STALE: u8 = 3;

/// More instances of a stage are counted in one row.
const MOST_ROWS: usize = 12;
/// What [`describe`] may say of a stage.
const WORDS: [&str; 4] = ["fresh", "restore", "may run", "run"];

pub(crate) fn status(global: &Global, args: &Status) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let decisions = dry_run(&pipeline, &Selection::default(), args.paranoid, LockUse::Update)?;
    show(global, &pipeline, &decisions)
}

/// One line a stage or an instance; 3 when any is stale.
pub(crate) fn show(
    global: &Global,
    pipeline: &Pipeline,
    decisions: &[(String, Decision)],
) -> anyhow::Result<u8> {
    let nodes: BTreeMap<&str, &Node> = pipeline.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    if global.json {
        let stages: Vec<_> = decisions
            .iter()
            .map(|(name, decision)| {
                let mut stage = json!({
                    "stage": name,
                    "decision": decision.state,
                    "key": decision.key.as_ref().map(ctpipe_engine::key::Key::hash),
                });
                if let Some(instance) = nodes.get(name.as_str()).and_then(|node| node.instance.as_ref()) {
                    stage["instance"] = json!(instance);
                }
                stage
            })
            .collect();
        print_json(&stages)?;
    } else {
        let of = |name: &str| nodes.get(name).map_or_else(|| name.to_owned(), |node| node.of().to_owned());
        let rows = rows(decisions, of);
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, text) in rows {
            say!("{name:width$}  {text}");
        }
    }
    let stale = decisions.iter().any(|(_, decision)| decision.state.is_stale());
    Ok(if stale { STALE } else { 0 })
}

/// What stands in each line, with many instances of a stage (`of` names it) in one.
fn rows(decisions: &[(String, Decision)], of: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _) in decisions {
        *counts.entry(of(name)).or_default() += 1;
    }
    let mut rows = Vec::new();
    let mut folded = BTreeSet::new();
    for (name, decision) in decisions {
        let stage = of(name);
        let count = counts.get(&stage).copied().unwrap_or(1);
        if count <= MOST_ROWS {
            let (word, why) = describe(&decision.state);
            rows.push((name.clone(), format!("{word}: {why}")));
        } else if folded.insert(stage.clone()) {
            let states = decisions.iter().filter(|(name, _)| of(name) == stage);
            let words: Vec<&str> = states.map(|(_, decision)| describe(&decision.state).0).collect();
            let each = WORDS.iter().map(|word| (word, words.iter().filter(|found| *found == word).count()));
            let each = each.filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}"));
            let text = each.collect::<Vec<_>>().join(", ");
            rows.push((format!("{stage} ({count} instances)"), text));
        }
    }
    rows
}

/// Of the longest word that stands at the start of a line.
pub(crate) fn width(pipeline: &Pipeline) -> usize {
    pipeline.nodes.iter().map(|node| node.name.len()).max().unwrap_or(0).max("pre-flight".len())
}
