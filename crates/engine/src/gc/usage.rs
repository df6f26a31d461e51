//! Measures disk usage. A file with several hard links counts once.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::layout::Layout;

/// The files below a folder.
pub(super) struct Usage {
    /// For each file, its size and how many of its names are left.
    files: HashMap<(u64, u64), (u64, u32)>,
    /// For each path, its file.
    names: BTreeMap<PathBuf, (u64, u64)>,
    total: u64,
}

impl Usage {
    pub(super) fn measure(layout: &Layout) -> Result<Usage> {
        let folder = layout.root();
        let mut disk = Usage { files: HashMap::new(), names: BTreeMap::new(), total: 0 };
        // The store, or a stage's part of it, may be a link to another folder.
        let store = layout.store();
        let stages = if store.is_dir() { entries(&store)? } else { Vec::new() };
        let linked = std::iter::once(store).chain(stages).filter(|path| path.is_symlink());
        for entry in std::iter::once(folder.to_path_buf()).chain(linked).flat_map(WalkDir::new) {
            let failed = |e: walkdir::Error| Error::io("cannot list", folder, e.into());
            let entry = entry.map_err(failed)?;
            if !entry.file_type().is_file() {
                continue;
            }
            let metadata = entry.metadata().map_err(failed)?;
            let inode = (metadata.dev(), metadata.ino());
            let (_, names) = disk.files.entry(inode).or_insert_with(|| {
                disk.total += metadata.len();
                (metadata.len(), 0)
            });
            *names += 1;
            disk.names.insert(entry.into_path(), inode);
        }
        Ok(disk)
    }

    /// The number of bytes left.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Removes a path and everything below it from the count, and returns the bytes that this
    /// frees.
    pub(super) fn without(&mut self, path: &Path) -> u64 {
        // Paths are sorted part by part, so that what is below one follows it.
        let from = self.names.range(path.to_path_buf()..).map(|(name, _)| name);
        let gone: Vec<PathBuf> = from.take_while(|name| name.starts_with(path)).cloned().collect();
        let mut freed = 0;
        for name in gone {
            let Some(inode) = self.names.remove(&name) else { continue };
            if let Some((size, names)) = self.files.get_mut(&inode) {
                *names -= 1;
                if *names == 0 {
                    freed += *size;
                }
            }
        }
        self.total -= freed;
        freed
    }
}

/// The entries of a folder, sorted by name; empty if the folder does not exist.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(e) if [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory].contains(&e.kind()) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(Error::io("cannot list", folder, e)),
    };
    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry.map_err(|e| Error::io("cannot list", folder, e))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// When something below a folder was last written, in the format of run names.
pub(super) fn last_change(folder: &Path) -> String {
    let times = WalkDir::new(folder).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    let last = times.map(|metadata| metadata.mtime()).max().unwrap_or(0);
    let time = jiff::Timestamp::from_second(last).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_is_counted_once_and_freed_with_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = |below: &str| dir.path().join(below);
        for folder in ["a", "b", "ab"] {
            fs::create_dir(path(folder)).unwrap();
        }
        fs::write(path("a/own"), "12345").unwrap();
        fs::write(path("a/shared"), "1234567").unwrap();
        fs::hard_link(path("a/shared"), path("b/shared")).unwrap();
        fs::write(path("ab/other"), "1").unwrap();
        let mut disk = Usage::measure(&Layout::new(dir.path())).unwrap();
        assert_eq!(disk.total(), 5 + 7 + 1);
        assert_eq!(disk.without(&path("a")), 5, "ab is not below a");
        assert_eq!(disk.without(&path("b")), 7);
        assert_eq!((disk.total(), disk.without(&path("b"))), (1, 0));
    }
}
