//! Work that a stage keeps item by item, so that one more of a thousand costs one. Knows no stage.
//!
//! A stage names its items and says, by a digest, what each was made from; beside its outputs the artifact
//! keeps that list. The next time, the stage is handed an earlier artifact of the same version, parameters
//! and seed, and takes from it what was made from the same. The list is no output: two artifacts with
//! the same outputs have the same content, whatever their items were made from.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bytes::put;
use crate::tree::{FileDigest, Tree};

/// The list's file name in an artifact.
pub(crate) const ITEMS: &str = "items.json";

/// How many items an artifact has, and how many of them were taken from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reuse {
    /// All.
    pub items: u64,
    /// Of those, taken from the earlier artifact.
    pub reused: u64,
}

impl fmt::Display for Reuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} items taken over", self.reused, self.items)
    }
}

/// What a stage says of its items when it is done: name to [`MadeFrom::digest`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Items(pub(crate) BTreeMap<String, String>);

impl Items {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // A map of strings cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The list of an artifact; `None` when it is not the one that its manifest speaks of.
    pub(crate) fn read(artifact: &Path, digest: &str) -> Option<Items> {
        let bytes = std::fs::read(artifact.join(ITEMS)).ok()?;
        let same = blake3::hash(&bytes).to_hex().as_str() == digest;
        same.then(|| serde_json::from_slice(&bytes).ok())?
    }
}

/// An earlier artifact of the same work: equal in all of the key but the inputs.
#[derive(Debug)]
pub struct Previous {
    pub(crate) folder: PathBuf,
    pub(crate) items: Items,
    pub(crate) outputs: Tree,
}

impl Previous {
    /// Where it lies. Its files are read-only and as their manifest says.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the output `name` holds, if the file at `path` is a link to it.
    pub(crate) fn shared(&self, name: &str, path: &Path) -> Option<FileDigest> {
        let file = self.outputs.get(name)?;
        let [ours, theirs] = [path, &self.folder.join(name)].map(std::fs::symlink_metadata);
        let (ours, theirs) = (ours.ok()?, theirs.ok()?);
        (ours.dev() == theirs.dev() && ours.ino() == theirs.ino()).then(|| file.to_digest())
    }

    /// Has it this item, made from the same?
    pub fn has(&self, item: &str, made_from: &str) -> bool {
        self.items.0.get(item).is_some_and(|digest| digest == made_from)
    }
}

/// Sums up all that an item is made from. What is not in it must not change the item.
#[derive(Debug, Clone, Default)]
pub struct MadeFrom(Vec<u8>);

impl MadeFrom {
    /// Nothing yet.
    pub fn new() -> MadeFrom {
        MadeFrom::default()
    }

    /// One more thing; the order counts, and `("ab", "c")` is not `("a", "bc")`.
    pub fn add(&mut self, bytes: impl AsRef<[u8]>) {
        put(&mut self.0, bytes.as_ref());
    }

    /// BLAKE3 of all of it in hexadecimal.
    pub fn digest(&self) -> String {
        blake3::hash(&self.0).to_hex().to_string()
    }
}
