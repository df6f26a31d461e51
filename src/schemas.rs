//! The JSON schemas of all files that other programs read, derived from the types that are written.

use std::collections::BTreeMap;

use ctpipe_engine::Event;
use ctpipe_engine::audit::Report as Audit;
use ctpipe_engine::gc::Report as Collected;
use ctpipe_engine::history::compare::Comparison;
use ctpipe_tables::json::{FoldsFile, MetricsFile, SearchFile};
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::context;
use crate::printed::{
    BuiltIn, DagRow, HistoryRow, InspectedFiles, Reports, ShownRun, StatusRow, Synthesised, Why,
};

const ABOUT_EVENTS: &str = "One line of what \"ctpipe run --json\" prints on standard output; text for people is on standard \
    error. The first line is run_started and the last one run_finished, unless ctpipe was killed. A run that could not begin \
    (exit code 2 or 75) prints no line. A stage that was interrupted has no stage_finished. Lines of stages that run side by \
    side are mixed. Later versions may add events and fields: ignore what you do not know. What the other commands print with \
    --json, as one value, is among the definitions under the command's name; run --dry-run prints what status does.";

/// Every schema, by its file name in `schemas/`.
pub(crate) fn all() -> [(&'static str, Value); 5] {
    [
        ("pipeline", ctpipe_engine::schema::pipeline(&context::stages())),
        ("events", events()),
        ("metrics", of_file::<MetricsFile>(MetricsFile::SCHEMA_VERSION)),
        ("folds", of_file::<FoldsFile>(FoldsFile::SCHEMA_VERSION)),
        ("search", of_file::<SearchFile>(SearchFile::SCHEMA_VERSION)),
    ]
}

/// The schemas describe values as they are written. Editors support draft 7 best.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft07().for_serialize().with_transform(Closed).into_generator()
}

/// The schema of one line of `run --json`; its definitions include what other commands print.
fn events() -> Value {
    let mut generator = generator();
    let line = generator.subschema_for::<Event>();
    let commands = [
        ("status", generator.subschema_for::<Vec<StatusRow>>()),
        ("why", generator.subschema_for::<Why>()),
        ("history", generator.subschema_for::<Vec<HistoryRow>>()),
        ("show", generator.subschema_for::<ShownRun>()),
        ("compare", generator.subschema_for::<Comparison>()),
        ("tag", generator.subschema_for::<BTreeMap<String, String>>()),
        ("gc", generator.subschema_for::<Collected>()),
        ("audit", generator.subschema_for::<Audit>()),
        ("dag", generator.subschema_for::<Vec<DagRow>>()),
        ("stages", generator.subschema_for::<Vec<BuiltIn>>()),
        ("inspect", generator.subschema_for::<InspectedFiles>()),
        ("synth", generator.subschema_for::<Synthesised>()),
        ("report", generator.subschema_for::<Reports>()),
    ];
    let mut definitions = generator.take_definitions(true);
    definitions.extend(commands.map(|(name, schema)| (name.to_owned(), Value::from(schema))));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The events of a run of ctpipe",
        "description": ABOUT_EVENTS,
        "allOf": [line],
        "definitions": definitions,
    })
}

/// The schema of a JSON file that states its schema version.
fn of_file<T: JsonSchema>(version: u32) -> Value {
    let mut schema = Value::from(generator().into_root_schema_for::<T>());
    schema["properties"]["schema_version"]["const"] = version.into();
    schema
}

/// Closes every record, so that it has no undeclared fields, and removes Rust's number formats.
#[derive(Debug, Clone)]
struct Closed;

impl Transform for Closed {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        object.remove("format");
        distribute(object);
        if object.contains_key("properties") && !object.contains_key("additionalProperties") {
            object.insert("additionalProperties".to_owned(), false.into());
        }
    }
}

/// Turns a record with a choice in it into a choice of records, each of which can be closed.
fn distribute(object: &mut Map<String, Value>) {
    let Some(Value::Object(common)) = object.get("properties").cloned() else { return };
    let Some(Value::Array(mut kinds)) = object.remove("oneOf") else { return };
    let required = object.remove("required");
    object.remove("properties");
    object.remove("type");
    for kind in &mut kinds {
        if let Some(properties) = kind["properties"].as_object_mut() {
            properties.extend(common.clone());
        }
        let own = kind["required"].as_array().cloned().unwrap_or_default();
        let all =
            own.into_iter().chain(required.iter().filter_map(|names| names.as_array()).flatten().cloned());
        kind["required"] = all.collect();
        if kind.get("additionalProperties").is_none() {
            kind["additionalProperties"] = false.into();
        }
    }
    object.insert("oneOf".to_owned(), kinds.into());
}
