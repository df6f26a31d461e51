//! What a file or folder holds, as content digests. Knows nothing of stages, keys or the store.
//!
//! A [`Tree`] maps relative paths to size and BLAKE3 digest. Two trees with the same files and
//! bytes have the same digest wherever they lie and whenever they were written.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ctpipe_disk::{to_path, to_text};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::bytes::{number, piece, put};
use crate::error::{Error, Result};
use crate::stat_cache::StatCache;

/// Size in bytes and BLAKE3 digest (64 hex digits) of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Length of the file in bytes.
    pub size: u64,
    /// BLAKE3 of its bytes in lower-case hexadecimal.
    pub digest: String,
}

/// Relative path (with `/`) to what the file holds. A single file has the empty path, so that
/// its name is not part of its identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree {
    /// The files, sorted by path, which stands as [`to_text`] writes it.
    pub files: BTreeMap<String, FileDigest>,
}

/// In the place of the digest of a link to nowhere.
const MISSING: &str = "missing";

/// How two trees differ: the paths that changed, appeared or went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeDiff {
    /// In both, with other bytes.
    pub changed: Vec<String>,
    /// Only in the new tree.
    pub added: Vec<String>,
    /// Only in the old tree.
    pub removed: Vec<String>,
}

impl Tree {
    /// Hashes a file, or every file under a folder (links are followed).
    ///
    /// # Errors
    /// When the path does not exist or a file cannot be read; the error names it.
    pub fn of(path: &Path, cache: &StatCache) -> Result<Tree> {
        Tree::by(path, |_, file, metadata| cache.digest(file, metadata))
    }

    /// As [`Tree::of`], with digests from elsewhere: given the name in the tree, the path and its metadata.
    pub(crate) fn by(
        path: &Path,
        digest: impl Fn(&str, &Path, &fs::Metadata) -> Result<FileDigest> + Sync,
    ) -> Result<Tree> {
        let metadata = fs::metadata(path).map_err(|e| Error::io("cannot read", path, e))?;
        if metadata.is_file() {
            let files = BTreeMap::from([(String::new(), digest("", path, &metadata)?)]);
            return Ok(Tree { files });
        }
        let mut files = list(path)?
            .into_par_iter()
            .map(|(name, file)| {
                let found = match fs::metadata(&file) {
                    Ok(metadata) => digest(&name, &file, &metadata)?,
                    // A link to nowhere is a fact about the folder; the stage that reads it will say so.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        FileDigest { size: 0, digest: MISSING.to_owned() }
                    }
                    Err(e) => return Err(Error::io("cannot read", &file, e)),
                };
                Ok((name, found))
            })
            .collect::<Result<Vec<_>>>()?;
        // All at once: sorted, then built, which one by one takes several times as long.
        files.par_sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Tree { files: files.into_iter().collect() })
    }

    /// Are the files of these names, below `path`, what they are here?
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn still_has(&self, names: &BTreeSet<String>, path: &Path, cache: &StatCache) -> Result<bool> {
        let same = |name: &String| {
            // An input that is a file itself has nothing below.
            let file = if name.is_empty() { path.to_path_buf() } else { path.join(to_path(name)) };
            let before = self.files.get(name).filter(|file| file.digest != MISSING);
            match fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() => Ok(before == Some(&cache.digest(&file, &metadata)?)),
                // What is no file was none before.
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

    /// The digest of the whole: BLAKE3 of [`Tree::to_bytes`].
    pub fn digest(&self) -> String {
        blake3::hash(&self.to_bytes()).to_hex().to_string()
    }

    /// Path, size and digest of each file in path order, in one piece: BLAKE3 of small ones takes several times as
    /// long.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let length = self.files.iter().map(|(path, file)| path.len() + 16 + file.digest.len()).sum();
        let mut bytes = Vec::with_capacity(length);
        for (path, file) in &self.files {
            put(&mut bytes, path.as_bytes());
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.extend_from_slice(file.digest.as_bytes());
        }
        bytes
    }

    /// The tree of these [bytes](Tree::to_bytes); `None` where they are of no tree.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Tree> {
        let owned = |(path, size, digest): Line<'_>| {
            (path.to_owned(), FileDigest { size, digest: digest.to_owned() })
        };
        Some(Tree { files: lines(bytes)?.into_iter().map(owned).collect() })
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.files.iter().map(|(path, file)| (path.as_str(), file.size, file.digest.as_str()))
    }

    /// Total size in bytes.
    pub fn size(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }

    /// What has to be said to get from `old` to `self`.
    pub fn diff(&self, old: &Tree) -> TreeDiff {
        between(old.lines(), self.lines())
    }

    /// The same from the [bytes](Tree::to_bytes) of the old one, of which no tree is made; `None` where they are of none.
    pub(crate) fn diff_from(&self, old: &[u8]) -> Option<TreeDiff> {
        Some(between(lines(old)?.into_iter(), self.lines()))
    }
}

/// Path, size and digest of a file.
type Line<'a> = (&'a str, u64, &'a str);

/// What the bytes of a tree hold.
fn lines(mut bytes: &[u8]) -> Option<Vec<Line<'_>>> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        let path = str::from_utf8(piece(&mut bytes)?).ok()?;
        let size = number(&mut bytes)?;
        let missing = bytes.starts_with(MISSING.as_bytes());
        let length = if missing { MISSING.len() } else { 2 * blake3::OUT_LEN };
        lines.push((path, size, str::from_utf8(bytes.split_off(..length)?).ok()?));
    }
    Some(lines)
}

/// Both are sorted: side by side.
fn between<'a>(old: impl Iterator<Item = Line<'a>>, new: impl Iterator<Item = Line<'a>>) -> TreeDiff {
    let mut diff = TreeDiff::default();
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return diff,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(now)) => before.0.cmp(now.0),
        };
        let before = if order.is_le() { old.next() } else { None };
        let now = if order.is_ge() { new.next() } else { None };
        match (before, now) {
            (Some(before), Some(now)) if before != now => diff.changed.push(now.0.to_owned()),
            (None, Some(now)) => diff.added.push(now.0.to_owned()),
            (Some(before), None) => diff.removed.push(before.0.to_owned()),
            _ => {}
        }
    }
}

/// Every file under `folder` as (relative path, full path), nearly in order.
///
/// # Errors
/// When a folder cannot be listed; the error names it.
pub(crate) fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |e| Error::io("cannot list", folder, e);
    let mut entries: Vec<_> = fs::read_dir(folder).and_then(Iterator::collect).map_err(failed)?;
    // What is nearly in order is sorted in no time, and the parts of it by several threads.
    entries.sort_by_cached_key(fs::DirEntry::file_name);
    let lists = entries.into_par_iter().map(|entry: fs::DirEntry| list_from(folder, &entry.path()));
    let lists = lists.collect::<Result<Vec<_>>>()?;
    Ok(lists.into_iter().flatten().collect())
}

/// The files at `start` or below it.
fn list_from(folder: &Path, start: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(start).follow_links(true) {
        let (path, is_file) = match entry {
            Ok(entry) => (entry.path().to_path_buf(), entry.file_type().is_file()),
            Err(e) => {
                let path = e.path().unwrap_or(folder).to_path_buf();
                let error =
                    e.into_io_error().unwrap_or_else(|| io::Error::other("a link to a folder above it"));
                if error.kind() != io::ErrorKind::NotFound || !path.is_symlink() {
                    return Err(Error::io("cannot list", &path, error));
                }
                (path, true)
            }
        };
        if is_file {
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            files.push((to_text(relative), path));
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
        Tree::of(dir.path(), &StatCache::disabled()).unwrap()
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
        let tree_a = Tree::of(&a, &StatCache::disabled()).unwrap();
        assert_eq!(tree_a, Tree::of(&b, &StatCache::disabled()).unwrap());
        // BLAKE3 of the empty input, from the reference test vectors.
        assert_eq!(
            tree_a.files[""].digest,
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn a_link_is_followed_and_one_to_nowhere_is_an_entry_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("c")).unwrap();
        let tree = Tree::of(dir.path(), &StatCache::disabled()).unwrap();
        assert_eq!(tree.files["a"], tree.files["b"]);
        assert_eq!(tree.files["c"].digest, "missing");
    }

    #[test]
    fn names_that_are_no_text_are_told_apart() {
        use std::ffi::OsStr;
        let dir = tempfile::tempdir().unwrap();
        for name in [b"\xE0.dcm", b"\xE1.dcm"] {
            fs::write(dir.path().join(OsStr::from_bytes(name)), name).unwrap();
        }
        assert_eq!(Tree::of(dir.path(), &StatCache::disabled()).unwrap().files.len(), 2);
    }

    #[test]
    fn a_tree_is_read_from_its_bytes_and_from_no_others() {
        let mut whole = tree(&[("x/1", "one"), ("2", "two")]);
        whole.files.insert("gone".into(), FileDigest { size: 0, digest: MISSING.into() });
        let bytes = whole.to_bytes();
        assert_eq!(Tree::from_bytes(&bytes), Some(whole));
        let ends = (0..=bytes.len()).filter(|&end| Tree::from_bytes(&bytes[..end]).is_some());
        assert_eq!(ends.collect::<Vec<_>>(), [0, 1 + 16 + 64, 1 + 4 + 32 + 64 + 7, bytes.len()]);
    }

    #[test]
    fn a_diff_names_what_changed_appeared_and_went() {
        let diff =
            tree(&[("a", "1"), ("b", "2"), ("c", "3")]).diff(&tree(&[("b", "2"), ("c", "x"), ("d", "4")]));
        assert_eq!(
            (diff.changed, diff.added, diff.removed),
            (vec!["c".into()], vec!["a".into()], vec!["d".into()])
        );
    }
}
