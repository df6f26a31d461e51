//! Walks over files and folders, and computes the digests of their content.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use ctpipe_disk::{to_path, to_text};
use ctpipe_stage::{FileDigest, MISSING, Tree};
use rayon::prelude::*;
use walkdir::WalkDir;

use super::stat_cache::StatCache;
use crate::error::{Error, Result};

/// The number of files that one thread processes in a row.
const PART: usize = 1 << 9;

/// Hashes a file, or every file under a folder (links are followed).
///
/// # Errors
/// When the path does not exist or a file cannot be read; the error names it.
pub fn tree_of(path: &Path, cache: &StatCache) -> Result<Tree> {
    tree_by(path, |_, file, metadata| cache.digest(file, metadata))
}

/// Like [`tree_of`], but takes each digest from a function of the name in the tree, the path and
/// its metadata.
pub(crate) fn tree_by(
    path: &Path,
    digest: impl Fn(&str, &Path, &fs::Metadata) -> Result<FileDigest> + Sync,
) -> Result<Tree> {
    let metadata = fs::metadata(path).map_err(|e| Error::io("cannot read", path, e))?;
    if metadata.is_file() {
        let FileDigest { size, digest } = digest("", path, &metadata)?;
        let mut tree = Tree::EMPTY;
        tree.push("", size, &digest);
        return Ok(tree);
    }
    let mut names = list(path)?;
    names.par_sort_unstable();
    let held = |name: &str| {
        let file = path.join(to_path(name));
        match fs::metadata(&file) {
            Ok(metadata) => digest(name, &file, &metadata),
            // A broken link does not prevent the walk; the stage that reads it reports it.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Ok(FileDigest { size: 0, digest: MISSING.to_owned() })
            }
            Err(e) => Err(Error::io("cannot read", &file, e)),
        }
    };
    let part = |names: Vec<String>| {
        let mut part = Tree::default();
        for name in names {
            let FileDigest { size, digest } = held(&name)?;
            part.push(&name, size, &digest);
        }
        Ok(part)
    };
    let parts = names.into_par_iter().chunks(PART).map(part).collect::<Result<Vec<Tree>>>()?;
    Ok(Tree::join(&parts))
}

/// Whether the files of these names, below `path`, still match a tree.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn still_holds(
    tree: &Tree,
    names: &BTreeSet<String>,
    path: &Path,
    cache: &StatCache,
) -> Result<bool> {
    let same = |name: &String| {
        // If the input itself is a file, nothing is below it.
        let file = if name.is_empty() { path.to_path_buf() } else { path.join(to_path(name)) };
        let before = tree.get(name).filter(|file| file.digest != MISSING);
        match fs::metadata(&file) {
            Ok(metadata) if metadata.is_file() => {
                let now = cache.digest(&file, &metadata)?;
                Ok(before.is_some_and(|before| before == now))
            }
            // Anything but a plain file was not in the tree.
            Ok(_) => Ok(false),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(before.is_none())
            }
            Err(e) => Err(Error::io("cannot read", &file, e)),
        }
    };
    let found = names.par_iter().map(same).collect::<Result<Vec<bool>>>()?;
    Ok(found.into_iter().all(|same| same))
}

/// The paths of all files under `folder`, relative to it and nearly sorted.
///
/// # Errors
/// When a folder cannot be listed; the error names it.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let failed = |e| Error::io("cannot list", folder, e);
    let mut entries: Vec<_> = fs::read_dir(folder).and_then(Iterator::collect).map_err(failed)?;
    // Nearly sorted lists sort quickly, and several threads sort the parts.
    entries.sort_by_cached_key(fs::DirEntry::file_name);
    let lists = entries.into_par_iter().map(|entry: fs::DirEntry| list_from(folder, &entry.path()));
    let lists = lists.collect::<Result<Vec<_>>>()?;
    Ok(lists.into_iter().flatten().collect())
}

/// The files at `start` or below it.
fn list_from(folder: &Path, start: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(start).follow_links(true) {
        let mut add = |path: &Path| files.push(to_text(path.strip_prefix(folder).unwrap_or(path)));
        match entry {
            Ok(entry) if entry.file_type().is_file() => add(entry.path()),
            Ok(_) => {}
            Err(e) => {
                let path = e.path().unwrap_or(folder).to_path_buf();
                let error =
                    e.into_io_error().unwrap_or_else(|| io::Error::other("a link to a folder above it"));
                if error.kind() != io::ErrorKind::NotFound || !path.is_symlink() {
                    return Err(Error::io("cannot list", &path, error));
                }
                add(&path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree_of(dir.path(), &StatCache::disabled()).unwrap()
    }

    #[test]
    fn the_digest_depends_on_names_and_bytes_and_not_on_the_place() {
        let a = tree(&[("x/1", "one"), ("2", "two")]);
        assert_eq!(a.digest(), tree(&[("2", "two"), ("x/1", "one")]).digest());
        assert_ne!(a.digest(), tree(&[("x/1", "one"), ("2", "twO")]).digest());
        assert_ne!(a.digest(), tree(&[("x/1", "one"), ("3", "two")]).digest());
    }

    #[test]
    fn a_file_is_hashed_as_b3sum_does_and_its_name_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "").unwrap();
        fs::write(&b, "").unwrap();
        let tree_a = tree_of(&a, &StatCache::disabled()).unwrap();
        assert_eq!(tree_a, tree_of(&b, &StatCache::disabled()).unwrap());
        // BLAKE3 of the empty input, from the reference test vectors.
        assert_eq!(
            tree_a.get("").unwrap().digest,
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_link_is_followed_and_one_to_nowhere_is_an_entry_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("c")).unwrap();
        let tree = tree_of(dir.path(), &StatCache::disabled()).unwrap();
        assert_eq!(tree.get("a"), tree.get("b"));
        assert_eq!(tree.get("c").unwrap().digest, "missing");
    }

    #[test]
    fn names_that_are_no_text_are_told_apart() {
        use std::ffi::OsStr;
        let dir = tempfile::tempdir().unwrap();
        for name in [b"\xE0.dcm", b"\xE1.dcm"] {
            fs::write(dir.path().join(OsStr::from_bytes(name)), name).unwrap();
        }
        assert_eq!(tree_of(dir.path(), &StatCache::disabled()).unwrap().len(), 2);
    }
}
