//! Section 6: the figures of all three parts, side by side. Computes no figure.

use ctpipe_tables::Part;
use ctpipe_tables::json::{Figure as Metric, PartMetrics};
use serde::Serialize;
use serde_json::Value;

use super::table::Table;
use super::{Figure, result};
use crate::inputs::Inputs;
use crate::words;

/// Wrong decisions listed before the rest is counted.
const SHOWN: usize = 50;

#[derive(Serialize)]
pub(super) struct View {
    threshold: String,
    threshold_note: Option<String>,
    intervals: String,
    figures: Table,
    roc: Vec<Figure>,
    confusions: Vec<result::Matrix>,
    reports: Vec<Table>,
    /// Parts that have no classification report.
    without_report: Vec<String>,
    wrong: Option<Table>,
}

pub(super) fn view(inputs: &Inputs, roc: Vec<Figure>) -> View {
    let metrics = &inputs.metrics;
    let parts = Part::ALL.map(|part| (words::part(part.as_str()), metrics.part(part)));
    let report =
        |(name, part): &(&str, &PartMetrics)| classification_report(name, &part.classification_report);
    let missing = |(name, part): &(&str, &PartMetrics)| {
        classification_report(name, &part.classification_report).is_none().then(|| (*name).to_owned())
    };
    View {
        threshold: words::threshold(metrics),
        threshold_note: metrics.threshold.note.clone(),
        intervals: format!(
            "Intervals hold with {} confidence, from {} of the bootstrap.",
            words::percent(metrics.confidence_level),
            words::counted(metrics.n_bootstrap, "replicate", "replicates")
        ),
        figures: figures(&parts, metrics.confidence_level),
        roc,
        confusions: parts.iter().map(|(name, part)| result::matrix(name, part)).collect(),
        reports: parts.iter().filter_map(report).collect(),
        without_report: parts.iter().filter_map(missing).collect(),
        wrong: wrong(inputs).unless_empty(),
    }
}

fn figures(parts: &[(&str, &PartMetrics); 3], level: f64) -> Table {
    let row = |name: &str, cell: &dyn Fn(&PartMetrics) -> String| {
        let mut row = vec![name.to_owned()];
        row.extend(parts.iter().map(|(_, part)| cell(part)));
        row
    };
    let metric = |name: &str, of: fn(&PartMetrics) -> &Metric| row(name, &|p| words::short_figure(of(p)));
    let rows = vec![
        row("Series", &|p| words::count(p.samples)),
        row("Patients", &|p| words::count(p.patients)),
        metric("AUC", |p| &p.auc),
        metric("Sensitivity", |p| &p.sensitivity),
        metric("Specificity", |p| &p.specificity),
        metric("Precision", |p| &p.precision),
        metric("F1", |p| &p.f1),
        metric("Accuracy", |p| &p.accuracy),
        row("Loss", &|p| p.loss.map_or("undefined".to_owned(), |loss| format!("{loss:.3}"))),
    ];
    let caption = format!("Figures of each part, with {} intervals in brackets", words::percent(level));
    Table::new(caption, &["Figure", "Training", "Validation", "Test"], rows)
}

/// From scikit-learn's form: classes first, then accuracy and the averages.
fn classification_report(name: &str, report: &Value) -> Option<Table> {
    const LAST: [&str; 3] = ["accuracy", "macro avg", "weighted avg"];
    let report = report.as_object()?;
    let classes = report.keys().map(String::as_str).filter(|key| !LAST.contains(key));
    let rows: Vec<Vec<String>> = classes
        .chain(LAST)
        .filter_map(|key| {
            let entry = report.get(key)?;
            let cells = match entry {
                Value::Object(figures) => {
                    ["precision", "recall", "f1-score", "support"].map(|name| number(name, figures.get(name)))
                }
                single => [String::new(), String::new(), number(key, Some(single)), String::new()],
            };
            let mut row = vec![class(key).to_owned()];
            row.extend(cells);
            Some(row)
        })
        .collect();
    let heads = ["Class", "#Precision", "#Recall", "#F1", "#Series"];
    Table::new(format!("Classification report of the {name} part"), &heads, rows).unless_empty()
}

fn class(key: &str) -> &str {
    match key {
        "0" | "0.0" => words::class(0),
        "1" | "1.0" => words::class(1),
        "macro avg" => "mean of the classes",
        "weighted avg" => "mean, weighted by series",
        other => other,
    }
}

fn number(name: &str, value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(n)) => {
            let n = n.as_f64().unwrap_or(f64::NAN);
            if name == "support" { words::count(n as u64) } else { words::share(n) }
        }
        Some(Value::String(text)) => text.clone(),
        _ => "undefined".to_owned(),
    }
}

/// The test series on the wrong side of the threshold, the most certain mistake first.
fn wrong(inputs: &Inputs) -> Table {
    let threshold = inputs.metrics.threshold.value;
    let mut wrong: Vec<_> = inputs
        .predictions
        .iter()
        .filter(|row| row.split == Part::Test.as_str() && row.decision != (row.label == 1))
        .collect();
    let distance = |p: f64| -(p - threshold).abs();
    wrong.sort_by(|a, b| {
        let by_distance = distance(a.probability).total_cmp(&distance(b.probability));
        by_distance.then_with(|| a.series_uid.cmp(&b.series_uid))
    });
    let row = |row: &&ctpipe_tables::PredictionRow| {
        let called = words::class(u32::from(row.decision));
        vec![
            row.series_uid.clone(),
            words::class(row.label).to_owned(),
            called.to_owned(),
            format!("{:.3}", row.probability),
        ]
    };
    let heads = ["Series UID", "Label", "Called", "#Probability of pathology"];
    Table::new(
        "Test series that were called wrongly, farthest from the threshold first",
        &heads,
        wrong.iter().map(row).collect(),
    )
    .at_most(SHOWN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_scikit_learn_keeps_its_order_and_says_what_is_undefined() {
        let json = serde_json::json!({
            "0": {"precision": 0.75, "recall": 1.0, "f1-score": 0.857, "support": 3.0},
            "1": {"precision": null, "recall": 0.0, "f1-score": 0.0, "support": 1.0},
            "accuracy": 0.75,
            "macro avg": {"precision": 0.375, "recall": 0.5, "f1-score": 0.4286, "support": 4.0},
        });
        let table = serde_json::to_value(classification_report("test", &json).unwrap()).unwrap();
        let first: Vec<&str> =
            table["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(first, ["normal", "pathology", "accuracy", "mean of the classes"]);
        assert_eq!(table["rows"][1][1], "undefined");
        assert_eq!(table["rows"][2][3], "0.75");
        assert!(classification_report("test", &Value::Null).is_none());
    }
}
