//! Removes artifacts and records that nothing refers to any more.
//!
//! The following is never collected: what the links in `artifacts/` lead to, what a lock or a tag
//! refers to, and all that those were made from. Nothing is collected while a run is under way. An
//! artifact is renamed before it is removed, so that a kill leaves it either complete or gone.

mod order;
mod roots;
mod usage;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::graph::Pipeline;
use crate::history::tags;
use crate::store::{Artifact, Store};
use crate::sys::{fault, files};

use roots::{Roots, Runs};
use usage::{Usage, entries, last_change};

/// What to keep.
pub struct Options<'a> {
    /// Keep the records of this many of the last runs, and what those runs used.
    pub keep_runs: Option<usize>,
    /// Stop removing as soon as `artifacts/` is no larger than this, in bytes.
    pub max_size: Option<u64>,
    /// Remove nothing, and report what would be removed.
    pub dry_run: bool,
    /// Wait for a run to end instead of refusing.
    pub wait: bool,
    /// Set by a signal to stop the collection.
    pub stop: &'a AtomicBool,
}

/// A removed file or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Removed {
    /// Its path below `artifacts/`.
    pub path: String,
    /// The bytes that its removal frees. Files with other hard links do not count.
    pub bytes: u64,
}

/// What was removed, and what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// Whether this was a dry run, which removes nothing.
    pub dry_run: bool,
    /// The removed files and folders.
    pub removed: Vec<Removed>,
    /// The number of freed bytes.
    pub freed: u64,
    /// The number of bytes left in `artifacts/`.
    pub left: u64,
    /// The number of artifacts left.
    pub artifacts: usize,
    /// By how many bytes the rest exceeds the maximum size.
    pub over: u64,
}

/// Locks out runs and writers of tags. A dry run also works on a read-only copy.
fn hold(store: &Store, options: &Options<'_>) -> Result<Vec<File>> {
    if options.dry_run {
        Ok(store.hold_still(options.wait, options.stop)?.into_iter().collect())
    } else {
        Ok(vec![store.lock(options.wait, options.stop)?, tags::hold(store)?])
    }
}

/// Collects garbage.
///
/// # Errors
/// When the options do not say what to keep, a run is under way, or a lock or a tag cannot be read.
pub fn collect(pipeline: &Pipeline, options: &Options<'_>) -> Result<Report> {
    if options.keep_runs.is_none() && options.max_size.is_none() {
        return Err(Error::Usage(
            "choose what to keep: --keep-runs 10 (what the last ten runs used), --max-size 50GB, or both; --dry-run shows what would be removed"
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
    remove_lost_links(&store, options, &is_lost)?;
    let mut usage = Usage::measure(&store.layout)?;
    usage.without(&store.layout.tmp());
    let mut sweep =
        Sweep { store: &store, options, usage, removed: Vec::new(), gone: BTreeSet::new(), bin: None };
    // Altered artifacts that were set aside go first, because nothing can use them.
    for path in aside(&store)? {
        sweep.remove(&path)?;
    }
    let mut kept = store.all();
    for path in leftovers(&store, &runs, &kept)? {
        sweep.remove(&path)?;
    }
    let open = kept.iter().map(|(_, artifact)| artifact.clone()).filter(|a| !roots.holds(&a.path)).collect();
    sweep.remove_artifacts(order::last_made_first(open, &runs), &mut kept)?;
    for path in leftovers(&store, &runs, &kept)? {
        sweep.remove(&path)?;
    }
    sweep.empty_bin()?;
    let left = sweep.usage.total();
    Ok(Report {
        dry_run: options.dry_run,
        freed: sweep.removed.iter().map(|removed| removed.bytes).sum(),
        removed: sweep.removed,
        left,
        artifacts: kept.len(),
        over: options.max_size.map_or(0, |most| left.saturating_sub(most)),
    })
}

/// Removes the links of instances that no pipeline has any more. They go before their targets,
/// because a broken link would be a fault.
fn remove_lost_links(store: &Store, options: &Options<'_>, is_lost: &dyn Fn(&Path) -> bool) -> Result<()> {
    for link in entries(store.root())?.into_iter().filter(|path| path.is_symlink() && is_lost(path)) {
        if !options.dry_run {
            fault::point()
                .and_then(|()| fs::remove_file(&link))
                .map_err(|e| Error::io("cannot remove", &link, e))?;
        }
    }
    Ok(())
}

/// Removes files and folders, one after the other.
struct Sweep<'a> {
    store: &'a Store,
    options: &'a Options<'a>,
    usage: Usage,
    removed: Vec<Removed>,
    gone: BTreeSet<PathBuf>,
    /// The folder that things are moved to before they are removed.
    bin: Option<PathBuf>,
}

impl Sweep<'_> {
    /// Removes artifacts in this order, as many as it takes, and takes them out of `kept`.
    fn remove_artifacts(
        &mut self,
        artifacts: Vec<Artifact>,
        kept: &mut Vec<(String, Artifact)>,
    ) -> Result<()> {
        for artifact in artifacts {
            if self.options.max_size.is_some_and(|most| self.usage.total() <= most) {
                break;
            }
            self.remove(&artifact.path)?;
            kept.retain(|(_, kept)| kept.path != artifact.path);
            // The live view of the artifact takes space as well.
            let (stage, key) = (&artifact.manifest.stage, &artifact.manifest.key_hash);
            let is_shown = kept.iter().any(|(of, other)| of == stage && other.manifest.key_hash == *key);
            let live = self.store.layout.live(stage, key);
            if live.exists() && !is_shown {
                self.remove(&live)?;
            }
        }
        Ok(())
    }

    /// Removes a path unless it was removed already.
    fn remove(&mut self, path: &Path) -> Result<()> {
        if !self.gone.insert(path.to_path_buf()) {
            return Ok(());
        }
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        if !self.options.dry_run {
            let bin = self.store.layout.tmp().join("collected");
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
        let bytes = self.usage.without(path);
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

/// The altered artifacts that runs have set aside.
fn aside(store: &Store) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for stage in entries(&store.layout.store())? {
        let altered = |path: &PathBuf| name(path).contains(".altered-");
        found.extend(entries(&stage)?.into_iter().filter(altered));
    }
    Ok(found)
}

/// The records of runs and audits, unfinished work, live views, and cached inputs that no kept
/// artifact or run needs.
fn leftovers(store: &Store, runs: &Runs, kept: &[(String, Artifact)]) -> Result<Vec<PathBuf>> {
    let layout = &store.layout;
    let mut found: Vec<PathBuf> = runs.dropped().map(|id| store.layout.run(id)).collect();
    let mut work = BTreeSet::new();
    for stage in entries(&layout.all_work())? {
        for folder in entries(&stage)? {
            if runs.is_over(&name(&stage), &last_change(&folder)) {
                found.push(folder);
            } else {
                work.insert((name(&stage), name(&folder)));
            }
        }
    }
    for stage in entries(&layout.all_live())? {
        let of_stage = name(&stage);
        let artifacts = kept.iter().filter(|(stage, _)| *stage == of_stage);
        let keys = artifacts.map(|(_, artifact)| artifact.manifest.key_hash.as_str());
        let unfinished = work.iter().filter(|(stage, _)| *stage == of_stage).map(|(_, key)| key.as_str());
        let keys: Vec<&str> = keys.chain(unfinished).collect();
        for folder in entries(&stage)? {
            if !keys.iter().any(|key| key.starts_with(&name(&folder))) {
                found.push(folder);
            }
        }
    }
    // Temporary files of tags that a killed process left.
    let tags = entries(&layout.tags())?;
    found.extend(tags.into_iter().filter(|tag| name(tag).starts_with('.')));
    let audits = entries(&layout.audits())?;
    let before_last = audits.split_last().map(|(_, earlier)| earlier).unwrap_or_default();
    found.extend(before_last.iter().filter(|audit| runs.is_before_all(&name(audit))).cloned());
    let digests: BTreeSet<&str> = kept
        .iter()
        .map(|(_, artifact)| &artifact.manifest.key)
        .chain(runs.kept_keys())
        .flat_map(|key| key.inputs.values().map(String::as_str))
        .collect();
    let trees = entries(&layout.trees())?;
    let known = |tree: &PathBuf| digests.contains(name(tree).as_str());
    found.extend(trees.into_iter().filter(|tree| !known(tree)));
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
