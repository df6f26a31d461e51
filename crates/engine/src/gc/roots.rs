//! Finds the artifacts that links, locks, tags and runs refer to, and all that those were made
//! from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ctpipe_stage::Key;

use super::usage::entries;
use crate::error::{Error, Result, chain};
use crate::event::Event;
use crate::graph::{Pipeline, Source};
use crate::history::{LATEST, RunRecord, ids, tags};
use crate::lock::file::{LockFile, all_beside};
use crate::store::{Artifact, Store};

/// All runs, and which of them are kept.
pub(super) struct Runs {
    /// The runs, the oldest first; `None` for a run without a record.
    all: Vec<(String, Option<RunRecord>)>,
    kept: BTreeSet<String>,
    /// Whether any runs are dropped.
    limited: bool,
}

impl Runs {
    /// Reads the records. The last `keep` runs that ended, all later ones, `latest` and tagged runs
    /// are kept.
    pub(super) fn read(store: &Store, keep: Option<usize>) -> Result<Runs> {
        let mut all = Vec::new();
        for id in ids(store) {
            let record = match RunRecord::read_whole(store, &id) {
                Ok(record) => Some(record),
                // The run was killed before its end.
                Err(Error::Usage(_)) => None,
                Err(error @ Error::Later { .. }) => return Err(error),
                Err(error) => {
                    return Err(Error::Usage(format!(
                        "{}; correct it or remove that run, because what it used is unknown",
                        chain(&error)
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
        let latest = fs::read_link(store.layout.runs().join(LATEST)).ok();
        kept.extend(latest.and_then(|target| target.to_str().map(str::to_owned)));
        for (tag, run) in tags::list(store)? {
            if !all.iter().any(|(id, record)| *id == run && record.is_some()) {
                return Err(Error::Usage(format!(
                    "the tag {tag} names run {run}, whose record no longer exists, so what it protects is unknown; run \"ctpipe tag --delete {tag}\" first"
                )));
            }
            kept.insert(run);
        }
        Ok(Runs { all, kept, limited: keep.is_some() })
    }

    /// The runs whose records are removed.
    pub(super) fn dropped(&self) -> impl Iterator<Item = &str> {
        let ids = self.all.iter().map(|(id, _)| id.as_str());
        ids.filter(|id| self.limited && !self.kept.contains(*id))
    }

    fn kept(&self) -> impl Iterator<Item = &RunRecord> {
        self.all.iter().filter(|(id, _)| self.kept.contains(id)).filter_map(|(_, record)| record.as_ref())
    }

    /// The keys of what the kept runs used.
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

    /// Whether unfinished work of a stage, last written at `written`, is obsolete: the stage has
    /// begun again since, or the work is older than all kept runs.
    pub(super) fn is_over(&self, stage: &str, written: &str) -> bool {
        let is_start = |event: &Event| matches!(event, Event::StageStarted { stage: of } if of == stage);
        let began = |record: &RunRecord| record.known_events().any(is_start);
        let newest = self.all.iter().rev().find(|(_, record)| record.as_ref().is_some_and(began));
        newest.is_some_and(|(id, _)| written < id.as_str()) || self.is_before_all(written)
    }

    /// Whether a time is before all kept runs.
    pub(super) fn is_before_all(&self, time: &str) -> bool {
        let first = self.all.iter().map(|(id, _)| id).find(|id| self.kept.contains(*id));
        self.limited && first.is_some_and(|id| time < id.as_str())
    }
}

/// Stage, key and content of what a run used; of an earlier ctpipe's runs only what they made.
fn used(record: &RunRecord) -> impl Iterator<Item = (&str, &str, &str)> {
    let known = record.stages.iter().flatten();
    let known = known.map(|s| (s.stage.as_str(), s.key_hash.as_str(), s.content.as_str()));
    let made = record.known_events().filter(|_| record.stages.is_none()).filter_map(|event| match event {
        Event::StageFinished { stage, key, content, .. } => {
            Some((stage.as_str(), key.as_str(), content.as_str()))
        }
        _ => None,
    });
    known.chain(made)
}

/// The folders that are kept.
pub(super) struct Roots(BTreeSet<PathBuf>);

impl Roots {
    /// `is_lost` tells whether a link belongs to an instance that no pipeline has any more.
    pub(super) fn find(
        pipeline: &Pipeline,
        is_lost: &dyn Fn(&Path) -> bool,
        store: &Store,
        runs: &Runs,
    ) -> Result<Roots> {
        let mut roots = BTreeSet::new();
        // Of stages, and what was released.
        for folder in [store.root().to_path_buf(), store.layout.link("released")] {
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
        // Paths that the pipeline reads, such as an earlier result that a new one is compared with.
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
            // One of them is enough.
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
