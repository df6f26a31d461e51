//! Finds the artifacts that other artifacts were made from, directly or not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::audit::context::AuditContext;
use crate::content::StatCache;
use crate::history::{RunRecord, tags};
use crate::key::read_manifest;
use crate::layout::RELEASED;
use crate::store::{Artifact, intact};

/// The released artifacts and those of tagged runs, with all their ancestors. They have to exist as
/// well.
pub(super) fn held(context: &AuditContext<'_>) -> BTreeSet<PathBuf> {
    let store = context.store;
    let mut folders: Vec<(String, PathBuf)> = Vec::new();
    folders.extend(store.released().into_iter().map(|folder| (RELEASED.to_owned(), folder)));
    // Problems of tags and records are reported where those are checked.
    for run in tags::list(store).unwrap_or_default().into_values() {
        let record = RunRecord::read(store, &run).ok();
        for stage in record.iter().flat_map(|record| record.stages.iter().flatten()) {
            let artifact = store.holding(&stage.stage, &stage.key_hash, &stage.content);
            folders.extend(artifact.map(|artifact| (stage.stage.clone(), artifact.path)));
        }
    }
    with_ancestors(context, folders).into_iter().map(|(_, folder)| folder).collect()
}

/// The artifacts and all that they were made from. Where several artifacts, perhaps of later runs,
/// have the same content, one of them is enough.
pub(super) fn with_ancestors(
    context: &AuditContext<'_>,
    mut found: Vec<(String, PathBuf)>,
) -> Vec<(String, PathBuf)> {
    let mut by_content: BTreeMap<String, Vec<Artifact>> = BTreeMap::new();
    for (_, artifact) in context.store.all() {
        by_content.entry(artifact.manifest.content.clone()).or_default().push(artifact);
    }
    let mut at = 0;
    while let Some((_, folder)) = found.get(at).cloned() {
        at += 1;
        let Ok(manifest) = read_manifest(&folder) else { continue };
        for (port, digest) in &manifest.key.inputs {
            let lineage = manifest.key.lineage.get(port);
            let fits =
                |a: &&Artifact| a.path != folder && lineage.is_none_or(|hash| *hash == a.manifest.key_hash);
            let held = by_content.get(digest).map(Vec::as_slice).unwrap_or_default();
            let mut held: Vec<&Artifact> = held.iter().filter(fits).collect();
            if held.iter().any(|a| found.iter().any(|(_, known)| *known == a.path)) {
                continue;
            }
            // An artifact made later cannot be an ancestor.
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
