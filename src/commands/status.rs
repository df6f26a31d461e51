//! `ctpipe status`: shows what is stale and why, without running anything.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_engine::exit_code;
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Decision, Node, Pipeline, Selection, describe};
use ctpipe_stage::Key;

use crate::cli::{Global, Status};
use crate::context;
use crate::printed::StatusRow;
use crate::terminal::{print_json, say};

/// A stage with more instances than this gets one row.
const MOST_ROWS: usize = 12;
/// The words that [`describe`] uses for a stage.
const WORDS: [&str; 4] = ["fresh", "restore", "may run", "run"];

pub(crate) fn status(global: &Global, args: &Status) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let decisions = dry_run(&pipeline, &Selection::default(), args.paranoid, LockUse::Update)?;
    show(global, &pipeline, &decisions)
}

/// Prints one line for each stage or instance; the exit code is 3 if any is stale.
pub(crate) fn show(
    global: &Global,
    pipeline: &Pipeline,
    decisions: &[(String, Decision)],
) -> anyhow::Result<u8> {
    let nodes: BTreeMap<&str, &Node> = pipeline.nodes.iter().map(|node| (node.name.as_str(), node)).collect();
    if global.json {
        let row = |(name, decision): &(String, Decision)| StatusRow {
            stage: name.clone(),
            decision: decision.state.clone(),
            key: decision.key.as_ref().map(Key::hash),
            instance: nodes.get(name.as_str()).and_then(|node| node.instance.clone()),
        };
        let stages: Vec<StatusRow> = decisions.iter().map(row).collect();
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
    Ok(if stale { exit_code::STALE } else { exit_code::DONE })
}

/// The rows; a stage with many instances (`of` gives its name) gets one row.
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

/// The width of the longest word at the start of a line.
pub(crate) fn width(pipeline: &Pipeline) -> usize {
    pipeline.nodes.iter().map(|node| node.name.len()).max().unwrap_or(0).max("pre-flight".len())
}
