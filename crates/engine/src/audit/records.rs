//! Checks the records of runs and the tags.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::context::{AuditContext, CheckedArtifact};
use crate::audit::report::{FindingKind, Report};
use crate::error::{Error, chain};
use crate::history::{RECORD, RunRecord, ids, tags};
use crate::store::Store;

/// The records, the newest first, as long as each names an existing one before it. Behind a gap,
/// left by `gc`, by a user or by a killed run, a record says nothing about the current artifacts.
fn without_gaps(store: &Store) -> impl Iterator<Item = RunRecord> {
    let mut before: Option<Option<String>> = None;
    ids(store).into_iter().rev().map_while(move |id| {
        if before.as_ref().is_some_and(|before| before.as_ref() != Some(&id)) {
            return None;
        }
        let record = RunRecord::read_whole(store, &id).ok().filter(|record| record.stages.is_some())?;
        before = Some(record.after.clone());
        Some(record)
    })
}

/// Checks that each current artifact is the one recorded by the last run that used it. A link may
/// have been set by hand, or an artifact replaced by another of the same key.
pub(super) fn last_runs(context: &AuditContext<'_>, current: &[&CheckedArtifact], report: &mut Report) {
    let store = context.store;
    let mut open: BTreeSet<&str> = context.pipeline.nodes.iter().map(|node| node.name.as_str()).collect();
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
            let artifact = current.iter().find(|c| c.stage == *stage).map(|checked| &checked.artifact);
            match artifact {
                Some(artifact) if artifact.manifest.content != used.content => {
                    let text =
                        format!("the current result has content {}, but {was}", artifact.manifest.content);
                    report.finding(FindingKind::Link, place, text, advice);
                }
                Some(artifact) if artifact.manifest.key_hash != used.key_hash => {
                    let key = &artifact.manifest.key_hash;
                    let text =
                        format!("the current result has the key {key}, but {was} under {}", used.key_hash);
                    report.finding(FindingKind::Link, place, text, advice);
                }
                // A broken link has been reported already. `gc` removes the links of instances that
                // the pipeline no longer has.
                None if !store.layout.link(stage).is_symlink() => {
                    let text = format!("there is no link to a current result, but {was}");
                    report.note(FindingKind::Link, place, text, advice);
                }
                _ => {}
            }
        }
    }
}

/// Reports a record that was edited, because it proves nothing.
pub(super) fn altered_record(context: &AuditContext<'_>, run: &str, report: &mut Report) {
    let place = context.place(&context.store.layout.run(run).join(RECORD));
    let text =
        "it was altered after it was written, and may name artifacts that the run did not use".to_owned();
    report.finding(FindingKind::Record, place, text, "restore it from a backup");
}

/// Checks the records of all runs, and the tags.
pub(super) fn records(context: &AuditContext<'_>, report: &mut Report) {
    let store = context.store;
    let tags = tags::list(store).unwrap_or_else(|error| {
        report.finding(FindingKind::Record, "tags".to_owned(), error.to_string(), "delete or correct it");
        BTreeMap::new()
    });
    let ids = ids(store);
    for (tag, run) in tags.iter().filter(|(_, run)| !ids.contains(run)) {
        let text = format!("it names run {run}, whose record no longer exists");
        report.finding(FindingKind::Record, format!("tags/{tag}"), text, "ctpipe tag --delete");
    }
    let tagged: BTreeSet<&String> = tags.values().collect();
    let mut collected = BTreeSet::new();
    for id in &ids {
        let record = match RunRecord::read(store, id) {
            Ok(record) => record,
            // The run is under way or was killed before its end.
            Err(Error::Usage(_)) => continue,
            Err(error) => {
                let place = context.place(&store.layout.run(id).join(RECORD));
                let text = chain(&error);
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
            altered_record(context, id, report);
        }
        for stage in record.stages.iter().flatten() {
            if store.holding(&stage.stage, &stage.key_hash, &stage.content).is_some() {
                continue;
            }
            if tagged.contains(id) {
                let text =
                    format!("its artifact of {} (key {}) is not in the store", stage.stage, stage.key_hash);
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
        report.note(FindingKind::Missing, "runs".to_owned(), text, "no action is needed");
    }
}
