//! The unfinished work of a key, such as checkpoints, from which the next run continues.

use std::fs;
use std::path::Path;

use super::Store;
use crate::error::{Error, Result};
use crate::sys::{fault, files};

/// The file that marks the work of a forced run.
const FORCED: &str = "forced";

impl Store {
    /// Removes the work of a key that has succeeded, or that starts again.
    pub(crate) fn forget_work(&self, stage: &str, key_hash: &str) -> Result<()> {
        let path = self.layout.work(stage, key_hash);
        if path.exists() {
            fault::point()
                .and_then(|()| files::remove_folder(&path))
                .map_err(|e| Error::io("cannot remove", &path, e))?;
        }
        // The stage's own folder goes with its last key. A kill may have left it empty.
        let _ = path.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Removes work that a kill left behind although its result is stored. The work of a forced run
    /// stays, because that run continues from it.
    pub(crate) fn forget_finished_work(&self, stage: &str, key_hash: &str) -> Result<()> {
        if self.layout.work(stage, key_hash).join(FORCED).exists() {
            return Ok(());
        }
        self.forget_work(stage, key_hash)
    }

    /// Starts the work of a key again, once: an interrupted forced run continues when it is forced
    /// again.
    pub(crate) fn force_work(&self, stage: &str, key_hash: &str) -> Result<()> {
        let mark = self.layout.work(stage, key_hash).join(FORCED);
        if mark.exists() {
            return Ok(());
        }
        self.forget_work(stage, key_hash)?;
        let made = |folder: &Path| fs::create_dir_all(folder).and_then(|()| fs::write(&mark, ""));
        let folder = self.layout.work(stage, key_hash);
        fault::point().and_then(|()| made(&folder)).map_err(|e| Error::io("cannot write", &mark, e))
    }
}
