//! What points at artifacts: links, the lock, the records of runs, tags. Reads no artifact.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use crate::audit::report::{FindingKind, Report};
use crate::audit::{Chosen, Ground, Seen};
use crate::error::{Error, Result};
use crate::graph::{Pipeline, Source};
use crate::history::{self, RunRecord, StageRecord};
use crate::lock_file::{self, LockFile};
use crate::locked::difference;
use crate::manifest::Manifest;
use crate::spec::OURS;
use crate::stat_cache::StatCache;
use crate::store::{Artifact, RELEASED, Store, intact, is_released};
use crate::tags;

/// Follows every link in `artifacts/`; stage to the artifact that is current. What a stage left that the pipeline has
/// no longer is current no more.
pub(super) fn links(ground: &Ground<'_>, report: &mut Report) -> Chosen {
    let root = ground.store.root();
    let mut current = Chosen::new();
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    // Folders of the store's own may lie on another disk.
    let is_ours = |name: &OsStr| OURS.iter().any(|ours| name == *ours && !is_released(ours));
    let mut links: Vec<_> =
        entries.filter(|entry| entry.path().is_symlink() && !is_ours(&entry.file_name())).collect();
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
        let right = if is_released(&name) {
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

/// What was released and what tagged runs used, with all that those were made from: it has to be there as well.
pub(super) fn held(ground: &Ground<'_>) -> BTreeSet<PathBuf> {
    let store = ground.store;
    let mut folders: Vec<(String, PathBuf)> = Vec::new();
    folders.extend(store.released().into_iter().map(|folder| (RELEASED.to_owned(), folder)));
    // What is wrong with tags and records is told where those are looked at.
    for run in tags::list(store).unwrap_or_default().into_values() {
        let record = RunRecord::read(store, &run).ok();
        for stage in record.iter().flat_map(|record| record.stages.iter().flatten()) {
            let artifact = store.holding(&stage.stage, &stage.key_hash, &stage.content);
            folders.extend(artifact.map(|artifact| (stage.stage.clone(), artifact.path)));
        }
    }
    with_ancestors(ground, folders).into_iter().map(|(_, folder)| folder).collect()
}

/// Is what is released what the last run that released something says? The records alone tell. And has what is said to
/// have judged it read it?
pub(super) fn released(ground: &Ground<'_>, seen: &[Seen], report: &mut Report) {
    let store = ground.store;
    let entries = fs::read_dir(store.root()).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let links: BTreeSet<String> = names.filter(|name| is_released(name)).collect();
    let led_to = |link: &str| {
        let folder = store.artifact_at(&store.root().join(link))?;
        seen.iter().find(|(_, artifact, _)| artifact.path == folder).map(|(_, artifact, _)| artifact)
    };
    let of = |link: &str| {
        let longer = |of: &&String| link.strip_prefix(of.as_str()).is_some_and(|rest| rest.starts_with('.'));
        links.iter().filter(longer).max_by_key(|of| of.len())
    };
    for link in links.iter().filter(|link| of(link).is_none()) {
        let Some(released) = led_to(link) else { continue };
        if !released_last(ground, link, released, report) {
            continue;
        }
        let content = &released.manifest.content;
        let judged: Vec<&String> = links.iter().filter(|judge| of(judge) == Some(link)).collect();
        let has_judged = |judge: &&&String| {
            led_to(judge).is_none_or(|artifact| {
                let manifest = &artifact.manifest;
                manifest.content == *content || manifest.key.inputs.values().any(|read| read == content)
            })
        };
        // Of several gated stages not each has to read what is released itself.
        if let Some(first) = judged.first().filter(|_| !judged.iter().any(|judge| has_judged(&judge))) {
            let text = format!("it leads to a result that has not read what {link} leads to");
            let advice = "set it back, or release anew: \"ctpipe run\"";
            report.finding(FindingKind::Link, (*first).clone(), text, advice);
        }
    }
}

/// Is a link right, as far as is known?
fn released_last(ground: &Ground<'_>, link: &str, artifact: &Artifact, report: &mut Report) -> bool {
    let (store, manifest) = (ground.store, &artifact.manifest);
    let mut before: Option<String> = None;
    for id in history::ids(store).iter().rev() {
        // Of those that are gone one may have released something.
        if before.as_ref().is_some_and(|before| before != id) {
            break;
        }
        let Ok(record) = RunRecord::read_whole(store, id) else { continue };
        before.clone_from(&record.after);
        let texts = record.events.iter().filter(|event| event["event"] == "log" && event["stage"] == "");
        let said = texts.filter_map(|event| event["text"].as_str()?.strip_prefix(link)?.strip_prefix(' '));
        let Some((stage, rest)) = said.filter_map(|said| said.split_once(' ')).next_back() else { continue };
        let key = rest.split(':').next().unwrap_or_default();
        let same = |used: &StageRecord| {
            used.stage == stage && used.key_hash.starts_with(key) && used.content == manifest.content
        };
        let is_it = manifest.stage == stage
            && manifest.key_hash.starts_with(key)
            && record.stages.iter().flatten().any(same);
        if !is_it {
            let text = format!(
                "it leads to {} {}, and what was released last, by run {id}, is {stage} {key}",
                manifest.stage,
                manifest.key_hash.get(..12).unwrap_or_default()
            );
            let advice = "set it back, or release anew: \"ctpipe run\"";
            report.finding(FindingKind::Link, link.to_owned(), text, advice);
        }
        return is_it;
    }
    let text = "no record is left of the run that has released it".to_owned();
    report.note(FindingKind::Link, link.to_owned(), text, "nothing has to be done");
    true
}

/// The records, the newest first, as far back as each names the one before it: where `gc` or somebody has removed one, or
/// a run was killed before its end, what lies before tells nothing of what is current.
fn without_gaps(store: &Store) -> impl Iterator<Item = RunRecord> {
    let mut before: Option<Option<String>> = None;
    history::ids(store).into_iter().rev().map_while(move |id| {
        if before.as_ref().is_some_and(|before| before.as_ref() != Some(&id)) {
            return None;
        }
        let record = RunRecord::read_whole(store, &id).ok().filter(|record| record.stages.is_some())?;
        before = Some(record.after.clone());
        Some(record)
    })
}

/// Is what is current what the last run that used it has recorded? A link may be set by hand, and an artifact replaced
/// by another of the same key.
pub(super) fn last_runs(ground: &Ground<'_>, current: &[&Seen], report: &mut Report) {
    let store = ground.store;
    let mut open: BTreeSet<&str> = ground.pipeline.nodes.iter().map(|node| node.name.as_str()).collect();
    for record in without_gaps(store) {
        if open.is_empty() {
            return;
        }
        for used in record.stages.iter().flatten() {
            if !open.remove(used.stage.as_str()) {
                continue;
            }
            let (stage, place) = (&used.stage, used.stage.clone());
            let advice = "\"ctpipe run\" brings it up to date";
            let was = format!("the last run that used {stage}, {}, had {}", record.run, used.content);
            match current.iter().find(|(name, _, _)| name == stage) {
                Some((_, artifact, _)) if artifact.manifest.content != used.content => {
                    let text = format!("what is current holds {}, and {was}", artifact.manifest.content);
                    report.finding(FindingKind::Link, place, text, advice);
                }
                Some((_, artifact, _)) if artifact.manifest.key_hash != used.key_hash => {
                    let key = &artifact.manifest.key_hash;
                    let text =
                        format!("what is current has the key {key}, and {was} under {}", used.key_hash);
                    report.finding(FindingKind::Link, place, text, advice);
                }
                // One that leads nowhere has been told. `gc` removes those of instances that the pipeline has lost.
                None if !store.root().join(stage).is_symlink() => {
                    let text = format!("there is no link to a current result, and {was}");
                    report.note(FindingKind::Link, place, text, advice);
                }
                _ => {}
            }
        }
    }
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
        if record.is_none() {
            for text in contradictions(ground.pipeline, &lock) {
                let advice = "bring all stages up to date: \"ctpipe run\"";
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

/// What no run can come to, whatever it makes: blocks of stages that there are not, and blocks that read something
/// else than the lock says those before them hold.
fn contradictions(pipeline: &Pipeline, lock: &LockFile) -> Vec<String> {
    let mut found = Vec::new();
    for (name, block) in &lock.blocks {
        let Some(node) = pipeline.nodes.iter().find(|node| node.name == *name) else {
            found.push(format!("{name} is in the lock and not in the pipeline"));
            continue;
        };
        for (port, digest) in &block.key.inputs {
            let Some(Source::Stage(index)) = node.inputs.get(port) else { continue };
            let before = &pipeline.nodes[*index].name;
            if let Some(held) = lock.blocks.get(before).filter(|held| held.content != *digest) {
                found.push(format!(
                    "{name} has read {digest} of {before}, which holds {} by the same lock",
                    held.content
                ));
            }
        }
    }
    found
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
        let verb = if count == 1 { " of earlier runs was" } else { "s of earlier runs were" };
        let text = format!("{count} artifact{verb} collected");
        report.note(FindingKind::Missing, "runs".to_owned(), text, "nothing has to be done");
    }
}

/// Artifacts, and all that they were made from. Of several that hold the same, which may be of later runs, one is
/// enough.
pub(super) fn with_ancestors(
    ground: &Ground<'_>,
    mut found: Vec<(String, PathBuf)>,
) -> Vec<(String, PathBuf)> {
    let mut by_content: BTreeMap<String, Vec<Artifact>> = BTreeMap::new();
    for (_, artifact) in ground.store.all() {
        by_content.entry(artifact.manifest.content.clone()).or_default().push(artifact);
    }
    let mut at = 0;
    while let Some((_, folder)) = found.get(at).cloned() {
        at += 1;
        let Ok(manifest) = Manifest::read(&folder) else { continue };
        for (port, digest) in &manifest.key.inputs {
            let lineage = manifest.key.lineage.get(port);
            let fits =
                |a: &&Artifact| a.path != folder && lineage.is_none_or(|hash| *hash == a.manifest.key_hash);
            let held = by_content.get(digest).map(Vec::as_slice).unwrap_or_default();
            let mut held: Vec<&Artifact> = held.iter().filter(fits).collect();
            if held.iter().any(|a| found.iter().any(|(_, known)| *known == a.path)) {
                continue;
            }
            // What was made later cannot be what it was made from.
            let made = |a: &Artifact| a.manifest.made.started.clone();
            held.sort_by_key(|a| (made(a) > manifest.made.started, made(a)));
            let whole = held.iter().find(|a| intact(a, &StatCache::disabled()).is_none());
            if let Some(one) = whole.or(held.first()) {
                found.push((one.manifest.stage.clone(), one.path.clone()));
            }
        }
    }
    found
}
