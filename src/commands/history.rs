//! `ctpipe history`: the runs, the newest first: when, what ran, how long, what came of it.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_engine::compare::metric;
use ctpipe_engine::history::{RunRecord, ids};
use ctpipe_engine::{Error, Store, tags};
use serde_json::{Map, Value, json};

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
        folded(row[field].as_array().into_iter().flatten().filter_map(Value::as_str)).join(", ")
    };
    let mut words = vec![row["run"].as_str().unwrap_or_default().to_owned()];
    if let Some(seconds) = row["seconds"].as_f64() {
        let (ran, failed) = (list("ran"), list("failed"));
        words.push(format!("exit {}", row["exit_code"]));
        words.push(format!("{seconds:.1} s"));
        words.push(if ran.is_empty() { "nothing ran".to_owned() } else { format!("ran {ran}") });
        if !failed.is_empty() {
            words.push(format!("failed {failed}"));
        }
    }
    if !list("tags").is_empty() {
        words.push(format!("[{}]", list("tags")));
    }
    say!("{}", words.join("  "));
    let results = row["results"].as_object();
    for (stage, content) in results.into_iter().flatten().filter(|(stage, _)| !is_one_of_many(stage, results))
    {
        let content = content.as_str().unwrap_or_default();
        say!("  {stage} {}", content.get(..12).unwrap_or(content));
    }
    let metrics = row["metrics"].as_object();
    for (stage, metrics) in metrics.into_iter().flatten().filter(|(stage, _)| !is_one_of_many(stage, metrics))
    {
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

fn is_one_of_many(name: &str, all: Option<&Map<String, Value>>) -> bool {
    let of_it = all.into_iter().flatten().filter(|(other, _)| stage_of(other) == stage_of(name));
    name.contains('@') && of_it.count() > FEW
}

/// Names, of many instances of one stage only how many there are.
fn folded<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for name in names {
        match groups.iter_mut().find(|group| name.contains('@') && stage_of(group[0]) == stage_of(name)) {
            Some(group) => group.push(name),
            None => groups.push(vec![name]),
        }
    }
    let shown = |group: Vec<&str>| match group.len() {
        count if count > FEW => vec![format!("{} ({count} instances)", stage_of(group[0]))],
        _ => group.into_iter().map(str::to_owned).collect(),
    };
    groups.into_iter().flat_map(shown).collect()
}
