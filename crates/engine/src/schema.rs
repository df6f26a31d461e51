//! The JSON schema of `pipeline.yaml`, by which editors complete, explain and check while it is written. What it
//! cannot say (are there such files, do the stages read each other in a circle), the engine checks.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::limits::MOST_RETRIES;
use crate::param::{Kind, Param};
use crate::stage::{Port, Stage};

/// The schema (JSON Schema draft 7, which editors know best) of pipelines of these stages.
pub fn schema(stages: &[Arc<dyn Stage>]) -> Value {
    let definition = |kind: &str| json!({ "$ref": format!("#/definitions/{kind}") });
    let kinds: Vec<&str> = stages.iter().map(|stage| stage.kind()).collect();
    let mut definitions = Map::new();
    for stage in stages {
        definitions.insert(stage.kind().to_owned(), built_in(stage.as_ref()));
    }
    definitions.insert("command".to_owned(), command());
    let each = kinds.iter().map(
        |kind| json!({ "if": { "properties": { "uses": { "const": kind } } }, "then": definition(kind) }),
    );
    definitions.insert(
        "other".to_owned(),
        json!({
            "type": "object",
            "if": { "required": ["run"] },
            "then": definition("command"),
            "else": {
                "required": ["uses"],
                "properties": { "uses": { "enum": kinds } },
                "allOf": each.collect::<Vec<_>>(),
            },
        }),
    );
    definitions.insert("changes".to_owned(), object("", &changeable(any(), any())));
    // A stage that is named like a built-in one is that, unless it says otherwise.
    let named = kinds.iter().map(|kind| {
        let says = json!({ "type": "object", "anyOf": [{ "required": ["run"] }, { "required": ["uses"] }] });
        let stage = json!({ "if": says, "then": definition("other"), "else": definition(kind) });
        ((*kind).to_owned(), stage)
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "pipeline.yaml of ctpipe",
        "type": "object",
        "additionalProperties": false,
        "required": ["stages"],
        "properties": {
            "seed": {
                "type": "integer", "minimum": 0, "default": 42,
                "description": "every random stream of the pipeline starts from it",
            },
            "stages": {
                "type": "object",
                "description": "what is done, each stage with what it reads",
                "minProperties": 1,
                "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
                "properties": named.collect::<Map<_, _>>(),
                "additionalProperties": definition("other"),
            },
            "notify": {
                "type": ["object", "null"],
                "description": "who is told of a run that failed, or of which a gate said no",
                "additionalProperties": false,
                "properties": {
                    "command": {
                        "type": "string", "pattern": "\\S",
                        "description": "a command of the shell, which finds $CTPIPE_TEXT, _RUN, _EXIT_CODE, _FAILED, _GATES \
                            and _PAGE, and the same as JSON on its standard input",
                    },
                    "webhook": {
                        "type": "string", "pattern": "^(https?://.*|\\$[A-Za-z0-9_]+)$",
                        "description": "an address that JSON is posted to; $NAME for one in the environment",
                    },
                },
            },
            "profiles": {
                "type": ["object", "null"],
                "description": "changes to the stages by name, chosen with --profile",
                "additionalProperties": {
                    "type": ["object", "null"],
                    "additionalProperties": definition("changes"),
                },
            },
        },
        "definitions": definitions,
    })
}

fn object(doc: &str, properties: &Map<String, Value>) -> Value {
    let mut object = json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": properties,
    });
    if !doc.is_empty() {
        object["description"] = doc.into();
    }
    object
}

/// Names of the user's own, with texts.
fn any() -> Value {
    json!({ "type": ["object", "null"] })
}

fn built_in(stage: &dyn Stage) -> Value {
    let port = |port: &Port| {
        let mut value = if port.many { several() } else { json!({ "type": "string" }) };
        let what = if port.many { "stages or paths" } else { "a stage or a path" };
        value["description"] = format!("{what}: {}", port.doc).into();
        if let Some(default) = port.default {
            value["default"] = default.into();
        }
        (port.name.to_owned(), value)
    };
    let ports: Map<String, Value> = stage.ports().iter().map(port).collect();
    let mut params: Map<String, Value> =
        stage.params().iter().map(|param| (param.name.to_owned(), value_of(param))).collect();
    // An input may be given among the parameters, too.
    params.extend(ports.clone());
    let mut properties = changeable(object("what it reads", &ports), object("how it works", &params));
    let uses = json!({ "const": stage.kind(), "description": "the built-in stage that this one is" });
    properties.insert("uses".to_owned(), uses);
    object(stage.doc(), &properties)
}

fn command() -> Value {
    let inputs = json!({
        "type": ["object", "null"],
        "description": "what it finds as $IN_NAME: stages or paths",
        "additionalProperties": several(),
    });
    let params = json!({
        "type": ["object", "null"],
        "description": "what it finds as $PARAM_NAME",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    });
    let mut properties = changeable(inputs, params);
    let run = json!({ "type": "string", "pattern": "\\S", "description": "a command of the shell" });
    properties.insert("run".to_owned(), run);
    let outputs = json!({
        "type": "array",
        "description": "the files that it promises to write, as paths below $OUT",
        "uniqueItems": true,
        "items": { "type": "string", "pattern": "^[^/]" },
    });
    properties.insert("outputs".to_owned(), outputs);
    object("a command of one's own", &properties)
}

/// A stage, a path, or a list of them.
fn several() -> Value {
    json!({ "type": ["string", "array"], "minItems": 1, "items": { "type": "string" } })
}

/// The stage once for every combination of some values.
fn matrix() -> Value {
    json!({
        "type": ["object", "string", "null"],
        "description": "the stage is done for every combination of these values, \
            each of a parameter or an axis of what it reads; or the name of a stage that has the same axes",
        "minProperties": 1,
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
        "additionalProperties": {
            "type": "array", "minItems": 1, "uniqueItems": true,
            "items": { "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9._+-]+$" },
        },
    })
}

/// What a profile may change of a stage.
fn changeable(inputs: Value, params: Value) -> Map<String, Value> {
    let limits = [
        (
            "timeout",
            json!({
                "type": ["string", "null"], "pattern": "^0*[1-9][0-9]* *[smh]$",
                "description": "longer than this no attempt may take, such as 90s, 15m or 2h",
            }),
        ),
        (
            "retries",
            json!({
                "type": "integer", "minimum": 0, "maximum": MOST_RETRIES, "default": 0,
                "description": "attempts after the first that fails",
            }),
        ),
        ("cpus", json!({ "type": "integer", "minimum": 1, "description": "threads that it keeps busy" })),
        ("gpus", json!({ "type": "integer", "minimum": 0, "description": "GPUs that it computes on" })),
        (
            "memory",
            json!({
                "type": "string", "pattern": "^0*[1-9][0-9]* *(MB|GB)$",
                "description": "memory that it takes, such as 800MB or 16GB",
            }),
        ),
    ];
    let mut properties: Map<String, Value> =
        limits.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    properties.insert("matrix".to_owned(), matrix());
    let number = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?";
    let gates = json!({
        "type": ["array", "null"],
        "description": "what its metrics.json must reach, such as \"test.auc.ci_low >= 0.70\"; \
            a no ends the run with exit code 5",
        "items": { "type": "string", "pattern": format!("^[^<>=]*[^<>=.\\s][^<>=]*(>=|<=|<|>)\\s*{number}\\s*( if \\S.*)?$") },
    });
    properties.insert("gates".to_owned(), gates);
    properties.insert("inputs".to_owned(), inputs);
    properties.insert("params".to_owned(), params);
    properties
}

fn value_of(param: &Param) -> Value {
    let mut value = match param.kind {
        Kind::Bool { .. } => json!({ "type": "boolean" }),
        Kind::Int { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Float { min, max, .. } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Choice { options, .. } => json!({ "enum": options }),
        Kind::Text { .. } => json!({ "type": "string" }),
        Kind::TextList => json!({ "type": "array", "items": { "type": "string" } }),
    };
    value["default"] = param.default_value();
    let unit = if param.unit.is_empty() { String::new() } else { format!(" ({})", param.unit) };
    value["description"] = format!("{}{unit}", param.doc).into();
    value
}
