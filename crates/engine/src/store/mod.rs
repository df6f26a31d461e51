//! Artifacts on disk: written under a temporary name, renamed once, never changed again. See
//! [`crate::layout`] for the paths.

mod artifact;
mod run_lock;
mod search;
mod trees;
mod unfinished;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ctpipe_stage::{ITEMS, MANIFEST, Made, Manifest};

pub use artifact::Artifact;
pub(crate) use artifact::{intact, number_of};
use artifact::{numbered, open};

use crate::content::StatCache;
use crate::error::{Error, Result};
use crate::event::Outcome;
use crate::layout::Layout;
use crate::sys::{fault, files};

/// The folder `artifacts/`.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) layout: Layout,
}

impl Store {
    /// The store in `root`; nothing is created before something is kept.
    pub fn new(root: &Path) -> Store {
        Store { layout: Layout::new(root) }
    }

    /// The folder that contains everything.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Removes what killed runs left unfinished. The caller must hold the lock.
    pub(crate) fn sweep(&self) -> Result<()> {
        let tmp = self.layout.tmp();
        match fault::point().and_then(|()| files::remove_folder(&tmp)) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("cannot clear", &tmp, e)),
        }
    }

    /// The artifact that `artifacts/<stage>` points to; `None` if there is none.
    ///
    /// # Errors
    /// If it exists but its manifest cannot be used.
    pub fn current(&self, stage: &str) -> Result<Option<Artifact>> {
        let link = self.layout.link(stage);
        match fs::read_link(&link) {
            Ok(target) => open(self.root().join(target)).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("cannot read the link", &link, e)),
        }
    }

    /// Makes the artifact of another stage one of `stage`; the two share their files.
    pub(crate) fn adopt(
        &self,
        stage: &str,
        other: &Artifact,
        sources: BTreeMap<String, String>,
    ) -> Result<Artifact> {
        let draft = self.begin(stage)?;
        let (from, manifest) = (&other.path, &other.manifest);
        let items = manifest.items.is_some().then_some(ITEMS);
        for name in manifest.outputs.paths().chain(items) {
            let path = draft.path().join(name);
            let folder = path.parent().unwrap_or(draft.path());
            // Copies a file if the file system has no hard links.
            let share = || {
                fs::hard_link(from.join(name), &path)
                    .or_else(|_| fs::copy(from.join(name), &path).map(|_| ()))
            };
            fault::point()
                .and_then(|()| fs::create_dir_all(folder))
                .and_then(|()| share())
                .map_err(|e| Error::io("cannot write", &path, e))?;
        }
        let made = Made { sources, ..manifest.made.clone() };
        let (key, outputs) = (manifest.key.clone(), manifest.outputs.clone());
        let manifest = Manifest::new(stage, key, outputs, manifest.items.clone(), made);
        self.keep(draft, manifest).map(|(_, artifact)| artifact)
    }

    /// A new folder for a stage to write to.
    pub(crate) fn begin(&self, stage: &str) -> Result<tempfile::TempDir> {
        let link = self.layout.link(stage);
        if fs::symlink_metadata(&link).is_ok_and(|metadata| !metadata.is_symlink()) {
            let link = link.display();
            return Err(Error::Usage(format!(
                "{link} should be a link to an artifact, but is something else, so the result cannot be put there; move it elsewhere"
            )));
        }
        let tmp = self.layout.tmp();
        fault::point()
            .and_then(|()| fs::create_dir_all(&tmp))
            .and_then(|()| {
                tempfile::Builder::new()
                    .prefix(&format!("{stage}-"))
                    .permissions(fs::Permissions::from_mode(0o755))
                    .tempdir_in(&tmp)
            })
            .map_err(|e| Error::io("cannot make a folder in", &tmp, e))
    }

    /// Stores what a stage wrote to `draft` under its key and makes it current.
    pub(crate) fn keep(&self, draft: tempfile::TempDir, manifest: Manifest) -> Result<(Outcome, Artifact)> {
        let stage = manifest.stage.clone();
        let home = self.layout.home(&stage);
        let mut path = home.join(&manifest.key_hash);
        let mut outcome = Outcome::Made;
        // The artifacts with the same key: the first, and those that forced runs put beside it.
        let mut number = 1;
        while path.exists() {
            match open(path.clone()) {
                Ok(old) if intact(&old, &StatCache::disabled()).is_none() => {
                    if old.manifest.content == manifest.content {
                        self.point(&stage, &old.path)?;
                        let outcome = if number == 1 { Outcome::Identical } else { Outcome::Different };
                        return Ok((outcome, old));
                    }
                    outcome = Outcome::Different;
                    number += 1;
                    path = home.join(numbered(&manifest.key_hash, number));
                }
                // The existing one was altered; it is moved aside and not lost.
                _ => {
                    let aside = beside(&path, ".altered-");
                    fault::point()
                        .and_then(|()| fs::rename(&path, &aside))
                        .map_err(|e| Error::io("cannot put aside", &path, e))?;
                }
            }
        }
        let written = || -> std::io::Result<()> {
            fault::point()?;
            let mut file = File::create(draft.path().join(MANIFEST))?;
            fault::point()?;
            file.write_all(&manifest.to_json())?;
            fault::point()?;
            seal(draft.path())?;
            fs::create_dir_all(&home)?;
            fault::point()?;
            fs::rename(draft.path(), &path)?;
            fault::point()?;
            files::sync_folder(&home)
        };
        written().map_err(|e| Error::io("cannot keep the artifact", &path, e))?;
        // The folder was renamed: there is no temporary folder left to remove.
        let _ = draft.keep();
        self.point(&stage, &path)?;
        Ok((outcome, Artifact { path, manifest }))
    }

    /// Makes an artifact the current one of its stage.
    pub(crate) fn point(&self, stage: &str, artifact: &Path) -> Result<()> {
        let link = self.layout.link(stage);
        let target = artifact.strip_prefix(self.root()).unwrap_or(artifact);
        let staging = self.layout.tmp();
        fs::create_dir_all(&staging)
            .and_then(|()| files::point(&link, target, &staging))
            .map_err(|e| Error::io("cannot set the link", &link, e))
    }

    /// Makes an artifact a released one; `false` if one with the same bytes is released already and
    /// stays.
    pub(crate) fn release(&self, link: &str, artifact: &Artifact) -> Result<bool> {
        let before = self.current(link).ok().flatten();
        if before.is_some_and(|before| before.manifest.content == artifact.manifest.content) {
            return Ok(false);
        }
        self.point(link, &artifact.path)?;
        Ok(true)
    }
}

/// Flushes every file and folder, and makes the files read-only. Folders stay writable, so that
/// `rm -rf artifacts` works.
fn seal(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            seal(&entry.path())?;
        } else {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            // A file shared with an earlier artifact is read-only already, and keeps its times.
            if file.metadata()?.permissions().mode() & 0o777 != 0o444 {
                file.set_permissions(fs::Permissions::from_mode(0o444))?;
            }
        }
    }
    files::sync_folder(folder)
}

fn beside(path: &Path, mark: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (1..=u32::MAX)
        .map(|n| path.with_file_name(format!("{name}{mark}{n}")))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| path.to_path_buf())
}
