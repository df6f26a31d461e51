//! What an audit has found, as data and as `audit.json`. Finds nothing itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::audit::page;
use crate::error::{Error, Result};
use crate::fault;
use crate::files;
use crate::manifest::Maker;
use crate::store::Store;

/// The audit as data.
const AUDIT: &str = "audit.json";

/// What kind of thing is not in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A file holds other bytes than its manifest says.
    OutputAltered,
    /// A file or an artifact is gone.
    Missing,
    /// Something is there that no manifest speaks of.
    ExtraFile,
    /// It cannot be read.
    Unreadable,
    /// A file may be written to, or is no plain file.
    Mode,
    /// A manifest is not as it was written.
    Manifest,
    /// The list of items is not as it was written.
    Items,
    /// An artifact lies under another's name.
    Misplaced,
    /// A link leads nowhere, or to what it should not.
    Link,
    /// The user's data is not what an artifact was made from.
    DataChanged,
    /// What an artifact was made from is not in the store.
    InputMissing,
    /// The lock is not as it was written, or says something else.
    Lock,
    /// The record of a run, or a tag, is not as it was written.
    Record,
    /// The same work gave other bytes.
    NotReproduced,
    /// The work could not be done again.
    CannotRerun,
}

/// One thing that is not in order, or is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// Where: below `artifacts/`, or beside the pipeline file.
    pub place: String,
    /// What.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// One artifact on the way from a result back to the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Its stage.
    pub stage: String,
    /// Its key.
    pub key_hash: String,
    /// Digest of what it holds.
    pub content: String,
    /// When it was made, and by whom.
    pub made: String,
    /// What it was made from.
    pub inputs: Vec<Input>,
    /// Is all of it as its manifest says?
    pub whole: bool,
}

/// One input of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// The port.
    pub port: String,
    /// The stage or the user's path that holds it, or why nothing does.
    pub leads_to: String,
    /// The digest that is in the key.
    pub digest: String,
}

/// A stage that was run again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rerun {
    /// Which.
    pub stage: String,
    /// Under which key.
    pub key_hash: String,
    /// Did it make the same bytes?
    pub same: bool,
    /// Files that were compared.
    pub files: usize,
    /// How long the work took.
    pub seconds: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When it began, UTC.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Who audited.
    pub maker: Maker,
    /// The run whose artifacts were looked at; `None` for the whole store.
    pub run: Option<String>,
    /// Artifacts that were looked at.
    pub artifacts: u64,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read; a file that several artifacts share is read once.
    pub bytes: u64,
    /// What is not in order.
    pub findings: Vec<Finding>,
    /// What is worth knowing.
    pub notes: Vec<Finding>,
    /// From each stage's artifact back to what it was made from, in the pipeline's order.
    pub chain: Vec<Link>,
    /// Stages that were run again.
    pub reruns: Vec<Rerun>,
    /// Where this is written.
    #[serde(skip)]
    pub folder: PathBuf,
    #[serde(skip)]
    stamp: String,
}

impl Report {
    pub(super) fn new(started: jiff::Timestamp, run: Option<String>, maker: &Maker) -> Report {
        Report {
            started: started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            stamp: started.strftime("%Y%m%dT%H%M%SZ").to_string(),
            seconds: 0.0,
            maker: maker.clone(),
            run,
            artifacts: 0,
            files: 0,
            bytes: 0,
            findings: Vec::new(),
            notes: Vec::new(),
            chain: Vec::new(),
            reruns: Vec::new(),
            folder: PathBuf::new(),
        }
    }

    /// Is nothing out of order?
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn finding(&mut self, kind: FindingKind, place: String, text: String, advice: &str) {
        self.findings.push(Finding { kind, place, text, advice: advice.to_owned() });
    }

    pub(super) fn note(&mut self, kind: FindingKind, place: String, text: String, advice: &str) {
        self.notes.push(Finding { kind, place, text, advice: advice.to_owned() });
    }

    /// Writes `audit.json` and `audit.html` to `out`, or to a new folder in the store.
    pub(super) fn write(&mut self, store: &Store, out: Option<&Path>) -> Result<()> {
        self.folder = match out {
            Some(out) => out.to_path_buf(),
            None => new_folder(&home(store), &self.stamp)?,
        };
        let json = serde_json::to_vec_pretty(self).unwrap_or_default();
        let written = || -> io::Result<()> {
            fault::point()?;
            files::write_atomically(&self.folder.join(AUDIT), &json)?;
            files::write_atomically(&self.folder.join("audit.html"), page::render(self).as_bytes())
        };
        written().map_err(|e| Error::io("cannot write the audit to", &self.folder, e))
    }
}

fn home(store: &Store) -> PathBuf {
    store.root().join("audit")
}

/// Two audits within a second get different names.
fn new_folder(home: &Path, stamp: &str) -> Result<PathBuf> {
    let names = (1_u32..).map(|n| if n == 1 { stamp.to_owned() } else { format!("{stamp}-{n}") });
    for folder in names.map(|name| home.join(name)) {
        match fault::point().and_then(|()| fs::create_dir(&folder)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder.clone()).map_err(|e| Error::io("cannot make", &folder, e)),
        }
    }
    unreachable!("there is a number that no folder has")
}

/// Refuses a place that nothing can be written to, or in which there is an audit already.
pub(super) fn refuse_unwritable(store: &Store, out: Option<&Path>) -> Result<()> {
    let folder = out.map_or_else(|| home(store), Path::to_path_buf);
    if folder.join(AUDIT).exists() {
        let place = folder.display();
        return Err(Error::Usage(format!("{place} holds an audit already; give --out a new folder")));
    }
    let tried = || {
        fault::point()?;
        fs::create_dir_all(&folder)?;
        tempfile::tempfile_in(&folder)
    };
    match tried() {
        Err(e) if out.is_none() && files::cannot_be_written(&e) => Err(Error::Usage(format!(
            "the audit cannot be written to {}: {e}; \"--out FOLDER\" writes it elsewhere, and nothing here",
            folder.display()
        ))),
        tried => tried.map(drop).map_err(|e| Error::io("cannot write the audit to", &folder, e)),
    }
}
