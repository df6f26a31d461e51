//! Checks what a run needs before it starts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ctpipe_stage::{Finding, Labelled, Level, Stage};

use crate::error::{Error, Problem, Problems, Result};
use crate::event::{Event, Observer};
use crate::graph::{Pipeline, Source};
use crate::run::selection::Scope;
use crate::store::Store;

/// With less free space than this, a run does not start.
const LEAST_FREE: u64 = 64 << 20;
/// With less free space than this, a run starts with a warning.
const COMFORTABLE: u64 = 1 << 30;

/// Checks the inputs, the disk and what each stage itself checks, and reports to the observer.
///
/// # Errors
/// All findings that would stop the run, as one configuration error.
pub(crate) fn preflight(
    pipeline: &Pipeline,
    scope: &Scope,
    store: &Store,
    observer: &dyn Observer,
) -> Result<()> {
    let mut problems = Vec::new();
    let mut tell = |stage: &str, finding: Finding| {
        if finding.level == Level::Error {
            let place = if stage.is_empty() { "pre-flight".to_owned() } else { format!("stage {stage}") };
            problems.push(Problem { place, message: finding.text.clone() });
        }
        observer.event(&Event::Preflight {
            stage: stage.to_owned(),
            level: finding.level,
            text: finding.text,
        });
    };
    let (count, s) = (pipeline.nodes.len(), if pipeline.nodes.len() == 1 { "" } else { "s" });
    tell("", Finding::info(format!("configuration valid: {count} stage{s}")));
    tell("", disk(store.root()));
    for &index in &scope.run {
        let node = &pipeline.nodes[index];
        let mut paths = BTreeMap::new();
        for (port, source) in &node.inputs {
            if let Source::Path { given, path } = source {
                match find(node.stage.as_ref(), port, given, path) {
                    Ok(()) => {
                        paths.insert(port.clone(), path.clone());
                    }
                    Err(problem) => tell(&node.name, Finding::error(problem)),
                }
            }
        }
        for gate in &node.gates {
            let current = store.current(&node.name).ok().flatten();
            if let Some(doubt) = current.and_then(|artifact| gate.doubt(&artifact.path)) {
                tell(&node.name, Finding::warning(doubt));
            }
        }
        let complete = paths.len() == path_count(&node.inputs);
        if complete {
            for finding in node.stage.preflight(&node.params, &paths) {
                tell(&node.name, finding);
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(Problems(problems))) }
}

fn path_count(inputs: &BTreeMap<String, Source>) -> usize {
    inputs.values().filter(|source| matches!(source, Source::Path { .. })).count()
}

/// Does the input exist? It is created now if its port can do that.
fn find(stage: &dyn Stage, port: &str, given: &str, path: &PathBuf) -> std::result::Result<(), String> {
    match fs::metadata(path) {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(format!("input {port}: cannot read {given}: {e}")),
    }
    // The port's own name, if this is one of several inputs of it.
    let port = Labelled::parse(port).name;
    let declared = stage.ports().iter().find(|p| p.name == port);
    match declared.and_then(|p| p.make) {
        Some(make) => make(path).map_err(|e| format!("input {port}: cannot make {given}: {e}")),
        None => Err(format!(
            "input {port}: there is no {given}{}; create it, or change inputs.{port} in the pipeline file",
            declared.map(|p| format!(" ({})", p.doc)).unwrap_or_default()
        )),
    }
}

fn disk(folder: &Path) -> Finding {
    let Some(free) = free_space(folder) else {
        return Finding::warning("the free disk space is unknown");
    };
    let text = format!("{} free for {}", size(free), folder.display());
    if free < LEAST_FREE {
        Finding::error(format!("only {text}, but at least {} is needed; free some space", size(LEAST_FREE)))
    } else if free < COMFORTABLE {
        Finding::warning(format!("only {text}"))
    } else {
        Finding::info(text)
    }
}

fn free_space(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

fn size(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
