//! What is free on the machine, and which stage uses what.

use std::collections::BTreeMap;
use std::thread;

use crate::graph::Node;
use crate::spec::limits::Needs;
use crate::sys::machine;

/// The stages that are running, and what they use of the machine.
pub(super) struct Resources {
    jobs: usize,
    all: Needs,
    taken: BTreeMap<usize, (Needs, Vec<String>)>,
    /// The GPUs that no stage uses.
    gpus: Vec<String>,
}

impl Resources {
    pub(super) fn new(jobs: usize) -> Resources {
        let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let gpus = machine::gpus();
        let all = Needs { cpus: cpus as u32, gpus: gpus.len() as u32, memory: machine::memory() };
        Resources { jobs: jobs.max(1), all, taken: BTreeMap::new(), gpus }
    }

    /// What a stage needs, at most what the machine has: a stage that asks for more runs alone.
    pub(super) fn needs(&self, node: &Node) -> Needs {
        let given = node.limits;
        Needs {
            cpus: given.cpus.unwrap_or_else(|| node.stage.cpus().unwrap_or(self.all.cpus)).min(self.all.cpus),
            gpus: given.gpus.unwrap_or_else(|| node.stage.gpus(&node.params)).min(self.all.gpus),
            memory: given.memory.unwrap_or(0).min(self.all.memory),
        }
    }

    pub(super) fn has(&self, wanted: Needs) -> bool {
        let sum = |of: fn(&Needs) -> u64| self.taken.values().map(|(needs, _)| of(needs)).sum::<u64>();
        self.taken.len() < self.jobs
            && sum(|n| n.cpus.into()) + u64::from(wanted.cpus) <= u64::from(self.all.cpus)
            && sum(|n| n.gpus.into()) + u64::from(wanted.gpus) <= u64::from(self.all.gpus)
            && sum(|n| n.memory).saturating_add(wanted.memory) <= self.all.memory
    }

    /// Reserves what a stage needs; returns its GPUs.
    pub(super) fn take(&mut self, index: usize, needs: Needs) -> Vec<String> {
        let gpus: Vec<String> = self.gpus.drain(..needs.gpus as usize).collect();
        self.taken.insert(index, (needs, gpus.clone()));
        gpus
    }

    pub(super) fn give_back(&mut self, index: usize) {
        if let Some((_, gpus)) = self.taken.remove(&index) {
            self.gpus.extend(gpus);
            self.gpus.sort();
        }
    }

    /// Does a stage hold a reservation?
    pub(super) fn has_given(&self, index: usize) -> bool {
        self.taken.contains_key(&index)
    }

    /// Is no stage running?
    pub(super) fn is_idle(&self) -> bool {
        self.taken.is_empty()
    }
}
