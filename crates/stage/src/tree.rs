//! The content of a file or folder, as digests.
//!
//! A [`Tree`] maps relative paths to sizes and BLAKE3 digests. Two trees with the same files and
//! bytes have the same digest, wherever they are and whenever they were written.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoding::{number, piece, put};

/// Size in bytes and BLAKE3 digest (64 hexadecimal digits) of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Length of the file in bytes.
    pub size: u64,
    /// BLAKE3 of its bytes in lower-case hexadecimal.
    pub digest: String,
}

/// Size and digest of a file of a [`Tree`], borrowed from the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DigestRef<'a> {
    /// Length of the file in bytes.
    pub size: u64,
    /// As [`FileDigest::digest`].
    pub digest: &'a str,
}

impl DigestRef<'_> {
    /// An owned copy.
    pub fn to_digest(self) -> FileDigest {
        FileDigest { size: self.size, digest: self.digest.to_owned() }
    }
}

impl PartialEq<FileDigest> for DigestRef<'_> {
    fn eq(&self, other: &FileDigest) -> bool {
        (self.size, self.digest) == (other.size, &*other.digest)
    }
}

/// Relative paths (with `/`) and the content of each file, sorted by path. Bytes of a name that are
/// not UTF-8 appear as U+FFFD and two hexadecimal digits. A single file has the empty path, so that
/// its name is not part of its identity.
///
/// All texts are in one piece of memory: a hundred thousand files can be visited, compared and
/// dropped without a call of the allocator for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Path and digest of each file.
    texts: String,
    lines: Vec<Line>,
}

/// Where the texts of a file end; they begin where those of the file before it end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    path_end: usize,
    end: usize,
    size: u64,
}

/// Replaces the digest of a link that leads nowhere.
pub const MISSING: &str = "missing";

/// How two trees differ: the paths that were changed, added or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeDiff {
    /// Paths in both trees with different bytes.
    pub changed: Vec<String>,
    /// Paths only in the new tree.
    pub added: Vec<String>,
    /// Paths only in the old tree.
    pub removed: Vec<String>,
}

impl Tree {
    /// A tree without files.
    pub const EMPTY: Tree = Tree { texts: String::new(), lines: Vec::new() };

    /// Appends a file whose path follows all others.
    pub fn push(&mut self, path: &str, size: u64, digest: &str) {
        self.texts.push_str(path);
        let path_end = self.texts.len();
        self.texts.push_str(digest);
        self.lines.push(Line { path_end, end: self.texts.len(), size });
    }

    /// Joins trees whose paths follow each other.
    pub fn join(parts: &[Tree]) -> Tree {
        let mut tree = Tree::EMPTY;
        tree.texts.reserve_exact(parts.iter().map(|part| part.texts.len()).sum());
        tree.lines.reserve_exact(parts.iter().map(Tree::len).sum());
        for part in parts {
            let start = tree.texts.len();
            tree.texts.push_str(&part.texts);
            let moved =
                |line: &Line| Line { path_end: start + line.path_end, end: start + line.end, ..*line };
            tree.lines.extend(part.lines.iter().map(moved));
        }
        tree
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every file with its path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&str, DigestRef<'_>)> + Clone {
        (0..self.len()).map(|place| (self.path(place), self.at(place)))
    }

    /// Every path.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        (0..self.len()).map(|place| self.path(place))
    }

    /// The path of the file at an index.
    pub fn path(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |before| self.lines[before].end);
        &self.texts[start..self.lines[place].path_end]
    }

    /// The content of the file at an index.
    pub fn at(&self, place: usize) -> DigestRef<'_> {
        let Line { path_end, end, size } = self.lines[place];
        DigestRef { size, digest: &self.texts[path_end..end] }
    }

    /// The index of the file with this path.
    pub fn place(&self, path: &str) -> Option<usize> {
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

    /// The content of the file with this path.
    pub fn get(&self, path: &str) -> Option<DigestRef<'_>> {
        Some(self.at(self.place(path)?))
    }

    /// The digest of the whole tree: BLAKE3 of [`Tree::to_bytes`].
    pub fn digest(&self) -> String {
        blake3::hash(&self.to_bytes()).to_hex().to_string()
    }

    /// Path, size and digest of each file in path order, in one piece, because BLAKE3 of many small
    /// pieces takes several times as long.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.texts.len() + 16 * self.len());
        for (path, file) in self.files() {
            put(&mut bytes, path.as_bytes());
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.extend_from_slice(file.digest.as_bytes());
        }
        bytes
    }

    /// The tree of these [bytes](Tree::to_bytes); `None` where they are not those of a tree.
    pub fn from_bytes(bytes: &[u8]) -> Option<Tree> {
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

    /// The differences from `old` to `self`.
    pub fn diff(&self, old: &Tree) -> TreeDiff {
        between(old.entries(), self.entries()).unwrap_or_default()
    }

    /// The same from the [bytes](Tree::to_bytes) of the old tree, without building it; `None` where
    /// they are not those of a tree.
    pub fn diff_from(&self, old: &[u8]) -> Option<TreeDiff> {
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

/// The entries in the [bytes](Tree::to_bytes) of a tree; `None` where they are not those of a tree.
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

/// Compares two sorted trees side by side. `None` where an entry is invalid.
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let tree = |files: &[(&str, &str)]| {
            let mut tree = Tree::default();
            for (path, digest) in files {
                tree.push(path, 1, &digest.repeat(64));
            }
            tree
        };
        let (new, old) =
            (tree(&[("a", "1"), ("b", "2"), ("c", "3")]), tree(&[("b", "2"), ("c", "x"), ("d", "4")]));
        for diff in [Some(new.diff(&old)), new.diff_from(&old.to_bytes())] {
            let diff = diff.unwrap_or_default();
            assert_eq!(
                (diff.changed, diff.added, diff.removed),
                (vec!["c".into()], vec!["a".into()], vec!["d".into()])
            );
        }
    }
}
