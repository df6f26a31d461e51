//! The parameters of stages: their names, meanings and allowed values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Number, Value};

use crate::suggest::did_you_mean;

/// Resolved parameters of one stage: every declared parameter, including defaults.
pub type Params = BTreeMap<String, Value>;

/// The allowed values of a parameter, with its default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// `true` or `false`.
    Bool {
        /// The value when nothing is given.
        default: bool,
    },
    /// A whole number within a range, both ends included.
    Int {
        /// The value when nothing is given.
        default: i64,
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// A finite number within a range, both ends included.
    Float {
        /// The value when nothing is given.
        default: f64,
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// One of a few words.
    Choice {
        /// The value when nothing is given.
        default: &'static str,
        /// All allowed words.
        options: &'static [&'static str],
    },
    /// Any text.
    Text {
        /// The value when nothing is given.
        default: &'static str,
    },
    /// A list of texts, empty by default.
    TextList,
}

/// One parameter of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Param {
    /// Name under `params:`.
    pub name: &'static str,
    /// Values and default.
    #[serde(flatten)]
    pub kind: Kind,
    /// Unit, empty where there is none.
    pub unit: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
}

impl Param {
    /// The default as JSON.
    pub fn default_value(&self) -> Value {
        match self.kind {
            Kind::Bool { default } => default.into(),
            Kind::Int { default, .. } => default.into(),
            Kind::Float { default, .. } => default.into(),
            Kind::Choice { default, .. } | Kind::Text { default } => default.into(),
            Kind::TextList => Value::Array(Vec::new()),
        }
    }

    /// The allowed values in words, such as "a whole number from 1 to 10".
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Bool { .. } => "true or false".to_owned(),
            Kind::Int { min, max, .. } => format!("a whole number from {min} to {max}"),
            Kind::Float { min, max, .. } => format!("a number from {min} to {max}"),
            Kind::Choice { options, .. } => format!("one of: {}", options.join(", ")),
            Kind::Text { .. } => "a text".to_owned(),
            Kind::TextList => "a list of texts".to_owned(),
        }
    }

    /// The value in the form that enters the key (`1` and `1.0` are the same number for a
    /// [`Kind::Float`]).
    ///
    /// # Errors
    /// What would be right, when the value has a different type or is out of range.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        let accepted = match self.kind {
            Kind::Bool { .. } => value.as_bool().map(Value::from),
            Kind::Int { min, max, .. } => value
                .as_i64()
                // 1e3 is also a whole number.
                .or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 9e15).map(|x| x as i64))
                .filter(|n| (min..=max).contains(n))
                .map(Value::from),
            Kind::Float { min, max, .. } => value
                .as_f64()
                .filter(|x| (min..=max).contains(x))
                .and_then(Number::from_f64)
                .map(Value::Number),
            Kind::Choice { options, .. } => {
                value.as_str().filter(|word| options.contains(word)).map(Value::from)
            }
            Kind::Text { .. } => value.as_str().map(Value::from),
            Kind::TextList => value
                .as_array()
                .filter(|items| items.iter().all(Value::is_string))
                .map(|items| Value::Array(items.clone())),
        };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" ({})", self.unit) };
        accepted.ok_or_else(|| {
            let near = match (self.kind, value.as_str()) {
                (Kind::Choice { options, .. }, Some(word)) => did_you_mean(word, options.iter().copied()),
                _ => String::new(),
            };
            format!("{} must be {}{unit}, found {value}{near}", self.name, self.expected())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LR: Param =
        Param { name: "lr", kind: Kind::Float { default: 1e-4, min: 0.0, max: 1.0 }, unit: "", doc: "" };
    const EPOCHS: Param =
        Param { name: "epochs", kind: Kind::Int { default: 100, min: 1, max: 1000 }, unit: "", doc: "" };

    #[test]
    fn a_number_written_in_two_ways_is_one_value() {
        assert_eq!(LR.accept(&1.into()).unwrap(), LR.accept(&1.0.into()).unwrap());
        assert_eq!(EPOCHS.accept(&1e2.into()).unwrap(), Value::from(100));
    }

    #[test]
    fn what_is_out_of_range_is_told_what_would_be_right() {
        assert_eq!(
            EPOCHS.accept(&0.into()).unwrap_err(),
            "epochs must be a whole number from 1 to 1000, found 0"
        );
        assert_eq!(LR.accept(&"fast".into()).unwrap_err(), "lr must be a number from 0 to 1, found \"fast\"");
        assert!(EPOCHS.accept(&1.5.into()).is_err());
        let kind = Kind::Choice { default: "adam", options: &["adam", "adamw", "sgd"] };
        let optimizer = Param { name: "optimizer", kind, unit: "", doc: "" };
        assert_eq!(
            optimizer.accept(&"adamm".into()).unwrap_err(),
            "optimizer must be one of: adam, adamw, sgd, found \"adamm\" (did you mean \"adam\"?)"
        );
    }
}
