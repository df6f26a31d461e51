//! Sorts artifacts for removal: the least recently used first, but none before the artifacts made
//! from it. A collection can then stop anywhere and leave no result without its origin.

use std::collections::{BTreeMap, BTreeSet};

use super::roots::Runs;
use crate::store::Artifact;

/// Artifacts in the order in which they may go.
pub(super) fn last_made_first(artifacts: Vec<Artifact>, runs: &Runs) -> Vec<Artifact> {
    let uses: Vec<String> = artifacts.iter().map(|artifact| runs.last_use(artifact)).collect();
    let origins = origins(&artifacts);
    // For each artifact, how many of those made from it are left.
    let mut readers = vec![0_usize; artifacts.len()];
    origins.iter().flatten().for_each(|&origin| readers[origin] += 1);
    let place = |index: usize| (&uses[index], &artifacts[index].path, index);
    let mut free: BTreeSet<_> = (0..artifacts.len()).filter(|&i| readers[i] == 0).map(place).collect();
    let mut order = Vec::new();
    let mut left: BTreeSet<_> = (0..artifacts.len()).map(place).collect();
    // Artifacts made at the same time with the same content may be each other's origin; then any
    // may go.
    while let Some(next) = free.pop_first().or_else(|| left.first().copied()) {
        if !left.remove(&next) {
            continue;
        }
        let index = next.2;
        order.push(index);
        for &origin in &origins[index] {
            readers[origin] -= 1;
            if readers[origin] == 0 && left.contains(&place(origin)) {
                free.insert(place(origin));
            }
        }
    }
    let mut all: Vec<Option<Artifact>> = artifacts.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| all.get_mut(index)?.take()).collect()
}

/// For each artifact, the others that it may have been made from. Artifacts begun later are
/// excluded.
fn origins(artifacts: &[Artifact]) -> Vec<Vec<usize>> {
    let mut by_content: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, artifact) in artifacts.iter().enumerate() {
        by_content.entry(&artifact.manifest.content).or_default().push(index);
    }
    let of = |artifact: &Artifact| {
        let key = &artifact.manifest.key;
        let held = key.inputs.iter().flat_map(|(port, digest)| {
            let held = by_content.get(digest.as_str()).into_iter().flatten().copied();
            held.filter(move |&index| {
                let made = &artifacts[index].manifest.key_hash;
                key.lineage.get(port).is_none_or(|hash| hash == made)
            })
        });
        let before = |index: &usize| {
            let other = &artifacts[*index];
            other.path != artifact.path && other.manifest.made.started <= artifact.manifest.made.started
        };
        held.filter(before).collect::<BTreeSet<usize>>().into_iter().collect()
    };
    artifacts.iter().map(of).collect()
}
