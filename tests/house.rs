//! Rules for the source tree: no import cycle in any crate, stages that do not import the engine,
//! pages within the limits of width and length, and links without dead targets. `make lint` runs
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)] // tests

#[path = "house/imports.rs"]
mod imports;
#[path = "house/pages.rs"]
mod pages;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files in a folder and its subfolders with this extension, sorted.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
