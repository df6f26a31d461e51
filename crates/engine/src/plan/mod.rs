//! Decides what has to be done for a stage, and gives the reasons in the same walk. Nothing is run
//! here.

mod decision;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ctpipe_stage::{Params, Tree, TreeDiff};

pub use decision::Decision;
pub(crate) use decision::{Input, Upstream};

use crate::content::{StatCache, tree_of};
use crate::error::{Error, Result};
use crate::event::{Reason, State};
use crate::graph::{Node, Pipeline, Source};
use crate::key::{self, Key};
use crate::lock::Lock;
use crate::store::{Artifact, Store, intact};

/// What is known about a stage's key before the stage runs.
struct Known {
    /// The key without the inputs that are still unknown.
    key: Key,
    /// The stages that have to make an input first.
    depends_on: Vec<String>,
    /// The ports whose path does not exist.
    missing: Vec<String>,
}

impl Known {
    fn is_complete(&self) -> bool {
        self.depends_on.is_empty() && self.missing.is_empty()
    }

    /// The key, with unknown inputs taken from an old key: an unknown input is no reason by itself.
    fn assuming(&self, node: &Node, old: &Key) -> Key {
        let mut key = self.key.clone();
        let unknown = |port: &String| node.inputs.contains_key(port) && !self.key.inputs.contains_key(port);
        for (now, before) in [(&mut key.inputs, &old.inputs), (&mut key.lineage, &old.lineage)] {
            let missing = before.iter().filter(|(port, _)| unknown(port));
            now.extend(missing.map(|(port, digest)| (port.clone(), digest.clone())));
        }
        key
    }
}

/// Decides on the stages of a pipeline one after the other, from the beginning.
pub(crate) struct Planner<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a StatCache,
    /// If a key has several results, the lock's result is used.
    lock: &'a Lock,
    /// The user's inputs, so that a folder is walked once in a plan.
    seen: BTreeMap<String, Option<Input>>,
    /// The stages that have an artifact of a key, and all keys by kind, as the store was when first
    /// asked.
    homes: OnceCell<BTreeMap<String, Vec<String>>>,
    keys: OnceCell<BTreeMap<String, Vec<Key>>>,
    /// The differences between two digests of an input that several stages read.
    diffs: RefCell<BTreeMap<(String, String), Option<TreeDiff>>>,
    /// The digests whose trees are remembered and intact.
    remembered: BTreeSet<String>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        store: &'a Store,
        cache: &'a StatCache,
        lock: &'a Lock,
    ) -> Self {
        Planner {
            pipeline,
            store,
            cache,
            lock,
            seen: BTreeMap::new(),
            homes: OnceCell::new(),
            keys: OnceCell::new(),
            diffs: RefCell::default(),
            remembered: BTreeSet::new(),
        }
    }

    /// The content of an input path; `None` if the path does not exist.
    pub(crate) fn input(&mut self, given: &str) -> Result<Option<Input>> {
        if let Some(input) = self.seen.get(given) {
            return Ok(input.clone());
        }
        let path = self.pipeline.root.join(given);
        let mut input = None;
        if path.exists() {
            let tree = Arc::new(tree_of(&path, self.cache)?);
            input = Some(Input { digest: tree.digest(), tree });
        }
        self.seen.insert(given.to_owned(), input.clone());
        Ok(input)
    }

    /// Remembers the content of an input, so that a later difference can name files.
    pub(crate) fn remember(&mut self, digest: &str, tree: &Tree) -> Result<()> {
        if !self.remembered.contains(digest) {
            self.store.remember_tree(digest, tree)?;
            self.remembered.insert(digest.to_owned());
        }
        Ok(())
    }

    /// Decides on one stage, given what is known about those before it. A `forced` stage runs in
    /// any case.
    pub(crate) fn decide(&mut self, node: &Node, upstream: &[Upstream], forced: bool) -> Result<Decision> {
        let known = self.known(node, upstream)?;
        let (current, reasons) = self.compare_with_current(node, &known)?;
        let (state, artifact) = if forced {
            (State::Will { reasons: vec![Reason::Forced] }, None)
        } else {
            self.state(node, &known, current.as_ref(), reasons)
        };
        let key = known.is_complete().then_some(known.key);
        Ok(Decision { state, key, artifact, current })
    }

    /// The key, as far as the stage's inputs are known.
    fn known(&mut self, node: &Node, upstream: &[Upstream]) -> Result<Known> {
        let (mut inputs, mut lineage) = (BTreeMap::new(), BTreeMap::new());
        let (mut depends_on, mut missing) = (Vec::new(), Vec::new());
        for (port, source) in &node.inputs {
            match source {
                Source::Stage(index) => match &upstream[*index] {
                    Upstream::Known(artifact) => {
                        inputs.insert(port.clone(), artifact.manifest.content.clone());
                        if node.stage.shows_lineage() {
                            lineage.insert(port.clone(), artifact.manifest.key_hash.clone());
                        }
                    }
                    Upstream::Unknown => depends_on.push(self.pipeline.nodes[*index].name.clone()),
                },
                Source::Path { given, .. } => match self.input(given)? {
                    Some(input) => {
                        inputs.insert(port.clone(), input.digest);
                    }
                    None => missing.push(port.clone()),
                },
            }
        }
        let facts = node.stage.facts(&node.params);
        let key = Key {
            stage: node.stage.kind().to_owned(),
            version: node.stage.version(),
            params: params_in_key(node),
            inputs,
            seed: node.stage.seeded().then_some(self.pipeline.seed),
            facts: facts.map_err(|e| Error::Usage(format!("stage {}: {e}", node.name)))?,
            lineage,
        };
        Ok(Known { key, depends_on, missing })
    }

    /// The current artifact, and every reason why it cannot be used.
    fn compare_with_current(&self, node: &Node, known: &Known) -> Result<(Option<Artifact>, Vec<Reason>)> {
        let missing = known.missing.iter().map(|port| Reason::InputMissing { port: port.clone() });
        let mut reasons: Vec<Reason> = missing.collect();
        let current = match self.store.current(&node.name) {
            Ok(current) => current,
            Err(error @ Error::Later { .. }) => return Err(error),
            Err(error) => {
                reasons.push(Reason::ManifestUnreadable { problem: error.to_string() });
                None
            }
        };
        let Some(artifact) = &current else {
            if reasons.is_empty() {
                reasons.push(Reason::NeverRun);
            }
            return Ok((None, reasons));
        };
        let old = &artifact.manifest.key;
        let assumed = known.assuming(node, old);
        reasons.extend(key::reasons(&assumed, old, |old, new| self.diff(node, old, new)));
        if let Some(path) = intact(artifact, self.cache) {
            reasons.push(Reason::OutputAltered { path });
        }
        if reasons.is_empty()
            && self.lock.holds()
            && let Some(content) = self.locked(node, known)
            && artifact.manifest.content != content
            && self.of_content(node, &known.key, content, None).is_some()
        {
            reasons.push(Reason::NotAsLocked);
        }
        Ok((current, reasons))
    }

    /// The content that the lock has for the stage, if its key is known.
    fn locked(&self, node: &Node, known: &Known) -> Option<&'a str> {
        known.is_complete().then(|| self.lock.content(&node.name, &known.key)).flatten()
    }

    /// The state that follows from the reasons, and the artifact to use, if there is one.
    fn state(
        &self,
        node: &Node,
        known: &Known,
        current: Option<&Artifact>,
        reasons: Vec<Reason>,
    ) -> (State, Option<Artifact>) {
        let complete = known.is_complete();
        if complete && reasons.is_empty() {
            return (State::Fresh, current.cloned());
        }
        // If the current artifact was altered and has this key, it is the altered one.
        let altered = reasons.iter().any(|r| matches!(r, Reason::OutputAltered { .. }));
        let not = current.filter(|_| altered).map(|artifact| artifact.path.as_path());
        if complete && let Some(earlier) = self.restorable(node, &known.key, self.locked(node, known), not) {
            return (State::Restore { reasons }, Some(earlier));
        }
        // Whatever the reasons are, an earlier result may fit what the stages before it are about
        // to make.
        let may_serve = || !complete && self.may_hold(node, &known.key);
        if known.missing.is_empty() && (reasons.is_empty() || may_serve()) {
            (State::May { depends_on: known.depends_on.clone(), reasons }, None)
        } else {
            (State::Will { reasons }, None)
        }
    }

    /// An earlier artifact of the same work: first the lock's, then one of this stage, then one of
    /// another stage.
    fn restorable(
        &self,
        node: &Node,
        key: &Key,
        locked: Option<&str>,
        not: Option<&Path>,
    ) -> Option<Artifact> {
        let of_lock = locked.and_then(|content| self.of_content(node, key, content, not));
        let own = || self.earlier(node, key, |a| not.is_none_or(|not| not != a.path));
        // A result that the lock refuses does not replace the work.
        let is_refused = self.lock.holds() && locked.is_some();
        let others = || if is_refused { None } else { self.elsewhere(node, key, |_| true) };
        of_lock.or_else(own).or_else(others)
    }

    /// An artifact of a key with exactly this content, of this stage or another.
    fn of_content(&self, node: &Node, key: &Key, content: &str, not: Option<&Path>) -> Option<Artifact> {
        let holds = |a: &Artifact| a.manifest.content == content;
        let own = self.earlier(node, key, |a| holds(a) && not.is_none_or(|not| not != a.path));
        own.or_else(|| self.elsewhere(node, key, holds))
    }

    /// The first intact artifact of a key that `serves` accepts.
    fn earlier(&self, node: &Node, key: &Key, serves: impl Fn(&Artifact) -> bool) -> Option<Artifact> {
        self.store.find(&node.name, &key.hash(), |a| serves(a) && intact(a, self.cache).is_none())
    }

    /// The first intact artifact of a key from another stage. Not for commands: a command may do
    /// what its key does not show, so it is run itself.
    fn elsewhere(&self, node: &Node, key: &Key, serves: impl Fn(&Artifact) -> bool) -> Option<Artifact> {
        let hash = node.stage.in_process().then(|| key.hash())?;
        let stages = self.homes.get_or_init(|| self.store.stages_by_key()).get(&hash)?;
        let others = stages.iter().filter(|stage| **stage != node.name);
        others.into_iter().find_map(|other| {
            let is_its = |a: &Artifact| a.manifest.stage == *other;
            self.store.find(other, &hash, |a| is_its(a) && serves(a) && intact(a, self.cache).is_none())
        })
    }

    /// Is there a result that agrees with the known parts of a key, some of whose inputs are
    /// unknown?
    fn may_hold(&self, node: &Node, known: &Key) -> bool {
        if node.stage.in_process() {
            let keys = self.keys.get_or_init(|| self.store.keys());
            keys.get(&known.stage).is_some_and(|keys| keys.iter().any(|key| key.agrees_with(known)))
        } else {
            self.store.may_hold(&node.name, known)
        }
    }

    /// The differences between two digests of an input, from what earlier runs and this walk have
    /// seen.
    fn diff(&self, node: &Node, old: &str, new: &str) -> Option<TreeDiff> {
        let between = (old.to_owned(), new.to_owned());
        let known = self.diffs.borrow().get(&between).cloned();
        known.unwrap_or_else(|| {
            let diff = self.find_diff(node, old, new);
            self.diffs.borrow_mut().insert(between, diff.clone());
            diff
        })
    }

    fn find_diff(&self, node: &Node, old: &str, new: &str) -> Option<TreeDiff> {
        let of_paths = node.inputs.values().find_map(|source| match source {
            Source::Path { given, .. } => {
                Some(self.seen.get(given)?.as_ref().filter(|input| input.digest == new)?.tree.clone())
            }
            Source::Stage(_) => None,
        });
        let new = of_paths.or_else(|| self.store.recall_tree(new).map(Arc::new))?;
        new.diff_from(&self.store.tree_bytes(old)?)
    }
}

fn params_in_key(node: &Node) -> Params {
    let left_out = node.stage.params_not_in_key();
    let kept = node.params.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}
