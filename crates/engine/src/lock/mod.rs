//! The lock of a run: how the run differs from `pipeline.lock`, and what it writes to it.

pub mod file;

use std::collections::BTreeSet;

use ctpipe_stage::{Key, Maker, Manifest};

use crate::error::{Error, Result};
use crate::event::{LockDifference, LockedFact, Outcome};
use crate::graph::Pipeline;
use crate::history::StageRecord;
use crate::key;
use crate::layout::Layout;
use crate::sys::files;

use file::{Block, LockFile};

/// What a run does with the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockUse {
    /// If the lock exists, each stage that succeeds updates its block, unless `--set` is used.
    #[default]
    Update,
    /// Creates the lock if it does not exist.
    Write,
    /// The run must match the lock, and does not change it.
    Hold,
}

/// The lock as a run sees it.
pub(crate) struct Lock {
    how: LockUse,
    /// The content of the lock; `None` if there is none.
    before: Option<LockFile>,
}

impl Lock {
    /// Reads the lock as the run needs it.
    ///
    /// # Errors
    /// If the run needs an intact lock and there is none, or a later ctpipe wrote it.
    pub(crate) fn open(pipeline: &Pipeline, how: LockUse) -> Result<Lock> {
        let path = &pipeline.lock;
        let before = match how {
            LockUse::Write => Some(LockFile::whole_blocks(path)?),
            LockUse::Update => LockFile::read(path)?,
            LockUse::Hold => {
                let lock = LockFile::read(path)?;
                Some(lock.ok_or_else(|| {
                    Error::Usage(format!(
                        "--locked needs {}, which does not exist; \"ctpipe run --lock\" writes it",
                        path.display()
                    ))
                })?)
            }
        };
        Ok(Lock { how, before })
    }

    /// The lock as a plan sees it; a plan can be made even if the lock cannot be used.
    pub(crate) fn glance(pipeline: &Pipeline, how: LockUse) -> Lock {
        Lock { how, before: LockFile::read(&pipeline.lock).ok().flatten() }
    }

    fn held(&self) -> Option<&LockFile> {
        self.before.as_ref().filter(|_| self.how == LockUse::Hold)
    }

    /// Must a run match the lock?
    pub(crate) fn holds(&self) -> bool {
        self.how == LockUse::Hold
    }

    /// The content that the lock has for a stage and a key.
    pub(crate) fn content(&self, stage: &str, key: &Key) -> Option<&str> {
        let block = self.before.as_ref()?.blocks.get(stage)?;
        (block.key == *key).then_some(block.content.as_str())
    }

    /// Is a stage about to run under a key that is not the lock's? Then it need not run to find the
    /// difference.
    pub(crate) fn refuses(&self, stage: &str, key: &Key) -> Option<LockDifference> {
        let lock = self.held()?;
        match lock.blocks.get(stage) {
            None => Some(unknown(stage, &key.hash())),
            Some(block) if block.key != *key => Some(other_key(stage, block, key)),
            Some(_) => None,
        }
    }

    /// Does a result differ from the lock's?
    pub(crate) fn differs(&self, stage: &str, manifest: &Manifest) -> Option<LockDifference> {
        difference(self.held()?, stage, manifest)
    }

    /// Stages that are in the lock but not in the pipeline.
    pub(crate) fn gone(&self, pipeline: &Pipeline) -> Vec<LockDifference> {
        let names: BTreeSet<&str> = pipeline.nodes.iter().map(|node| node.name.as_str()).collect();
        let blocks = self.held().into_iter().flat_map(|lock| &lock.blocks);
        let gone = blocks.filter(|(name, _)| !names.contains(name.as_str()));
        gone.map(|(name, block)| LockDifference {
            stage: name.clone(),
            what: LockedFact::Stage,
            expected: block.key.hash(),
            found: String::new(),
            because: Vec::new(),
        })
        .collect()
    }

    /// Writes the results of the run. Stages that it used as they were, or did not reach, keep
    /// their blocks; stages that the pipeline no longer has lose theirs. Returns a message about
    /// it.
    ///
    /// # Errors
    /// If the file cannot be written; it is then unchanged.
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
            // The first maker is kept, so that a lock does not change with the machine.
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
                "{name} is not updated, because --set is not part of the pipeline file"
            )));
        }
        files::write_by_way_of(
            &Layout::new(&pipeline.artifacts).tmp(),
            &pipeline.lock,
            lock.text().as_bytes(),
        )
        .map_err(|e| Error::io("cannot write", &pipeline.lock, e))?;
        Ok(Some(format!("{name} is written")))
    }
}

/// How an artifact differs from the lock's block of its stage.
pub(crate) fn difference(lock: &LockFile, stage: &str, manifest: &Manifest) -> Option<LockDifference> {
    let Some(block) = lock.blocks.get(stage) else {
        return Some(unknown(stage, &manifest.key_hash));
    };
    if block.key != manifest.key {
        return Some(other_key(stage, block, &manifest.key));
    }
    (block.content != manifest.content).then(|| LockDifference {
        stage: stage.to_owned(),
        what: LockedFact::Content,
        expected: block.content.clone(),
        found: manifest.content.clone(),
        because: explain(block, manifest),
    })
}

fn unknown(stage: &str, found: &str) -> LockDifference {
    LockDifference {
        stage: stage.to_owned(),
        what: LockedFact::Stage,
        expected: String::new(),
        found: found.to_owned(),
        because: Vec::new(),
    }
}

fn other_key(stage: &str, block: &Block, key: &Key) -> LockDifference {
    LockDifference {
        stage: stage.to_owned(),
        what: LockedFact::Key,
        expected: block.key.hash(),
        found: key.hash(),
        because: key::reasons(key, &block.key, |_, _| None).iter().map(ToString::to_string).collect(),
    }
}

/// What is known about why one key gave two results.
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
