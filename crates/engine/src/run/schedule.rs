//! Decides which stage runs when: as soon as its inputs exist and the machine has room for it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;

use crate::error::{Error, Result, chain};
use crate::event::{Event, LockDifference, Observer, Outcome};
use crate::graph::Node;
use crate::history::StageRecord;
use crate::plan::{Planner, Upstream};
use crate::run::attempt::run_with_retries;
use crate::run::context::RunContext;
use crate::run::resources::Resources;
use crate::run::selection::Scope;
use crate::run::settle::{PendingStage, Settled, settle};
use crate::run::start::begin_from;
use crate::store::Artifact;

/// Brings the stages of a scope up to date; independent stages run side by side.
pub(super) fn bring_up_to_date(context: RunContext<'_>, scope: &Scope) -> Result<Vec<(String, Outcome)>> {
    let mut schedule = Schedule::begin(context, scope)?;
    let (sender, finished) = channel();
    thread::scope(|threads| {
        loop {
            schedule.settle_what_can_be();
            for (index, pending, gpus) in schedule.startable() {
                let sender = sender.clone();
                threads.spawn(move || {
                    let node = &context.pipeline.nodes[index];
                    // The receiver outlives every thread.
                    let _ = sender.send((index, guarded(context, node, &pending, &gpus)));
                });
            }
            if schedule.resources.is_idle() {
                return;
            }
            if let Ok((index, result)) = finished.recv() {
                schedule.ended(index, result);
            }
        }
    });
    schedule.come_to()
}

/// Runs a stage; whatever happens there, the run gets a result.
fn guarded(
    context: RunContext<'_>,
    node: &Node,
    pending: &PendingStage,
    gpus: &[String],
) -> Result<(Outcome, Artifact)> {
    let run = || run_with_retries(context, node, pending, gpus);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let source = "a mistake in ctpipe; please report it".into();
        Err(Error::Stage { stage: node.name.clone(), source })
    })
}

/// The progress of a run.
struct Schedule<'a> {
    context: RunContext<'a>,
    scope: &'a Scope,
    planner: Planner<'a>,
    resources: Resources,
    /// Not decided on yet.
    waiting: BTreeSet<usize>,
    /// Decided on, and waiting for room on the machine.
    ready: BTreeMap<usize, PendingStage>,
    upstream: Vec<Upstream>,
    outcomes: BTreeMap<usize, Outcome>,
    failed: BTreeSet<usize>,
    /// The differences from the lock, in a run that must match it.
    differences: Vec<LockDifference>,
    first_error: Option<Error>,
    /// No more stages are started.
    halted: bool,
}

impl<'a> Schedule<'a> {
    fn begin(context: RunContext<'a>, scope: &'a Scope) -> Result<Schedule<'a>> {
        let RunContext { pipeline, store, cache, options, lock, .. } = context;
        let mut planner = Planner::new(pipeline, store, cache, lock);
        let upstream = begin_from(context, &mut planner, scope)?;
        let known = upstream.iter().enumerate().filter(|(_, up)| matches!(up, Upstream::Known(_)));
        let outcomes = known.map(|(index, _)| (index, Outcome::AsIs)).collect();
        let mut schedule = Schedule {
            context,
            scope,
            planner,
            resources: Resources::new(options.jobs),
            waiting: scope.run.clone(),
            ready: BTreeMap::new(),
            upstream,
            outcomes,
            failed: BTreeSet::new(),
            differences: Vec::new(),
            first_error: None,
            halted: false,
        };
        // The artifacts that the run starts from are compared with the lock as well.
        for (node, upstream) in pipeline.nodes.iter().zip(schedule.upstream.clone()) {
            if let Upstream::Known(artifact) = upstream
                && let Some(difference) = lock.differs(&node.name, &artifact.manifest)
            {
                schedule.differ(difference);
            }
        }
        Ok(schedule)
    }

    /// Decides on every stage whose inputs are all decided on, in the order of the pipeline.
    fn settle_what_can_be(&mut self) {
        while !self.halted
            && let Some(index) = self.next()
        {
            let node = &self.context.pipeline.nodes[index];
            if let Some(parent) = self.context.pipeline.parents(index).find(|p| self.failed.contains(p)) {
                let error = format!("not run, because {}", self.why(parent));
                self.context.recorder.event(&Event::StageFailed { stage: node.name.clone(), error });
                self.failed.insert(index);
                continue;
            }
            let forced = self.scope.forced.contains(&index);
            match settle(self.context, &mut self.planner, node, forced, &self.upstream) {
                Ok(Settled::Done(outcome, artifact)) => self.done(index, outcome, *artifact),
                Ok(Settled::Pending(pending)) => match self.context.lock.refuses(&node.name, &pending.key) {
                    Some(difference) => self.refuse(index, difference),
                    None => {
                        self.ready.insert(index, *pending);
                    }
                },
                Ok(Settled::Refused(difference)) => self.refuse(index, difference),
                Err(error) => self.fail(index, error),
            }
        }
    }

    /// The next stage whose inputs are all decided on.
    fn next(&mut self) -> Option<usize> {
        let open = |index: usize| {
            self.waiting.contains(&index)
                || self.ready.contains_key(&index)
                || self.resources.has_given(index)
        };
        let free = |index: &usize| !self.context.pipeline.parents(*index).any(open);
        let next = self.waiting.iter().copied().find(free)?;
        self.waiting.remove(&next);
        Some(next)
    }

    /// The stages that the machine has room for now, each with its GPUs.
    fn startable(&mut self) -> Vec<(usize, PendingStage, Vec<String>)> {
        let mut start = Vec::new();
        for index in self.ready.keys().copied().collect::<Vec<_>>() {
            let needs = self.resources.needs(&self.context.pipeline.nodes[index]);
            if !self.halted
                && self.resources.has(needs)
                && let Some(pending) = self.ready.remove(&index)
            {
                start.push((index, pending, self.resources.take(index, needs)));
            }
        }
        start
    }

    fn ended(&mut self, index: usize, result: Result<(Outcome, Artifact)>) {
        self.resources.give_back(index);
        match result {
            Ok((outcome, artifact)) => self.done(index, outcome, artifact),
            Err(error) => self.fail(index, error),
        }
    }

    /// The result of the run: the outcome of each stage, or the first error.
    fn come_to(mut self) -> Result<Vec<(String, Outcome)>> {
        let nodes = &self.context.pipeline.nodes;
        if self.scope.run.len() == nodes.len() {
            let gone = self.context.lock.gone(self.context.pipeline);
            for difference in gone {
                self.differ(difference);
            }
        }
        let Schedule { outcomes, failed, differences, first_error, halted, .. } = self;
        let named = |index: usize| nodes[index].name.clone();
        match first_error {
            None if !differences.is_empty() => Err(Error::Differs(differences)),
            None => Ok(outcomes.into_iter().map(|(index, outcome)| (named(index), outcome)).collect()),
            Some(error) if halted || failed.len() == 1 => Err(error),
            Some(_) => Err(Error::Stages(failed.into_iter().map(named).collect())),
        }
    }

    fn done(&mut self, index: usize, outcome: Outcome, artifact: Artifact) {
        let RunContext { pipeline, recorder, lock, .. } = self.context;
        if let Some(difference) = lock.differs(&pipeline.nodes[index].name, &artifact.manifest) {
            self.differ(difference);
        }
        recorder.stage(index, StageRecord::new(pipeline, &pipeline.nodes[index], outcome, &artifact));
        self.outcomes.insert(index, outcome);
        self.upstream[index] = Upstream::Known(Box::new(artifact));
    }

    fn differ(&mut self, difference: LockDifference) {
        self.context.recorder.event(&Event::LockDiffers { difference: difference.clone() });
        self.differences.push(difference);
    }

    /// Gives up a stage that the lock refuses, without running it; the other stages are still
    /// checked.
    fn refuse(&mut self, index: usize, difference: LockDifference) {
        let stage = self.context.pipeline.nodes[index].name.clone();
        let error = "not run, because it differs from the lock".to_owned();
        self.context.recorder.event(&Event::StageFailed { stage, error });
        self.failed.insert(index);
        self.differ(difference);
    }

    /// Why a stage has no result.
    fn why(&self, index: usize) -> String {
        let name = &self.context.pipeline.nodes[index].name;
        let differs = self.differences.iter().any(|difference| difference.stage == *name);
        format!("{name} {}", if differs { "differs from the lock" } else { "failed" })
    }

    fn fail(&mut self, index: usize, error: Error) {
        let RunContext { pipeline, options, recorder, .. } = self.context;
        let interrupted = matches!(error, Error::Interrupted);
        if !interrupted {
            let stage = pipeline.nodes[index].name.clone();
            recorder.event(&Event::StageFailed { stage, error: chain(&error) });
        }
        self.failed.insert(index);
        self.halted |= interrupted || !options.keep_going;
        // The interruption is reported, whatever else went wrong meanwhile.
        if interrupted || self.first_error.is_none() {
            self.first_error = Some(error);
        }
    }
}
