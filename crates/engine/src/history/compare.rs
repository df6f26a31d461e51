//! Compares two runs: parameters, inputs, metrics and the first stage at which they differ. It only
//! reads records and metrics.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::event::Reason;
use crate::history::record::{RunRecord, StageRecord};
use crate::key;
use crate::metrics::{self, Found};
use crate::store::Store;

/// How two runs differ.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The first run.
    pub a: String,
    /// The second run.
    pub b: String,
    /// The first stage at which the runs differ; `None` when all the stages that both ran have the
    /// same result.
    pub parts: Option<Parting>,
    /// The number of stages that both runs have.
    pub common: usize,
    /// Stages that only one of the runs has, and which run that is.
    pub only: BTreeMap<String, String>,
    /// Parameters whose values differ.
    pub params: Vec<Difference>,
    /// The user's input data that differ.
    pub inputs: Vec<Difference>,
    /// Metrics whose values differ, and all key metrics.
    pub metrics: Vec<MetricPair>,
}

/// The stage at which two runs differ, and why.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Parting {
    /// The stage.
    pub stage: String,
    /// The changes from the first run to the second.
    pub reasons: Vec<Reason>,
    /// Whether both runs have the same key but different results.
    pub same_key: bool,
}

/// A named value that differs between the runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// The stage that it belongs to.
    pub stage: String,
    /// The name of the value.
    pub name: String,
    /// The value in the first run.
    pub a: Value,
    /// The value in the second run.
    pub b: Value,
}

/// A metric in both runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MetricPair {
    /// The stage that it belongs to.
    pub stage: String,
    /// Its dotted name.
    pub name: String,
    /// The value in the first run; `None` where it is undefined or missing.
    pub a: Option<f64>,
    /// The value in the second run; `None` where it is undefined or missing.
    pub b: Option<f64>,
    /// Whether it is a key metric of its stage or was selected by name.
    pub key: bool,
}

/// Compares two runs; the metrics in `names` are shown even where they do not differ.
///
/// # Errors
/// When a record does not contain the results of its stages, or a metric is unknown (the nearest
/// name is suggested).
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
                reasons: key::reasons(&new.key, &old.key, diff),
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

/// A metric of a run, by stage; several stages may have a metric of that name. `None` where it is
/// undefined.
///
/// # Errors
/// When no stage of the run has the metric; the nearest name is suggested.
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
    let hints = stages.filter_map(|stage| match metrics::lookup(&file(store, stage)?, name) {
        Found::Missing(hint) if !hint.is_empty() => Some(hint),
        Found::Other(what) => Some(format!(" with a number (it is {what})")),
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

/// The inputs that the user gave. An input made by an earlier stage differs where that stage
/// differs.
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

/// The metrics file of the artifact, if the artifact still exists.
fn file(store: &Store, stage: &StageRecord) -> Option<Value> {
    metrics::read(&store.holding(&stage.stage, &stage.key_hash, &stage.content)?.path)
}

/// A value in the first run, and in the second.
type Sides = (Option<f64>, Option<f64>);

/// The selected metrics of a stage that only one run has; `sides` puts a value on the side of that
/// run.
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
    let found = metrics.as_ref().map(|metrics| metrics::lookup(metrics, name));
    let recorded = stage.metrics.get(name).copied();
    let value = match found {
        Some(Found::Number(number)) => Some(Some(number)),
        Some(Found::Null(_) | Found::Empty(_)) => Some(None),
        _ => recorded,
    };
    to.extend(value.map(|value| (name.to_owned(), value)));
}

fn metrics(store: &Store, old: &StageRecord, new: &StageRecord, names: &[String]) -> Vec<MetricPair> {
    // For an artifact that is no longer in the store, the record still has the key metrics.
    let all = |stage: &StageRecord| {
        let mut all = stage.metrics.clone();
        let numbers = file(store, stage).map(|metrics| metrics::numbers(&metrics)).unwrap_or_default();
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
