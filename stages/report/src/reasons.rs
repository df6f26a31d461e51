//! Says in the page's language what earlier stages report: puts their codes and numbers into the
//! catalogue's sentences. A code that the catalogue does not know keeps its stage's own words.
//! Knows no figure.

use ctpipe_tables::note::Values;
use ctpipe_tables::{Note, Reason};
use serde_json::Value;

use crate::texts::Texts;

/// "undefined because ...": why a figure has no value.
pub(crate) fn because(texts: &Texts, reason: Option<&Reason>, words: Option<&str>) -> String {
    let said = reason.and_then(|reason| coded(texts, "undefined", &reason.code, &reason.values));
    said.or(words.map(str::to_owned)).unwrap_or_else(|| texts.say("figure.no_reason"))
}

/// A note of an earlier stage.
pub(crate) fn note(texts: &Texts, note: &Note) -> String {
    coded(texts, "note", &note.code, &note.values).unwrap_or_else(|| note.text.clone())
}

/// Notes of an earlier stage.
pub(crate) fn notes(texts: &Texts, notes: &[Note]) -> Vec<String> {
    notes.iter().map(|said| note(texts, said)).collect()
}

/// The criterion by which a threshold was chosen.
pub(crate) fn criterion(texts: &Texts, by: &Reason) -> Option<String> {
    coded(texts, "threshold.by", &by.code, &by.values)
}

/// `None` where the catalogue has no such sentence.
fn coded(texts: &Texts, kind: &str, code: &str, values: &Values) -> Option<String> {
    let key = format!("{kind}.{code}");
    texts.find(&key)?;
    let with: Vec<(&str, String)> =
        values.iter().map(|(name, value)| (name.as_str(), said(texts, name, value))).collect();
    let with: Vec<(&str, &str)> = with.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Some(texts.fill(&key, &with))
}

fn said(texts: &Texts, name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => {
            let known = ["class", "part"].iter().find_map(|kind| texts.find(&format!("{kind}.{text}")));
            known.unwrap_or(text).to_owned()
        }
        Value::Number(number) => match number.as_u64() {
            Some(whole) => texts.count(whole),
            None => number.to_string(),
        },
        // JSON has neither NaN nor infinity.
        Value::Null => texts.say("word.not_finite"),
        Value::Object(_) => {
            let Ok(inner) = serde_json::from_value::<Reason>(value.clone()) else {
                return value.to_string();
            };
            let found = if name == "by" { criterion(texts, &inner) } else { None };
            found.unwrap_or_else(|| because(texts, Some(&inner), Some(&inner.code)))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn a_note_is_said_in_the_page_s_language_and_an_unknown_one_in_its_own_words() {
        let by = serde_json::json!({"code": "sensitivity", "values": {"at_least": 0.9}});
        let why = serde_json::json!({"code": "one_class", "values": {"class": "normal", "samples": 1200}});
        let values = [("by", by), ("why", why), ("threshold", 0.5.into())];
        let fallback = Note::new("threshold_undefined", "in English", values);
        assert_eq!(
            note(&Texts::new(Language::En), &fallback),
            "The threshold by sensitivity >= 0.9 on the validation set is undefined because all 1,200 samples are normal; \
             samples of both classes are needed. 0.5 is used instead."
        );
        let ru = note(&Texts::new(Language::Ru), &fallback);
        assert!(ru.contains("чувствительность") && ru.contains("норма") && !ru.contains("English"), "{ru}");
        let later = Note { text: "from a later version".into(), code: "later".into(), ..Note::default() };
        assert_eq!(note(&Texts::new(Language::Ru), &later), "from a later version");
        let old = Note { text: "words alone".into(), ..Note::default() };
        assert_eq!(note(&Texts::new(Language::Ru), &old), "words alone");
    }
}
