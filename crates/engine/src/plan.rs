//! Decides what has to be done for one stage, and says why in the same walk. Runs nothing.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::graph::{Node, Pipeline, Source};
use crate::key::{Key, Reason};
use crate::locked::Lock;
use crate::param::Params;
use crate::stat_cache::StatCache;
use crate::store::{Artifact, Store, intact};
use crate::tree::{Tree, TreeDiff};

/// What has to be done for a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nothing: the current artifact is the right one.
    Fresh,
    /// An earlier artifact of the same key is made current.
    Restore {
        /// What differs between the current artifact's key and that one.
        reasons: Vec<Reason>,
    },
    /// It runs.
    Will {
        /// Why.
        reasons: Vec<Reason>,
    },
    /// It runs unless the stages before it make the bytes that they made before.
    May {
        /// Those stages.
        depends_on: Vec<String>,
        /// What differs already from the current artifact's key; an earlier result may serve all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<Reason>,
    },
}

impl State {
    /// The same state without the names of the user's files.
    #[must_use]
    pub fn without_names(&self) -> State {
        let strip = |reasons: &[Reason]| reasons.iter().map(Reason::without_names).collect();
        match self {
            State::Restore { reasons } => State::Restore { reasons: strip(reasons) },
            State::Will { reasons } => State::Will { reasons: strip(reasons) },
            State::May { depends_on, reasons } => {
                State::May { depends_on: depends_on.clone(), reasons: strip(reasons) }
            }
            State::Fresh => State::Fresh,
        }
    }

    /// Is anything to be done, or possibly so?
    pub fn is_stale(&self) -> bool {
        !matches!(self, State::Fresh)
    }
}

/// A decision with all that it was made from.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What has to be done.
    pub state: State,
    /// The key, unless an input is not known yet.
    pub key: Option<Key>,
    /// The artifact that serves: the current one when fresh, the earlier one when restored.
    pub artifact: Option<Artifact>,
    /// The artifact that is current now, whatever was decided.
    pub current: Option<Artifact>,
}

/// What is known of one stage's artifact while walking down the pipeline.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    /// Its content, and the artifact that holds it.
    Known(Box<Artifact>),
    /// It has to run first.
    Unknown,
}

/// What an input path holds.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) tree: Arc<Tree>,
    pub(crate) digest: String,
}

pub(crate) struct Planner<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) store: &'a Store,
    pub(crate) cache: &'a StatCache,
    /// Of several results of one key, the lock's is the one to take.
    lock: &'a Lock,
    /// The user's inputs: the same folder is walked once a plan.
    seen: BTreeMap<String, Option<Input>>,
    /// Which stages have an artifact of a key, and the keys of all by kind, as the store was when it was first asked.
    homes: OnceCell<BTreeMap<String, Vec<String>>>,
    keys: OnceCell<BTreeMap<String, Vec<Key>>>,
    /// What lies between two digests of an input that several stages read.
    diffs: RefCell<BTreeMap<(String, String), Option<TreeDiff>>>,
    /// Digests of what is remembered as it should be.
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

    /// What is behind an input path; `None` when nothing is there.
    pub(crate) fn input(&mut self, given: &str) -> Result<Option<Input>> {
        if let Some(input) = self.seen.get(given) {
            return Ok(input.clone());
        }
        let path = self.pipeline.root.join(given);
        let mut input = None;
        if path.exists() {
            let tree = Arc::new(Tree::of(&path, self.cache)?);
            input = Some(Input { digest: tree.digest(), tree });
        }
        self.seen.insert(given.to_owned(), input.clone());
        Ok(input)
    }

    /// Remembers what an input held, so that a later difference can name files.
    pub(crate) fn remember(&mut self, digest: &str, tree: &Tree) -> Result<()> {
        if !self.remembered.contains(digest) {
            self.store.remember_tree(digest, tree)?;
            self.remembered.insert(digest.to_owned());
        }
        Ok(())
    }

    /// Decides on one stage, given what is known of those before it.
    pub(crate) fn decide(&mut self, node: &Node, upstream: &[Upstream]) -> Result<Decision> {
        let current = self.store.current(&node.name);
        let mut reasons = Vec::new();
        let mut depends_on = Vec::new();
        let mut inputs = BTreeMap::new();
        let mut lineage = BTreeMap::new();
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
                    None => reasons.push(Reason::InputMissing { port: port.clone() }),
                },
            }
        }
        let facts =
            node.stage.facts(&node.params).map_err(|e| Error::Usage(format!("stage {}: {e}", node.name)))?;
        let key = Key {
            stage: node.stage.kind().to_owned(),
            version: node.stage.version(),
            params: params_in_key(node),
            inputs,
            seed: node.stage.seeded().then_some(self.pipeline.seed),
            facts,
            lineage,
        };
        let complete = depends_on.is_empty() && reasons.is_empty();
        let current = match current {
            Ok(current) => current,
            Err(error @ Error::Later { .. }) => return Err(error),
            Err(error) => {
                let problem = error.to_string();
                reasons.push(Reason::ManifestUnreadable { problem });
                None
            }
        };
        match &current {
            None if reasons.is_empty() => reasons.push(Reason::NeverRun),
            None => {}
            Some(artifact) => {
                let old = &artifact.manifest.key;
                // An input that is not known yet is no reason by itself.
                let mut assumed = key.clone();
                if !complete {
                    let unknown =
                        |port: &String| node.inputs.contains_key(port) && !key.inputs.contains_key(port);
                    for (now, before) in
                        [(&mut assumed.inputs, &old.inputs), (&mut assumed.lineage, &old.lineage)]
                    {
                        let missing = before.iter().filter(|(port, _)| unknown(port));
                        now.extend(missing.map(|(port, digest)| (port.clone(), digest.clone())));
                    }
                }
                reasons.extend(assumed.reasons(old, |old, new| self.diff(node, old, new)));
                if let Some(path) = intact(artifact, self.cache) {
                    reasons.push(Reason::OutputAltered { path });
                }
            }
        }
        let locked = complete.then(|| self.lock.content(&node.name, &key)).flatten();
        if reasons.is_empty()
            && self.lock.holds()
            && let (Some(artifact), Some(content)) = (&current, locked)
            && artifact.manifest.content != content
            && self.of_content(node, &key, content, None).is_some()
        {
            reasons.push(Reason::NotAsLocked);
        }
        let missing = reasons.iter().any(|r| matches!(r, Reason::InputMissing { .. }));
        let altered = reasons.iter().any(|r| matches!(r, Reason::OutputAltered { .. }));
        let mut artifact = None;
        let state = if complete && reasons.is_empty() {
            artifact.clone_from(&current);
            State::Fresh
        } else if complete
            // When the current one was altered and has this key, it is the one that was altered.
            && let not = current.as_ref().filter(|_| altered).map(|c| c.path.as_path())
            && let Some(earlier) = self.restorable(node, &key, locked, not)
        {
            artifact = Some(earlier);
            State::Restore { reasons }
        // Whatever the reasons: with what the stages before it are about to make, an earlier result may serve.
        } else if missing || !reasons.is_empty() && (complete || !self.may_hold(node, &key)) {
            State::Will { reasons }
        } else {
            State::May { depends_on, reasons }
        };
        Ok(Decision { state, key: complete.then_some(key), artifact, current })
    }

    /// An earlier artifact of the same work: the lock's before any other, and those of this stage before the others'.
    fn restorable(
        &self,
        node: &Node,
        key: &Key,
        locked: Option<&str>,
        not: Option<&Path>,
    ) -> Option<Artifact> {
        let of_lock = locked.and_then(|content| self.of_content(node, key, content, not));
        let own = || self.earlier(node, key, |a| not.is_none_or(|not| not != a.path));
        // What the lock refuses is no reason not to do the work.
        let is_refused = self.lock.holds() && locked.is_some();
        let others = || if is_refused { None } else { self.elsewhere(node, key, |_| true) };
        of_lock.or_else(own).or_else(others)
    }

    /// An artifact of a key that holds just this, of this stage or another.
    fn of_content(&self, node: &Node, key: &Key, content: &str, not: Option<&Path>) -> Option<Artifact> {
        let holds = |a: &Artifact| a.manifest.content == content;
        let own = self.earlier(node, key, |a| holds(a) && not.is_none_or(|not| not != a.path));
        own.or_else(|| self.elsewhere(node, key, holds))
    }

    /// The first artifact of a key, whole, that serves.
    fn earlier(&self, node: &Node, key: &Key, serves: impl Fn(&Artifact) -> bool) -> Option<Artifact> {
        self.store.find(&node.name, &key.hash(), |a| serves(a) && intact(a, self.cache).is_none())
    }

    /// The first whole artifact of a key that another stage has. A command may do what its key does not tell, and is
    /// asked itself.
    fn elsewhere(&self, node: &Node, key: &Key, serves: impl Fn(&Artifact) -> bool) -> Option<Artifact> {
        let hash = node.stage.in_process().then(|| key.hash())?;
        let stages = self.homes.get_or_init(|| self.store.stages_by_key()).get(&hash)?;
        let others = stages.iter().filter(|stage| **stage != node.name);
        others.into_iter().find_map(|other| {
            let is_its = |a: &Artifact| a.manifest.stage == *other;
            self.store.find(other, &hash, |a| is_its(a) && serves(a) && intact(a, self.cache).is_none())
        })
    }

    /// Is there a result that agrees with all that is known of a key, some of whose inputs are not?
    fn may_hold(&self, node: &Node, known: &Key) -> bool {
        if node.stage.in_process() {
            let keys = self.keys.get_or_init(|| self.store.keys());
            keys.get(&known.stage).is_some_and(|keys| keys.iter().any(|key| key.agrees_with(known)))
        } else {
            self.store.may_hold(&node.name, known)
        }
    }

    /// What lies between two digests of an input, from what earlier runs and this walk have seen.
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
