//! `pipeline.yaml`: every key, from the schema for editors.

use std::fmt::Write as _;

use serde_json::Value;

use super::markdown::{code, paragraph, sentence, table};
use crate::context;

const ABOUT: &str = "A pipeline is declared in one YAML file. Everything is optional except `stages`. What is not written has \
    its default. Paths start from the folder of the file. A mistake stops the run before any stage starts, with the file, the \
    line, the column and the nearest known name. `ctpipe stages --schema` prints the JSON schema, with which editors that know \
    the YAML language server complete and check the file; the first line of the file names it.";

const VALUES: &str = "A stage that is named like a built-in stage is that stage. With `uses: train` it is another instance of \
    `train` under a name of its own. With `run:` it is a command of your own. An input is the name of a stage or a path. \
    `released` is the result that all gates passed last, and `released.STAGE` the result of the stage that judged it. The \
    parameters of the built-in stages are on the page [Stages](stages.md).";

pub(super) fn page() -> String {
    let schema = ctpipe_engine::schema::pipeline(&context::stages());
    let mut page = format!("# pipeline.yaml\n\n{}\n", paragraph(ABOUT));
    page += "## The file\n\n";
    page += &keys(&schema["properties"]);
    let _ = write!(page, "\n### notify\n\n{}", keys(&schema["properties"]["notify"]["properties"]));
    let _ = write!(page, "\n## A stage\n\n{}\n", paragraph(VALUES));
    let command = &schema["definitions"]["command"]["properties"];
    let mut stage = command.clone();
    stage["uses"] = serde_json::json!({ "type": "string", "description": "the built-in stage to run" });
    page += &keys(&stage);
    page += "\n## A profile\n\n";
    page += &paragraph(
        "A profile overlays stages by name; `--profile NAME` chooses it. It may change these keys of a stage. Its `matrix` and \
         `gates` replace those of the stage, and `matrix: null` takes the matrix away.",
    );
    page.push('\n');
    page += &keys(&schema["definitions"]["changes"]["properties"]);
    page
}

/// A row for each key.
fn keys(properties: &Value) -> String {
    let rows = properties.as_object().into_iter().flatten().map(|(name, schema)| {
        let doc = schema["description"].as_str().unwrap_or_default();
        let default = schema.get("default").map(Value::to_string).unwrap_or_default();
        [code(name), kind(schema), code(default), sentence(doc)]
    });
    table(["Key", "Value", "Default", "Meaning"], rows)
}

/// The type of a value in a schema, in words.
fn kind(schema: &Value) -> String {
    let words = |kind: &str| {
        match kind {
            "object" => "keys and values",
            "array" => "a list",
            "integer" => "a whole number",
            "string" => "a text",
            "boolean" => "true or false",
            "null" => "null",
            _ => "a number",
        }
        .to_owned()
    };
    let kinds: Vec<String> = match &schema["type"] {
        Value::String(kind) => vec![words(kind)],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(words).collect(),
        _ => vec!["a stage".to_owned()],
    };
    kinds.join(", ")
}
