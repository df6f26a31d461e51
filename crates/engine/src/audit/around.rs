//! What points at artifacts: links, the lock, the records of runs, tags. Reads no artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::audit::report::{FindingKind, Report};
use crate::audit::{Chosen, Ground, Seen};
use crate::error::{Error, Result};
use crate::history::{self, RunRecord};
use crate::lock_file::{self, LockFile};
use crate::locked::difference;
use crate::manifest::Manifest;
use crate::store::RELEASED;
use crate::tags;

/// Follows every link in `artifacts/`; stage to the artifact that is current. What a stage left that the pipeline has
/// no longer is current no more.
pub(super) fn links(ground: &Ground<'_>, report: &mut Report) -> Chosen {
    let root = ground.store.root();
    let mut current = Chosen::new();
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut links: Vec<_> = entries.filter(|entry| entry.path().is_symlink()).collect();
    links.sort_by_key(fs::DirEntry::file_name);
    for link in links {
        let name = link.file_name().to_string_lossy().into_owned();
        let target = fs::read_link(link.path()).unwrap_or_default();
        let home = root.join("store").join(&name);
        let advice = "\"ctpipe run\" sets it";
        let Some(folder) = ground.store.led_to(&link.path()).filter(|folder| folder.is_dir()) else {
            let text = format!("it leads to {}, where nothing is", target.display());
            report.finding(FindingKind::Link, name, text, advice);
            continue;
        };
        let right = if name == RELEASED {
            folder.starts_with(root.join("store"))
        } else {
            folder.parent() == Some(&home)
        };
        if !right {
            let text = format!("it leads to {}, which is no artifact of its own", target.display());
            report.finding(FindingKind::Link, name, text, advice);
        } else if ground.pipeline.nodes.iter().any(|node| node.name == name) {
            current.insert(name, folder);
        }
    }
    for node in &ground.pipeline.nodes {
        let path = root.join(&node.name);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_symlink()) {
            let text = "it should be a link to an artifact and is none".to_owned();
            report.finding(FindingKind::Link, node.name.clone(), text, "move it away");
        }
    }
    current
}

/// Holds what is meant against the lock, and the lock against the store.
pub(super) fn lock(
    ground: &Ground<'_>,
    record: Option<&RunRecord>,
    current: &[&Seen],
    report: &mut Report,
) -> Result<()> {
    for path in lock_file::all_beside(&ground.pipeline.lock) {
        let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = path.file_name() == ground.pipeline.lock.file_name();
        let lock = match LockFile::read(&path) {
            Ok(lock) => lock.unwrap_or_default(),
            Err(error @ Error::Later { .. }) if ours => return Err(error),
            Err(Error::Damaged { problems, .. }) => {
                for problem in problems {
                    let advice = "bring it back from git, or write it anew: \"ctpipe run --lock\"";
                    report.finding(FindingKind::Lock, place.clone(), problem, advice);
                }
                continue;
            }
            Err(error) => {
                report.finding(FindingKind::Lock, place, error.to_string(), "mend it");
                continue;
            }
        };
        // Of another profile it is enough to be whole: its results may never have been made here.
        if !ours {
            continue;
        }
        for (stage, block) in &lock.blocks {
            if record.is_none() && ground.store.holding(stage, &block.key.hash(), &block.content).is_none() {
                let text = format!("the store has no artifact of {stage} that holds {}", block.content);
                let advice = "make it: \"ctpipe run --locked\"";
                report.finding(FindingKind::Lock, place.clone(), text, advice);
            }
        }
        for (stage, artifact, _) in current {
            let Some(difference) = difference(&lock, stage, &artifact.manifest) else { continue };
            let (place, text) = (place.clone(), difference.to_string());
            let advice =
                "\"ctpipe run --locked\" makes what the lock says, \"ctpipe run --lock\" locks what there is";
            // The lock goes on, and an earlier run is right all the same.
            if record.is_some() {
                report.note(FindingKind::Lock, place, text, "nothing has to be done");
            } else {
                report.finding(FindingKind::Lock, place, text, advice);
            }
        }
    }
    Ok(())
}

/// A record that was edited proves nothing.
pub(super) fn altered_record(ground: &Ground<'_>, run: &str, report: &mut Report) {
    let place = ground.place(&history::runs(ground.store).join(run).join(history::RECORD));
    let text =
        "it was altered after it was written, and may name other artifacts than the run had".to_owned();
    report.finding(FindingKind::Record, place, text, "restore it from a backup");
}

/// The records of all runs, and the tags.
pub(super) fn records(ground: &Ground<'_>, report: &mut Report) {
    let store = ground.store;
    let tags = tags::list(store).unwrap_or_else(|error| {
        report.finding(FindingKind::Record, "tags".to_owned(), error.to_string(), "delete or mend it");
        BTreeMap::new()
    });
    let ids = history::ids(store);
    for (tag, run) in tags.iter().filter(|(_, run)| !ids.contains(run)) {
        let text = format!("it is on run {run}, whose record is gone");
        report.finding(FindingKind::Record, format!("tags/{tag}"), text, "ctpipe tag --delete");
    }
    let tagged: BTreeSet<&String> = tags.values().collect();
    let mut collected = BTreeSet::new();
    for id in &ids {
        let record = match RunRecord::read(store, id) {
            Ok(record) => record,
            // Under way, or killed before its end.
            Err(Error::Usage(_)) => continue,
            Err(error) => {
                let place = ground.place(&history::runs(store).join(id).join(history::RECORD));
                let text = crate::run::chain(&error);
                report.finding(
                    FindingKind::Record,
                    place,
                    text,
                    "restore it from a backup, or remove the run",
                );
                continue;
            }
        };
        if !record.is_as_written(store) {
            altered_record(ground, id, report);
        }
        for stage in record.stages.iter().flatten() {
            if store.holding(&stage.stage, &stage.key_hash, &stage.content).is_some() {
                continue;
            }
            if tagged.contains(id) {
                let text = format!(
                    "the artifact of {} (key {}) that it used is not in the store",
                    stage.stage, stage.key_hash
                );
                let advice = "run the same pipeline again, or restore it from a backup";
                report.finding(FindingKind::Missing, format!("runs/{id}"), text, advice);
            } else {
                collected.insert((stage.stage.clone(), stage.key_hash.clone(), stage.content.clone()));
            }
        }
    }
    let count = collected.len();
    if count > 0 {
        let text =
            format!("{count} artifact{} of earlier runs were collected", if count == 1 { "" } else { "s" });
        report.note(FindingKind::Missing, "runs".to_owned(), text, "nothing has to be done");
    }
}

/// The artifacts of a run, and all that they were made from.
pub(super) fn with_ancestors(ground: &Ground<'_>, chosen: &Chosen) -> Vec<(String, PathBuf)> {
    let mut by_content: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    for (stage, artifact) in ground.store.all() {
        by_content.entry(artifact.manifest.content).or_default().push((stage, artifact.path));
    }
    let mut found: Vec<(String, PathBuf)> =
        chosen.iter().map(|(stage, folder)| (stage.clone(), folder.clone())).collect();
    let mut at = 0;
    while let Some((_, folder)) = found.get(at).cloned() {
        at += 1;
        let Ok(manifest) = Manifest::read(&folder) else { continue };
        for digest in manifest.key.inputs.values() {
            let held = by_content.get(digest).map(Vec::as_slice).unwrap_or_default();
            for (stage, folder) in held {
                if !found.iter().any(|(_, known)| known == folder) {
                    found.push((stage.clone(), folder.clone()));
                }
            }
        }
    }
    found
}
