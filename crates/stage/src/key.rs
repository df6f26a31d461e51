//! The key of a result: everything that identifies it.
//!
//! A key holds the stage's kind and version, its parameters, the content digest of each input, the
//! seed where the stage uses it, the facts of the machine that affect the bytes, and the keys of
//! the inputs where the stage shows them. It does not hold times, paths, host names, thread counts,
//! or the stage's name in the pipeline.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::param::Params;

/// The identity of a result. Two runs with equal keys make equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The stage's kind.
    pub stage: String,
    /// The stage's `VERSION`.
    pub version: u32,
    /// Every parameter, including defaults.
    pub params: Params,
    /// Content digest of each port; one of several inputs of a port is `port@label`.
    pub inputs: BTreeMap<String, String>,
    /// The pipeline's seed, for a stage that uses it.
    pub seed: Option<u64>,
    /// Facts of the machine that affect the bytes (kind of device, precision).
    pub facts: BTreeMap<String, String>,
    /// Key of the artifact at each port, for a stage that shows how its inputs were made and not
    /// only what they hold.
    pub lineage: BTreeMap<String, String>,
}

impl Key {
    /// BLAKE3 of the key's canonical JSON: fields in the order above, map keys sorted, no
    /// whitespace.
    pub fn hash(&self) -> String {
        // Only a map with keys that are not strings could fail, and there is none.
        let json = serde_json::to_vec(self).unwrap_or_default();
        blake3::hash(&json).to_hex().to_string()
    }

    /// Whether `other` is a result of the same work on different inputs.
    pub fn same_work(&self, other: &Key) -> bool {
        let work = |key: &Key| Key { inputs: BTreeMap::new(), lineage: BTreeMap::new(), ..key.clone() };
        work(self) == work(other)
    }

    /// Whether this may be the complete form of the key `known`, which lacks some inputs.
    pub fn agrees_with(&self, known: &Key) -> bool {
        let same = |mine: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>| {
            theirs.iter().all(|(port, digest)| mine.get(port) == Some(digest))
        };
        self.same_work(known) && same(&self.inputs, &known.inputs) && same(&self.lineage, &known.lineage)
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

    /// A newer ctpipe must find what an older one wrote.
    #[test]
    fn the_key_is_hashed_over_this_very_text() {
        let text = r#"{"stage":"train","version":1,"params":{"lr":0.5},"inputs":{"volumes":"aa"},"seed":42,"facts":{"device":"cpu"},"lineage":{"volumes":"cc"}}"#;
        assert_eq!(serde_json::to_string(&key()).ok().as_deref(), Some(text));
        assert_eq!(key().hash(), blake3::hash(text.as_bytes()).to_hex().to_string());
    }
}
