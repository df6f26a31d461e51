//! `ctpipe compare A B`: parameters, inputs and metrics of two runs, and where and why they differ.

use ctpipe_engine::Store;
use ctpipe_engine::history::compare::{Comparison, Difference, compare as engine_compare};
use ctpipe_engine::history::{RunRecord, resolve};
use serde_json::Value;

use crate::cli::{Compare, Global};
use crate::context;
use crate::terminal::{print_json, say, tell};

/// The most metrics to show that differ and are not key metrics.
const SHOWN: usize = 10;

pub(crate) fn compare(global: &Global, args: &Compare) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    let read = |name: &str| RunRecord::read(&store, &resolve(&store, name)?);
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let comparison = engine_compare(&store, &a, &b, &args.metric)?;
    if global.json {
        print_json(&comparison)?;
    } else {
        show(&comparison);
    }
    for run in [&a, &b].into_iter().filter(|run| !run.is_whole()) {
        tell!("warning: the record of run {} was altered after it was written", run.run);
    }
    Ok(0)
}

fn show(comparison: &Comparison) {
    say!("{} -> {}", comparison.a, comparison.b);
    match &comparison.parts {
        None if comparison.only.is_empty() => say!("every stage has the same result"),
        None if comparison.common == 0 => say!("they have no stage in common"),
        None => say!("every stage that is in both has the same result"),
        Some(parting) => {
            say!("they first differ at {}:", parting.stage);
            for reason in &parting.reasons {
                say!("  {reason}");
            }
            if parting.same_key {
                say!("  the same key gave different bytes: it is not deterministic");
            }
        }
    }
    for (stage, run) in &comparison.only {
        say!("only {run} has stage {stage}");
    }
    list("parameters", &comparison.params);
    list("inputs", &comparison.inputs);
    if !comparison.metrics.is_empty() {
        say!("metrics");
    }
    let number = |value: Option<f64>| value.map_or("undefined".to_owned(), |value| value.to_string());
    // A few of the other metrics are useful; hundreds are not.
    let (key, others): (Vec<_>, Vec<_>) = comparison.metrics.iter().partition(|metric| metric.key);
    for metric in key.iter().chain(others.iter().take(SHOWN)) {
        let change = match (metric.a, metric.b) {
            (Some(a), Some(b)) if a != b => format!(" ({:+})", b - a),
            _ => String::new(),
        };
        let (a, b) = (number(metric.a), number(metric.b));
        say!("  {} {}: {a} -> {b}{change}", metric.stage, metric.name);
    }
    if others.len() > SHOWN {
        say!("  and {} more that differ; --json lists all, --metric NAME shows one", others.len() - SHOWN);
    }
}

fn list(title: &str, differences: &[Difference]) {
    if differences.is_empty() {
        return;
    }
    say!("{title}");
    // The beginning of a digest is enough to tell it apart.
    let short = |value: &Value| match value.as_str() {
        Some(text) if title == "inputs" => text.get(..12).unwrap_or(text).to_owned(),
        _ if value.is_null() => "nothing".to_owned(),
        _ => value.to_string(),
    };
    for Difference { stage, name, a, b } in differences {
        say!("  {stage}.{name}: {} -> {}", short(a), short(b));
    }
}
