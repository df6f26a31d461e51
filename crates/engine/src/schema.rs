//! The JSON schema of `pipeline.yaml`, with which editors complete, explain and check the file.
//! What a schema cannot express (do the files exist, do the stages form a circle) is checked by the
//! engine.

use std::sync::Arc;

use ctpipe_stage::{Kind, Param, Port, Stage};
use serde_json::{Map, Value, json};

use crate::spec::limits::MOST_RETRIES;

/// The schema of pipelines of these stages, in JSON Schema draft 7, which editors support best.
pub fn pipeline(stages: &[Arc<dyn Stage>]) -> Value {
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
    // A stage named like a built-in one is that stage, unless `uses` or `run` says otherwise.
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
                "description": "the seed of every random stream of the pipeline",
            },
            "stages": {
                "type": "object",
                "description": "the stages by name",
                "minProperties": 1,
                "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
                "properties": named.collect::<Map<_, _>>(),
                "additionalProperties": definition("other"),
            },
            "notify": notify(),
            "profiles": {
                "type": ["object", "null"],
                "description": "changes to the stages, by name; --profile chooses one",
                "additionalProperties": {
                    "type": ["object", "null"],
                    "additionalProperties": definition("changes"),
                },
            },
        },
        "definitions": definitions,
    })
}

fn notify() -> Value {
    json!({
        "type": ["object", "null"],
        "description": "who is notified when a run or a gate fails",
        "additionalProperties": false,
        "properties": {
            "command": {
                "type": "string", "pattern": "\\S",
                "description": "a shell command; it gets $CTPIPE_TEXT, _RUN, _EXIT_CODE, _FAILED, _GATES and _PAGE, and the same as JSON on standard input",
            },
            "webhook": {
                "type": "string", "pattern": "^(https?://.*|\\$[A-Za-z0-9_]+)$",
                "description": "a URL that JSON is posted to; $NAME takes it from the environment",
            },
        },
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

/// A mapping with any names.
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
    // An input may also be given among the parameters.
    params.extend(ports.clone());
    let mut properties = changeable(object("what it reads", &ports), object("how it works", &params));
    let uses = json!({ "const": stage.kind(), "description": "the built-in stage to run" });
    properties.insert("uses".to_owned(), uses);
    object(stage.doc(), &properties)
}

fn command() -> Value {
    let inputs = json!({
        "type": ["object", "null"],
        "description": "stages or paths; a command finds each as $IN_NAME",
        "additionalProperties": several(),
    });
    let params = json!({
        "type": ["object", "null"],
        "description": "its parameters; a command finds each as $PARAM_NAME",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    });
    let mut properties = changeable(inputs, params);
    let run = json!({ "type": "string", "pattern": "\\S", "description": "a shell command" });
    properties.insert("run".to_owned(), run);
    let outputs = json!({
        "type": "array",
        "description": "the files that it must write, as paths below $OUT",
        "uniqueItems": true,
        "items": { "type": "string", "pattern": "^[^/]" },
    });
    properties.insert("outputs".to_owned(), outputs);
    object("a command of your own", &properties)
}

/// A stage, a path, or a list of them.
fn several() -> Value {
    json!({ "type": ["string", "array"], "minItems": 1, "items": { "type": "string" } })
}

/// The axes of a stage, which runs once for every combination of their values.
fn matrix() -> Value {
    json!({
        "type": ["object", "string", "null"],
        "description": "runs the stage once for every combination of these values; an axis is a parameter, or an axis of a stage that it reads; or the name of a stage whose axes to take",
        "minProperties": 1,
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
        "additionalProperties": {
            "type": "array", "minItems": 1, "uniqueItems": true,
            "items": { "type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9._+-]+$" },
        },
    })
}

/// What a profile may change in a stage.
fn changeable(inputs: Value, params: Value) -> Map<String, Value> {
    let limits = [
        (
            "timeout",
            json!({
                "type": ["string", "null"], "pattern": "^0*[1-9][0-9]* *[smh]$",
                "description": "the longest time that an attempt may take, such as 90s, 15m or 2h",
            }),
        ),
        (
            "retries",
            json!({
                "type": "integer", "minimum": 0, "maximum": MOST_RETRIES, "default": 0,
                "description": "how often to try again after a failure",
            }),
        ),
        ("cpus", json!({ "type": "integer", "minimum": 1, "description": "how many threads it uses" })),
        ("gpus", json!({ "type": "integer", "minimum": 0, "description": "how many GPUs it uses" })),
        (
            "memory",
            json!({
                "type": "string", "pattern": "^0*[1-9][0-9]* *(MB|GB)$",
                "description": "how much memory it uses, such as 800MB or 16GB",
            }),
        ),
    ];
    let mut properties: Map<String, Value> =
        limits.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    properties.insert("matrix".to_owned(), matrix());
    let number = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?";
    let gates = json!({
        "type": ["array", "null"],
        "description": "conditions on its metrics.json, such as \"test.auc.ci_low >= 0.70\"; a gate that fails ends the run with exit code 5",
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
