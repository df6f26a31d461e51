//! Which stage runs when: each as soon as what it reads is there and there is room for it. Decides on no
//! stage and runs none itself.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;

use crate::error::{Error, Result};
use crate::event::{Event, Observer, Outcome};
use crate::graph::Node;
use crate::history::StageRecord;
use crate::limits::Needs;
use crate::locked::LockDifference;
use crate::machine;
use crate::plan::{Planner, Upstream};
use crate::run::{Scope, begin_from, chain};
use crate::store::Artifact;
use crate::work::{Place, Step, Work, prepare, work};

/// Stages that run at a time, and what of the machine they have.
struct Room {
    jobs: usize,
    all: Needs,
    taken: BTreeMap<usize, (Needs, Vec<String>)>,
    /// The GPUs that no stage has.
    gpus: Vec<String>,
}

impl Room {
    fn new(jobs: usize) -> Room {
        let cpus = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let gpus = machine::gpus();
        let all = Needs { cpus: cpus as u32, gpus: gpus.len() as u32, memory: machine::memory() };
        Room { jobs: jobs.max(1), all, taken: BTreeMap::new(), gpus }
    }

    /// What a stage needs, as far as there is so much at all: one that asks for more runs alone.
    fn needs(&self, node: &Node) -> Needs {
        let given = node.limits;
        Needs {
            cpus: given.cpus.unwrap_or_else(|| node.stage.cpus().unwrap_or(self.all.cpus)).min(self.all.cpus),
            gpus: given.gpus.unwrap_or_else(|| node.stage.gpus(&node.params)).min(self.all.gpus),
            memory: given.memory.unwrap_or(0).min(self.all.memory),
        }
    }

    fn has(&self, wanted: Needs) -> bool {
        let sum = |of: fn(&Needs) -> u64| self.taken.values().map(|(needs, _)| of(needs)).sum::<u64>();
        self.taken.len() < self.jobs
            && sum(|n| n.cpus.into()) + u64::from(wanted.cpus) <= u64::from(self.all.cpus)
            && sum(|n| n.gpus.into()) + u64::from(wanted.gpus) <= u64::from(self.all.gpus)
            && sum(|n| n.memory).saturating_add(wanted.memory) <= self.all.memory
    }

    /// Gives a stage what it needs; the GPUs that it gets.
    fn take(&mut self, index: usize, needs: Needs) -> Vec<String> {
        let gpus: Vec<String> = self.gpus.drain(..needs.gpus as usize).collect();
        self.taken.insert(index, (needs, gpus.clone()));
        gpus
    }

    fn give_back(&mut self, index: usize) {
        if let Some((_, gpus)) = self.taken.remove(&index) {
            self.gpus.extend(gpus);
            self.gpus.sort();
        }
    }
}

/// How far a run is.
struct State<'a> {
    place: Place<'a>,
    waiting: BTreeSet<usize>,
    upstream: Vec<Upstream>,
    outcomes: BTreeMap<usize, Outcome>,
    failed: BTreeSet<usize>,
    /// From the lock, in a run that has to come to what it says.
    differences: Vec<LockDifference>,
    first_error: Option<Error>,
    /// Nothing more is started.
    halted: bool,
}

impl State<'_> {
    fn done(&mut self, index: usize, outcome: Outcome, artifact: Artifact) {
        let Place { pipeline, recorder, lock, .. } = self.place;
        if let Some(difference) = lock.differs(&pipeline.nodes[index].name, &artifact.manifest) {
            self.differ(difference);
        }
        recorder.stage(index, StageRecord::new(pipeline, &pipeline.nodes[index], outcome, &artifact));
        self.outcomes.insert(index, outcome);
        self.upstream[index] = Upstream::Known(Box::new(artifact));
    }

    fn differ(&mut self, difference: LockDifference) {
        self.place.recorder.event(&Event::LockDiffers { difference: difference.clone() });
        self.differences.push(difference);
    }

    /// Gives up a stage that the lock refuses, without its work; the others are still looked at.
    fn refuse(&mut self, index: usize, difference: LockDifference) {
        let stage = self.place.pipeline.nodes[index].name.clone();
        let error = "not tried, because it is not what the lock says".to_owned();
        self.place.recorder.event(&Event::StageFailed { stage, error });
        self.failed.insert(index);
        self.differ(difference);
    }

    /// Why a stage has no result.
    fn why(&self, index: usize) -> String {
        let name = &self.place.pipeline.nodes[index].name;
        let differs = self.differences.iter().any(|difference| difference.stage == *name);
        format!("{name} {}", if differs { "is not what the lock says" } else { "failed" })
    }

    fn fail(&mut self, index: usize, error: Error) {
        let Place { pipeline, options, recorder, .. } = self.place;
        let interrupted = matches!(error, Error::Interrupted);
        if !interrupted {
            let stage = pipeline.nodes[index].name.clone();
            recorder.event(&Event::StageFailed { stage, error: chain(&error) });
        }
        self.failed.insert(index);
        self.halted |= interrupted || !options.keep_going;
        // That the user wanted to stop is why, whatever else went wrong on the way.
        if interrupted || self.first_error.is_none() {
            self.first_error = Some(error);
        }
    }

    /// The next stage of which all that it reads is decided on.
    fn next(&mut self, working: impl Fn(usize) -> bool) -> Option<usize> {
        let open = |index: usize| self.waiting.contains(&index) || working(index);
        let free = |index: &usize| !self.place.pipeline.parents(*index).any(open);
        let next = self.waiting.iter().copied().find(free)?;
        self.waiting.remove(&next);
        Some(next)
    }
}

/// Brings the stages of a scope up to date, independent ones side by side.
pub(crate) fn bring_up_to_date(place: Place<'_>, scope: &Scope) -> Result<Vec<(String, Outcome)>> {
    let nodes = &place.pipeline.nodes;
    let mut planner = Planner::new(place.pipeline, place.store, place.cache, place.lock);
    let upstream = begin_from(place, &mut planner, scope)?;
    let known = upstream.iter().enumerate().filter(|(_, upstream)| matches!(upstream, Upstream::Known(_)));
    let mut state = State {
        place,
        waiting: scope.run.clone(),
        outcomes: known.map(|(index, _)| (index, Outcome::AsIs)).collect(),
        upstream,
        failed: BTreeSet::new(),
        differences: Vec::new(),
        first_error: None,
        halted: false,
    };
    // What the run begins from is held against the lock as well.
    for (node, upstream) in nodes.iter().zip(state.upstream.clone()) {
        if let Upstream::Known(artifact) = upstream
            && let Some(difference) = place.lock.differs(&node.name, &artifact.manifest)
        {
            state.differ(difference);
        }
    }
    let mut room = Room::new(place.options.jobs);
    let mut ready: BTreeMap<usize, Work> = BTreeMap::new();
    let (sender, finished) = channel();
    thread::scope(|threads| {
        loop {
            while !state.halted
                && let Some(index) = state.next(|i| ready.contains_key(&i) || room.taken.contains_key(&i))
            {
                if let Some(parent) = place.pipeline.parents(index).find(|p| state.failed.contains(p)) {
                    let error = format!("not tried, because {}", state.why(parent));
                    place.recorder.event(&Event::StageFailed { stage: nodes[index].name.clone(), error });
                    state.failed.insert(index);
                    continue;
                }
                let forced = scope.forced.contains(&index);
                match prepare(place, &mut planner, &nodes[index], forced, &state.upstream) {
                    Ok(Step::Done(outcome, artifact)) => state.done(index, outcome, *artifact),
                    Ok(Step::Work(work)) => match place.lock.refuses(&nodes[index].name, &work.key) {
                        Some(difference) => state.refuse(index, difference),
                        None => {
                            ready.insert(index, *work);
                        }
                    },
                    Ok(Step::Refused(difference)) => state.refuse(index, difference),
                    Err(error) => state.fail(index, error),
                }
            }
            let startable: Vec<usize> = ready.keys().copied().collect();
            for index in startable {
                let needs = room.needs(&nodes[index]);
                if !state.halted
                    && room.has(needs)
                    && let Some(todo) = ready.remove(&index)
                {
                    let gpus = room.take(index, needs);
                    let sender = sender.clone();
                    threads.spawn(move || {
                        let node = &nodes[index];
                        let run = || work(place, node, &todo, &gpus);
                        // Whatever happens in there, this run waits for word of it.
                        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
                            let source = "a mistake in ctpipe; please report it".into();
                            Err(Error::Stage { stage: node.name.clone(), source })
                        });
                        // The receiver outlives every thread.
                        let _ = sender.send((index, result));
                    });
                }
            }
            if room.taken.is_empty() {
                return;
            }
            if let Ok((index, result)) = finished.recv() {
                room.give_back(index);
                match result {
                    Ok((outcome, artifact)) => state.done(index, outcome, artifact),
                    Err(error) => state.fail(index, error),
                }
            }
        }
    });
    let whole = scope.run.len() == nodes.len();
    place.lock.gone(place.pipeline).into_iter().filter(|_| whole).for_each(|gone| state.differ(gone));
    let State { outcomes, failed, differences, first_error, halted, .. } = state;
    let named = |index: usize| nodes[index].name.clone();
    match first_error {
        None if !differences.is_empty() => Err(Error::Differs(differences)),
        None => Ok(outcomes.into_iter().map(|(index, outcome)| (named(index), outcome)).collect()),
        Some(error) if halted || failed.len() == 1 => Err(error),
        Some(_) => Err(Error::Stages(failed.into_iter().map(named).collect())),
    }
}
