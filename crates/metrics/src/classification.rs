//! Precision, recall and F1 of each class and their averages: the table of scikit-learn's
//! `classification_report`, computed from the four counts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::undefined::value_or_null;
use crate::{Class, Confusion, Undefined};

/// The table, with scikit-learn's names in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassificationReport {
    /// Class 0.
    #[serde(rename = "Normal")]
    pub normal: ClassFigures,
    /// Class 1.
    #[serde(rename = "Pathology")]
    pub pathology: ClassFigures,
    /// The share of all samples that is predicted correctly.
    #[serde(serialize_with = "value_or_null")]
    pub accuracy: Result<f64, Undefined>,
    /// The mean of the two classes.
    #[serde(rename = "macro avg")]
    pub macro_average: ClassFigures,
    /// The mean of the two classes weighted by their support.
    #[serde(rename = "weighted avg")]
    pub weighted_average: ClassFigures,
}

/// A row of the table. In JSON an undefined figure is `null`, and its reason is under
/// `undefined.<figure>`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "FlatClassFigures")]
pub struct ClassFigures {
    /// The share of the samples predicted as the class that belongs to it.
    pub precision: Result<f64, Undefined>,
    /// The share of the samples of the class that is predicted as it.
    pub recall: Result<f64, Undefined>,
    /// The harmonic mean of precision and recall.
    pub f1: Result<f64, Undefined>,
    /// Number of samples of the class; of both classes in the rows of averages.
    pub support: u64,
}

impl ClassificationReport {
    /// The table of these counts.
    ///
    /// 0/0 is [`Undefined`], where scikit-learn returns 0 and warns. An average over an undefined
    /// entry is undefined for the same reason (Normal's, when both are); scikit-learn's
    /// `zero_division=nan` would average the rest.
    pub fn new(confusion: &Confusion) -> Self {
        let normal = ClassFigures::of(Class::Normal, confusion);
        let pathology = ClassFigures::of(Class::Pathology, confusion);
        let support = (normal.support as f64, pathology.support as f64);
        Self {
            accuracy: confusion.accuracy(),
            macro_average: ClassFigures::average(&normal, &pathology, (1.0, 1.0)),
            weighted_average: ClassFigures::average(&normal, &pathology, support),
            normal,
            pathology,
        }
    }
}

impl ClassFigures {
    fn of(class: Class, confusion: &Confusion) -> Self {
        Self {
            precision: confusion.precision_of(class).value(),
            recall: confusion.recall_of(class).value(),
            f1: confusion.f1_of(class),
            support: confusion.support_of(class),
        }
    }

    fn average(a: &Self, b: &Self, (weight_a, weight_b): (f64, f64)) -> Self {
        let mean = |a: Result<f64, Undefined>, b: Result<f64, Undefined>| {
            Ok((weight_a * a? + weight_b * b?) / (weight_a + weight_b))
        };
        Self {
            precision: mean(a.precision, b.precision),
            recall: mean(a.recall, b.recall),
            f1: mean(a.f1, b.f1),
            support: a.support + b.support,
        }
    }
}

#[derive(Serialize)]
struct FlatClassFigures {
    precision: Option<f64>,
    recall: Option<f64>,
    #[serde(rename = "f1-score")]
    f1: Option<f64>,
    support: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    undefined: BTreeMap<&'static str, String>,
}

impl From<ClassFigures> for FlatClassFigures {
    fn from(figures: ClassFigures) -> Self {
        let ClassFigures { precision, recall, f1, support } = figures;
        let named = [("precision", precision), ("recall", recall), ("f1-score", f1)];
        Self {
            precision: precision.ok(),
            recall: recall.ok(),
            f1: f1.ok(),
            support,
            undefined: (named.into_iter())
                .filter_map(|(name, figure)| Some((name, figure.err()?.to_string())))
                .collect(),
        }
    }
}
