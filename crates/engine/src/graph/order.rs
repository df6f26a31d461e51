//! Puts stages into an order in which each comes after what it reads. Knows of a stage only that.
//!
//! All instances of a stage stand together: when a stage reads another, each of its instances reads one of the
//! other's, so that the stages are in a circle exactly when their instances are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Node, Source, parents};

/// Kahn's algorithm; among those that could come next the first in pipeline order does, so the
/// order depends on the file's names alone. On failure, one cycle by the stages' names.
pub(super) fn order(nodes: &[Node]) -> Result<Vec<usize>, Vec<String>> {
    let (members, reads) = stages(nodes);
    let mut unmet: Vec<usize> = reads.iter().map(BTreeSet::len).collect();
    let mut read_by: Vec<Vec<usize>> = vec![Vec::new(); reads.len()];
    for (stage, reads) in reads.iter().enumerate() {
        for &read in reads {
            read_by[read].push(stage);
        }
    }
    let mut ready: BTreeSet<usize> = (0..unmet.len()).filter(|&stage| unmet[stage] == 0).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(next) = ready.pop_first() {
        order.extend_from_slice(&members[next]);
        for &reader in &read_by[next] {
            unmet[reader] -= 1;
            if unmet[reader] == 0 {
                ready.insert(reader);
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    let stuck: BTreeSet<usize> = (0..unmet.len()).filter(|&stage| unmet[stage] > 0).collect();
    let around = cycle(&reads, &stuck);
    Err(around.into_iter().map(|stage| nodes[members[stage][0]].of().to_owned()).collect())
}

/// The nodes of each stage, and the stages that each reads; stages in the order in which they first come.
fn stages(nodes: &[Node]) -> (Vec<Vec<usize>>, Vec<BTreeSet<usize>>) {
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let mut stage_of = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let stage = *known.entry(node.of()).or_insert(members.len());
        if stage == members.len() {
            members.push(Vec::new());
        }
        members[stage].push(index);
        stage_of.push(stage);
    }
    let mut reads = vec![BTreeSet::new(); members.len()];
    for (index, node) in nodes.iter().enumerate() {
        reads[stage_of[index]].extend(parents(node).map(|parent| stage_of[parent]));
    }
    (members, reads)
}

/// Every stage in `stuck` reads one in `stuck`: walking up must come round.
fn cycle(reads: &[BTreeSet<usize>], stuck: &BTreeSet<usize>) -> Vec<usize> {
    let mut walk: Vec<usize> = stuck.first().copied().into_iter().collect();
    while let Some(&here) = walk.last() {
        let up = reads[here].iter().copied().find(|read| stuck.contains(read)).unwrap_or(here);
        if let Some(start) = walk.iter().position(|&stage| stage == up) {
            // Walked against the flow; turned round it reads in the order of the data.
            return walk[start..].iter().rev().copied().collect();
        }
        walk.push(up);
    }
    walk
}

/// The nodes in that order, and what they read under its new place.
pub(super) fn reorder(nodes: Vec<Node>, order: &[usize]) -> Vec<Node> {
    let mut new_index = vec![0; nodes.len()];
    for (new, &old) in order.iter().enumerate() {
        new_index[old] = new;
    }
    let mut slots: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut ordered: Vec<Node> = order.iter().filter_map(|&old| slots[old].take()).collect();
    for source in ordered.iter_mut().flat_map(|node| node.inputs.values_mut()) {
        if let Source::Stage(index) = source {
            *index = new_index[*index];
        }
    }
    ordered
}
