//! The audit: is everything that was made still what it was, and does it come from what it says? Changes nothing
//! in the store. Knows no stage by name and no terminal.
//!
//! ```text
//! artifact: bytes, manifest, names            `artifact`
//! its inputs: artifacts, the user's data      `origin`
//! links, lock, records of runs, tags          `around`
//! its stage, run again in a scratch place     `rerun`
//! audit.json and audit.html                   `report`, `page`
//! ```

mod around;
mod artifact;
mod origin;
mod page;
mod report;
mod rerun;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::event::{Event, Level, Observer};
use crate::graph::Pipeline;
use crate::history::{self, RunRecord};
use crate::manifest::{Maker, Manifest};
use crate::store::{Artifact, Store};

use artifact::Reading;
use origin::Origins;
pub use report::{Finding, FindingKind, Input, Link, Report, Rerun};

/// Which stages are run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Again {
    /// None.
    #[default]
    Nothing,
    /// This one, or all instances of it.
    Stage(String),
    /// All that have an artifact.
    All,
}

/// How to audit.
pub struct Options<'a> {
    /// Which stages are run again.
    pub again: Again,
    /// The run whose artifacts are audited: a run's name, `latest` or a tag. `None` for all that there are.
    pub run: Option<String>,
    /// The folder that `audit.json` and `audit.html` are written to, and in which stages are run again; nothing of the
    /// store is written then. `None` for `artifacts/audit/<time>/`.
    pub out: Option<PathBuf>,
    /// Wait for a run to end instead of refusing.
    pub wait: bool,
    /// Who audits.
    pub maker: Maker,
    /// Set by a signal: stop.
    pub stop: &'a AtomicBool,
}

/// What the parts of an audit have in common.
struct Ground<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    /// Where stages are run again.
    scratch: PathBuf,
    options: &'a Options<'a>,
    observer: &'a dyn Observer,
}

impl Ground<'_> {
    fn check_stop(&self) -> Result<()> {
        if self.options.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A path as the report names it.
    fn place(&self, path: &Path) -> String {
        path.strip_prefix(self.store.root()).unwrap_or(path).display().to_string()
    }
}

/// Audits, and writes what was found to `artifacts/audit/<time>/`, or where it is told to.
///
/// # Errors
/// When there is nothing to audit, nothing can be written there, a run or stage is unknown, a run is under way, or a file of a later ctpipe is met.
/// What is not in order is no error: the report has it.
pub fn audit(pipeline: &Pipeline, options: &Options<'_>, observer: &dyn Observer) -> Result<Report> {
    let store = Store::new(&pipeline.artifacts);
    if !store.root().join("store").is_dir() {
        let place = store.root().display();
        return Err(Error::Usage(format!(
            "there is nothing to audit in {place} yet; \"ctpipe run\" makes it"
        )));
    }
    let lock = store.hold_still(options.wait, options.stop)?;
    let clock = Instant::now();
    let started = jiff::Timestamp::now();
    // Before an hour's work, not after it.
    report::refuse_unwritable(&store, options.out.as_deref())?;
    let scratch = options.out.clone().unwrap_or_else(|| store.root().join("tmp"));
    let ground = Ground { pipeline, store: &store, scratch, options, observer };
    let record = match &options.run {
        Some(name) => Some(RunRecord::read(&store, &history::resolve(&store, name)?)?),
        None => None,
    };
    let wanted = rerun::wanted(pipeline, record.as_ref(), &options.again)?;
    let mut report = Report::new(started, record.as_ref().map(|record| record.run.clone()), &options.maker);
    if lock.is_none() {
        let text = "it cannot be written, so that no run could be kept away meanwhile".to_owned();
        let place = store.root().display().to_string();
        report.note(FindingKind::Mode, place, text, "audit it while nobody else changes it");
    }
    let links = around::links(&ground, &mut report);
    // As a run does: what is current is for a later ctpipe to judge.
    for folder in links.values() {
        if let Err(error @ Error::Later { .. }) = Manifest::read(folder) {
            return Err(error);
        }
    }
    let (folders, chosen) = match &record {
        None => (folders(&ground, &mut report)?, links),
        Some(record) => of_run(&ground, record, &mut report)?,
    };
    let count = folders.len();
    let text = format!("{count} artifact{} to read", if count == 1 { "" } else { "s" });
    observer.event(&Event::Log { stage: "audit".to_owned(), level: Level::Info, text });
    let mut reading = Reading::default();
    let mut whole = Vec::new();
    for (stage, folder) in &folders {
        ground.check_stop()?;
        let before = report.findings.len();
        let found = artifact::check(&ground, stage, folder, &mut reading, &mut report)?;
        if let Some(artifact) = found {
            whole.push((stage.clone(), artifact, report.findings.len() == before));
        }
    }
    (report.artifacts, report.files, report.bytes) = (count as u64, reading.files, reading.bytes);
    let mut origins = Origins::new(&ground, record.as_ref(), &chosen, &whole);
    let current = order(pipeline, &chosen, &whole);
    let held = if record.is_none() { around::held(&ground) } else { BTreeSet::new() };
    origins.trace(&current, &held, &whole, &mut report);
    around::lock(&ground, record.as_ref(), &current, &mut report)?;
    if record.is_none() {
        around::records(&ground, &mut report);
        around::last_runs(&ground, &current, &mut report);
        around::released(&ground, &whole, &mut report);
    }
    rerun::rerun(&ground, &current, &wanted, &mut origins, &mut report)?;
    report.seconds = clock.elapsed().as_secs_f64();
    report.write(&store, options.out.as_deref())?;
    Ok(report)
}

/// Every folder below `artifacts/store` that should be an artifact, with its stage.
fn folders(ground: &Ground<'_>, report: &mut Report) -> Result<Vec<(String, PathBuf)>> {
    let home = ground.store.root().join("store");
    let mut found = Vec::new();
    for stage in listed(&home)? {
        // That of a stage may be a link to another disk's.
        if !stage.is_dir() {
            stranger(ground, &stage, report);
            continue;
        }
        let name = stage.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for folder in listed(&stage)? {
            if !is_folder(&folder) {
                stranger(ground, &folder, report);
                continue;
            }
            let last = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if last.contains(".altered-") {
                let text = "a run has put it aside because it was altered; nothing uses it".to_owned();
                report.note(
                    FindingKind::OutputAltered,
                    ground.place(&folder),
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

fn stranger(ground: &Ground<'_>, path: &Path, report: &mut Report) {
    let text = "it is no folder, and nothing else belongs here".to_owned();
    let advice = "find out who put it there, and move it away";
    report.finding(FindingKind::ExtraFile, ground.place(path), text, advice);
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

type Chosen = BTreeMap<String, PathBuf>;

/// The artifacts of a run, with what they were made from, and those that are the run's own.
fn of_run(
    ground: &Ground<'_>,
    record: &RunRecord,
    report: &mut Report,
) -> Result<(Vec<(String, PathBuf)>, Chosen)> {
    let mut chosen = BTreeMap::new();
    if record.exit_code != 0 {
        let place = ground.place(&history::runs(ground.store).join(&record.run));
        let text =
            format!("the run ended with exit code {}; what it came to before is looked at", record.exit_code);
        report.note(FindingKind::Record, place, text, "\"ctpipe show\" tells why");
    }
    if !record.is_as_written(ground.store) {
        around::altered_record(ground, &record.run, report);
    }
    for stage in record.known_stages()? {
        match ground.store.holding(&stage.stage, &stage.key_hash, &stage.content) {
            Some(artifact) => {
                chosen.insert(stage.stage.clone(), artifact.path);
            }
            None => report.finding(
                FindingKind::Missing,
                format!("store/{}/{}", stage.stage, stage.key_hash),
                format!(
                    "the run's artifact of {} (content {}) is not in the store, or its manifest is not as it was",
                    stage.stage, stage.content
                ),
                "run the same pipeline again, or restore it from a backup",
            ),
        }
    }
    let own = chosen.iter().map(|(stage, folder)| (stage.clone(), folder.clone())).collect();
    Ok((around::with_ancestors(ground, own), chosen))
}

/// An artifact whose manifest can be read, its stage, and whether all of it is in order.
type Seen = (String, Artifact, bool);

/// Those that are meant, in the pipeline's order; stages that it has no longer come last.
fn order<'a>(pipeline: &Pipeline, chosen: &Chosen, seen: &'a [Seen]) -> Vec<&'a Seen> {
    let mut current: Vec<&Seen> = seen
        .iter()
        .filter(|(stage, artifact, _)| chosen.get(stage).is_some_and(|path| *path == artifact.path))
        .collect();
    let place = |name: &str| pipeline.nodes.iter().position(|node| node.name == name);
    current.sort_by_key(|(stage, _, _)| place(stage).unwrap_or(usize::MAX));
    current
}
