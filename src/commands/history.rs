//! `ctpipe history`: lists the runs, newest first, with their stages, durations and outcomes.

use std::collections::{BTreeMap, BTreeSet};

use ctpipe_engine::history::compare::metric;
use ctpipe_engine::history::{RunRecord, ids, tags};
use ctpipe_engine::{Error, Store};
use ctpipe_stage::Labelled;

use crate::cli::{Global, History};
use crate::context;
use crate::printed::{HistoryRecord, HistoryRow};
use crate::terminal::{print_json, say};

pub(crate) fn history(global: &Global, args: &History) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    let tags = tags::list_whole(&store);
    let ids = ids(&store);
    let shown: Vec<&String> = ids.iter().rev().take(args.number.get()).collect();
    // The error for each metric that no run has had so far.
    let mut unknown: BTreeMap<&String, Error> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut rows = Vec::new();
    for &id in &shown {
        let tagged = tags.iter().filter(|(_, run)| *run == id).map(|(tag, _)| tag.clone()).collect();
        let mut row = HistoryRow { run: id.clone(), tags: tagged, ..HistoryRow::default() };
        match RunRecord::read(&store, id) {
            Ok(record) => {
                let mut short = in_short(&record);
                for name in &args.metric {
                    match metric(&store, &record, name) {
                        Ok(found) => {
                            known.insert(name);
                            for (stage, value) in found {
                                short.metrics.entry(stage).or_default().insert(name.clone(), value);
                            }
                        }
                        // Runs that ended before the stage had the metric are shown without it.
                        Err(error) => {
                            // An error with a hint is more useful than one without.
                            let says_more =
                                |before: &Error| before.to_string().len() < error.to_string().len();
                            if unknown.get(name).is_none_or(says_more) {
                                unknown.insert(name, error);
                            }
                        }
                    }
                }
                row.problem = (!record.is_whole()).then(|| "its record was altered".to_owned());
                row.record = Some(short);
            }
            Err(error) => row.problem = Some(error.to_string()),
        }
        rows.push(row);
    }
    let earlier = || ids.iter().rev().skip(shown.len()).filter_map(|id| RunRecord::read(&store, id).ok());
    for (name, error) in unknown.into_iter().filter(|(name, _)| !known.contains(name)) {
        // It is not an error if only earlier runs have the metric.
        if !earlier().any(|record| metric(&store, &record, name).is_ok()) {
            return Err(error.into());
        }
    }
    if global.json {
        print_json(&rows)?;
    } else if rows.is_empty() {
        say!("there is no run yet; start one with \"ctpipe run\"");
    } else {
        rows.iter().for_each(show);
    }
    Ok(0)
}

/// The summary of a record.
fn in_short(record: &RunRecord) -> HistoryRecord {
    let metrics = record.stages.iter().flatten().filter(|stage| !stage.metrics.is_empty());
    HistoryRecord {
        started: record.started.clone(),
        seconds: record.seconds,
        exit_code: record.exit_code,
        ran: record.ran().iter().map(|(stage, _)| (*stage).to_owned()).collect(),
        failed: record.failures().iter().map(|(stage, _)| (*stage).to_owned()).collect(),
        results: record.results().into_iter().map(|(stage, of)| (stage.to_owned(), of.to_owned())).collect(),
        metrics: metrics.map(|stage| (stage.stage.clone(), stage.metrics.clone())).collect(),
    }
}

fn show(row: &HistoryRow) {
    let mut words = vec![row.run.clone()];
    if let Some(record) = &row.record {
        let (ran, failed) = (folded(&record.ran).join(", "), folded(&record.failed).join(", "));
        words.push(format!("exit {}", record.exit_code));
        words.push(format!("{:.1} s", record.seconds));
        words.push(if ran.is_empty() { "nothing ran".to_owned() } else { format!("ran {ran}") });
        if !failed.is_empty() {
            words.push(format!("failed {failed}"));
        }
    }
    if !row.tags.is_empty() {
        words.push(format!("[{}]", row.tags.join(", ")));
    }
    say!("{}", words.join("  "));
    if let Some(record) = &row.record {
        for (stage, content) in one_by_one(&record.results) {
            say!("  {stage} {}", content.get(..12).unwrap_or(content));
        }
        for (stage, metrics) in one_by_one(&record.metrics) {
            for (name, value) in metrics {
                let value = value.map_or("undefined".to_owned(), |value| value.to_string());
                say!("  {stage} {name} = {value}");
            }
        }
    }
    if let Some(problem) = &row.problem {
        say!("  {problem}");
    }
}

/// A stage with more instances than this is shown in one line.
const FEW: usize = 8;

fn stage_of(name: &str) -> &str {
    Labelled::parse(name).name
}

/// The stages with many instances among these names, and their counts.
fn many<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in names.filter(|name| Labelled::parse(name).label.is_some()) {
        *counts.entry(stage_of(name)).or_default() += 1;
    }
    counts.retain(|_, count| *count > FEW);
    counts
}

/// The entries of all stages except those with many instances.
fn one_by_one<T>(by_stage: &BTreeMap<String, T>) -> impl Iterator<Item = (&String, &T)> {
    let many = many(by_stage.keys().map(String::as_str));
    by_stage.iter().filter(move |(stage, _)| !many.contains_key(stage_of(stage)))
}

/// The names, but only a count for a stage with many instances.
fn folded(names: &[String]) -> Vec<String> {
    let many = many(names.iter().map(String::as_str));
    let mut told = BTreeSet::new();
    let mut shown = Vec::new();
    for name in names {
        let stage = stage_of(name);
        match many.get(stage) {
            None => shown.push(name.clone()),
            Some(count) if told.insert(stage) => shown.push(format!("{stage} ({count} instances)")),
            Some(_) => {}
        }
    }
    shown
}
