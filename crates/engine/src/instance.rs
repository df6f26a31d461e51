//! The instances of a matrix stage, one for each combination of the values of its axes, and their
//! names.
//!
//! A value is identified by its text, which is part of names: `lr: [1e-3]` gives `train@lr=0.001`.
//! So `1`, `1.0` and `"1"` are one value, wherever they are written.

use std::collections::BTreeMap;

use ctpipe_stage::Labelled;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Axis to value: the position of an instance in the matrix of its stage.
pub(crate) type Point = BTreeMap<String, Value>;

/// Which instance of which stage a node is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Instance {
    /// The stage's name in the pipeline file.
    pub of: String,
    /// Axis to value.
    pub axes: Point,
}

impl Instance {
    /// Do these axes have these values?
    pub(crate) fn has(&self, words: &[(&str, &str)]) -> bool {
        words.iter().all(|(axis, word)| self.axes.get(*axis).is_some_and(|value| means(word, value)))
    }
}

/// A value in the one form in which it becomes a parameter: whole numbers without a decimal point.
/// `None` for what is neither a text, a finite number, nor true or false.
pub(crate) fn canonical(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|x| number.is_f64() && x.fract() == 0.0 && x.abs() < 9e15);
            Some(whole.map_or_else(|| value.clone(), |x| Value::from(x as i64)))
        }
        Value::String(_) | Value::Bool(_) => Some(value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of a value in a name.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Does `word` mean the value: is it its text, or the same number written differently (`1e-3`)?
pub(crate) fn means(word: &str, value: &Value) -> bool {
    let text = text_of(value);
    if value.is_string() {
        return text == word;
    }
    let same_number = || Some(text_of(&canonical(&serde_yaml::from_str(word).ok()?)?) == text);
    text == word || same_number().unwrap_or(false)
}

/// The axes and words of `fold=0,lr=1e-3`; `None` if the text does not have that form.
pub(crate) fn words(text: &str) -> Option<Vec<(&str, &str)>> {
    text.split(',').map(|part| part.trim().split_once('=')).collect()
}

/// Can the text be part of a file name on any system, and of an unquoted name on the command line?
pub(crate) fn is_safe(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

/// `fold=0,lr=0.001`; empty without an axis.
pub(crate) fn label(point: &Point) -> String {
    let parts = point.iter().map(|(axis, value)| format!("{axis}={}", text_of(value)));
    parts.collect::<Vec<_>>().join(",")
}

/// `train@fold=0,lr=0.001`, or the stage's own name without an axis.
pub(crate) fn name(stage: &str, point: &Point) -> String {
    Labelled::new(stage, &label(point)).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_value_however_it_is_written() {
        let text = |yaml: &str| canonical(&serde_yaml::from_str(yaml).unwrap()).map(|value| text_of(&value));
        let said = |text: &str| Some(text.to_owned());
        for (yaml, expected) in [
            ("1e-3", said("0.001")),
            ("0.0010", said("0.001")),
            ("1.0", said("1")),
            ("1e2", said("100")),
            ("-0.0", said("0")),
            ("1e-7", said("1e-7")),
            ("true", said("true")),
            ("adam", said("adam")),
            ("\"0x10\"", said("0x10")),
            ("null", None),
            (".nan", None),
            (".inf", None),
            ("[1]", None),
            ("{a: 1}", None),
        ] {
            assert_eq!(text(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn a_word_means_a_number_however_it_is_written_and_a_text_as_it_is() {
        let number: Value = serde_yaml::from_str("0.001").unwrap();
        assert!(means("1e-3", &number) && means("0.001", &number) && !means("0.01", &number));
        assert!(means("3.10", &"3.10".into()) && !means("3.10", &"3.1".into()));
    }

    #[test]
    fn only_what_needs_no_quotes_anywhere_is_part_of_a_name() {
        for good in ["0.001", "1e-5", "adam", "-1", "a_b", "1+1"] {
            assert!(is_safe(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "a=b", "a,b", "a@b", "é", "..\n", "$x"] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
