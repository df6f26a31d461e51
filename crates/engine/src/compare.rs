//! Two runs side by side: parameters, inputs, metrics, and the first stage at which they part. Reads records and
//! metrics, and decides on nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::history::{RunRecord, StageRecord};
use crate::key::Reason;
use crate::metrics_file::{self, Found};
use crate::store::Store;

/// How two runs differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run.
    pub a: String,
    /// The second run.
    pub b: String,
    /// The first stage at which they part; `None` when all that both ran came to the same.
    pub parts: Option<Parting>,
    /// Stages that both have.
    pub common: usize,
    /// Stages that only one of them ran, and which.
    pub only: BTreeMap<String, String>,
    /// Parameters with two values.
    pub params: Vec<Difference>,
    /// What the user gave them to read and is not the same.
    pub inputs: Vec<Difference>,
    /// Metrics with two values, and the key ones whatever they are.
    pub metrics: Vec<MetricPair>,
}

/// Where two runs part, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parting {
    /// The stage.
    pub stage: String,
    /// From the first to the second.
    pub reasons: Vec<Reason>,
    /// Have they one key and two results?
    pub same_key: bool,
}

/// A thing with two values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Of which stage.
    pub stage: String,
    /// Which.
    pub name: String,
    /// In the first run.
    pub a: Value,
    /// In the second run.
    pub b: Value,
}

/// A metric in both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricPair {
    /// Of which stage.
    pub stage: String,
    /// Its dotted name.
    pub name: String,
    /// In the first run; `None` where it is undefined or not there.
    pub a: Option<f64>,
    /// In the second run.
    pub b: Option<f64>,
    /// Is it one that its stage names as a key one, or that was asked for?
    pub key: bool,
}

/// Compares two runs; `names` are metrics to show whether they differ or not.
///
/// # Errors
/// When a record does not tell what its stages came to, or a metric is unknown (the nearest is suggested).
pub fn compare(store: &Store, a: &RunRecord, b: &RunRecord, names: &[String]) -> Result<Comparison> {
    let (before, after) = (a.known_stages()?, b.known_stages()?);
    let mut comparison = Comparison {
        a: a.run.clone(),
        b: b.run.clone(),
        parts: None,
        common: 0,
        only: BTreeMap::new(),
        params: Vec::new(),
        inputs: Vec::new(),
        metrics: Vec::new(),
    };
    for stage in before.iter().filter(|stage| find(after, &stage.stage).is_none()) {
        comparison.only.insert(stage.stage.clone(), a.run.clone());
        comparison.metrics.extend(asked(store, stage, names, |value| (value, None)));
    }
    for new in after {
        let Some(old) = find(before, &new.stage) else {
            comparison.only.insert(new.stage.clone(), b.run.clone());
            comparison.metrics.extend(asked(store, new, names, |value| (None, value)));
            continue;
        };
        comparison.common += 1;
        if comparison.parts.is_none() && (&old.key_hash, &old.content) != (&new.key_hash, &new.content) {
            let diff = |old: &str, new: &str| Some(store.recall_tree(new)?.diff(&store.recall_tree(old)?));
            comparison.parts = Some(Parting {
                stage: new.stage.clone(),
                reasons: new.key.reasons(&old.key, diff),
                same_key: old.key_hash == new.key_hash,
            });
        }
        comparison.params.extend(params(old, new));
        comparison.inputs.extend(inputs(old, new));
        comparison.metrics.extend(metrics(store, old, new, names));
    }
    for name in names {
        if !comparison.metrics.iter().any(|metric| metric.name == *name) {
            return Err(unknown_metric(store, after.iter().chain(before), name));
        }
    }
    Ok(comparison)
}

/// A metric of a run, by stage; several stages may have one of that name. `None` where it is undefined.
///
/// # Errors
/// When no stage of the run has it; the nearest is suggested.
pub fn metric(store: &Store, run: &RunRecord, name: &str) -> Result<BTreeMap<String, Option<f64>>> {
    let stages = run.known_stages()?;
    let mut found = BTreeMap::new();
    for stage in stages {
        let mut one = BTreeMap::new();
        add(store, stage, name, &mut one);
        found.extend(one.into_values().map(|value| (stage.stage.clone(), value)));
    }
    if found.is_empty() { Err(unknown_metric(store, stages.iter(), name)) } else { Ok(found) }
}

fn unknown_metric<'a>(store: &Store, stages: impl Iterator<Item = &'a StageRecord>, name: &str) -> Error {
    let hints = stages.filter_map(|stage| match metrics_file::lookup(&file(store, stage)?, name) {
        Found::Missing(hint) if !hint.is_empty() => Some(hint),
        Found::Other(what) => Some(format!(" with a number ({what} stands there)")),
        _ => None,
    });
    let hint = hints.into_iter().next().unwrap_or_default();
    Error::Usage(format!("no stage of the run has a metric \"{name}\"{hint}"))
}

fn find<'a>(stages: &'a [StageRecord], name: &str) -> Option<&'a StageRecord> {
    stages.iter().find(|stage| stage.stage == name)
}

fn params(old: &StageRecord, new: &StageRecord) -> Vec<Difference> {
    let with_seed = |stage: &StageRecord| {
        let mut params = stage.key.params.clone();
        params.extend(stage.key.seed.map(|seed| ("seed".to_owned(), seed.into())));
        let facts = stage.key.facts.iter().map(|(name, fact)| (name.clone(), fact.clone().into()));
        params.extend(facts);
        params
    };
    differences(&new.stage, &with_seed(old), &with_seed(new))
}

/// Those that the user gave; what an earlier stage made differs with that one.
fn inputs(old: &StageRecord, new: &StageRecord) -> Vec<Difference> {
    let given = |stage: &StageRecord| {
        let own = stage.key.inputs.iter().filter(|(port, _)| !stage.reads.contains_key(*port));
        own.map(|(port, digest)| (port.clone(), digest.clone().into())).collect()
    };
    differences(&new.stage, &given(old), &given(new))
}

fn differences(stage: &str, old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<Difference> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let value = |of: &BTreeMap<String, Value>, name: &String| of.get(name).cloned().unwrap_or_default();
    let all = names.into_iter().map(|name| Difference {
        stage: stage.to_owned(),
        name: name.clone(),
        a: value(old, name),
        b: value(new, name),
    });
    all.filter(|difference| difference.a != difference.b).collect()
}

/// The metrics of the artifact, while it is there.
fn file(store: &Store, stage: &StageRecord) -> Option<Value> {
    metrics_file::read(&store.holding(&stage.stage, &stage.key_hash, &stage.content)?.path)
}

/// A value in the first run, and in the second.
type Sides = (Option<f64>, Option<f64>);

/// Those of some metrics that a stage has, which is in one of the runs alone: `sides` puts a value on its side.
fn asked(
    store: &Store,
    stage: &StageRecord,
    names: &[String],
    sides: fn(Option<f64>) -> Sides,
) -> Vec<MetricPair> {
    let mut found = BTreeMap::new();
    for name in names {
        add(store, stage, name, &mut found);
    }
    let pair = |(name, value)| {
        let (a, b) = sides(value);
        MetricPair { stage: stage.stage.clone(), name, a, b, key: true }
    };
    found.into_iter().map(pair).collect()
}

/// Puts a metric of a stage into `to`, where the stage has it; `None` when it is undefined.
fn add(store: &Store, stage: &StageRecord, name: &str, to: &mut BTreeMap<String, Option<f64>>) {
    let metrics = file(store, stage);
    let found = metrics.as_ref().map(|metrics| metrics_file::lookup(metrics, name));
    let recorded = stage.metrics.get(name).copied();
    let value = match found {
        Some(Found::Number(number)) => Some(Some(number)),
        Some(Found::Null(_) | Found::Empty(_)) => Some(None),
        _ => recorded,
    };
    to.extend(value.map(|value| (name.to_owned(), value)));
}

fn metrics(store: &Store, old: &StageRecord, new: &StageRecord, names: &[String]) -> Vec<MetricPair> {
    // What is no longer in the store has its key metrics on record.
    let all = |stage: &StageRecord| {
        let mut all = stage.metrics.clone();
        let numbers = file(store, stage).map(|metrics| metrics_file::numbers(&metrics)).unwrap_or_default();
        all.extend(numbers.into_iter().map(|(name, number)| (name, Some(number))));
        for name in names {
            add(store, stage, name, &mut all);
        }
        all
    };
    let (before, after) = (all(old), all(new));
    let known: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let pair = |name: &String| MetricPair {
        stage: new.stage.clone(),
        name: name.clone(),
        a: before.get(name).copied().flatten(),
        b: after.get(name).copied().flatten(),
        key: names.contains(name) || old.metrics.contains_key(name) || new.metrics.contains_key(name),
    };
    known.into_iter().map(pair).filter(|pair| pair.key || pair.a != pair.b).collect()
}
