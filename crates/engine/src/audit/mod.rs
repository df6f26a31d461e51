//! The audit checks that every artifact is unchanged and was made from the inputs that it names. It
//! changes nothing in the store.
//!
//! ```text
//! artifact: bytes, manifest, names              `artifact`
//! its inputs: artifacts, the user's data        `origin`
//! links, lock, records of runs and tags         `links`, `lock`, `records`
//! its stage, run again in a scratch place       `rerun`
//! audit.json and audit.html                     `report`, `publish`, `page`
//! ```

mod ancestors;
mod artifact;
mod context;
mod links;
mod lock;
mod origin;
mod page;
mod publish;
mod records;
mod report;
mod rerun;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ctpipe_stage::Level;

use crate::error::{Error, Result};
use crate::event::{Event, Observer};
use crate::graph::Pipeline;
use crate::history::{RunRecord, resolve};
use crate::key::read_manifest;
use crate::store::Store;

use artifact::Reading;
pub use context::{Again, Options};
use context::{AuditContext, CheckedArtifact, Chosen};
use origin::Origins;
pub use report::{Finding, FindingKind, Input, Link, Report, Rerun};

/// Runs an audit and writes its findings to `artifacts/audit/<time>/` or to the given folder.
///
/// # Errors
/// When there is nothing to audit, the output folder is not writable, a run or stage is unknown, a
/// run is under way, or a later ctpipe wrote a file. Findings are not errors; they are in the
/// report.
pub fn audit(pipeline: &Pipeline, options: &Options<'_>, observer: &dyn Observer) -> Result<Report> {
    let store = Store::new(&pipeline.artifacts);
    if !store.layout.store().is_dir() {
        let place = store.root().display();
        return Err(Error::Usage(format!(
            "there is nothing to audit in {place} yet; run \"ctpipe run\" first"
        )));
    }
    let lock = store.hold_still(options.wait, options.stop)?;
    let clock = Instant::now();
    let started = jiff::Timestamp::now();
    // Fail before an hour's work, not after it.
    publish::refuse_unwritable(&store, options.out.as_deref())?;
    let scratch = options.out.clone().unwrap_or_else(|| store.layout.tmp());
    let context = AuditContext { pipeline, store: &store, scratch, options, observer };
    let record = match &options.run {
        Some(name) => Some(RunRecord::read(&store, &resolve(&store, name)?)?),
        None => None,
    };
    let wanted = rerun::wanted(pipeline, record.as_ref(), &options.again)?;
    let mut report = Report::new(started, record.as_ref().map(|record| record.run.clone()), &options.maker);
    if lock.is_none() {
        let text = "it cannot be written, so runs cannot be locked out during the audit".to_owned();
        let place = store.root().display().to_string();
        report.note(FindingKind::Mode, place, text, "make sure that nobody changes it during the audit");
    }
    let links = links::links(&context, &mut report);
    refuse_later(&links)?;
    let (folders, chosen) = match &record {
        None => (folders(&context, &mut report)?, links),
        Some(record) => of_run(&context, record, &mut report)?,
    };
    let checked = check_all(&context, &folders, &mut report)?;
    let mut origins = Origins::new(&context, record.as_ref(), &chosen, &checked);
    let current = order(pipeline, &chosen, &checked);
    let held = if record.is_none() { ancestors::held(&context) } else { BTreeSet::new() };
    origins.trace(&current, &held, &checked, &mut report);
    lock::lock(&context, record.as_ref(), &current, &mut report)?;
    if record.is_none() {
        records::records(&context, &mut report);
        records::last_runs(&context, &current, &mut report);
        links::released(&context, &checked, &mut report);
    }
    rerun::rerun(&context, &current, &wanted, &mut origins, &mut report)?;
    report.seconds = clock.elapsed().as_secs_f64();
    publish::write(&mut report, &store, options.out.as_deref())?;
    Ok(report)
}

/// Like a run, refuses current artifacts that a later ctpipe wrote.
fn refuse_later(links: &Chosen) -> Result<()> {
    for folder in links.values() {
        if let Err(error @ Error::Later { .. }) = read_manifest(folder) {
            return Err(error);
        }
    }
    Ok(())
}

/// Reads every artifact in full and returns those with a valid manifest.
fn check_all(
    context: &AuditContext<'_>,
    folders: &[(String, PathBuf)],
    report: &mut Report,
) -> Result<Vec<CheckedArtifact>> {
    let count = folders.len();
    let text = format!("{count} artifact{} to read", if count == 1 { "" } else { "s" });
    context.observer.event(&Event::Log { stage: "audit".to_owned(), level: Level::Info, text });
    let mut reading = Reading::default();
    let mut checked = Vec::new();
    for (stage, folder) in folders {
        context.check_stop()?;
        let before = report.findings.len();
        if let Some(artifact) = artifact::check(context, stage, folder, &mut reading, report)? {
            let whole = report.findings.len() == before;
            checked.push(CheckedArtifact { stage: stage.clone(), artifact, whole });
        }
    }
    (report.artifacts, report.files, report.bytes) = (count as u64, reading.files, reading.bytes);
    Ok(checked)
}

/// Every folder below `artifacts/store` that should be an artifact, with its stage.
fn folders(context: &AuditContext<'_>, report: &mut Report) -> Result<Vec<(String, PathBuf)>> {
    let home = context.store.layout.store();
    let mut found = Vec::new();
    for stage in listed(&home)? {
        // The folder of a stage may be a link to another disk.
        if !stage.is_dir() {
            stranger(context, &stage, report);
            continue;
        }
        let name = stage.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for folder in listed(&stage)? {
            if !is_folder(&folder) {
                stranger(context, &folder, report);
                continue;
            }
            let last = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if last.contains(".altered-") {
                let text = "a run moved it here because it had been altered; nothing uses it".to_owned();
                report.note(
                    FindingKind::OutputAltered,
                    context.place(&folder),
                    text,
                    "\"ctpipe gc\" removes it",
                );
            } else {
                found.push((name.clone(), folder));
            }
        }
    }
    Ok(found)
}

fn is_folder(path: &Path) -> bool {
    path.is_dir() && !path.is_symlink()
}

fn stranger(context: &AuditContext<'_>, path: &Path, report: &mut Report) {
    let text = "it is not a folder; only folders belong here".to_owned();
    let advice = "find out who put it there, and move it elsewhere";
    report.finding(FindingKind::ExtraFile, context.place(path), text, advice);
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("cannot list", folder, e);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The artifacts of a run with their ancestors, and the run's own artifacts.
fn of_run(
    context: &AuditContext<'_>,
    record: &RunRecord,
    report: &mut Report,
) -> Result<(Vec<(String, PathBuf)>, Chosen)> {
    let mut chosen = BTreeMap::new();
    if record.exit_code != 0 {
        let place = context.place(&context.store.layout.run(&record.run));
        let text =
            format!("the run ended with exit code {}; what it had finished is checked", record.exit_code);
        report.note(FindingKind::Record, place, text, "\"ctpipe show\" has the reason");
    }
    if !record.is_as_written(context.store) {
        records::altered_record(context, &record.run, report);
    }
    for stage in record.known_stages()? {
        match context.store.holding(&stage.stage, &stage.key_hash, &stage.content) {
            Some(artifact) => {
                chosen.insert(stage.stage.clone(), artifact.path);
            }
            None => report.finding(
                FindingKind::Missing,
                format!("store/{}/{}", stage.stage, stage.key_hash),
                format!(
                    "the run's artifact of {} (content {}) is not in the store, or its manifest has changed",
                    stage.stage, stage.content
                ),
                "run the same pipeline again, or restore it from a backup",
            ),
        }
    }
    let own = chosen.iter().map(|(stage, folder)| (stage.clone(), folder.clone())).collect();
    Ok((ancestors::with_ancestors(context, own), chosen))
}

/// The selected artifacts in the pipeline's order; stages that the pipeline no longer has come
/// last.
fn order<'a>(
    pipeline: &Pipeline,
    chosen: &Chosen,
    checked: &'a [CheckedArtifact],
) -> Vec<&'a CheckedArtifact> {
    let is_meant = |checked: &&CheckedArtifact| chosen.get(&checked.stage) == Some(&checked.artifact.path);
    let mut current: Vec<&CheckedArtifact> = checked.iter().filter(is_meant).collect();
    let place = |name: &str| pipeline.nodes.iter().position(|node| node.name == name);
    current.sort_by_key(|checked| place(&checked.stage).unwrap_or(usize::MAX));
    current
}
