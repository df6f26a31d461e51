//! `ctpipe stages`: the built-in stages with inputs, parameters, defaults, ranges and units.

use ctpipe_engine::event_schema;
use ctpipe_engine::schema::schema;
use ctpipe_tables::json::{FoldsFile, MetricsFile, SearchFile};
use serde_json::{Value, json};

use crate::cli::{Global, Stages};
use crate::context;
use crate::terminal::{print_json, say};

pub(crate) fn stages(global: &Global, args: &Stages) -> anyhow::Result<u8> {
    let stages = context::stages();
    let schemas: [(bool, &dyn Fn() -> Value); 5] = [
        (args.schema, &|| schema(&stages)),
        (args.metrics_schema, &MetricsFile::schema),
        (args.folds_schema, &FoldsFile::schema),
        (args.search_schema, &SearchFile::schema),
        (args.events_schema, &event_schema::schema),
    ];
    if let Some((_, schema)) = schemas.iter().find(|(asked, _)| *asked) {
        print_json(&schema())?;
        return Ok(0);
    }
    if global.json {
        let all: Vec<_> = stages
            .iter()
            .map(|stage| {
                json!({
                    "stage": stage.kind(),
                    "version": stage.version(),
                    "doc": stage.doc(),
                    "inputs": stage.ports(),
                    "params": stage.params(),
                    "outputs": stage.outputs(),
                })
            })
            .collect();
        print_json(&all)?;
        return Ok(0);
    }
    for stage in stages {
        say!("{} (version {}): {}", stage.kind(), stage.version(), stage.doc());
        say!("  inputs");
        for port in stage.ports() {
            let note = match (port.optional, port.default) {
                (true, _) => " (optional)".to_owned(),
                (false, Some(default)) => format!(" (default {default})"),
                (false, None) => String::new(),
            };
            let note = if port.many { format!("{note} (one or several)") } else { note };
            say!("    {}: {}{note}", port.name, port.doc);
        }
        if !stage.params().is_empty() {
            say!("  parameters");
        }
        for param in stage.params() {
            let unit = if param.unit.is_empty() { String::new() } else { format!(" {}", param.unit) };
            let default = param.default_value();
            say!("    {} = {default}{unit}: {}; {}", param.name, param.expected(), param.doc);
        }
        say!("  outputs");
        for output in stage.outputs() {
            say!("    {}: {}", output.path, output.doc);
        }
        say!();
    }
    Ok(0)
}
