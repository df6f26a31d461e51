//! The options of an audit, and the context that its parts share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ctpipe_stage::Maker;

use crate::error::{Error, Result};
use crate::event::Observer;
use crate::graph::Pipeline;
use crate::store::{Artifact, Store};

/// The stages to run again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Again {
    /// No stage.
    #[default]
    Nothing,
    /// This stage, or all its instances.
    Stage(String),
    /// All stages that have an artifact.
    All,
}

/// The options of an audit.
pub struct Options<'a> {
    /// The stages to run again.
    pub again: Again,
    /// The run whose artifacts are audited: a run's name, `latest` or a tag. `None` for all
    /// artifacts.
    pub run: Option<String>,
    /// The folder for `audit.json`, `audit.html` and the stages that are run again; nothing is then
    /// written to the store. `None` for `artifacts/audit/<time>/`.
    pub out: Option<PathBuf>,
    /// Wait for a run to end instead of refusing.
    pub wait: bool,
    /// The user and program that run the audit.
    pub maker: Maker,
    /// Set by a signal to stop the audit.
    pub stop: &'a AtomicBool,
}

/// The context that the parts of an audit share.
pub(super) struct AuditContext<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) store: &'a Store,
    /// The folder in which stages are run again.
    pub(super) scratch: PathBuf,
    pub(super) options: &'a Options<'a>,
    pub(super) observer: &'a dyn Observer,
}

impl AuditContext<'_> {
    pub(super) fn check_stop(&self) -> Result<()> {
        if self.options.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A path in the form that the report uses.
    pub(super) fn place(&self, path: &Path) -> String {
        path.strip_prefix(self.store.root()).unwrap_or(path).display().to_string()
    }
}

/// Each stage and its selected artifact.
pub(super) type Chosen = BTreeMap<String, PathBuf>;

/// An artifact with a readable manifest.
pub(super) struct CheckedArtifact {
    pub(super) stage: String,
    pub(super) artifact: Artifact,
    /// Whether the artifact has no findings.
    pub(super) whole: bool,
}
