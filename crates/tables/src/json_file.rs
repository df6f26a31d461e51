//! Reads and writes JSON files.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Writes a value as indented JSON that ends with a line break.
///
/// # Errors
/// When the file cannot be written.
pub fn write<T: Serialize>(value: &T, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::format(path, e))?;
    text.push('\n');
    fs::write(path, text).map_err(|e| Error::io("cannot write", path, e))
}

/// Reads a JSON file.
///
/// # Errors
/// When the file is missing or does not have the shape of `T`.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e))
}
