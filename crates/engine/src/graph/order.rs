//! Sorts stages so that each comes after the stages that it reads.
//!
//! All instances of a stage are consecutive. When a stage reads another, each of its instances
//! reads an instance of the other, so the stages have a cycle exactly when their instances have
//! one.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{Node, Source, parents};

/// Kahn's algorithm. Among the stages that could come next, the first in pipeline order is taken,
/// so the order depends only on the names in the file. On failure, returns one cycle of stage
/// names.
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

/// The nodes of each stage and the stages that each reads; stages are in the order of their first
/// node.
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

/// Every stage in `stuck` reads another one in `stuck`, so walking up the inputs must reach a
/// cycle.
fn cycle(reads: &[BTreeSet<usize>], stuck: &BTreeSet<usize>) -> Vec<usize> {
    let mut walk: Vec<usize> = stuck.first().copied().into_iter().collect();
    while let Some(&here) = walk.last() {
        let up = reads[here].iter().copied().find(|read| stuck.contains(read)).unwrap_or(here);
        if let Some(start) = walk.iter().position(|&stage| stage == up) {
            // The walk went against the data flow; reversed, the cycle follows the data.
            return walk[start..].iter().rev().copied().collect();
        }
        walk.push(up);
    }
    walk
}

/// The nodes in the given order, with the indices of their inputs updated.
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
