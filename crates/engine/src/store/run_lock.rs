//! The lock that allows one run at a time in a folder. The operating system releases it when the
//! process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Store;
use crate::error::{Error, Result};
use crate::sys::{fault, files};

/// How often a lock is tried.
const LOOK: Duration = Duration::from_millis(50);
/// How long a lock is tried for without `wait`. A process that a killed run was just starting holds
/// the lock until it has become another program.
const MOMENT: Duration = Duration::from_millis(300);
/// How a lock is asked for: alone, or with others.
type TryLock = fn(&File) -> std::result::Result<(), TryLockError>;

impl Store {
    /// Takes the lock of a run; the operating system releases it when the process ends.
    ///
    /// # Errors
    /// [`Error::Locked`] after a moment, unless `wait`; [`Error::Interrupted`] if `stop` is set.
    pub fn lock(&self, wait: bool, stop: &AtomicBool) -> Result<File> {
        let path = self.layout.run_lock();
        fault::point()
            .and_then(|()| fs::create_dir_all(self.root()))
            .map_err(|e| Error::io("cannot make", self.root(), e))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o644)
            .open(&path)
            .map_err(|e| Error::io("cannot open", &path, e))?;
        self.take(file, File::try_lock, wait, stop)
    }

    /// Takes a shared lock, which keeps runs away while others may read at the same time. The lock
    /// file is created only if it is missing; `None` if it cannot be created, in a read-only copy.
    ///
    /// # Errors
    /// Like [`Store::lock`].
    pub(crate) fn hold_still(&self, wait: bool, stop: &AtomicBool) -> Result<Option<File>> {
        let path = self.layout.run_lock();
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

    /// Tries again and again, because a signal does not end a wait in the operating system.
    fn take(&self, file: File, lock: TryLock, wait: bool, stop: &AtomicBool) -> Result<File> {
        let started = Instant::now();
        loop {
            match lock(&file) {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if !wait && started.elapsed() >= MOMENT => {
                    return Err(Error::Locked(self.root().to_path_buf()));
                }
                Err(TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => {
                    return Err(Error::Interrupted);
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK),
                Err(TryLockError::Error(e)) => {
                    return Err(Error::io("cannot lock", &self.layout.run_lock(), e));
                }
            }
        }
    }
}
