//! `ctpipe history`: the runs, the newest first: when, what ran, how long, what came of it.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_engine::compare::metric;
use ctpipe_engine::history::{RunRecord, ids};
use ctpipe_engine::{Error, Store, tags};
use serde_json::{Value, json};

use crate::cli::{Global, History};
use crate::context;
use crate::terminal::{print_json, say};

pub(crate) fn history(global: &Global, args: &History) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    let tags = tags::list_whole(&store);
    let ids = ids(&store);
    let shown: Vec<&String> = ids.iter().rev().take(args.number.get()).collect();
    // Of metrics that no run has had so far: why.
    let mut unknown: BTreeMap<&String, Error> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut rows = Vec::new();
    for &id in &shown {
        let tagged: Vec<&str> =
            tags.iter().filter(|(_, run)| *run == id).map(|(tag, _)| tag.as_str()).collect();
        let mut row = json!({ "run": id, "tags": tagged });
        match RunRecord::read(&store, id) {
            Ok(record) => {
                describe(&record, &mut row);
                for name in &args.metric {
                    match metric(&store, &record, name) {
                        Ok(found) => {
                            known.insert(name);
                            for (stage, value) in found {
                                row["metrics"][stage][name] = value.into();
                            }
                        }
                        // Runs that ended before the stage had it are shown without it.
                        Err(error) => {
                            // One that has a hint says more than one that has nothing to hint at.
                            let says_more =
                                |before: &Error| before.to_string().len() < error.to_string().len();
                            if unknown.get(name).is_none_or(says_more) {
                                unknown.insert(name, error);
                            }
                        }
                    }
                }
            }
            Err(error) => row["problem"] = error.to_string().into(),
        }
        rows.push(row);
    }
    let earlier = || ids.iter().rev().skip(shown.len()).filter_map(|id| RunRecord::read(&store, id).ok());
    for (name, error) in unknown.into_iter().filter(|(name, _)| !known.contains(name)) {
        // That none of those that are shown has it is no mistake.
        if !earlier().any(|record| metric(&store, &record, name).is_ok()) {
            return Err(error.into());
        }
    }
    if global.json {
        print_json(&rows)?;
    } else if rows.is_empty() {
        say!("there is no run yet: \"ctpipe run\" makes one");
    } else {
        rows.iter().for_each(show);
    }
    Ok(0)
}

/// What a record says, in short.
fn describe(record: &RunRecord, row: &mut Value) {
    row["started"] = record.started.clone().into();
    row["seconds"] = record.seconds.into();
    row["exit_code"] = record.exit_code.into();
    row["ran"] = record.ran().iter().map(|(stage, _)| *stage).collect::<Vec<_>>().into();
    row["failed"] = record.failures().iter().map(|(stage, _)| *stage).collect::<Vec<_>>().into();
    row["results"] = json!(record.results());
    for stage in record.stages.iter().flatten().filter(|stage| !stage.metrics.is_empty()) {
        row["metrics"][&stage.stage] = json!(stage.metrics);
    }
    if !record.is_whole() {
        row["problem"] = "its record was altered".into();
    }
}

fn show(row: &Value) {
    let list = |field: &str| {
        row[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let mut words = vec![row["run"].as_str().unwrap_or_default().to_owned()];
    if let Some(seconds) = row["seconds"].as_f64() {
        let (ran, failed) = (folded(&list("ran")).join(", "), folded(&list("failed")).join(", "));
        words.push(format!("exit {}", row["exit_code"]));
        words.push(format!("{seconds:.1} s"));
        words.push(if ran.is_empty() { "nothing ran".to_owned() } else { format!("ran {ran}") });
        if !failed.is_empty() {
            words.push(format!("failed {failed}"));
        }
    }
    if !list("tags").is_empty() {
        words.push(format!("[{}]", list("tags").join(", ")));
    }
    say!("{}", words.join("  "));
    for (stage, content) in one_by_one(&row["results"]) {
        let content = content.as_str().unwrap_or_default();
        say!("  {stage} {}", content.get(..12).unwrap_or(content));
    }
    for (stage, metrics) in one_by_one(&row["metrics"]) {
        for (name, value) in metrics.as_object().into_iter().flatten() {
            let value = if value.is_null() { "undefined".to_owned() } else { value.to_string() };
            say!("  {stage} {name} = {value}");
        }
    }
    if let Some(problem) = row["problem"].as_str() {
        say!("  {problem}");
    }
}

/// More instances of a stage than this are not shown one by one.
const FEW: usize = 8;

fn stage_of(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

/// Stages that have many instances among some names, with how many.
fn many<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in names.filter(|name| name.contains('@')) {
        *counts.entry(stage_of(name)).or_default() += 1;
    }
    counts.retain(|_, count| *count > FEW);
    counts
}

/// What is told of each stage, but for those with many instances.
fn one_by_one(by_stage: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let all = || by_stage.as_object().into_iter().flatten();
    let many = many(all().map(|(stage, _)| stage.as_str()));
    all().filter(move |(stage, _)| !many.contains_key(stage_of(stage)))
}

/// Names, of many instances of one stage only how many there are.
fn folded(names: &[&str]) -> Vec<String> {
    let many = many(names.iter().copied());
    let mut told = BTreeSet::new();
    let mut shown = Vec::new();
    for name in names {
        let stage = stage_of(name);
        match many.get(stage) {
            None => shown.push((*name).to_owned()),
            Some(count) if told.insert(stage) => shown.push(format!("{stage} ({count} instances)")),
            Some(_) => {}
        }
    }
    shown
}
