//! The axes of a matrix: their values, and all combinations of them.

use std::collections::BTreeMap;

use ctpipe_stage::label::compare;
use serde_json::Value;

use super::setting::{Origin, Setting};
use crate::instance::{Point, means, text_of};

/// The most instances that a stage may have; more are a mistake.
pub(crate) const MOST_INSTANCES: usize = 1000;

/// What is written under `matrix:`.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    Axes(Axes),
    /// The same axes as this stage.
    Like(String),
}

/// Name to values.
pub(crate) type Axes = BTreeMap<String, Axis>;

/// The values of an axis, without duplicates and in the order of [`compare`].
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) origin: Origin,
    pub(crate) values: Vec<Setting<Value>>,
}

impl Axis {
    /// The value that `word` means.
    pub(crate) fn find(&self, word: &str) -> Option<&Value> {
        let mut values = self.values.iter().map(|setting| &setting.value);
        values
            .clone()
            .find(|value| text_of(value) == word)
            .or_else(|| values.find(|value| means(word, value)))
    }

    /// The setting of a value of a [`Point`], with its place in the file.
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

/// The number of combinations; the largest integer if there are too many to count.
pub(crate) fn count(axes: &Axes) -> usize {
    axes.values().map(|axis| axis.values.len()).fold(1, usize::saturating_mul)
}

/// Every combination of the values of some axes; the last axis changes fastest.
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
