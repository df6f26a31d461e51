//! Every text of the page, in one catalogue per language (`texts/`). Knows no figure and no table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// The language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

impl Language {
    /// The language's name in HTML (`lang`).
    pub(crate) fn code(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Ru => "ru",
        }
    }

    fn catalogue(self) -> &'static str {
        match self {
            Language::En => include_str!("../texts/en.json"),
            Language::Ru => include_str!("../texts/ru.json"),
        }
    }

    /// The index of the plural form that goes with a number.
    fn form(self, n: u64) -> usize {
        match self {
            Language::En => usize::from(n != 1),
            // Unicode CLDR: one, few, many.
            Language::Ru => match (n % 10, n % 100) {
                (1, tens) if tens != 11 => 0,
                (2..=4, tens) if !(12..=14).contains(&tens) => 1,
                _ => 2,
            },
        }
    }

    /// The separator of thousands.
    fn separator(self) -> char {
        match self {
            Language::En => ',',
            Language::Ru => '\u{a0}',
        }
    }
}

/// The codes of a kind (`code`, `warning`, `flag`) that stand in tables, each with its meaning in
/// English.
pub fn meanings(kind: &str) -> BTreeMap<String, String> {
    let catalogue: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(Language::En.catalogue()).unwrap_or_default();
    let of_kind = catalogue.into_iter().filter_map(|(key, text)| {
        let word = key.strip_prefix(kind)?.strip_prefix('.')?.to_owned();
        Some((word, text.as_str()?.to_owned()))
    });
    of_kind.collect()
}

/// The texts of one language.
#[derive(Debug)]
pub(crate) struct Texts {
    language: Language,
    of: BTreeMap<String, String>,
    /// Keys that were asked for but do not exist; a test checks that there are none.
    missing: Mutex<BTreeSet<String>>,
}

impl Texts {
    pub(crate) fn new(language: Language) -> Texts {
        // A test reads both catalogues. If one could not be parsed, the page would show the keys.
        let of = serde_json::from_str(language.catalogue()).unwrap_or_default();
        Texts { language, of, missing: Mutex::default() }
    }

    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// A text without any replacement, if it exists.
    pub(crate) fn find(&self, key: &str) -> Option<&str> {
        self.of.get(key).map(String::as_str)
    }

    /// A text without any replacement; the key itself if there is no such text.
    pub(crate) fn say(&self, key: &str) -> String {
        self.find(key).map_or_else(
            || {
                if let Ok(mut missing) = self.missing.lock() {
                    missing.insert(key.to_owned());
                }
                key.to_owned()
            },
            str::to_owned,
        )
    }

    /// A text in which each `{name}` is replaced by its value.
    pub(crate) fn fill(&self, key: &str, with: &[(&str, &str)]) -> String {
        with.iter().fold(self.say(key), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The plural form of a text that goes with a number, with `{n}` replaced by it:
    /// "{n} patient|{n} patients".
    pub(crate) fn counted(&self, key: &str, n: u64) -> String {
        let text = self.say(key);
        let forms: Vec<&str> = text.split('|').collect();
        let form = forms.get(self.language.form(n)).or(forms.last()).copied().unwrap_or_default();
        form.replace("{n}", &self.count(n))
    }

    /// A number with its thousands separated: 12,345.
    pub(crate) fn count(&self, n: u64) -> String {
        let digits = n.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(self.language.separator());
            }
            text.push(digit);
        }
        text
    }

    #[cfg(test)]
    pub(crate) fn missing(&self) -> Vec<String> {
        self.missing.lock().map(|missing| missing.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::formatting::{CODES, FLAGS, WARNINGS};

    fn placeholders(text: &str) -> BTreeSet<&str> {
        let between = |open, close| {
            text.split(open).skip(1).filter_map(move |rest| rest.split_once(close)).map(|(name, _)| name)
        };
        // The page's script replaces `[name]`.
        between('{', '}').chain(between('[', ']')).collect()
    }

    #[test]
    fn every_text_is_there_in_both_languages_with_the_same_places_and_all_forms() {
        let [en, ru] = [Language::En, Language::Ru].map(Texts::new);
        let keys = |texts: &Texts| texts.of.keys().cloned().collect::<Vec<_>>();
        assert!(en.of.len() > 100);
        assert_eq!(keys(&en), keys(&ru));
        for (key, text) in &en.of {
            let other = &ru.of[key];
            assert_eq!(placeholders(text), placeholders(other), "{key}");
            assert!(!other.trim().is_empty(), "{key}");
            let forms = |text: &str| text.split('|').count();
            assert_eq!(
                (forms(text), forms(other)),
                if text.contains('|') { (2, 3) } else { (1, 1) },
                "{key}"
            );
        }
    }

    /// Every key stands in the sources, either whole or as a prefix to which a code is appended.
    #[test]
    fn no_text_is_left_over() {
        let sources = concat!(
            include_str!("../templates/report.html"),
            include_str!("../templates/macros.html"),
            include_str!("charts/data.rs"),
            include_str!("charts/folds.rs"),
            include_str!("charts/pipeline.rs"),
            include_str!("charts/results.rs"),
            include_str!("charts/training.rs"),
            include_str!("reasons.rs"),
            include_str!("formatting.rs"),
            include_str!("spreadsheet.rs"),
            include_str!("page/mod.rs"),
            include_str!("page/cases.rs"),
            include_str!("page/checklist.rs"),
            include_str!("page/cross_validation.rs"),
            include_str!("page/data.rs"),
            include_str!("page/diagnosis.rs"),
            include_str!("page/examples.rs"),
            include_str!("page/model.rs"),
            include_str!("page/provenance.rs"),
            include_str!("page/quality.rs"),
            include_str!("page/results.rs"),
            include_str!("page/search.rs"),
            include_str!("page/table.rs"),
            include_str!("page/verdict.rs"),
        );
        // Headings of columns of numbers begin with #.
        let stands_there =
            |key: &str| sources.contains(&format!("\"{key}\"")) || sources.contains(&format!("\"#{key}\""));
        let is_code = |key: &str| match key.split_once('.') {
            Some(("code", code)) => CODES.contains(&code),
            Some(("warning", code)) => WARNINGS.contains(&code),
            Some(("flag", code)) => FLAGS.contains(&code),
            // The tests of the whole report check that these codes exist.
            Some((kind @ ("undefined" | "note" | "sex"), _)) => sources.contains(&format!("\"{kind}")),
            Some(("threshold", code)) => code.starts_with("by."),
            _ => false,
        };
        let put_together = |key: &str| {
            key.rmatch_indices('.').any(|(at, _)| sources.contains(&format!("\"{}.{{", &key[..at])))
        };
        let texts = Texts::new(Language::En);
        let over: Vec<&String> =
            texts.of.keys().filter(|key| !stands_there(key) && !put_together(key) && !is_code(key)).collect();
        assert!(over.is_empty(), "{over:?}");
    }

    #[test]
    fn russian_numbers_have_three_forms() {
        let texts = Texts::new(Language::Ru);
        let said = [1, 2, 5, 11, 12, 21, 22, 25, 111, 1004].map(|n| Language::Ru.form(n));
        assert_eq!(said, [0, 1, 2, 2, 2, 0, 1, 2, 2, 1]);
        assert_eq!(texts.count(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!(Texts::new(Language::En).count(1000), "1,000");
    }
}
