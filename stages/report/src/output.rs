//! Writes files of the artifact.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}
