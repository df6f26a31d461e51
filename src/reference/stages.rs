//! The built-in stages: inputs, parameters, outputs.

use std::fmt::Write as _;

use ctpipe_stage::{Output, Param, Port, Stage};

use super::markdown::{code, paragraph, sentence, table};
use crate::context;

const ABOUT: &str = "The built-in stages, as `ctpipe stages` prints them. A version is raised when the same input would give \
    other bytes.";

pub(super) fn page() -> String {
    let mut page = format!("# Stages\n\n{}", paragraph(ABOUT));
    for stage in context::stages() {
        page += &section(stage.as_ref());
    }
    page
}

fn section(stage: &dyn Stage) -> String {
    let mut text = format!("\n## {}\n\n", stage.kind());
    text += &paragraph(&format!("{} Version {}.", sentence(stage.doc()), stage.version()));
    let _ = write!(text, "\n### Inputs of {}\n\n", stage.kind());
    text += &table(["Input", "Takes", "Default", "Meaning"], stage.ports().iter().map(port));
    if !stage.params().is_empty() {
        let _ = write!(text, "\n### Parameters of {}\n\n", stage.kind());
        let heads = ["Parameter", "Default", "Values", "Unit", "Meaning"];
        text += &table(heads, stage.params().iter().map(param));
    }
    let _ = write!(text, "\n### Outputs of {}\n\n", stage.kind());
    text += &table(["File", "Holds"], stage.outputs().iter().map(output));
    text
}

fn port(port: &Port) -> [String; 4] {
    let takes = match (port.many, port.optional) {
        (true, true) => "one or several, or none",
        (true, false) => "one or several",
        (false, true) => "one, or none",
        (false, false) => "one",
    };
    [code(port.name), takes.to_owned(), code(port.default.unwrap_or_default()), sentence(port.doc)]
}

fn param(param: &Param) -> [String; 5] {
    let default = param.default_value().to_string();
    [code(param.name), code(default), param.expected(), param.unit.to_owned(), sentence(param.doc)]
}

fn output(output: &Output) -> [String; 2] {
    [code(output.path), sentence(output.doc)]
}
