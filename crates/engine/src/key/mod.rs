//! The identity of a result: how two keys differ, and how the manifests that hold keys are read.
//!
//! A [`Key`] contains the stage's kind and version, its parameters, the content digest of each
//! input, the seed if the stage uses it, the facts about the machine that affect its bytes, and the
//! keys of its inputs if it shows them. It contains no clock, path, host name or thread count, and
//! not the stage's name in the pipeline.

use std::collections::BTreeMap;
use std::path::Path;

pub use ctpipe_stage::{Key, Manifest};
use ctpipe_stage::{ManifestError, TreeDiff};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::event::Reason;

/// Reads and verifies the manifest of the artifact in `folder`.
///
/// # Errors
/// If it is missing, damaged, or in a later format.
pub(crate) fn read_manifest(folder: &Path) -> Result<Manifest> {
    Ok(Manifest::read(folder)?)
}

impl From<ManifestError> for Error {
    fn from(error: ManifestError) -> Error {
        match error {
            ManifestError::Read { path, source } => Error::io("cannot read", &path, source),
            ManifestError::Altered { path, problem } => Error::Manifest { path, problem },
            ManifestError::Later { path, found, known } => Error::Later { path, found, known },
        }
    }
}

/// Why a result with the key `old` cannot be used for `new`. The function `diff(old digest, new
/// digest)` gives the differences between two trees, if they are known.
pub(crate) fn reasons(new: &Key, old: &Key, diff: impl Fn(&str, &str) -> Option<TreeDiff>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if (old.version, &old.stage) != (new.version, &new.stage) {
        reasons.push(Reason::VersionChanged {
            old: format!("{} {}", old.stage, old.version),
            new: format!("{} {}", new.stage, new.version),
        });
    }
    for (name, old, new) in differences(&old.params, &new.params) {
        reasons.push(Reason::ParamChanged { name, old: old.cloned(), new: new.cloned() });
    }
    if old.seed != new.seed {
        reasons.push(Reason::ParamChanged {
            name: "seed".to_owned(),
            old: old.seed.map(Value::from),
            new: new.seed.map(Value::from),
        });
    }
    for (name, old, new) in differences(&old.facts, &new.facts) {
        reasons.push(Reason::FactChanged { name, old: old.cloned(), new: new.cloned() });
    }
    for (port, old, new) in differences(&old.inputs, &new.inputs) {
        let items = match (old, new) {
            (Some(old), Some(new)) => diff(old, new),
            _ => None,
        };
        reasons.push(Reason::InputChanged { port, items });
    }
    for (port, _, _) in differences(&old.lineage, &new.lineage) {
        reasons.push(Reason::LineageChanged { port });
    }
    reasons
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

#[cfg(test)]
mod tests {
    use ctpipe_stage::Params;

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
        assert!(reasons(&key(), &key(), none).is_empty());
        for (edit, said) in edits {
            let mut new = key();
            edit(&mut new);
            assert_ne!(new.hash(), key().hash(), "{said}");
            let said_now = reasons(&new, &key(), none);
            assert_eq!(said_now.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
        }
    }
}
