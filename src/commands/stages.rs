//! `ctpipe stages`: lists the built-in stages with inputs, parameters, defaults, ranges and units,
//! and prints the schemas of the files that ctpipe reads and writes.

use crate::cli::{Global, Stages};
use crate::context;
use crate::printed::BuiltIn;
use crate::schemas;
use crate::terminal::{print_json, say};

pub(crate) fn stages(global: &Global, args: &Stages) -> anyhow::Result<u8> {
    let asked = [
        (args.schema, "pipeline"),
        (args.metrics_schema, "metrics"),
        (args.folds_schema, "folds"),
        (args.search_schema, "search"),
        (args.events_schema, "events"),
    ];
    let asked = asked.into_iter().find(|(asked, _)| *asked).map(|(_, name)| name);
    if let Some((_, schema)) = schemas::all().into_iter().find(|(name, _)| asked == Some(name)) {
        print_json(&schema)?;
        return Ok(0);
    }
    let stages = context::stages();
    if global.json {
        let built_in = stages.iter().map(|stage| BuiltIn {
            stage: stage.kind(),
            version: stage.version(),
            doc: stage.doc(),
            inputs: stage.ports(),
            params: stage.params(),
            outputs: stage.outputs(),
        });
        print_json(&built_in.collect::<Vec<_>>())?;
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
