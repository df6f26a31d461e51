//! Writes an audit to `audit.json` and `audit.html`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::audit::page;
use crate::audit::report::Report;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::sys::{fault, files};

/// The file name of the audit report as JSON.
const AUDIT: &str = "audit.json";

/// Writes `audit.json` and `audit.html` to `out`, or to a new folder in the store.
pub(super) fn write(report: &mut Report, store: &Store, out: Option<&Path>) -> Result<()> {
    report.folder = match out {
        Some(out) => out.to_path_buf(),
        None => new_folder(&home(store), &report.stamp)?,
    };
    let json = serde_json::to_vec_pretty(report).unwrap_or_default();
    let written = || -> io::Result<()> {
        fault::point()?;
        files::write_atomically(&report.folder.join(AUDIT), &json)?;
        files::write_atomically(&report.folder.join("audit.html"), page::render(report).as_bytes())
    };
    written().map_err(|e| Error::io("cannot write the audit to", &report.folder, e))
}

fn home(store: &Store) -> PathBuf {
    store.layout.audits()
}

/// Creates a new folder. Two audits within a second get different names.
fn new_folder(home: &Path, stamp: &str) -> Result<PathBuf> {
    let names = (1_u32..).map(|n| if n == 1 { stamp.to_owned() } else { format!("{stamp}-{n}") });
    for folder in names.map(|name| home.join(name)) {
        match fault::point().and_then(|()| fs::create_dir(&folder)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder.clone()).map_err(|e| Error::io("cannot make", &folder, e)),
        }
    }
    unreachable!("some number is free")
}

/// Refuses a folder that is not writable or already contains an audit.
pub(super) fn refuse_unwritable(store: &Store, out: Option<&Path>) -> Result<()> {
    let folder = out.map_or_else(|| home(store), Path::to_path_buf);
    if folder.join(AUDIT).exists() {
        let place = folder.display();
        return Err(Error::Usage(format!("{place} already contains an audit; give --out a new folder")));
    }
    let tried = || {
        fault::point()?;
        fs::create_dir_all(&folder)?;
        tempfile::tempfile_in(&folder)
    };
    match tried() {
        Err(e) if out.is_none() && files::cannot_be_written(&e) => Err(Error::Usage(format!(
            "the audit cannot be written to {}: {e}; use \"--out FOLDER\" to write it elsewhere",
            folder.display()
        ))),
        tried => tried.map(drop).map_err(|e| Error::io("cannot write the audit to", &folder, e)),
    }
}
