//! What is referred to: by links, locks, tags and runs, and all that those artifacts were made from. Removes
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::disk::entries;
use crate::error::{Error, Result};
use crate::graph::{Pipeline, Source};
use crate::history::{self, RunRecord};
use crate::key::Key;
use crate::lock_file::{LockFile, all_beside};
use crate::store::{Artifact, Store};
use crate::tags;

/// The runs that there were, and which of them are kept.
pub(super) struct Runs {
    /// The oldest first; `None` without a record.
    all: Vec<(String, Option<RunRecord>)>,
    kept: BTreeSet<String>,
    /// Are runs dropped at all?
    limited: bool,
}

impl Runs {
    /// Reads the records. Kept are the last `keep` that ended, all that began later, `latest`, and tagged ones.
    pub(super) fn read(store: &Store, keep: Option<usize>) -> Result<Runs> {
        let mut all = Vec::new();
        for id in history::ids(store) {
            let record = match RunRecord::read_whole(store, &id) {
                Ok(record) => Some(record),
                // Killed before its end.
                Err(Error::Usage(_)) => None,
                Err(error @ Error::Later { .. }) => return Err(error),
                Err(error) => {
                    return Err(Error::Usage(format!(
                        "{}; mend it or remove that run, since what it used is not known",
                        crate::run::chain(&error)
                    )));
                }
            };
            all.push((id, record));
        }
        let ended: Vec<usize> =
            all.iter().enumerate().filter(|(_, (_, record))| record.is_some()).map(|(at, _)| at).collect();
        let from = match keep {
            None => 0,
            Some(keep) => ended.iter().rev().take(keep).next_back().copied().unwrap_or(all.len()),
        };
        let mut kept: BTreeSet<String> = all.iter().skip(from).map(|(id, _)| id.clone()).collect();
        let latest = fs::read_link(history::runs(store).join(history::LATEST)).ok();
        kept.extend(latest.and_then(|target| target.to_str().map(str::to_owned)));
        for (tag, run) in tags::list(store)? {
            if !all.iter().any(|(id, record)| *id == run && record.is_some()) {
                return Err(Error::Usage(format!(
                    "the tag {tag} is on run {run}, whose record is gone, so what it refers to is not known; \
                     \"ctpipe tag --delete {tag}\" first"
                )));
            }
            kept.insert(run);
        }
        Ok(Runs { all, kept, limited: keep.is_some() })
    }

    /// Those whose records go.
    pub(super) fn dropped(&self) -> impl Iterator<Item = &str> {
        let ids = self.all.iter().map(|(id, _)| id.as_str());
        ids.filter(|id| self.limited && !self.kept.contains(*id))
    }

    fn kept(&self) -> impl Iterator<Item = &RunRecord> {
        self.all.iter().filter(|(id, _)| self.kept.contains(id)).filter_map(|(_, record)| record.as_ref())
    }

    /// The keys of what the kept ones used.
    pub(super) fn kept_keys(&self) -> impl Iterator<Item = &Key> {
        self.kept().flat_map(|record| record.stages.iter().flatten()).map(|stage| &stage.key)
    }

    /// When an artifact was last of use: when the last run that used it began, or it was made.
    pub(super) fn last_use(&self, artifact: &Artifact) -> String {
        let manifest = &artifact.manifest;
        let uses = |record: &RunRecord| {
            used(record).any(|(_, key, content)| *key == manifest.key_hash && *content == manifest.content)
        };
        let run = self.all.iter().rev().find(|(_, record)| record.as_ref().is_some_and(uses));
        let made = manifest.made.started.replace(['-', ':'], "");
        run.map(|(id, _)| id.clone()).unwrap_or_default().max(made)
    }

    /// Is unfinished work of a stage, last written then, over: has the stage begun anew since, or is it older than
    /// all runs that are kept?
    pub(super) fn is_over(&self, stage: &str, written: &str) -> bool {
        let began = |record: &RunRecord| {
            let event =
                |event: &serde_json::Value| event["event"] == "stage_started" && event["stage"] == stage;
            record.events.iter().any(event)
        };
        let newest = self.all.iter().rev().find(|(_, record)| record.as_ref().is_some_and(began));
        newest.is_some_and(|(id, _)| written < id.as_str()) || self.is_before_all(written)
    }

    /// Is a time before all runs that are kept?
    pub(super) fn is_before_all(&self, time: &str) -> bool {
        let first = self.all.iter().map(|(id, _)| id).find(|id| self.kept.contains(*id));
        self.limited && first.is_some_and(|id| time < id.as_str())
    }
}

/// Stage, key and content of what a run used; of an earlier ctpipe's runs only what they made.
fn used(record: &RunRecord) -> impl Iterator<Item = (&str, &str, &str)> {
    let known = record.stages.iter().flatten();
    let known = known.map(|s| (s.stage.as_str(), s.key_hash.as_str(), s.content.as_str()));
    let made =
        record.events.iter().filter(|event| record.stages.is_none() && event["event"] == "stage_finished");
    known.chain(made.filter_map(|event| {
        Some((event["stage"].as_str()?, event["key"].as_str()?, event["content"].as_str()?))
    }))
}

/// Folders that stay.
pub(super) struct Roots(BTreeSet<PathBuf>);

impl Roots {
    /// `is_lost`: is a link that of an instance that no pipeline has any more?
    pub(super) fn find(
        pipeline: &Pipeline,
        is_lost: &dyn Fn(&Path) -> bool,
        store: &Store,
        runs: &Runs,
    ) -> Result<Roots> {
        let mut roots = BTreeSet::new();
        // Of stages, and what was released.
        for folder in [store.root().to_path_buf(), store.root().join("released")] {
            let links = entries(&folder)?.into_iter().filter(|path| path.is_symlink());
            let links = links.filter(|path| !is_lost(path));
            roots.extend(links.filter_map(|link| store.led_to(&link)));
        }
        let mut hold = |stage: &str, key: &str, content: &str| {
            roots.extend(store.holding(stage, key, content).map(|artifact| artifact.path));
        };
        for path in all_beside(&pipeline.lock) {
            for (stage, block) in LockFile::read(&path)?.unwrap_or_default().blocks {
                hold(&stage, &block.key.hash(), &block.content);
            }
        }
        let tagged: BTreeSet<String> = tags::list(store)?.into_values().collect();
        let kept =
            runs.all.iter().filter(|(id, _)| tagged.contains(id) || (runs.limited && runs.kept.contains(id)));
        for record in kept.filter_map(|(_, record)| record.as_ref()) {
            used(record).for_each(|(stage, key, content)| hold(stage, key, content));
        }
        // What the pipeline reads by its path, an earlier result that a new one is held against.
        let given = pipeline.nodes.iter().flat_map(|node| node.inputs.values());
        roots.extend(given.filter_map(|source| match source {
            Source::Path { path, .. } => store.artifact_at(path),
            Source::Stage(_) => None,
        }));
        Ok(Roots(with_origins(&pipeline.root, store, roots)))
    }

    pub(super) fn holds(&self, folder: &Path) -> bool {
        self.0.contains(folder)
    }
}

/// Artifacts, and all that they were made from: a result whose origin is gone proves nothing.
fn with_origins(root: &Path, store: &Store, mut folders: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let all = store.all();
    let mut by_content: BTreeMap<&str, Vec<&Artifact>> = BTreeMap::new();
    for (_, artifact) in &all {
        by_content.entry(&artifact.manifest.content).or_default().push(artifact);
    }
    let mut open: Vec<&Artifact> =
        all.iter().map(|(_, artifact)| artifact).filter(|a| folders.contains(&a.path)).collect();
    let by_path: BTreeMap<&Path, &Artifact> =
        all.iter().map(|(_, artifact)| (artifact.path.as_path(), artifact)).collect();
    while let Some(artifact) = open.pop() {
        let key = &artifact.manifest.key;
        let given = artifact.manifest.made.sources.values();
        for read in given.filter_map(|given| store.artifact_at(&root.join(given))) {
            if let Some(&one) = by_path.get(read.as_path())
                && folders.insert(read)
            {
                open.push(one);
            }
        }
        for (port, digest) in &key.inputs {
            let held = by_content.get(digest.as_str()).into_iter().flatten().copied();
            let fits = |a: &&Artifact| key.lineage.get(port).is_none_or(|hash| *hash == a.manifest.key_hash);
            let mut held: Vec<&Artifact> = held.filter(fits).collect();
            // One is enough.
            if held.iter().any(|a| folders.contains(&a.path)) {
                continue;
            }
            if let Some(one) = held.pop() {
                folders.insert(one.path.clone());
                open.push(one);
            }
        }
    }
    folders
}
