//! An artifact in the store: its folder, its manifest, and the check of its files against the
//! manifest.

use std::fs;
use std::path::PathBuf;

use ctpipe_stage::{ITEMS, MANIFEST, Manifest};
use rayon::prelude::*;

use crate::content::{StatCache, list};
use crate::error::Result;
use crate::key::read_manifest;

/// An artifact in the store.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// The folder of the first artifact of a key, or of another one that a forced run put beside it.
pub(super) fn numbered(key_hash: &str, number: u32) -> String {
    if number == 1 { key_hash.to_owned() } else { format!("{key_hash}~{number}") }
}

/// The number of a folder of this key.
pub(crate) fn number_of(folder: &str, key_hash: &str) -> Option<u32> {
    match folder.strip_prefix(key_hash)? {
        "" => Some(1),
        rest => rest.strip_prefix('~')?.parse().ok().filter(|number| *number > 1),
    }
}

pub(super) fn open(path: PathBuf) -> Result<Artifact> {
    let manifest = read_manifest(&path)?;
    Ok(Artifact { path, manifest })
}

/// The first output that differs from the manifest, or `None`.
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
    // Nothing would read a file that was added by hand, but the artifact no longer matches its
    // manifest. The content of the file does not matter.
    let found = list(&artifact.path).ok()?;
    let ours = |name: &str| name == MANIFEST || (name == ITEMS && artifact.manifest.items.is_some());
    let stray = |name: &String| !ours(name) && expected.get(name).is_none();
    found.into_iter().filter(stray).min()
}
