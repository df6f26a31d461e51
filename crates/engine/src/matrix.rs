//! A stage written once and done for every combination of some values: axes, their values, and the names that
//! the combinations have. Knows no stage and no file.
//!
//! A value is known by its text, which stands in names: `lr: [1e-3]` gives `train@lr=0.001`. So `1`, `1.0` and `"1"` are
//! one value, wherever they are written.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::spec::{Origin, Setting};

/// More instances of a stage are a mistake.
pub(crate) const MOST_INSTANCES: usize = 1000;

/// Axis to value: where an instance stands among those of its stage.
pub type Point = BTreeMap<String, Value>;

/// Which instance of which stage a node is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// The stage's name in the pipeline file.
    pub of: String,
    /// Axis to value.
    pub axes: Point,
}

impl Instance {
    /// Does it have these values of these axes?
    pub(crate) fn has(&self, words: &[(&str, &str)]) -> bool {
        words.iter().all(|(axis, word)| self.axes.get(*axis).is_some_and(|value| means(word, value)))
    }
}

/// What is written under `matrix:`.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    Axes(Axes),
    /// The same axes as that stage's.
    Like(String),
}

/// Name to values.
pub(crate) type Axes = BTreeMap<String, Axis>;

/// The values of an axis, each of them once and in [`compare`]'s order.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) origin: Origin,
    pub(crate) values: Vec<Setting<Value>>,
}

impl Axis {
    /// The value that somebody means who writes `word`.
    pub(crate) fn find(&self, word: &str) -> Option<&Value> {
        let mut values = self.values.iter().map(|setting| &setting.value);
        values
            .clone()
            .find(|value| text_of(value) == word)
            .or_else(|| values.find(|value| means(word, value)))
    }

    /// A value of a [`Point`] with its place.
    pub(crate) fn setting(&self, value: &Value) -> Option<&Setting<Value>> {
        let text = text_of(value);
        let found = self.values.binary_search_by(|setting| compare(&text_of(&setting.value), &text));
        found.ok().and_then(|at| self.values.get(at))
    }

    /// All values, for a message.
    pub(crate) fn list(&self) -> String {
        self.values.iter().map(|setting| text_of(&setting.value)).collect::<Vec<_>>().join(", ")
    }
}

/// A value in the one form in which it enters parameters: whole numbers without a point. `None` for what is neither
/// a text, a finite number, nor true or false.
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

/// How a value stands in a name.
pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Does `word` stand for the value: its text, or for a number the same written otherwise (`1e-3`)?
pub(crate) fn means(word: &str, value: &Value) -> bool {
    let text = text_of(value);
    if value.is_string() {
        return text == word;
    }
    let same_number = || Some(text_of(&canonical(&serde_yaml::from_str(word).ok()?)?) == text);
    text == word || same_number().unwrap_or(false)
}

/// The axes and words of `fold=0,lr=1e-3`; `None` when it is not of that form.
pub(crate) fn words(text: &str) -> Option<Vec<(&str, &str)>> {
    text.split(',').map(|part| part.trim().split_once('=')).collect()
}

/// Can the text be part of a file's name everywhere, and of a name on the command line without quotes?
pub(crate) fn is_safe(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

/// `fold=0,lr=0.001`; empty for no axis.
pub(crate) fn label(point: &Point) -> String {
    let parts = point.iter().map(|(axis, value)| format!("{axis}={}", text_of(value)));
    parts.collect::<Vec<_>>().join(",")
}

/// `train@fold=0,lr=0.001`, or the stage's own name where there is no axis.
pub(crate) fn name(stage: &str, point: &Point) -> String {
    if point.is_empty() { stage.to_owned() } else { format!("{stage}@{}", label(point)) }
}

/// How many combinations there are; the largest number there is when they cannot be counted.
pub(crate) fn count(axes: &Axes) -> usize {
    axes.values().map(|axis| axis.values.len()).fold(1, usize::saturating_mul)
}

/// Every combination of the values of some axes, the last axis changing fastest.
pub(crate) fn points<'a>(axes: impl Iterator<Item = (&'a String, &'a Axis)>) -> Vec<Point> {
    let mut points = vec![Point::new()];
    for (name, axis) in axes {
        let with = |point: &Point, value: &Value| {
            let mut point = point.clone();
            point.insert(name.clone(), value.clone());
            point
        };
        points = points.iter().flat_map(|p| axis.values.iter().map(move |v| with(p, &v.value))).collect();
    }
    points
}

/// The order of labels and of values: axis by axis, numbers by their size and before texts.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.parse::<f64>().ok().filter(|x| x.is_finite());
    let part = |a: &str, b: &str| {
        let ((axis_a, a), (axis_b, b)) = (split(a), split(b));
        axis_a.cmp(axis_b).then_with(|| match (number(a), number(b)) {
            (Some(x), Some(y)) => x.total_cmp(&y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.cmp(b),
        })
    };
    let mut parts = a.split(',').zip(b.split(','));
    let first = parts.find_map(|(a, b)| Some(part(a, b)).filter(|order| order.is_ne()));
    first.unwrap_or_else(|| a.cmp(b))
}

/// Axis and value of a part of a label; a name or a position has no axis.
fn split(part: &str) -> (&str, &str) {
    part.split_once('=').unwrap_or(("", part))
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
    fn labels_are_in_the_order_of_their_numbers() {
        let mut labels = ["a=10,b=x", "a=2,b=y", "a=2,b=10", "a=2,b=9", "a=x", "a=1e-3", "a=-1", "10", "9"];
        labels.sort_by(|a, b| compare(a, b));
        assert_eq!(
            labels,
            ["9", "10", "a=-1", "a=1e-3", "a=2,b=9", "a=2,b=10", "a=2,b=y", "a=10,b=x", "a=x"]
        );
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
