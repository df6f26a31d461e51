//! Why a stage has to run.

use std::fmt;

use ctpipe_stage::TreeDiff;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a stage has to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// There is no result yet.
    NeverRun,
    /// The user passed `--force`.
    Forced,
    /// A parameter (or the seed) has another value.
    ParamChanged {
        /// The name of the parameter.
        name: String,
        /// The value before; `None` when it did not exist.
        old: Option<Value>,
        /// The value now; `None` when it no longer exists.
        new: Option<Value>,
    },
    /// The content of an input changed.
    InputChanged {
        /// The port of the input.
        port: String,
        /// The files that changed, where they are known.
        items: Option<TreeDiff>,
    },
    /// The stage's code has a new version, whose output may differ.
    VersionChanged {
        /// Kind and version before.
        old: String,
        /// Kind and version now.
        new: String,
    },
    /// A fact of the machine that affects the output changed.
    FactChanged {
        /// The name of the fact.
        name: String,
        /// The value before.
        old: Option<String>,
        /// The value now.
        new: Option<String>,
    },
    /// The origin of an input changed, and the output of this stage depends on it.
    LineageChanged {
        /// The port of the input.
        port: String,
    },
    /// A file of the artifact was altered or removed.
    OutputAltered {
        /// The path of the file, relative to the artifact.
        path: String,
    },
    /// The lock has another result for the same key, that result is in the store, and the run must
    /// follow the lock.
    NotAsLocked,
    /// The manifest of the artifact is missing or cannot be read.
    ManifestUnreadable {
        /// What is wrong with it.
        problem: String,
    },
    /// An input does not exist (yet).
    InputMissing {
        /// The port of the input.
        port: String,
    },
}

impl Reason {
    /// The same reason without the names of the user's files, which may contain names of people.
    /// The record of a run keeps this form.
    #[must_use]
    pub fn without_names(&self) -> Reason {
        match self {
            Reason::InputChanged { port, .. } => Reason::InputChanged { port: port.clone(), items: None },
            other => other.clone(),
        }
    }
}

/// How many file names a reason shows before it counts the rest.
const SHOWN: usize = 10;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        match self {
            Reason::NeverRun => f.write_str("there is no result yet"),
            Reason::Forced => f.write_str("forced"),
            Reason::ParamChanged { name, old, new } => {
                write!(f, "{name} changed from {} to {}", value(old), value(new))
            }
            Reason::InputChanged { port, items: None } => write!(f, "input {port} changed"),
            Reason::InputChanged { port, items: Some(diff) } => {
                write!(f, "input {port} changed: ")?;
                let kinds = [("changed", &diff.changed), ("new", &diff.added), ("gone", &diff.removed)];
                let mut parts = Vec::new();
                for (word, paths) in kinds.into_iter().filter(|(_, paths)| !paths.is_empty()) {
                    if paths.iter().all(String::is_empty) {
                        parts.push("its bytes".to_owned());
                        continue;
                    }
                    let shown = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
                    let more = paths.len().saturating_sub(SHOWN);
                    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
                    parts.push(format!("{word} {shown}{rest}"));
                }
                f.write_str(&parts.join("; "))
            }
            Reason::VersionChanged { old, new } => write!(f, "its code changed from {old} to {new}"),
            Reason::FactChanged { name, old, new } => {
                write!(f, "{name} changed from {} to {}", text(old), text(new))
            }
            Reason::LineageChanged { port } => write!(f, "input {port} was made with another key"),
            Reason::OutputAltered { path } => write!(f, "its output {path} was changed or removed by hand"),
            Reason::NotAsLocked => f.write_str("the lock has a different result under the same key"),
            Reason::ManifestUnreadable { problem } => write!(f, "its manifest cannot be used: {problem}"),
            Reason::InputMissing { port } => write!(f, "input {port} is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_files_is_cut_and_counted() {
        let added = (0..13).map(|i| format!("{i:02}.dcm")).collect();
        let items = Some(TreeDiff { added, ..TreeDiff::default() });
        let said = Reason::InputChanged { port: "dicom".into(), items }.to_string();
        assert!(said.starts_with("input dicom changed: new 00.dcm, 01.dcm"), "{said}");
        assert!(said.ends_with("09.dcm and 3 more"), "{said}");
    }
}
