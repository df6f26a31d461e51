//! What a stage has to say, in English and as data, so that a report can say it in another
//! language.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Named values of a [`Reason`] or a [`Note`].
pub type Values = BTreeMap<String, Value>;

/// As data: why a figure is undefined, or by what criterion something was chosen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Code of the reason, such as `one_class`.
    pub code: String,
    /// Values that belong to it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}

/// Something to bear in mind. Files of earlier versions hold the text alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Written")]
pub struct Note {
    /// The text, in English.
    pub text: String,
    /// Code of the note, such as `no_val`; empty where there is only the text.
    pub code: String,
    /// Values that belong to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}

#[derive(Deserialize, JsonSchema)]
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
    /// A note with its values.
    pub fn new<const N: usize>(code: &str, text: impl Into<String>, values: [(&str, Value); N]) -> Note {
        let values = values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Note { text: text.into(), code: code.to_owned(), values }
    }
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
