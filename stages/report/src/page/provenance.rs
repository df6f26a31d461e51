//! Section 5: how each input was made (parameters, keys and digests) and how to reproduce it. Times
//! and hosts, which manifests also hold, are left out.

use std::fmt::Write as _;

use ctpipe_stage::Manifest;
use serde::Serialize;
use serde_json::Value;

use super::table::Table;
use super::{Figure, checklist, defaults};
use crate::inputs::Inputs;
use crate::texts::Texts;
use crate::{Options, VERSION};

#[derive(Serialize)]
pub(super) struct View {
    seed: Option<u64>,
    figures: Vec<Figure>,
    graph: Table,
    stages: Vec<Made>,
    /// Sentences on the ports whose input ctpipe did not make.
    unknown: Vec<String>,
    own: Table,
    yaml: String,
    checklist: Table,
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

pub(super) fn view(texts: &Texts, options: &Options, inputs: &Inputs, figures: Vec<Figure>) -> View {
    let manifests: Vec<&Manifest> = inputs.artifacts.iter().filter_map(|a| a.manifest.as_ref()).collect();
    let own = vec![
        vec!["title".to_owned(), options.title.clone()],
        vec!["language".to_owned(), options.language.code().to_owned()],
        vec!["examples".to_owned(), options.examples.to_string()],
        vec!["flagged".to_owned(), options.flagged.to_string()],
    ];
    let unknown = inputs.artifacts.iter().filter(|artifact| artifact.manifest.is_none());
    let caption = texts.fill("provenance.own", &[("version", &VERSION.to_string())]);
    View {
        seed: manifests.iter().find_map(|manifest| manifest.key.seed),
        figures,
        graph: graph(texts, &manifests),
        stages: manifests.iter().map(|manifest| made(texts, manifest)).collect(),
        unknown: unknown
            .map(|artifact| texts.fill("provenance.unknown", &[("port", artifact.port)]))
            .collect(),
        own: Table::titled(texts, caption, &["head.parameter", "head.value"], own),
        yaml: yaml(options, &manifests),
        checklist: checklist::table(texts, inputs),
    }
}

/// The inputs of each stage; an input that another stage made is recognised by its content digest.
fn graph(texts: &Texts, manifests: &[&Manifest]) -> Table {
    let row = |manifest: &&Manifest| {
        let reads: Vec<String> = manifest
            .key
            .inputs
            .iter()
            .map(|(port, digest)| {
                let maker = manifests.iter().find(|other| other.content == *digest);
                maker.map_or_else(|| port.clone(), |maker| format!("{port} ← {}", maker.key.stage))
            })
            .collect();
        let key = manifest.key_hash.get(..12).unwrap_or(&manifest.key_hash);
        vec![manifest.key.stage.clone(), reads.join(", "), key.to_owned()]
    };
    let heads = ["head.stage", "head.reads", "head.key"];
    Table::new(texts, "provenance.graph", &heads, manifests.iter().map(row).collect())
}

fn made(texts: &Texts, manifest: &Manifest) -> Made {
    let key = &manifest.key;
    let table = |caption: &str, heads: [&str; 2], rows: Vec<Vec<String>>| {
        Table::titled(texts, texts.fill(caption, &[("stage", &key.stage)]), &heads, rows).unless_empty()
    };
    let of_texts = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, text)| vec![name.clone(), text.clone()]).collect::<Vec<_>>()
    };
    let params = key.params.iter().map(|(name, value)| {
        let default = defaults::of(&key.stage, name);
        let told = match &default {
            Some(default) if default == value => texts.say("provenance.is_default"),
            Some(default) => said(texts, default),
            None => String::new(),
        };
        vec![name.clone(), said(texts, value), told]
    });
    let caption = texts.fill("provenance.params", &[("stage", &key.stage)]);
    let heads = ["head.parameter", "head.value", "head.default"];
    Made {
        // The kind of stage, not its name in the pipeline, because the name is not in the key.
        name: key.stage.clone(),
        version: key.version,
        key: manifest.key_hash.clone(),
        content: manifest.content.clone(),
        seed: key.seed,
        params: Table::titled(texts, caption, &heads, params.collect()).unless_empty(),
        inputs: table("provenance.inputs", ["head.input", "head.digest"], of_texts(&key.inputs)),
        facts: table("provenance.facts", ["head.fact", "head.value"], of_texts(&key.facts)),
    }
}

/// A parameter's value as people write it.
fn said(texts: &Texts, value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => texts.say("provenance.empty"),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => texts.say("provenance.empty"),
        Value::Array(items) => items.iter().map(|item| said(texts, item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The parameters as a fragment of `pipeline.yaml`; every JSON value is also a YAML value.
fn yaml(options: &Options, manifests: &[&Manifest]) -> String {
    let mut text = String::new();
    let seed = manifests.iter().find_map(|manifest| manifest.key.seed);
    // Writing to a string cannot fail, so the results are ignored.
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
    let Options { language, examples, flagged, .. } = options;
    let _ = writeln!(
        text,
        "  report:\n    params:\n      title: {title}\n      language: {}\n      examples: {examples}\n      flagged: {flagged}",
        language.code()
    );
    text
}
