//! What a file or folder holds, as content digests. Knows nothing of stages, keys or the store.
//!
//! A [`Tree`] maps relative paths to size and BLAKE3 digest. Two trees with the same files and
//! bytes have the same digest wherever they lie and whenever they were written.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use ctpipe_disk::{to_path, to_text};
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

/// The same of a file of a [`Tree`], in which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Held<'a> {
    /// Length of the file in bytes.
    pub size: u64,
    /// As [`FileDigest::digest`].
    pub digest: &'a str,
}

impl Held<'_> {
    /// By itself.
    pub fn to_digest(self) -> FileDigest {
        FileDigest { size: self.size, digest: self.digest.to_owned() }
    }
}

impl PartialEq<FileDigest> for Held<'_> {
    fn eq(&self, other: &FileDigest) -> bool {
        (self.size, self.digest) == (other.size, &*other.digest)
    }
}

/// Relative path (with `/`) to what the file holds, sorted by path, which stands as [`to_text`] writes it. A single file
/// has the empty path, so that its name is not part of its identity.
///
/// All texts are in one piece of memory: a hundred thousand files are walked through, compared and let go without a call
/// of the allocator for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Path and digest of each file.
    texts: String,
    lines: Vec<Line>,
}

/// Where the texts of a file end, which begin where those of the one before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    path_end: usize,
    end: usize,
    size: u64,
}

/// Files that one thread looks at in a row.
const PART: usize = 1 << 9;

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
                // A link to nowhere is a fact about the folder; the stage that reads it will say so.
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
        let mut tree = Tree::EMPTY;
        tree.texts.reserve_exact(parts.iter().map(|part| part.texts.len()).sum());
        tree.lines.reserve_exact(parts.iter().map(Tree::len).sum());
        for part in parts {
            tree.append(&part);
        }
        Ok(tree)
    }

    /// No files.
    pub(crate) const EMPTY: Tree = Tree { texts: String::new(), lines: Vec::new() };

    /// Puts a file behind those of lesser paths.
    pub(crate) fn push(&mut self, path: &str, size: u64, digest: &str) {
        self.texts.push_str(path);
        let path_end = self.texts.len();
        self.texts.push_str(digest);
        self.lines.push(Line { path_end, end: self.texts.len(), size });
    }

    /// Puts files behind those of lesser paths.
    fn append(&mut self, other: &Tree) {
        let start = self.texts.len();
        self.texts.push_str(&other.texts);
        let moved = |line: &Line| Line { path_end: start + line.path_end, end: start + line.end, ..*line };
        self.lines.extend(other.lines.iter().map(moved));
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every file with its path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, Held<'_>)> + Clone {
        (0..self.len()).map(|place| (self.path(place), self.at(place)))
    }

    /// Every path.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|place| self.path(place))
    }

    pub(crate) fn path(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |before| self.lines[before].end);
        &self.texts[start..self.lines[place].path_end]
    }

    pub(crate) fn at(&self, place: usize) -> Held<'_> {
        let Line { path_end, end, size } = self.lines[place];
        Held { size, digest: &self.texts[path_end..end] }
    }

    /// Where the file of that path stands among all.
    pub(crate) fn place(&self, path: &str) -> Option<usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.path(middle).cmp(path) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// What the file of that path holds.
    pub fn get(&self, path: &str) -> Option<Held<'_>> {
        Some(self.at(self.place(path)?))
    }

    /// Are the files of these names, below `path`, what they are here?
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn still_has(&self, names: &BTreeSet<String>, path: &Path, cache: &StatCache) -> Result<bool> {
        let same = |name: &String| {
            // An input that is a file itself has nothing below.
            let file = if name.is_empty() { path.to_path_buf() } else { path.join(to_path(name)) };
            let before = self.get(name).filter(|file| file.digest != MISSING);
            match fs::metadata(&file) {
                Ok(metadata) if metadata.is_file() => {
                    let now = cache.digest(&file, &metadata)?;
                    Ok(before.is_some_and(|before| before == now))
                }
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
        let mut bytes = Vec::with_capacity(self.texts.len() + 16 * self.len());
        for (path, file) in self.files() {
            put(&mut bytes, path.as_bytes());
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.extend_from_slice(file.digest.as_bytes());
        }
        bytes
    }

    /// The tree of these [bytes](Tree::to_bytes); `None` where they are of no tree.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Tree> {
        let mut tree = Tree::default();
        for entry in Entries(bytes) {
            let (path, size, digest) = entry?;
            tree.push(str::from_utf8(path).ok()?, size, str::from_utf8(digest).ok()?);
        }
        Some(tree)
    }

    fn entries(&self) -> impl Iterator<Item = Option<Entry<'_>>> {
        self.files().map(|(path, file)| Some((path.as_bytes(), file.size, file.digest.as_bytes())))
    }

    /// Total size in bytes.
    pub fn size(&self) -> u64 {
        self.lines.iter().map(|line| line.size).sum()
    }

    /// What has to be said to get from `old` to `self`.
    pub fn diff(&self, old: &Tree) -> TreeDiff {
        between(old.entries(), self.entries()).unwrap_or_default()
    }

    /// The same from the [bytes](Tree::to_bytes) of the old one, of which no tree is made; `None` where they are of none.
    pub(crate) fn diff_from(&self, old: &[u8]) -> Option<TreeDiff> {
        between(Entries(old), self.entries())
    }
}

/// As a map from path to size and digest.
impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.files())
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Tree, D::Error> {
        let files: BTreeMap<String, FileDigest> = BTreeMap::deserialize(deserializer)?;
        let mut tree = Tree::EMPTY;
        for (path, file) in files {
            tree.push(&path, file.size, &file.digest);
        }
        Ok(tree)
    }
}

/// Path, size and digest of a file.
type Entry<'a> = (&'a [u8], u64, &'a [u8]);

/// What the [bytes](Tree::to_bytes) of a tree hold, and `None` where they are of none.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Option<Entry<'a>>> {
        let bytes = &mut self.0;
        if bytes.is_empty() {
            return None;
        }
        let mut entry = || {
            let (path, size) = (piece(bytes)?, number(bytes)?);
            let is_missing = bytes.starts_with(MISSING.as_bytes());
            let length = if is_missing { MISSING.len() } else { 2 * blake3::OUT_LEN };
            Some((path, size, bytes.split_off(..length)?))
        };
        Some(entry())
    }
}

/// Both are sorted: side by side. `None` where an entry is none.
fn between<'a>(
    mut old: impl Iterator<Item = Option<Entry<'a>>>,
    mut new: impl Iterator<Item = Option<Entry<'a>>>,
) -> Option<TreeDiff> {
    let text = |path: &[u8]| str::from_utf8(path).ok().map(str::to_owned);
    let mut diff = TreeDiff::default();
    let (mut before, mut now) = (old.next(), new.next());
    loop {
        let order = match (before, now) {
            (None, None) => return Some(diff),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(now)) => before?.0.cmp(now?.0),
        };
        match (order, before.flatten(), now.flatten()) {
            (Ordering::Less, Some((path, ..)), _) => diff.removed.push(text(path)?),
            (Ordering::Greater, _, Some((path, ..))) => diff.added.push(text(path)?),
            (Ordering::Equal, before, Some(now)) if before != Some(now) => diff.changed.push(text(now.0)?),
            (Ordering::Equal, ..) => {}
            _ => return None,
        }
        if order.is_le() {
            before = old.next();
        }
        if order.is_ge() {
            now = new.next();
        }
    }
}

/// The path of every file under `folder`, below it, nearly in order.
///
/// # Errors
/// When a folder cannot be listed; the error names it.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let failed = |e| Error::io("cannot list", folder, e);
    let mut entries: Vec<_> = fs::read_dir(folder).and_then(Iterator::collect).map_err(failed)?;
    // What is nearly in order is sorted in no time, and the parts of it by several threads.
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
        let tree = Tree::of(dir.path(), &StatCache::disabled()).unwrap();
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
        assert_eq!(Tree::of(dir.path(), &StatCache::disabled()).unwrap().len(), 2);
    }

    #[test]
    fn a_tree_is_read_from_its_bytes_and_from_no_others() {
        let mut whole = Tree::default();
        whole.push("2", 3, &"2".repeat(64));
        whole.push("gone", 0, MISSING);
        whole.push("x/1", 3, &"1".repeat(64));
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
