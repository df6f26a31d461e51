//! The findings of an audit, as data.

use std::path::PathBuf;

use ctpipe_stage::Maker;
use schemars::JsonSchema;
use serde::Serialize;

/// The kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The content of a file differs from its manifest.
    OutputAltered,
    /// A file or an artifact is missing.
    Missing,
    /// A file exists that no manifest lists.
    ExtraFile,
    /// A file or folder cannot be read.
    Unreadable,
    /// A file is writable, or is not a plain file.
    Mode,
    /// A manifest was altered.
    Manifest,
    /// The list of items was altered.
    Items,
    /// An artifact has the name of another one.
    Misplaced,
    /// A link is broken or leads to the wrong artifact.
    Link,
    /// The user's data has changed since an artifact was made from it.
    DataChanged,
    /// An input of an artifact is not in the store.
    InputMissing,
    /// The lock was altered or does not match.
    Lock,
    /// The record of a run, or a tag, was altered.
    Record,
    /// The stage ran again and gave a different result.
    NotReproduced,
    /// The stage could not be run again.
    CannotRerun,
}

/// A problem, or a fact worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The kind of the finding.
    pub kind: FindingKind,
    /// The path, relative to `artifacts/` or to the folder of the pipeline file.
    pub place: String,
    /// The description of the finding.
    pub text: String,
    /// What the user can do about it.
    pub advice: String,
}

/// A step on the way from a result back to the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Link {
    /// The stage.
    pub stage: String,
    /// The key.
    pub key_hash: String,
    /// The digest of the artifact's content.
    pub content: String,
    /// When the artifact was made, and by whom.
    pub made: String,
    /// The inputs of the artifact.
    pub inputs: Vec<Input>,
    /// Whether the artifact matches its manifest.
    pub whole: bool,
}

/// An input of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Input {
    /// The port.
    pub port: String,
    /// The stage or the user's path that holds the input, or why none does.
    pub leads_to: String,
    /// The digest in the key.
    pub digest: String,
}

/// A stage that was run again.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Rerun {
    /// The name of the stage.
    pub stage: String,
    /// The key of the artifact.
    pub key_hash: String,
    /// Whether the stage made the same content again.
    pub same: bool,
    /// The number of compared files.
    pub files: usize,
    /// The duration of the work, in seconds.
    pub seconds: f64,
}

/// The report of an audit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The time at which the audit began, UTC.
    pub started: String,
    /// The duration of the audit, in seconds.
    pub seconds: f64,
    /// The user and program that ran the audit.
    pub maker: Maker,
    /// The run whose artifacts were audited; `None` for the whole store.
    pub run: Option<String>,
    /// The number of audited artifacts.
    pub artifacts: u64,
    /// The number of files read.
    pub files: u64,
    /// The number of bytes read; a file that several artifacts share is read once.
    pub bytes: u64,
    /// The problems.
    pub findings: Vec<Finding>,
    /// Facts worth knowing that are not problems.
    pub notes: Vec<Finding>,
    /// The steps from each stage's artifact back to its inputs, in the pipeline's order.
    pub chain: Vec<Link>,
    /// The stages that were run again.
    pub reruns: Vec<Rerun>,
    /// The folder of the report.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The time at which the audit began, as a folder name.
    #[serde(skip)]
    pub(super) stamp: String,
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

    /// Whether there are no problems.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn finding(&mut self, kind: FindingKind, place: String, text: String, advice: &str) {
        self.findings.push(Finding { kind, place, text, advice: advice.to_owned() });
    }

    pub(super) fn note(&mut self, kind: FindingKind, place: String, text: String, advice: &str) {
        self.notes.push(Finding { kind, place, text, advice: advice.to_owned() });
    }
}
