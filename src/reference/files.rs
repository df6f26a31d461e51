//! The files in artifacts: the columns of every table and the fields of every JSON file, from their
//! types.

use std::fmt::Write as _;

use ctpipe_tables::{Described, TABLES};
use serde_json::Value;

use super::markdown::{code, paragraph, sentence, table, without_links};
use crate::schemas;

const ABOUT: &str = "`artifacts/<stage>` leads to the current result of each stage. Tables are Parquet files with a fixed schema. \
    The JSON schemas of the JSON files are in `schemas/`. How to read each from Python is on the page \
    [Reading everything from Python](../guides/python.md).";

const SHARDS: &str = "The volumes of `preprocess`, as Arrow IPC files with one row a series. `volumes.parquet` says in which \
    shard and row a volume lies. A volume has `size` x `size` x `size` voxels in the patient's axes: x to the left, y to the \
    back, z to the head, z changing slowest. A voxel is 16 bits, 0 for -1000 HU and 65535 for 400 HU; the low bytes of all \
    voxels come first, then the high bytes, compressed with zstd as one piece.";

pub(super) fn page() -> String {
    let mut page = format!("# Files and columns\n\n{}\n## Tables\n", paragraph(ABOUT));
    for Described { file, about, columns } in TABLES.iter().map(|describe| describe()) {
        let _ = write!(page, "\n### {file}\n\n{}\n", paragraph(&sentence(&without_links(about))));
        let rows = columns.into_iter().map(|column| {
            let kind = if column.nullable { format!("{}, or null", column.kind) } else { column.kind };
            [code(column.name), kind, sentence(&without_links(column.doc))]
        });
        page += &table(["Column", "Type", "Meaning"], rows);
    }
    let _ = write!(page, "\n### volumes/*.arrow\n\n{}", paragraph(SHARDS));
    page += "\n## JSON files\n";
    for (name, schema) in schemas::all() {
        match name {
            "metrics" => page += &json_file("metrics.json of evaluate", &schema),
            "folds" => page += &json_file("metrics.json of folds", &schema),
            "search" => page += &json_file("search.json", &schema),
            _ => {}
        }
    }
    page
}

/// The fields of a file and of its records.
fn json_file(title: &str, schema: &Value) -> String {
    let mut text = format!("\n### {title}\n\n");
    text += &record(schema);
    for (name, definition) in schema["definitions"].as_object().into_iter().flatten() {
        if definition.get("properties").is_some() {
            let _ = write!(text, "\n#### {name} in {title}\n\n{}", record(definition));
        }
    }
    text
}

fn record(schema: &Value) -> String {
    let about = schema["description"]
        .as_str()
        .map(|doc| paragraph(&sentence(&without_links(doc))))
        .unwrap_or_default();
    let rows = schema["properties"].as_object().into_iter().flatten().map(|(name, field)| {
        let doc = field["description"].as_str().unwrap_or_default();
        [code(name), kind(field), sentence(&without_links(doc))]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() { about } else { format!("{about}\n{}", table(["Field", "Type", "Meaning"], rows)) }
}

/// The type of a field in words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let several =
        |schemas: &Value| schemas.as_array().into_iter().flatten().map(kind).collect::<Vec<_>>().join(" or ");
    for choice in ["allOf", "anyOf", "oneOf"] {
        if let Some(schemas) = schema.get(choice) {
            return several(schemas);
        }
    }
    match &schema["type"] {
        Value::String(word) if word == "array" => format!("list of {}", kind(&schema["items"])),
        Value::String(word) if word == "object" => match schema.get("additionalProperties") {
            Some(of @ Value::Object(_)) => format!("name to {}", kind(of)),
            _ => "object".to_owned(),
        },
        Value::String(word) => word.clone(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ if schema.get("const").is_some() => format!("`{}`", schema["const"]),
        _ => "any".to_owned(),
    }
}
