//! What a stage has to say in words, and the same as data, for whoever says it in another language. Knows no language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::described::described;

/// Names and numbers of a [`Reason`] or a [`Note`].
pub type Values = BTreeMap<String, Value>;

/// Why there is no figure, or what something was done by, as data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Which, as `one_class`.
    pub code: String,
    /// What belongs to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}

/// Something to bear in mind. Files of earlier versions have the words alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Note {
    /// In English.
    pub text: String,
    /// Which, as `no_val`; empty where the words are all that there is.
    pub code: String,
    /// What belongs to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Words(String),
    Note {
        text: String,
        code: String,
        #[serde(default)]
        values: Values,
    },
}

impl From<Written> for Note {
    fn from(written: Written) -> Note {
        match written {
            Written::Words(text) => Note { text, ..Note::default() },
            Written::Note { text, code, values } => Note { text, code, values },
        }
    }
}

impl Note {
    /// A note with its numbers.
    pub fn new<const N: usize>(code: &str, text: impl Into<String>, values: [(&str, Value); N]) -> Note {
        let values = values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Note { text: text.into(), code: code.to_owned(), values }
    }
}

described! {
    Reason = {
        "type": "object",
        "properties": { "code": { "type": "string" }, "values": { "type": "object" } },
        "required": ["code"],
        "additionalProperties": false
    },
    Note = {
        "type": "object",
        "properties": {
            "text": { "type": "string" },
            "code": { "type": "string" },
            "values": { "type": "object" }
        },
        "required": ["text", "code"],
        "additionalProperties": false
    },
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_are_written_and_as_earlier_versions_wrote_them() {
        let note = Note::new("empty_part", "val is empty", [("part", "val".into())]);
        let json = serde_json::to_string(&note).unwrap();
        assert_eq!(json, r#"{"text":"val is empty","code":"empty_part","values":{"part":"val"}}"#);
        assert_eq!(serde_json::from_str::<Note>(&json).unwrap(), note);
        let words: Note = serde_json::from_str(r#""val is empty""#).unwrap();
        assert_eq!(words, Note { text: "val is empty".into(), ..Note::default() });
    }
}
