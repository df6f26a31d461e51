//! A run and its lock: what a run differs in from `pipeline.lock`, and what it writes there. Knows nothing of the
//! file's form.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::Outcome;
use crate::files;
use crate::graph::Pipeline;
use crate::history::StageRecord;
use crate::key::Key;
use crate::lock_file::{Block, LockFile};
use crate::manifest::{Maker, Manifest};
use crate::plan::Decision;
use crate::store::Store;

/// What a run does with the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockUse {
    /// Where there is one, each stage that succeeds updates its block, unless `--set` is in play.
    #[default]
    Update,
    /// Makes it where there is none.
    Write,
    /// Must come to what it says, and leaves it alone.
    Hold,
}

/// A stage that is not what the lock says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockDifference {
    /// The stage.
    pub stage: String,
    /// `key`, `content` or `stage` (it is in one and not in the other).
    pub what: String,
    /// What the lock says; empty where it says nothing.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// What is known to explain it.
    pub because: Vec<String>,
}

impl fmt::Display for LockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LockDifference { stage, what, expected, found, because } = self;
        match (expected.is_empty(), found.is_empty()) {
            (true, _) => write!(f, "{stage} is not in the lock")?,
            (_, true) => write!(f, "{stage} is in the lock and not in the pipeline")?,
            _ => {
                let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
                let (found, expected) = (short(found), short(expected));
                write!(f, "{stage}: its {what} is {found}, the lock says {expected}")?;
            }
        }
        if because.is_empty() { Ok(()) } else { write!(f, " ({})", because.join("; ")) }
    }
}

/// The lock as a run sees it.
pub(crate) struct Lock {
    how: LockUse,
    /// What it holds; `None` where there is none.
    before: Option<LockFile>,
}

impl Lock {
    /// Reads the lock as the run needs it.
    ///
    /// # Errors
    /// When the run needs one that is whole and there is none; when a later ctpipe wrote it.
    pub(crate) fn open(pipeline: &Pipeline, how: LockUse) -> Result<Lock> {
        let path = &pipeline.lock;
        let before = match how {
            LockUse::Write => Some(LockFile::whole_blocks(path)?),
            LockUse::Update => LockFile::read(path)?,
            LockUse::Hold => {
                let lock = LockFile::read(path)?;
                Some(lock.ok_or_else(|| {
                    Error::Usage(format!(
                        "there is no {}, which --locked needs; \"ctpipe run --lock\" makes it",
                        path.display()
                    ))
                })?)
            }
        };
        Ok(Lock { how, before })
    }

    /// The lock as a plan sees it, which a lock that cannot be used does not keep from being made.
    pub(crate) fn glance(pipeline: &Pipeline, how: LockUse) -> Lock {
        Lock { how, before: LockFile::read(&pipeline.lock).ok().flatten() }
    }

    fn held(&self) -> Option<&LockFile> {
        self.before.as_ref().filter(|_| self.how == LockUse::Hold)
    }

    /// Must a run come to what it says?
    pub(crate) fn holds(&self) -> bool {
        self.how == LockUse::Hold
    }

    /// What it says that a stage comes to under a key.
    pub(crate) fn content(&self, stage: &str, key: &Key) -> Option<&str> {
        let block = self.before.as_ref()?.blocks.get(stage)?;
        (block.key == *key).then_some(block.content.as_str())
    }

    /// Is a stage about to be run under another key than the lock's? Then it need not be run to know.
    pub(crate) fn refuses(&self, stage: &str, key: &Key) -> Option<LockDifference> {
        let lock = self.held()?;
        match lock.blocks.get(stage) {
            None => Some(unknown(stage, &key.hash())),
            Some(block) if block.key != *key => Some(other_key(stage, block, key)),
            Some(_) => None,
        }
    }

    /// Is a result another than the lock's?
    pub(crate) fn differs(&self, stage: &str, manifest: &Manifest) -> Option<LockDifference> {
        difference(self.held()?, stage, manifest)
    }

    /// Stages that the lock has and the pipeline has not.
    pub(crate) fn gone(&self, pipeline: &Pipeline) -> Vec<LockDifference> {
        let names: BTreeSet<&str> = pipeline.nodes.iter().map(|node| node.name.as_str()).collect();
        let blocks = self.held().into_iter().flat_map(|lock| &lock.blocks);
        let gone = blocks.filter(|(name, _)| !names.contains(name.as_str()));
        gone.map(|(name, block)| LockDifference {
            stage: name.clone(),
            what: "stage".to_owned(),
            expected: block.key.hash(),
            found: String::new(),
            because: Vec::new(),
        })
        .collect()
    }

    /// Writes what the run came to. Stages that it used as they were, or did not get to, keep their blocks;
    /// stages that the pipeline has no longer lose them. Returns what is to be said about it.
    ///
    /// # Errors
    /// When the file cannot be written; then it is as it was.
    pub(crate) fn update(
        &self,
        pipeline: &Pipeline,
        stages: &[StageRecord],
        maker: &Maker,
    ) -> Result<Option<String>> {
        let Some(before) = self.before.as_ref().filter(|_| self.how != LockUse::Hold && !stages.is_empty())
        else {
            return Ok(None);
        };
        let name = pipeline.lock.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut lock = before.clone();
        lock.blocks.retain(|name, _| pipeline.nodes.iter().any(|node| node.name == *name));
        for stage in stages.iter().filter(|stage| stage.outcome != Outcome::AsIs) {
            let same = |block: &Block| block.key == stage.key && block.content == stage.content;
            // Who made it first stays, so that a lock does not change with the machine.
            if !lock.blocks.get(&stage.stage).is_some_and(same) {
                lock.blocks.insert(stage.stage.clone(), Block::new(&stage.key, &stage.content, maker));
            }
        }
        let unchanged = std::fs::read(&pipeline.lock).is_ok_and(|bytes| bytes == lock.text().as_bytes());
        if unchanged {
            return Ok(None);
        }
        if self.how == LockUse::Update && pipeline.overridden {
            return Ok(Some(format!(
                "{name} is left as it is, because --set is no part of the pipeline file"
            )));
        }
        files::write_by_way_of(&pipeline.artifacts.join("tmp"), &pipeline.lock, lock.text().as_bytes())
            .map_err(|e| Error::io("cannot write", &pipeline.lock, e))?;
        Ok(Some(format!("{name} is written")))
    }
}

/// Holds what a run would come to, as far as it is known before it, against the lock.
///
/// # Errors
/// [`Error::Differs`], and when there is no lock or it cannot be used.
pub fn foresee(pipeline: &Pipeline, decisions: &[(String, Decision)]) -> Result<()> {
    let lock = Lock::open(pipeline, LockUse::Hold)?;
    let mut differences: Vec<LockDifference> = decisions
        .iter()
        .filter_map(|(stage, decision)| match (&decision.artifact, &decision.key) {
            (Some(artifact), _) => lock.differs(stage, &artifact.manifest),
            (None, Some(key)) => lock.refuses(stage, key),
            // What it reads has to be made first.
            (None, None) => None,
        })
        .collect();
    if decisions.len() == pipeline.nodes.len() {
        differences.extend(lock.gone(pipeline));
    }
    // What the run would begin from as it is.
    let decided = |index: usize| decisions.iter().any(|(name, _)| *name == pipeline.nodes[index].name);
    let inside = (0..pipeline.nodes.len()).filter(|&index| decided(index));
    let outside: BTreeSet<usize> =
        inside.flat_map(|index| pipeline.parents(index)).filter(|&index| !decided(index)).collect();
    let store = Store::new(&pipeline.artifacts);
    for index in outside {
        let name = &pipeline.nodes[index].name;
        differences.extend(store.current(name)?.and_then(|artifact| lock.differs(name, &artifact.manifest)));
    }
    if differences.is_empty() { Ok(()) } else { Err(Error::Differs(differences)) }
}

/// How an artifact differs from what a lock says of its stage.
pub(crate) fn difference(lock: &LockFile, stage: &str, manifest: &Manifest) -> Option<LockDifference> {
    let Some(block) = lock.blocks.get(stage) else {
        return Some(unknown(stage, &manifest.key_hash));
    };
    if block.key != manifest.key {
        return Some(other_key(stage, block, &manifest.key));
    }
    (block.content != manifest.content).then(|| LockDifference {
        stage: stage.to_owned(),
        what: "content".to_owned(),
        expected: block.content.clone(),
        found: manifest.content.clone(),
        because: explain(block, manifest),
    })
}

fn unknown(stage: &str, found: &str) -> LockDifference {
    LockDifference {
        stage: stage.to_owned(),
        what: "stage".to_owned(),
        expected: String::new(),
        found: found.to_owned(),
        because: Vec::new(),
    }
}

fn other_key(stage: &str, block: &Block, key: &Key) -> LockDifference {
    LockDifference {
        stage: stage.to_owned(),
        what: "key".to_owned(),
        expected: block.key.hash(),
        found: key.hash(),
        because: key.reasons(&block.key, |_, _| None).iter().map(ToString::to_string).collect(),
    }
}

/// What is known of why one key gave two results.
fn explain(block: &Block, manifest: &Manifest) -> Vec<String> {
    let made = Block::new(&manifest.key, &manifest.content, &manifest.made.by).made;
    let mut because = Vec::new();
    if made == block.made {
        because.push(format!("both were made by {made}: the stage is not deterministic"));
    } else {
        because.push(format!("the lock's was made by {}, this one by {made}", block.made));
    }
    because.extend(manifest.key.facts.iter().map(|(name, fact)| format!("{name} is {fact}")));
    because
}
