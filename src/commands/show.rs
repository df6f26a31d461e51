//! `ctpipe show RUN`: shows one run in full: the outcome, key, content and metrics of each stage,
//! and the failures.

use ctpipe_engine::Store;
use ctpipe_engine::history::tags;
use ctpipe_engine::history::{RunRecord, resolve};
use serde_json::json;

use crate::cli::{Global, Show};
use crate::context;
use crate::printed::ShownRun;
use crate::terminal::{print_json, say};

pub(crate) fn show(global: &Global, args: &Show) -> anyhow::Result<u8> {
    let store = Store::new(&context::pipeline(global)?.artifacts);
    let id = resolve(&store, &args.run)?;
    let record = RunRecord::read(&store, &id)?;
    let tags: Vec<String> =
        tags::list_whole(&store).into_iter().filter(|(_, run)| *run == id).map(|(tag, _)| tag).collect();
    if global.json {
        let own = |(stage, text): (&str, &str)| (stage.to_owned(), text.to_owned());
        print_json(&ShownRun {
            run: record.run.clone(),
            tags,
            started: record.started.clone(),
            seconds: record.seconds,
            exit_code: record.exit_code,
            maker: record.maker.clone(),
            whole: record.is_whole(),
            results: record.results().into_iter().map(own).collect(),
            gates: record.gates(),
            failures: record.failures().into_iter().map(own).collect(),
            stages: record.stages,
        })?;
        return Ok(0);
    }
    print(&record, &tags);
    Ok(0)
}

/// Prints the run as text.
fn print(record: &RunRecord, tags: &[String]) {
    say!("run {}", record.run);
    if !tags.is_empty() {
        say!("tags {}", tags.join(", "));
    }
    let maker = &record.maker;
    say!("started {}, {:.1} s, exit code {}", record.started, record.seconds, record.exit_code);
    say!("by ctpipe {} {} ({})", maker.version, maker.commit, maker.instruction_set);
    if !record.is_whole() {
        say!("warning: this record was altered after it was written");
    }
    match &record.stages {
        None => say!("an earlier ctpipe recorded it, without the results of stages"),
        Some(stages) => {
            let ran = record.ran();
            for stage in stages {
                let took = ran.iter().find(|(name, _)| *name == stage.stage);
                let took = took.map(|(_, seconds)| format!(", {seconds:.1} s")).unwrap_or_default();
                let outcome = json!(stage.outcome);
                say!("{}: {}{took}", stage.stage, outcome.as_str().unwrap_or_default().replace('_', " "));
                let params: Vec<String> =
                    stage.key.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
                if !params.is_empty() {
                    say!("  with {}", params.join(" "));
                }
                say!("  key {}", stage.key_hash);
                say!("  content {}", stage.content);
                for (name, value) in &stage.metrics {
                    say!("  {name} = {}", value.map_or("undefined".to_owned(), |value| value.to_string()));
                }
            }
        }
    }
    for judged in record.gates() {
        say!("{}: {judged}", judged.stage);
    }
    for (stage, error) in record.failures() {
        say!("{stage} failed: {error}");
    }
}
