//! Removes what nothing refers to any more. Knows no stage.
//!
//! Never collected: what the links in `artifacts/` lead to, what a lock or a tag refers to, and all that those were
//! made from. Nothing is collected while a run is under way. An artifact is renamed away before it is removed, so
//! that a kill leaves it whole or not at all.

mod disk;
mod order;
mod roots;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;
use crate::graph::Pipeline;
use crate::history;
use crate::store::{Artifact, Store};
use crate::tags;
use disk::Disk;
use roots::{Roots, Runs};

/// What to keep.
pub struct Options<'a> {
    /// What these many of the last runs used, and their records.
    pub keep_runs: Option<usize>,
    /// Only as much is removed as it takes for all of `artifacts/` to be no larger than this.
    pub max_size: Option<u64>,
    /// Remove nothing, and say what would be.
    pub dry_run: bool,
    /// Wait for a run to end instead of refusing.
    pub wait: bool,
    /// Set by a signal: stop.
    pub stop: &'a AtomicBool,
}

/// One thing that is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Below `artifacts/`.
    pub path: String,
    /// What it frees: files that something else shares count for nothing.
    pub bytes: u64,
}

/// What was removed, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Was nothing removed in truth?
    pub dry_run: bool,
    /// What went.
    pub removed: Vec<Removed>,
    /// Bytes that went.
    pub freed: u64,
    /// Bytes that are left in `artifacts/`.
    pub left: u64,
    /// Artifacts that are left.
    pub artifacts: usize,
    /// By how much what has to stay is larger than it may be.
    pub over: u64,
}

/// Keeps away runs and what puts tags. A copy that cannot be written can still be asked what would go.
fn hold(store: &Store, options: &Options<'_>) -> Result<Vec<File>> {
    if options.dry_run {
        Ok(store.hold_still(options.wait, options.stop)?.into_iter().collect())
    } else {
        Ok(vec![store.lock(options.wait, options.stop)?, tags::hold(store)?])
    }
}

/// Collects.
///
/// # Errors
/// When it is not said what to keep, a run is under way, or it cannot be known what a lock or a tag refers to.
pub fn collect(pipeline: &Pipeline, options: &Options<'_>) -> Result<Report> {
    if options.keep_runs.is_none() && options.max_size.is_none() {
        return Err(Error::Usage(
            "say what to keep: --keep-runs 10 (what the last ten runs used), --max-size 50GB, or both; \
             --dry-run shows what would go"
                .to_owned(),
        ));
    }
    let store = Store::new(&pipeline.artifacts);
    if !store.root().is_dir() {
        return Err(Error::Usage(format!("there is nothing in {} yet", store.root().display())));
    }
    let _still = hold(&store, options)?;
    store.refuse_later()?;
    let runs = Runs::read(&store, options.keep_runs)?;
    let elsewhere = pipeline.names_elsewhere();
    let is_lost = |link: &Path| pipeline.has_lost(&name(link), elsewhere.as_ref());
    let roots = Roots::find(pipeline, &is_lost, &store, &runs)?;
    if !options.dry_run {
        store.sweep()?;
    }
    // Before what they lead to: a link to nothing would be a fault.
    for link in disk::entries(store.root())?.into_iter().filter(|path| path.is_symlink() && is_lost(path)) {
        if !options.dry_run {
            fault::point()
                .and_then(|()| fs::remove_file(&link))
                .map_err(|e| Error::io("cannot remove", &link, e))?;
        }
    }
    let mut disk = Disk::measure(store.root())?;
    disk.without(&store.root().join("tmp"));
    let mut sweep =
        Sweep { store: &store, options, disk, removed: Vec::new(), gone: BTreeSet::new(), bin: None };
    // Rubbish first: nothing can ever use it.
    for path in aside(&store)? {
        sweep.remove(&path)?;
    }
    let mut kept = store.all();
    for path in leftovers(&store, &runs, &kept)? {
        sweep.remove(&path)?;
    }
    let open = kept.iter().map(|(_, artifact)| artifact.clone()).filter(|a| !roots.holds(&a.path)).collect();
    for artifact in order::last_made_first(open, &runs) {
        if options.max_size.is_some_and(|most| sweep.disk.total() <= most) {
            break;
        }
        sweep.remove(&artifact.path)?;
        kept.retain(|(_, kept)| kept.path != artifact.path);
        // What could be watched while it was made takes room as well.
        let (stage, key) = (&artifact.manifest.stage, &artifact.manifest.key_hash);
        let is_shown = kept.iter().any(|(of, other)| of == stage && other.manifest.key_hash == *key);
        let live = store.live(stage, key);
        if live.exists() && !is_shown {
            sweep.remove(&live)?;
        }
    }
    for path in leftovers(&store, &runs, &kept)? {
        sweep.remove(&path)?;
    }
    sweep.empty_bin()?;
    let left = sweep.disk.total();
    Ok(Report {
        dry_run: options.dry_run,
        freed: sweep.removed.iter().map(|removed| removed.bytes).sum(),
        removed: sweep.removed,
        left,
        artifacts: kept.len(),
        over: options.max_size.map_or(0, |most| left.saturating_sub(most)),
    })
}

/// Removes, one thing after the other.
struct Sweep<'a> {
    store: &'a Store,
    options: &'a Options<'a>,
    disk: Disk,
    removed: Vec<Removed>,
    gone: BTreeSet<PathBuf>,
    /// Where things go before they are removed.
    bin: Option<PathBuf>,
}

impl Sweep<'_> {
    /// Removes what was not removed yet.
    fn remove(&mut self, path: &Path) -> Result<()> {
        if !self.gone.insert(path.to_path_buf()) {
            return Ok(());
        }
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        if !self.options.dry_run {
            let bin = self.store.root().join("tmp/collected");
            let target = bin.join(self.removed.len().to_string());
            fault::point()
                .and_then(|()| fs::create_dir_all(&bin))
                .and_then(|()| fs::rename(path, &target))
                .and_then(|()| fault::point())
                .map_err(|e| Error::io("cannot remove", path, e))?;
            self.bin = Some(bin);
            // The folder of a stage goes with its last artifact.
            let home = path.parent().filter(|home| home.parent() != Some(self.store.root()));
            let _ = home.map(fs::remove_dir);
        }
        let bytes = self.disk.without(path);
        let path = path.strip_prefix(self.store.root()).unwrap_or(path).display().to_string();
        self.removed.push(Removed { path, bytes });
        Ok(())
    }

    fn empty_bin(&self) -> Result<()> {
        let Some(bin) = &self.bin else { return Ok(()) };
        fault::point()
            .and_then(|()| files::remove_folder(bin))
            .map_err(|e| Error::io("cannot remove", bin, e))
    }
}

/// What runs have put aside because it was altered.
fn aside(store: &Store) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for stage in disk::entries(&store.root().join("store"))? {
        let altered = |path: &PathBuf| name(path).contains(".altered-");
        found.extend(disk::entries(&stage)?.into_iter().filter(altered));
    }
    Ok(found)
}

/// Records of runs and audits, unfinished work, what could be watched, and remembered inputs, as far as
/// nothing that is kept has to do with them.
fn leftovers(store: &Store, runs: &Runs, kept: &[(String, Artifact)]) -> Result<Vec<PathBuf>> {
    let root = store.root();
    let mut found: Vec<PathBuf> = runs.dropped().map(|id| history::runs(store).join(id)).collect();
    let mut work = BTreeSet::new();
    for stage in disk::entries(&root.join("work"))? {
        for folder in disk::entries(&stage)? {
            if runs.is_over(&name(&stage), &disk::last_change(&folder)) {
                found.push(folder);
            } else {
                work.insert((name(&stage), name(&folder)));
            }
        }
    }
    for stage in disk::entries(&root.join("live"))? {
        let of_stage = name(&stage);
        let artifacts = kept.iter().filter(|(stage, _)| *stage == of_stage);
        let keys = artifacts.map(|(_, artifact)| artifact.manifest.key_hash.as_str());
        let unfinished = work.iter().filter(|(stage, _)| *stage == of_stage).map(|(_, key)| key.as_str());
        let keys: Vec<&str> = keys.chain(unfinished).collect();
        for folder in disk::entries(&stage)? {
            if !keys.iter().any(|key| key.starts_with(&name(&folder))) {
                found.push(folder);
            }
        }
    }
    // What a kill left of one that was being written.
    let tags = disk::entries(&root.join("tags"))?;
    found.extend(tags.into_iter().filter(|tag| name(tag).starts_with('.')));
    let audits = disk::entries(&root.join("audit"))?;
    let before_last = audits.split_last().map(|(_, earlier)| earlier).unwrap_or_default();
    found.extend(before_last.iter().filter(|audit| runs.is_before_all(&name(audit))).cloned());
    let digests: BTreeSet<&str> = kept
        .iter()
        .map(|(_, artifact)| &artifact.manifest.key)
        .chain(runs.kept_keys())
        .flat_map(|key| key.inputs.values().map(String::as_str))
        .collect();
    let trees = disk::entries(&root.join("cache/trees"))?;
    let known = |tree: &PathBuf| digests.contains(name(tree).as_str());
    found.extend(trees.into_iter().filter(|tree| !known(tree)));
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
