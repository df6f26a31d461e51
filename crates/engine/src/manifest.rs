//! The record that every artifact carries: its key, what it holds, who made it. Knows no stage.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::items::Reuse;
use crate::key::Key;
use crate::tree::Tree;

/// The manifest's file name in an artifact.
pub const MANIFEST: &str = "manifest.json";

/// Raised when a manifest written now could be misread by an older ctpipe.
const FORMAT: u32 = 2;

/// Who made an artifact: told by the program, since the engine does not know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Maker {
    /// Version of ctpipe.
    pub version: String,
    /// Git commit it was built from, where known.
    pub commit: String,
    /// Compiler it was built with.
    pub compiler: String,
    /// Instruction set that was used.
    pub instruction_set: String,
}

/// When and at what cost an artifact was made. Nothing here is in its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Who.
    pub by: Maker,
    /// When it was begun, UTC, RFC 3339.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Peak resident memory of the process meanwhile, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Paths that the user gave as inputs, as they were written.
    pub sources: BTreeMap<String, String>,
    /// How much of it was taken from an earlier artifact, for a stage that keeps items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<Reuse>,
}

/// What can be read of a manifest of any form.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The record itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this record's form.
    pub format: u32,
    /// The stage's name in the pipeline that made it.
    pub stage: String,
    /// BLAKE3 of the key; the artifact's folder is named by it.
    pub key_hash: String,
    /// The key itself.
    pub key: Key,
    /// Digest of all outputs: what a stage that reads this artifact has in its key.
    pub content: String,
    /// Every file but this one.
    pub outputs: Tree,
    /// Digest of the list of what its items were made from, for a stage that keeps items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<String>,
    /// When and at what cost.
    pub made: Made,
    /// BLAKE3 of this record with an empty checksum.
    pub checksum: String,
}

impl Manifest {
    pub(crate) fn new(stage: &str, key: Key, outputs: Tree, items: Option<String>, made: Made) -> Manifest {
        let mut manifest = Manifest {
            format: FORMAT,
            stage: stage.to_owned(),
            key_hash: key.hash(),
            key,
            content: outputs.digest(),
            outputs,
            items,
            made,
            checksum: String::new(),
        };
        manifest.checksum = manifest.sum();
        manifest
    }

    fn sum(&self) -> String {
        let unsigned = Manifest { checksum: String::new(), ..self.clone() };
        let json = serde_json::to_vec(&unsigned).unwrap_or_default();
        blake3::hash(&json).to_hex().to_string()
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Is it one of this program's, but for the number of its form: a bit that flipped rather than a later ctpipe?
    fn has_been_known(bytes: &[u8]) -> bool {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return false };
        (0..=FORMAT).any(|format| Manifest { format, ..manifest.clone() }.sum() == manifest.checksum)
    }

    /// Reads and verifies the manifest of the artifact in `folder`.
    ///
    /// # Errors
    /// When it is missing, damaged, or of a later form.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(MANIFEST);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        let complain = |problem: String| Error::Manifest { path: path.clone(), problem };
        let format: Format =
            serde_json::from_slice(&bytes).map_err(|e| complain(format!("not a manifest: {e}")))?;
        if format.format > FORMAT && !Manifest::has_been_known(&bytes) {
            return Err(Error::Later { path, found: format.format, known: FORMAT });
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| complain(format!("not a manifest: {e}")))?;
        if manifest.checksum != manifest.sum() {
            return Err(complain("its checksum does not match: it was altered".to_owned()));
        }
        Ok(manifest)
    }
}
