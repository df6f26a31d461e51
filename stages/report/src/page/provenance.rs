//! Section 8: what made each input: parameters, keys and digests, and how to make it again. Clocks
//! and hosts, which manifests hold too, are left out.

use std::fmt::Write as _;

use ctpipe_engine::Manifest;
use serde::Serialize;
use serde_json::Value;

use super::table::Table;
use crate::inputs::Inputs;
use crate::{Options, VERSION};

#[derive(Serialize)]
pub(super) struct View {
    seed: Option<u64>,
    stages: Vec<Made>,
    /// Ports whose input ctpipe did not make.
    unknown: Vec<&'static str>,
    report: Table,
    yaml: String,
}

#[derive(Serialize)]
struct Made {
    name: String,
    version: u32,
    key: String,
    content: String,
    seed: Option<u64>,
    inputs: Option<Table>,
    params: Option<Table>,
    facts: Option<Table>,
}

pub(super) fn view(options: &Options, inputs: &Inputs) -> View {
    let manifests: Vec<&Manifest> = inputs.artifacts.iter().filter_map(|a| a.manifest.as_ref()).collect();
    let seed = manifests.iter().find_map(|m| m.key.seed);
    let own = vec![
        vec!["title".to_owned(), options.title.clone()],
        vec!["examples".to_owned(), options.examples.to_string()],
    ];
    View {
        seed,
        stages: manifests.iter().map(|manifest| made(manifest)).collect(),
        unknown: inputs.artifacts.iter().filter(|a| a.manifest.is_none()).map(|a| a.port).collect(),
        report: Table::new(format!("Parameters of report, version {VERSION}"), &["Parameter", "Value"], own),
        yaml: yaml(options, seed, &manifests),
    }
}

fn made(manifest: &Manifest) -> Made {
    let key = &manifest.key;
    let pairs = |caption: &str, heads: [&str; 2], pairs: Vec<Vec<String>>| {
        Table::new(format!("{caption} of {}", key.stage), &heads, pairs).unless_empty()
    };
    let params = key.params.iter().map(|(name, value)| vec![name.clone(), said(value)]).collect();
    let of_texts = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, text)| vec![name.clone(), text.clone()]).collect::<Vec<_>>()
    };
    Made {
        // The kind, not the name in the pipeline: the name is not in the key.
        name: key.stage.clone(),
        version: key.version,
        key: manifest.key_hash.clone(),
        content: manifest.content.clone(),
        seed: key.seed,
        params: pairs("Parameters", ["Parameter", "Value"], params),
        inputs: pairs("Inputs", ["Input", "Content digest"], of_texts(&key.inputs)),
        facts: pairs("Facts of the machine in the key", ["Fact", "Value"], of_texts(&key.facts)),
    }
}

/// A parameter's value as people write it.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "(none)".to_owned(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The parameters as a part of `pipeline.yaml`; a JSON value is a YAML value too.
fn yaml(options: &Options, seed: Option<u64>, manifests: &[&Manifest]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    if let Some(seed) = seed {
        let _ = writeln!(text, "seed: {seed}");
    }
    text.push_str("stages:\n");
    for manifest in manifests.iter().filter(|manifest| !manifest.key.params.is_empty()) {
        let _ = writeln!(text, "  {}:\n    params:", manifest.key.stage);
        for (name, value) in &manifest.key.params {
            let _ = writeln!(text, "      {name}: {value}");
        }
    }
    let title = Value::from(options.title.as_str());
    let _ =
        writeln!(text, "  report:\n    params:\n      title: {title}\n      examples: {}", options.examples);
    text
}
