//! Names with a label after an `@`: the instance `train@fold=0` of a stage, or the input
//! `metrics@fold=0` of a port.

use std::cmp::Ordering;
use std::fmt;

/// A name, and the label that distinguishes it from others with that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelled<'a> {
    /// The stage's or the port's own name.
    pub name: &'a str,
    /// The text after the `@`.
    pub label: Option<&'a str>,
}

impl<'a> Labelled<'a> {
    /// Splits a name at its first `@`.
    pub fn parse(text: &'a str) -> Labelled<'a> {
        match text.split_once('@') {
            Some((name, label)) => Labelled { name, label: Some(label) },
            None => Labelled { name: text, label: None },
        }
    }

    /// The name with this label, or the name alone where the label is empty.
    pub fn new(name: &'a str, label: &'a str) -> Labelled<'a> {
        Labelled { name, label: (!label.is_empty()).then_some(label) }
    }
}

impl fmt::Display for Labelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label {
            Some(label) => write!(f, "{}@{label}", self.name),
            None => f.write_str(self.name),
        }
    }
}

/// The order of labels and of values: axis by axis, with numbers by value and before texts.
pub fn compare(a: &str, b: &str) -> Ordering {
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

/// Axis and value of one part of a label; a name or a position has no axis.
fn split(part: &str) -> (&str, &str) {
    part.split_once('=').unwrap_or(("", part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_at_its_first_at_sign_and_put_together_again() {
        for (text, name, label) in
            [("train", "train", None), ("fit@fold=0", "fit", Some("fold=0")), ("a@b@c", "a", Some("b@c"))]
        {
            let parsed = Labelled::parse(text);
            assert_eq!((parsed.name, parsed.label), (name, label));
            assert_eq!(parsed.to_string(), text);
        }
        assert_eq!(Labelled::new("train", "").to_string(), "train");
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
}
