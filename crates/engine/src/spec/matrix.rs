//! Reads the `matrix:` of a stage, of a profile or of `--set`.

use ctpipe_stage::label::compare;
use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use super::axes::{Axes, Axis, Matrix};
use super::locate::Side;
use super::reader::{Reader, describe, is_word};
use super::setting::{Origin, Setting};
use super::written::StageSpec;
use crate::instance::{canonical, is_safe, text_of};

impl Reader {
    /// Reads a whole `matrix:`. Returns `None` if it is removed (`null`) or wrong.
    pub(super) fn matrix(&mut self, yaml: &Yaml, origin: &Origin) -> Option<Setting<Matrix>> {
        let matrix = match yaml {
            Yaml::Null => return None,
            Yaml::String(stage) => Matrix::Like(stage.clone()),
            Yaml::Mapping(mapping) if !mapping.is_empty() => {
                let mut axes = Axes::new();
                for (key, values) in mapping {
                    let Some(name) = key.as_str() else {
                        let found = describe(key);
                        self.problem(
                            origin,
                            Side::Value,
                            format!("the name of an axis must be a text, found {found}"),
                        );
                        continue;
                    };
                    let axis = self.axis(name, values, &origin.below(name));
                    axes.extend(axis.map(|axis| (name.to_owned(), axis)));
                }
                Matrix::Axes(axes)
            }
            other => {
                let found = if other.is_mapping() { "none".to_owned() } else { describe(other) };
                let message = format!(
                    "expected axes, such as {{ fold: [0, 1, 2] }}, or the name of a stage with a matrix, found {found}"
                );
                self.problem(origin, Side::Value, message);
                return None;
            }
        };
        Some(Setting { value: matrix, origin: origin.clone() })
    }

    /// Reads one axis: a list of distinct values that can be part of a file name.
    pub(super) fn axis(&mut self, name: &str, yaml: &Yaml, origin: &Origin) -> Option<Axis> {
        if !is_word(name) {
            let message =
                format!("the name of an axis is made of letters, digits, - and _, found \"{name}\"");
            self.problem(origin, Side::Key, message);
            return None;
        }
        let Yaml::Sequence(list) = yaml else {
            let found = describe(yaml);
            self.problem(origin, Side::Value, format!("expected a list of values of {name}, found {found}"));
            return None;
        };
        if list.is_empty() {
            self.problem(origin, Side::Value, format!("{name} needs at least one value"));
        }
        let mut values: Vec<Setting<Json>> = Vec::new();
        for (position, item) in list.iter().enumerate() {
            let origin = origin.below(&position.to_string());
            let value = serde_json::to_value(item).ok().and_then(|value| canonical(&value));
            let problem = match value {
                None => {
                    let found = describe(item);
                    format!("a value of {name} is a text, a number, or true or false, found {found}")
                }
                Some(value) => {
                    let text = text_of(&value);
                    if !is_safe(&text) {
                        format!(
                            "a value of {name} is part of a file's name and is made of letters, digits and . _ + -, \
                             found \"{text}\""
                        )
                    } else if let Some(other) =
                        values.iter().find(|other| are_one_value(&other.value, &value))
                    {
                        let other = text_of(&other.value);
                        if other == text {
                            format!("{name} has the value {text} twice")
                        } else {
                            format!("{name} has the same value twice, as {other} and as {text}")
                        }
                    } else {
                        values.push(Setting { value, origin });
                        continue;
                    }
                }
            };
            self.problem(&origin, Side::Value, problem);
        }
        values.sort_by(|a, b| compare(&text_of(&a.value), &text_of(&b.value)));
        Some(Axis { origin: origin.clone(), values })
    }

    /// Removes the parameters that a later axis replaces. The axis may be in the file or, for
    /// `--set`, follow a profile.
    pub(super) fn axes_replace_params(spec: &mut StageSpec, is_later: impl Fn(&Origin, &Origin) -> bool) {
        let Some(Setting { value: Matrix::Axes(axes), .. }) = &spec.matrix else { return };
        spec.params
            .retain(|name, param| !axes.get(name).is_some_and(|axis| is_later(&axis.origin, &param.origin)));
    }

    /// Applies `--set stage.matrix=..` and `--set stage.matrix.axis=..`; `rest` is the text after
    /// `matrix`.
    pub(super) fn set_matrix(&mut self, stage: &str, rest: &str, yaml: &Yaml, origin: &Origin) {
        let Some(axis_name) = rest.strip_prefix('.') else {
            let matrix = self.matrix(yaml, origin);
            if let Some(spec) = self.spec.stages.get_mut(stage) {
                spec.matrix = matrix;
            }
            return;
        };
        let Some(axis) = self.axis(axis_name, yaml, origin) else { return };
        let Some(spec) = self.spec.stages.get_mut(stage) else { return };
        let matrix = || Setting { value: Matrix::Axes(Axes::new()), origin: origin.clone() };
        match &mut spec.matrix.get_or_insert_with(matrix).value {
            Matrix::Axes(axes) => {
                axes.insert(axis_name.to_owned(), axis);
            }
            Matrix::Like(other) => {
                let message = format!("{stage} has the axes of {other}; set {other}.matrix.{axis_name}");
                self.problem(origin, Side::Value, message);
            }
        }
    }
}

/// Whether two values are the same text, or two notations of one number, so that `lr=1e-3` would be
/// ambiguous. Two texts are never compared as numbers, even if they look like numbers (`"3.1"` and
/// `"3.10"`).
fn are_one_value(a: &Json, b: &Json) -> bool {
    let (text_a, text_b) = (text_of(a), text_of(b));
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    // Whole numbers that are too large for a float are compared by their digits.
    let are_whole = [&text_a, &text_b].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let is_number = (a.is_number() || b.is_number()) && !are_whole;
    text_a == text_b || is_number && number(&text_a).is_some() && number(&text_a) == number(&text_b)
}
