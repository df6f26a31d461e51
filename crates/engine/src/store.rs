//! Artifacts on disk: made under a temporary name, renamed once, never written to again. Knows
//! no graph.
//!
//! ```text
//! artifacts/store/<stage>/<key>/     the artifact: outputs and manifest.json, files read-only
//! artifacts/store/<stage>/<key>~2/   other bytes under the same key, from a forced re-run
//! artifacts/<stage>                  link to the current artifact
//! artifacts/tmp/                     what is being made; whatever is left here is rubbish
//! artifacts/work/<stage>/<key>/      what an unfinished run of this key may go on from; gone when it succeeds
//! artifacts/live/<stage>/<key>/      what can be watched while it runs (TensorBoard's files); nothing reads it again
//! artifacts/cache/                   may be deleted at any time
//! ```

mod search;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::event::Outcome;
use crate::fault;
use crate::files;
use crate::items::ITEMS;
use crate::manifest::{MANIFEST, Made, Manifest};
use crate::stat_cache::StatCache;
use crate::tree::{Tree, list};

/// The link to what all gates have said yes to; of a profile `released@PROFILE`. With the name of the gated stage behind
/// it (`released.evaluate`) the link to what has judged it.
pub(crate) const RELEASED: &str = "released";
/// How often somebody who waits looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);
/// How a lock is asked for: alone, or with others.
type TryLock = fn(&File) -> std::result::Result<(), TryLockError>;
/// Marks the work of a forced run.
const FORCED: &str = "forced";

/// Is it the name of a link to something released?
pub(crate) fn is_released(name: &str) -> bool {
    name.strip_prefix(RELEASED).is_some_and(|rest| rest.is_empty() || rest.starts_with(['@', '.']))
}

/// An artifact that is there.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its folder.
    pub path: PathBuf,
    /// Its record.
    pub manifest: Manifest,
}

/// The folder `artifacts/`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in `root`; nothing is made before something is kept.
    pub fn new(root: &Path) -> Store {
        Store { root: root.to_path_buf() }
    }

    /// The folder that everything is in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn stat_cache(&self) -> PathBuf {
        self.root.join("cache/files")
    }

    /// Takes the lock that a run holds; the operating system releases it when the process ends.
    ///
    /// # Errors
    /// [`Error::Locked`] at once, unless `wait`; [`Error::Interrupted`] when `stop` is set meanwhile.
    pub fn lock(&self, wait: bool, stop: &AtomicBool) -> Result<File> {
        let path = self.root.join("lock");
        fault::point()
            .and_then(|()| fs::create_dir_all(&self.root))
            .map_err(|e| Error::io("cannot make", &self.root, e))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o644)
            .open(&path)
            .map_err(|e| Error::io("cannot open", &path, e))?;
        self.take(file, File::try_lock, wait, stop)
    }

    /// Keeps runs away while somebody only reads, as others may at the same time. The lock's file is made only where it is
    /// missing; `None` where that cannot be, on a copy that cannot be written.
    ///
    /// # Errors
    /// As [`Store::lock`].
    pub(crate) fn hold_still(&self, wait: bool, stop: &AtomicBool) -> Result<Option<File>> {
        let path = self.root.join("lock");
        let made = || {
            fault::point()?;
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o644).open(&path)
        };
        let opened = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => made(),
            other => other,
        };
        let file = match opened {
            Err(e) if files::cannot_be_written(&e) => None,
            other => Some(other.map_err(|e| Error::io("cannot open", &path, e))?),
        };
        file.map(|file| self.take(file, File::try_lock_shared, wait, stop)).transpose()
    }

    /// Asked again and again: a signal does not end a wait in the operating system.
    fn take(&self, file: File, lock: TryLock, wait: bool, stop: &AtomicBool) -> Result<File> {
        loop {
            match lock(&file) {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if !wait => return Err(Error::Locked(self.root.clone())),
                Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => {
                    return Err(Error::Interrupted);
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
                Err(TryLockError::Error(e)) => {
                    return Err(Error::io("cannot lock", &self.root.join("lock"), e));
                }
            }
        }
    }

    /// Removes what killed runs left half-made. Only for the holder of the lock.
    pub(crate) fn sweep(&self) -> Result<()> {
        let tmp = self.root.join("tmp");
        match fault::point().and_then(|()| files::remove_folder(&tmp)) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io("cannot clear", &tmp, e)),
        }
    }

    /// The artifact that `artifacts/<stage>` points to; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and its manifest cannot be used.
    pub fn current(&self, stage: &str) -> Result<Option<Artifact>> {
        let link = self.root.join(stage);
        match fs::read_link(&link) {
            Ok(target) => open(self.root.join(target)).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("cannot read the link", &link, e)),
        }
    }

    /// The artifact of another stage as one of `stage`, which shares its files.
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
            // A copy where the file system has no links.
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

    fn home(&self, stage: &str) -> PathBuf {
        self.root.join("store").join(stage)
    }

    /// Where a stage keeps what an interrupted run of this key goes on from.
    pub(crate) fn work(&self, stage: &str, key_hash: &str) -> PathBuf {
        self.root.join("work").join(stage).join(key_hash)
    }

    /// Where a stage shows what it is doing.
    pub(crate) fn live(&self, stage: &str, key_hash: &str) -> PathBuf {
        self.root.join("live").join(stage).join(key_hash.get(..12).unwrap_or(key_hash))
    }

    /// Removes the work of a key that has succeeded, or is to begin anew.
    pub(crate) fn forget_work(&self, stage: &str, key_hash: &str) -> Result<()> {
        let path = self.work(stage, key_hash);
        if !path.exists() {
            return Ok(());
        }
        fault::point()
            .and_then(|()| files::remove_folder(&path))
            .map_err(|e| Error::io("cannot remove", &path, e))?;
        // The stage's own folder goes with its last key.
        let _ = path.parent().map(fs::remove_dir);
        Ok(())
    }

    /// Removes what a kill has left between a result and the end of its work. What a forced run goes on from stays.
    pub(crate) fn forget_finished_work(&self, stage: &str, key_hash: &str) -> Result<()> {
        if self.work(stage, key_hash).join(FORCED).exists() {
            return Ok(());
        }
        self.forget_work(stage, key_hash)
    }

    /// Begins the work of a key anew, once: a forced run that was interrupted goes on when it is forced again.
    pub(crate) fn force_work(&self, stage: &str, key_hash: &str) -> Result<()> {
        let mark = self.work(stage, key_hash).join(FORCED);
        if mark.exists() {
            return Ok(());
        }
        self.forget_work(stage, key_hash)?;
        let made = |folder: &Path| fs::create_dir_all(folder).and_then(|()| fs::write(&mark, ""));
        let folder = self.work(stage, key_hash);
        fault::point().and_then(|()| made(&folder)).map_err(|e| Error::io("cannot write", &mark, e))
    }

    /// A fresh folder for a stage to write to.
    pub(crate) fn begin(&self, stage: &str) -> Result<tempfile::TempDir> {
        let link = self.root.join(stage);
        if fs::symlink_metadata(&link).is_ok_and(|metadata| !metadata.is_symlink()) {
            let link = link.display();
            return Err(Error::Usage(format!(
                "{link} should be a link to an artifact and is none, so the result could not be put there; \
                 move it away"
            )));
        }
        let tmp = self.root.join("tmp");
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

    /// Keeps what a stage wrote to `draft` under its key and makes it current.
    pub(crate) fn keep(&self, draft: tempfile::TempDir, manifest: Manifest) -> Result<(Outcome, Artifact)> {
        let stage = manifest.stage.clone();
        let home = self.home(&stage);
        let mut path = home.join(&manifest.key_hash);
        let mut outcome = Outcome::Made;
        // Those of the same key: the first, and what forced runs have put beside it.
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
                // What is there was altered; it is put aside, not lost.
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
        // Renamed away: nothing is left for the temporary folder to remove.
        let _ = draft.keep();
        self.point(&stage, &path)?;
        Ok((outcome, Artifact { path, manifest }))
    }

    /// Makes an artifact the current one of its stage.
    pub(crate) fn point(&self, stage: &str, artifact: &Path) -> Result<()> {
        let link = self.root.join(stage);
        let target = artifact.strip_prefix(&self.root).unwrap_or(artifact);
        let staging = self.root.join("tmp");
        fs::create_dir_all(&staging)
            .and_then(|()| files::point(&link, target, &staging))
            .map_err(|e| Error::io("cannot set the link", &link, e))
    }

    /// Makes an artifact a released one; `false` where one with the same bytes is that already, and stays.
    pub(crate) fn release(&self, link: &str, artifact: &Artifact) -> Result<bool> {
        let before = self.current(link).ok().flatten();
        if before.is_some_and(|before| before.manifest.content == artifact.manifest.content) {
            return Ok(false);
        }
        self.point(link, &artifact.path)?;
        Ok(true)
    }

    /// Remembers what an input held, so that a later difference can name files.
    pub(crate) fn remember_tree(&self, digest: &str, tree: &Tree) -> Result<()> {
        let path = self.tree_path(digest);
        // Another one is what a power cut has left.
        if self.tree_bytes(digest).is_some() {
            return Ok(());
        }
        files::write_checked(&path, &tree.to_bytes()).map_err(|e| Error::io("cannot write", &path, e))
    }

    pub(crate) fn recall_tree(&self, digest: &str) -> Option<Tree> {
        Tree::from_bytes(&self.tree_bytes(digest)?)
    }

    /// Those of a remembered tree; `None` as well where they are damaged: their name is their digest.
    pub(crate) fn tree_bytes(&self, digest: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.tree_path(digest)).ok()?;
        (blake3::hash(&bytes).to_hex().as_str() == digest).then_some(bytes)
    }

    fn tree_path(&self, digest: &str) -> PathBuf {
        self.root.join("cache/trees").join(digest)
    }
}

/// The folder of a key's first artifact, and of those with other bytes that forced runs put beside it.
fn numbered(key_hash: &str, number: u32) -> String {
    if number == 1 { key_hash.to_owned() } else { format!("{key_hash}~{number}") }
}

/// The number of a folder of this key.
pub(crate) fn number_of(folder: &str, key_hash: &str) -> Option<u32> {
    match folder.strip_prefix(key_hash)? {
        "" => Some(1),
        rest => rest.strip_prefix('~')?.parse().ok().filter(|number| *number > 1),
    }
}

fn open(path: PathBuf) -> Result<Artifact> {
    let manifest = Manifest::read(&path)?;
    Ok(Artifact { path, manifest })
}

/// The first output that is not as the manifest says, or `None`.
pub(crate) fn intact(artifact: &Artifact, cache: &StatCache) -> Option<String> {
    let expected = &artifact.manifest.outputs;
    let differs = |&place: &usize| {
        let (path, file) = (artifact.path.join(expected.path(place)), expected.at(place));
        let found = fs::symlink_metadata(&path)
            .ok()
            .filter(|metadata| metadata.is_file() && metadata.len() == file.size)
            .and_then(|metadata| cache.digest(&path, &metadata).ok());
        found.is_none_or(|found| file != found)
    };
    if let Some(place) = (0..expected.len()).into_par_iter().find_first(differs) {
        return Some(expected.path(place).to_owned());
    }
    // A file that was put there by hand would be read by nobody, but the artifact is no longer
    // what its manifest says. What it holds does not matter.
    let found = list(&artifact.path).ok()?;
    let ours = |name: &str| name == MANIFEST || (name == ITEMS && artifact.manifest.items.is_some());
    let stray = |name: &String| !ours(name) && expected.get(name).is_none();
    found.into_iter().filter(stray).min()
}

/// Flushes every file and folder, and makes the files read-only (folders stay writable, so that
/// `rm -rf artifacts` works).
fn seal(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            seal(&entry.path())?;
        } else {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            // A file that an earlier artifact shares is that already, and keeps its times.
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
