//! The manifest of an artifact: its key, what it holds, and who made it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::items::Reuse;
use crate::key::Key;
use crate::tree::Tree;

/// The manifest's file name in an artifact.
pub const MANIFEST: &str = "manifest.json";

/// Raised when an older ctpipe could misread a manifest of the new format.
const FORMAT: u32 = 2;

/// Who made an artifact. The program says so, because the engine does not know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Maker {
    /// Version of ctpipe.
    pub version: String,
    /// Git commit that it was built from, where known.
    pub commit: String,
    /// Compiler that it was built with.
    pub compiler: String,
    /// Instruction set that was used.
    pub instruction_set: String,
}

/// When and at what cost an artifact was made. Nothing here is in its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Who made it.
    pub by: Maker,
    /// When the work began, UTC, RFC 3339.
    pub started: String,
    /// How long the work took, in seconds.
    pub seconds: f64,
    /// Peak resident memory of the process during the work, in bytes, where the system reports it.
    pub peak_memory: Option<u64>,
    /// The paths that the user gave as inputs, as written.
    pub sources: BTreeMap<String, String>,
    /// How much was taken over from an earlier artifact, for a stage that keeps items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<Reuse>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest is missing or cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Path of the manifest.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The manifest was altered after it was written.
    #[error("{}: {problem}", path.display())]
    Altered {
        /// Path of the manifest.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A later ctpipe wrote the manifest.
    #[error("{} was written by a later ctpipe (form {found}; this one reads up to {known}); use that version", path.display())]
    Later {
        /// Path of the manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that this program knows.
        known: u32,
    },
}

/// The part of a manifest that is readable in any format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The manifest itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// The stage's name in the pipeline that made it.
    pub stage: String,
    /// BLAKE3 of the key; it names the folder of the artifact.
    pub key_hash: String,
    /// The key itself.
    pub key: Key,
    /// Digest of all outputs, which enters the key of a stage that reads this artifact.
    pub content: String,
    /// Every file except this one.
    pub outputs: Tree,
    /// Digest of the list of items, for a stage that keeps items.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub items: Option<String>,
    /// When and at what cost it was made.
    pub made: Made,
    /// BLAKE3 of this manifest with an empty checksum.
    pub checksum: String,
}

impl Manifest {
    /// The manifest of what a stage has made.
    pub fn new(stage: &str, key: Key, outputs: Tree, items: Option<String>, made: Made) -> Manifest {
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

    /// The manifest as written to the file.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Whether the bytes are a manifest of this program except for the format number. Then a bit of
    /// that number flipped, and no later ctpipe wrote it.
    fn has_been_known(bytes: &[u8]) -> bool {
        let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return false };
        (0..=FORMAT).any(|format| Manifest { format, ..manifest.clone() }.sum() == manifest.checksum)
    }

    /// Reads and verifies the manifest of the artifact in `folder`.
    ///
    /// # Errors
    /// When the manifest is missing, damaged, or of a later format.
    pub fn read(folder: &Path) -> Result<Manifest, ManifestError> {
        let path = folder.join(MANIFEST);
        let read = std::fs::read(&path);
        let bytes = read.map_err(|source| ManifestError::Read { path: path.clone(), source })?;
        let complain = |problem: String| ManifestError::Altered { path: path.clone(), problem };
        let format: Format =
            serde_json::from_slice(&bytes).map_err(|e| complain(format!("not a manifest: {e}")))?;
        if format.format > FORMAT && !Manifest::has_been_known(&bytes) {
            return Err(ManifestError::Later { path, found: format.format, known: FORMAT });
        }
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|e| complain(format!("not a manifest: {e}")))?;
        if manifest.checksum != manifest.sum() {
            return Err(complain("its checksum does not match: it was altered".to_owned()));
        }
        Ok(manifest)
    }
}
