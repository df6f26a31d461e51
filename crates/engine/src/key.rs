//! What identifies a result, and how two identities differ. Knows neither files nor the store.
//!
//! In the key: the stage's kind and version, its parameters, the content digest of each input,
//! the seed where the stage uses it, the facts of the machine that change its bytes, and the keys of
//! its inputs where it shows them. Not in the key: clocks, paths, host names, thread counts, the stage's name in the pipeline.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::param::Params;
use crate::tree::TreeDiff;

/// A result's identity. Two runs with equal keys make equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The stage's kind.
    pub stage: String,
    /// The stage's `VERSION`.
    pub version: u32,
    /// Every parameter, defaults filled in.
    pub params: Params,
    /// Port to content digest; one of several inputs of a port is `port@label`.
    pub inputs: BTreeMap<String, String>,
    /// The pipeline's seed, for a stage that uses it.
    pub seed: Option<u64>,
    /// Facts of the machine that change the bytes (kind of device, precision).
    pub facts: BTreeMap<String, String>,
    /// Port to the key of the artifact behind it, for a stage that shows how its inputs came about
    /// and not only what they hold.
    pub lineage: BTreeMap<String, String>,
}

impl Key {
    /// BLAKE3 of the key's canonical JSON: fields in the order above, map keys sorted, no blanks.
    pub fn hash(&self) -> String {
        // Only a map with keys that are not strings could fail, and there is none.
        let json = serde_json::to_vec(self).unwrap_or_default();
        blake3::hash(&json).to_hex().to_string()
    }

    /// Is `other` a result of the same work on other inputs?
    pub(crate) fn same_work(&self, other: &Key) -> bool {
        let work = |key: &Key| Key { inputs: BTreeMap::new(), lineage: BTreeMap::new(), ..key.clone() };
        work(self) == work(other)
    }

    /// Is this the key that `known`, of which some inputs are missing, may turn out to be?
    pub(crate) fn agrees_with(&self, known: &Key) -> bool {
        let same = |mine: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
            theirs.iter().all(|(port, digest)| mine.get(port) == Some(digest))
        };
        self.same_work(known) && same(&self.inputs, &known.inputs) && same(&self.lineage, &known.lineage)
    }

    /// Why a result of `old` does not serve for `self`; the tree difference of a port's input is
    /// asked from `diff(old digest, new digest)`, which may not know it.
    pub fn reasons(&self, old: &Key, diff: impl Fn(&str, &str) -> Option<TreeDiff>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if (old.version, &old.stage) != (self.version, &self.stage) {
            reasons.push(Reason::VersionChanged {
                old: format!("{} {}", old.stage, old.version),
                new: format!("{} {}", self.stage, self.version),
            });
        }
        for (name, old, new) in differences(&old.params, &self.params) {
            reasons.push(Reason::ParamChanged { name, old: old.cloned(), new: new.cloned() });
        }
        if old.seed != self.seed {
            reasons.push(Reason::ParamChanged {
                name: "seed".to_owned(),
                old: old.seed.map(Value::from),
                new: self.seed.map(Value::from),
            });
        }
        for (name, old, new) in differences(&old.facts, &self.facts) {
            reasons.push(Reason::FactChanged { name, old: old.cloned(), new: new.cloned() });
        }
        for (port, old, new) in differences(&old.inputs, &self.inputs) {
            let items = match (old, new) {
                (Some(old), Some(new)) => diff(old, new),
                _ => None,
            };
            reasons.push(Reason::InputChanged { port, items });
        }
        for (port, _, _) in differences(&old.lineage, &self.lineage) {
            reasons.push(Reason::LineageChanged { port });
        }
        reasons
    }
}

type Difference<'a, V> = (String, Option<&'a V>, Option<&'a V>);

fn differences<'a, V: PartialEq>(
    old: &'a BTreeMap<String, V>,
    new: &'a BTreeMap<String, V>,
) -> Vec<Difference<'a, V>> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| (name.clone(), old.get(name), new.get(name)))
        .filter(|(_, old, new)| old != new)
        .collect()
}

/// Why a stage has to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// There is no result yet.
    NeverRun,
    /// `--force`.
    Forced,
    /// A parameter (or the seed) has another value.
    ParamChanged {
        /// Which.
        name: String,
        /// Before; `None` when it did not exist.
        old: Option<Value>,
        /// Now; `None` when it no longer exists.
        new: Option<Value>,
    },
    /// An input holds other bytes.
    InputChanged {
        /// Which.
        port: String,
        /// The files that changed, where it is known.
        items: Option<TreeDiff>,
    },
    /// The stage's code makes other bytes than it used to.
    VersionChanged {
        /// Kind and version before.
        old: String,
        /// Kind and version now.
        new: String,
    },
    /// A fact of the machine that changes the bytes is another.
    FactChanged {
        /// Which.
        name: String,
        /// Before.
        old: Option<String>,
        /// Now.
        new: Option<String>,
    },
    /// An input came about in another way, and this stage shows how.
    LineageChanged {
        /// Which port.
        port: String,
    },
    /// A file of the artifact was altered or went.
    OutputAltered {
        /// Which, below the artifact.
        path: String,
    },
    /// A run is held to the lock, which has another result of the same key, and that is in the store.
    NotAsLocked,
    /// The manifest of the artifact is missing or cannot be read.
    ManifestUnreadable {
        /// What is wrong with it.
        problem: String,
    },
    /// An input is not there (yet).
    InputMissing {
        /// Which port.
        port: String,
    },
}

impl Reason {
    /// The same reason without the names of the user's files, which may be those of people: what the
    /// record of a run keeps.
    #[must_use]
    pub fn without_names(&self) -> Reason {
        match self {
            Reason::InputChanged { port, .. } => Reason::InputChanged { port: port.clone(), items: None },
            other => other.clone(),
        }
    }
}

/// How many names of files a reason shows before it counts the rest.
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
            Reason::OutputAltered { path } => write!(f, "its output {path} was altered or removed by hand"),
            Reason::NotAsLocked => f.write_str("the lock holds another result of the same key"),
            Reason::ManifestUnreadable { problem } => write!(f, "its manifest cannot be used: {problem}"),
            Reason::InputMissing { port } => write!(f, "input {port} is missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key {
            stage: "train".into(),
            version: 1,
            params: Params::from([("lr".into(), 0.5.into())]),
            inputs: BTreeMap::from([("volumes".into(), "aa".into())]),
            seed: Some(42),
            facts: BTreeMap::from([("device".into(), "cpu".into())]),
            lineage: BTreeMap::from([("volumes".into(), "cc".into())]),
        }
    }

    /// What an older ctpipe wrote must be found again by a newer one.
    #[test]
    fn the_key_is_hashed_over_this_very_text() {
        let text = r#"{"stage":"train","version":1,"params":{"lr":0.5},"inputs":{"volumes":"aa"},"seed":42,"facts":{"device":"cpu"},"lineage":{"volumes":"cc"}}"#;
        assert_eq!(serde_json::to_string(&key()).ok().as_deref(), Some(text));
        assert_eq!(key().hash(), blake3::hash(text.as_bytes()).to_hex().to_string());
    }

    type Edit = fn(&mut Key);

    #[test]
    fn every_field_changes_the_hash_and_has_its_reason() {
        let none = |_: &str, _: &str| None;
        let edits: [(Edit, &str); 7] = [
            (|k| k.version = 2, "its code changed from train 1 to train 2"),
            (
                |k| {
                    k.params.insert("lr".into(), 0.25.into());
                },
                "lr changed from 0.5 to 0.25",
            ),
            (|k| k.seed = Some(1), "seed changed from 42 to 1"),
            (|k| k.facts.clear(), "device changed from cpu to nothing"),
            (|k| k.lineage.clear(), "input volumes was made with another key"),
            (
                |k| {
                    k.inputs.insert("volumes".into(), "bb".into());
                },
                "input volumes changed",
            ),
            (|k| k.stage = "other".into(), "its code changed from train 1 to other 1"),
        ];
        assert!(key().reasons(&key(), none).is_empty());
        for (edit, said) in edits {
            let mut new = key();
            edit(&mut new);
            assert_ne!(new.hash(), key().hash(), "{said}");
            let reasons = new.reasons(&key(), none);
            assert_eq!(reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
        }
    }

    #[test]
    fn a_long_list_of_files_is_cut_and_counted() {
        let added = (0..13).map(|i| format!("{i:02}.dcm")).collect();
        let items = Some(TreeDiff { added, ..TreeDiff::default() });
        let said = Reason::InputChanged { port: "dicom".into(), items }.to_string();
        assert!(said.starts_with("input dicom changed: new 00.dcm, 01.dcm"), "{said}");
        assert!(said.ends_with("09.dcm and 3 more"), "{said}");
    }
}
