//! Items that a stage keeps from run to run, so that adding one series to a thousand costs one.
//!
//! A stage names its items and gives a digest of what each was made from; the artifact keeps that
//! list beside its outputs. In the next run the stage receives an earlier artifact of the same
//! version, parameters and seed, and takes over the items that were made from the same data. The
//! list is not an output: two artifacts with the same outputs have the same content, whatever their
//! items were made from.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::put;
use crate::tree::{FileDigest, Tree};

/// The list's file name in an artifact.
pub const ITEMS: &str = "items.json";

/// How many items an artifact has, and how many of them were taken over from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reuse {
    /// Number of items.
    pub items: u64,
    /// Number of items that were taken over from the earlier artifact.
    pub reused: u64,
}

impl fmt::Display for Reuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} items reused", self.reused, self.items)
    }
}

/// The items that a stage reports when it is done: name to [`MadeFrom::digest`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Items(pub BTreeMap<String, String>);

impl Items {
    /// The list as written to the file.
    pub fn to_json(&self) -> Vec<u8> {
        // A map of strings always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The list of an artifact; `None` when it does not have the digest in the manifest.
    pub fn read(artifact: &Path, digest: &str) -> Option<Items> {
        let bytes = std::fs::read(artifact.join(ITEMS)).ok()?;
        let same = blake3::hash(&bytes).to_hex().as_str() == digest;
        same.then(|| serde_json::from_slice(&bytes).ok())?
    }
}

/// An earlier artifact of the same work: its key differs only in the inputs.
#[derive(Debug)]
pub struct Previous {
    folder: PathBuf,
    items: Items,
    outputs: Tree,
}

impl Previous {
    /// The artifact in `folder`, whose manifest and bytes have been checked.
    pub fn new(folder: PathBuf, items: Items, outputs: Tree) -> Previous {
        Previous { folder, items, outputs }
    }

    /// The folder of the artifact. Its files are read-only and match the manifest.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The digest of the output `name`, if the file at `path` is a link to it.
    pub fn shared(&self, name: &str, path: &Path) -> Option<FileDigest> {
        let file = self.outputs.get(name)?;
        let [ours, theirs] = [path, &self.folder.join(name)].map(std::fs::symlink_metadata);
        let (ours, theirs) = (ours.ok()?, theirs.ok()?);
        (ours.dev() == theirs.dev() && ours.ino() == theirs.ino()).then(|| file.to_digest())
    }

    /// Whether it has this item, made from the same data.
    pub fn has(&self, item: &str, made_from: &str) -> bool {
        self.items.0.get(item).is_some_and(|digest| digest == made_from)
    }
}

/// Collects everything that an item is made from. Nothing else may affect the item.
#[derive(Debug, Clone, Default)]
pub struct MadeFrom(Vec<u8>);

impl MadeFrom {
    /// An empty collection.
    pub fn new() -> MadeFrom {
        MadeFrom::default()
    }

    /// Adds one more piece. The order counts, and `("ab", "c")` differs from `("a", "bc")`.
    pub fn add(&mut self, bytes: impl AsRef<[u8]>) {
        put(&mut self.0, bytes.as_ref());
    }

    /// BLAKE3 of everything, in hexadecimal.
    pub fn digest(&self) -> String {
        blake3::hash(&self.0).to_hex().to_string()
    }
}
