//! The layout of `artifacts/`: the one place that knows the names of its folders.
//!
//! ```text
//! artifacts/<stage>                  link to the current artifact
//! artifacts/released                 link to the result that all gates passed
//! artifacts/released@PROFILE         the same with a profile
//! artifacts/released.<stage>         link to the result of the stage with the gates
//! artifacts/store/<stage>/<key>/     the artifact: outputs and manifest.json, files read-only
//! artifacts/store/<stage>/<key>~2/   other bytes under the same key, from a forced re-run
//! artifacts/runs/<run>/              the record of a run, its events and its page
//! artifacts/audit/<time>/            what an audit found
//! artifacts/tags/<tag>               the name of the run that the tag is on
//! artifacts/work/<stage>/<key>/      where an unfinished run continues; removed on success
//! artifacts/live/<stage>/<key>/      what can be watched while a stage runs; never read again
//! artifacts/tmp/                     what is being written; anything left here is rubbish
//! artifacts/cache/                   saves time; it may be deleted at any time
//! artifacts/lock, artifacts/tags.lock
//! ```

use std::path::{Path, PathBuf};

/// The folder beside the pipeline file.
pub(crate) const ARTIFACTS: &str = "artifacts";
/// The link to the result that all gates passed; with a profile `released@PROFILE`. Followed by the
/// name of the gated stage (`released.evaluate`), the link to the result that was judged.
pub(crate) const RELEASED: &str = "released";
/// The folder of all artifacts.
const STORE: &str = "store";

/// Reserved names, which no stage can have because its link would lie in the same place.
pub(crate) const RESERVED: [&str; 10] =
    ["audit", "cache", "live", "lock", RELEASED, "runs", STORE, "tags", "tmp", "work"];

/// Is it the name of a link to something released?
pub(crate) fn is_released(name: &str) -> bool {
    name.strip_prefix(RELEASED).is_some_and(|rest| rest.is_empty() || rest.starts_with(['@', '.']))
}

/// The name of the link to what is released under a profile.
pub(crate) fn released_link(profile: Option<&str>) -> String {
    profile.map_or_else(|| RELEASED.to_owned(), |profile| format!("{RELEASED}@{profile}"))
}

/// The paths in one `artifacts/` folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Layout {
        Layout { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The link to the current result of a stage, or to a released one.
    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// All artifacts, one folder for each stage.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// The artifacts of a stage.
    pub(crate) fn home(&self, stage: &str) -> PathBuf {
        self.store().join(stage)
    }

    /// The file that a run locks.
    pub(crate) fn run_lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Where artifacts are written before they are complete.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The records of runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The folder of a run.
    pub(crate) fn run(&self, id: &str) -> PathBuf {
        self.runs().join(id)
    }

    /// The findings of audits.
    pub(crate) fn audits(&self) -> PathBuf {
        self.root.join("audit")
    }

    pub(crate) fn tags(&self) -> PathBuf {
        self.root.join("tags")
    }

    pub(crate) fn tags_lock(&self) -> PathBuf {
        self.root.join("tags.lock")
    }

    pub(crate) fn stat_cache(&self) -> PathBuf {
        self.root.join("cache/files")
    }

    /// Remembered inputs, each under its digest.
    pub(crate) fn trees(&self) -> PathBuf {
        self.root.join("cache/trees")
    }

    /// Unfinished work, one folder for each stage.
    pub(crate) fn all_work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Where an interrupted run of this key left what the next one continues from.
    pub(crate) fn work(&self, stage: &str, key_hash: &str) -> PathBuf {
        self.all_work().join(stage).join(key_hash)
    }

    /// What can be watched, one folder for each stage.
    pub(crate) fn all_live(&self) -> PathBuf {
        self.root.join("live")
    }

    /// Where a stage shows its progress.
    pub(crate) fn live(&self, stage: &str, key_hash: &str) -> PathBuf {
        self.all_live().join(stage).join(key_hash.get(..12).unwrap_or(key_hash))
    }
}
