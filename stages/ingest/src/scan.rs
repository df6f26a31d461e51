//! Finds the files and reads their headers in parallel. Judges nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ctpipe_ct::{Header, Scanned, scan as scan_file};
use ctpipe_engine::{StageError, Task};
use rayon::prelude::*;
use walkdir::WalkDir;

/// One file below the DICOM folder, with what it turned out to be.
pub(crate) struct Found {
    /// Path below the folder, with `/`.
    pub(crate) path: String,
    pub(crate) what: Scanned,
}

/// Progress is told once for so many files.
const TELL_EVERY: u64 = 64;

/// Every file below the DICOM folder in the order of their paths.
pub(crate) fn scan(task: &Task<'_>) -> Result<Vec<Found>, StageError> {
    let folder = task.input("dicom")?;
    let paths = list(folder);
    let total = paths.len() as u64;
    let done = AtomicU64::new(0);
    let files = paths
        .into_par_iter()
        .map(|entry| {
            task.check_stop()?;
            let found = match entry {
                Ok((path, file)) => {
                    let what = read(&file).unwrap_or_else(|e| Scanned::Unreadable(e.kind().to_string()));
                    Found { path, what }
                }
                Err(found) => found,
            };
            let now = done.fetch_add(1, Ordering::Relaxed) + 1;
            if now.is_multiple_of(TELL_EVERY) || now == total {
                task.progress(now, total, "files", "");
            }
            Ok(found)
        })
        .collect::<Result<Vec<_>, StageError>>()?;
    Ok(files)
}

thread_local! {
    /// Reused from file to file.
    static ROOM: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn read(path: &Path) -> std::io::Result<Scanned> {
    let file = std::fs::File::open(path)?;
    ROOM.with_borrow_mut(|room| scan_file(file, room))
}

type Entry = Result<(String, PathBuf), Found>;

/// Sorted by name, folder by folder, so that the order is the same on every file system.
fn list(folder: &Path) -> Vec<Entry> {
    let relative = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
    WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_file() => Some(Ok((relative(entry.path()), entry.into_path()))),
            Ok(_) => None,
            // A loop of links, or a folder that went away while it was read.
            Err(error) => {
                let path = error.path().map(relative).unwrap_or_default();
                // The error's own words hold the full path of this machine.
                let problem = match error.io_error() {
                    Some(e) => format!("cannot be listed: {}", e.kind()),
                    None => "a link that leads back to a folder that it is in".to_owned(),
                };
                Some(Err(Found { path, what: Scanned::Unreadable(problem) }))
            }
        })
        .collect()
}

impl Found {
    /// The header, when it is DICOM.
    pub(crate) fn header(&self) -> Option<&Header> {
        match &self.what {
            Scanned::Dicom(header) => Some(header),
            _ => None,
        }
    }
}
