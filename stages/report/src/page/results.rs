//! Section 4: the figures of all sets, at every threshold, by group, and compared with an earlier
//! model. Computes no figure.

use ctpipe_tables::json::{Calibration, Comparison, Figure as Metric, MetricsFile, PartMetrics};
use ctpipe_tables::{Part, Reason};
use serde::Serialize;
use serde_json::{Value, json};

use super::table::Table;
use super::{Figure, cross_validation, verdict};
use crate::inputs::Inputs;
use crate::texts::Texts;
use crate::{formatting, reasons};

/// Number of wrong predictions that are listed; the rest is only counted.
const SHOWN: usize = 50;

#[derive(Serialize)]
pub(super) struct View {
    threshold: String,
    threshold_note: Option<String>,
    /// The threshold's range when the validation set is resampled.
    spread: Option<String>,
    no_spread: Option<String>,
    intervals: String,
    figures: Table,
    roc: Vec<Figure>,
    pr: Vec<Figure>,
    calibration: Vec<Figure>,
    decision: Vec<Figure>,
    forest: Vec<Figure>,
    /// Test series for the slider; null if there is no slider.
    slider: Value,
    confusions: Vec<verdict::Matrix>,
    calibrations: Table,
    calibrator_notes: Vec<String>,
    calibration_means: String,
    bins: Option<Table>,
    decisions: Option<Table>,
    only_test: String,
    no_groups: String,
    subgroups: Option<Table>,
    comparison: Option<Table>,
    comparison_notes: Vec<String>,
    reports: Vec<Table>,
    wrong: Option<Table>,
    folds: Option<cross_validation::View>,
}

/// The charts of this section.
pub(super) struct Charts {
    pub(super) roc: Vec<Figure>,
    pub(super) pr: Vec<Figure>,
    pub(super) calibration: Vec<Figure>,
    pub(super) decision: Vec<Figure>,
    pub(super) forest: Vec<Figure>,
    pub(super) folds: Vec<Figure>,
}

pub(super) fn view(texts: &Texts, inputs: &Inputs, charts: Charts) -> View {
    let metrics = &inputs.metrics;
    let level = formatting::percent(metrics.confidence_level);
    let resampling = texts.find(&format!("resampling.{}", metrics.resampling));
    let resampling = resampling.map_or_else(|| texts.say("resampling.patients"), str::to_owned);
    let report = |part: Part| {
        let report = &metrics.part(part).classification_report;
        classification_report(texts, &formatting::part(texts, part.as_str()), report)
    };
    View {
        threshold: formatting::threshold(texts, metrics),
        threshold_note: metrics.threshold.note.as_ref().map(|note| reasons::note(texts, note)),
        spread: metrics.threshold.spread.as_ref().map(|spread| {
            let [low, high] = [spread.low, spread.high].map(formatting::probability);
            texts.fill("threshold.spread", &[("low", &low), ("high", &high)])
        }),
        no_spread: metrics.threshold.spread_undefined.as_ref().map(|why| {
            let reason = Reason { code: why.code.clone(), values: why.values.clone() };
            texts.fill(
                "threshold.no_spread",
                &[("why", &reasons::because(texts, Some(&reason), Some(&why.text)))],
            )
        }),
        intervals: texts.fill(
            "results.intervals",
            &[
                ("level", &level),
                ("replicates", &texts.counted("count.replicates", metrics.n_bootstrap)),
                ("resampling", &resampling),
            ],
        ),
        figures: figures(texts, inputs),
        roc: charts.roc,
        pr: charts.pr,
        calibration: charts.calibration,
        decision: charts.decision,
        forest: charts.forest,
        slider: slider(inputs),
        confusions: Part::ALL
            .map(|part| verdict::matrix(texts, part.as_str(), metrics.part(part)))
            .into_iter()
            .collect(),
        calibrations: calibrations(texts, metrics),
        calibrator_notes: reasons::notes(texts, &metrics.calibrators.notes),
        bins: bins(texts, metrics).unless_empty(),
        decisions: decisions(texts, metrics).unless_empty(),
        calibration_means: calibration_means(texts, metrics),
        only_test: texts.say(if metrics.val.samples > 0 {
            "results.only_test"
        } else {
            "results.only_test_no_val"
        }),
        no_groups: texts.say(if metrics.test.samples > 0 {
            "results.no_groups"
        } else {
            "results.no_groups_empty"
        }),
        subgroups: subgroups(texts, inputs).unless_empty(),
        comparison: metrics.comparison.as_ref().map(|comparison| compared(texts, comparison)),
        comparison_notes: metrics
            .comparison
            .as_ref()
            .map_or_else(Vec::new, |found| reasons::notes(texts, &found.notes)),
        reports: Part::ALL.into_iter().filter_map(report).collect(),
        wrong: wrong(texts, inputs).unless_empty(),
        folds: inputs.folds.as_ref().map(|found| cross_validation::view(texts, found, charts.folds)),
    }
}

/// Probabilities and labels of the test set, for the script that counts at a threshold.
fn slider(inputs: &Inputs) -> Value {
    let mut rows: Vec<(f64, u32)> = inputs
        .predictions
        .iter()
        .filter(|row| row.split == Part::Test.as_str())
        .map(|row| (row.probability, row.label))
        .collect();
    if rows.is_empty() || rows.iter().any(|(probability, _)| !probability.is_finite()) {
        return Value::Null;
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (probabilities, labels): (Vec<f64>, Vec<u32>) = rows.into_iter().unzip();
    json!({ "threshold": inputs.metrics.threshold.value, "p": probabilities, "y": labels })
}

fn figures(texts: &Texts, inputs: &Inputs) -> Table {
    let metrics = &inputs.metrics;
    let row = |name: String, cell: &dyn Fn(&PartMetrics) -> String| {
        let mut row = vec![name];
        row.extend(Part::ALL.map(|part| cell(metrics.part(part))));
        row
    };
    let share = |key: &str, of: fn(&PartMetrics) -> &Metric| {
        row(texts.say(key), &|part| formatting::short_figure(texts, of(part)))
    };
    let plain = |key: &str, of: fn(&PartMetrics) -> &Metric| {
        row(texts.say(key), &|part| formatting::short_number(texts, of(part)))
    };
    let none = texts.say("word.undefined");
    let mut rows = vec![
        row(texts.say("head.series"), &|part| texts.count(part.samples)),
        row(texts.say("head.patients"), &|part| texts.count(part.patients)),
        share("figure.auc", |part| &part.auc),
        row(texts.say("figure.delong"), &|part| match (&part.delong.ci_low, &part.delong.ci_high) {
            (Some(low), Some(high)) => texts.fill(
                "figure.range",
                &[("low", &formatting::share(*low)), ("high", &formatting::share(*high))],
            ),
            _ => reasons::because(texts, part.delong.reason.as_ref(), part.delong.undefined.as_deref()),
        }),
        row(texts.say("figure.auc_bca"), &|part| bca(texts, &part.auc)),
        row(
            texts.fill("figure.partial_auc", &[("fpr", &metrics.partial_auc_max_fpr.to_string())]),
            &|part| formatting::short_figure(texts, &part.partial_auc),
        ),
        share("figure.average_precision", |part| &part.average_precision),
        share("figure.sensitivity", |part| &part.sensitivity),
        share("figure.specificity", |part| &part.specificity),
        share("figure.ppv", |part| &part.precision),
        share("figure.npv", |part| &part.npv),
    ];
    if let Some(prevalence) = metrics.prevalence {
        let at = formatting::percent(prevalence);
        let mut add = |key: &str, of: fn(&PartMetrics) -> Option<&Metric>| {
            rows.push(row(texts.fill(key, &[("prevalence", &at)]), &|part| {
                of(part).map_or_else(|| none.clone(), |figure| formatting::short_figure(texts, figure))
            }));
        };
        add("figure.ppv_at", |part| part.ppv_at_prevalence.as_ref());
        add("figure.npv_at", |part| part.npv_at_prevalence.as_ref());
    }
    rows.extend([
        share("figure.f1", |part| &part.f1),
        share("figure.balanced_accuracy", |part| &part.balanced_accuracy),
        share("figure.accuracy", |part| &part.accuracy),
        plain("figure.mcc", |part| &part.mcc),
        plain("figure.positive_likelihood_ratio", |part| &part.positive_likelihood_ratio),
        plain("figure.negative_likelihood_ratio", |part| &part.negative_likelihood_ratio),
        plain("figure.brier", |part| &part.brier),
        row(texts.say("figure.loss"), &|part| {
            part.loss.map_or_else(|| none.clone(), |loss| format!("{loss:.3}"))
        }),
    ]);
    let caption = texts.fill("results.figures", &[("level", &formatting::percent(metrics.confidence_level))]);
    Table::titled(texts, caption, &["head.figure", "part.train", "part.val", "part.test"], rows)
}

/// Calibration on the test set: without calibration, and after each method fitted on the
/// validation set.
fn calibrations(texts: &Texts, metrics: &MetricsFile) -> Table {
    let (used, test) = (metrics.calibrators.used.as_str(), &metrics.test);
    let row = |name: &str, key: &str, calibration: Option<&Calibration>| {
        let undefined = || texts.say("word.undefined");
        let number = |value: Option<f64>| value.map_or_else(undefined, |value| format!("{value:.4}"));
        let brier = calibration.and_then(|found| found.brier.as_ref());
        let title = texts.say(key);
        if let Some(found) = calibration.filter(|found| found.brier.is_none()) {
            let why = reasons::because(texts, found.reason.as_ref(), found.undefined.as_deref());
            return [vec![title, why], vec![String::new(); 5]].concat();
        }
        vec![
            if name == used && metrics.calibrated() {
                texts.fill("calibration.used", &[("name", &title)])
            } else {
                title
            },
            number(brier.map(|brier| brier.brier)),
            number(brier.map(|brier| brier.reliability)),
            number(brier.map(|brier| brier.resolution)),
            number(brier.map(|brier| brier.uncertainty)),
            number(calibration.and_then(|found| found.log_loss)),
            number(calibration.and_then(|found| found.expected_calibration_error)),
        ]
    };
    let of = &test.calibration;
    let rows = vec![
        row("none", "calibration.before", Some(&of.before)),
        row("temperature", "calibration.temperature", of.temperature.as_ref()),
        row("isotonic", "calibration.isotonic", of.isotonic.as_ref()),
    ];
    let heads = [
        "head.probabilities",
        "#figure.brier",
        "#head.reliability",
        "#head.resolution",
        "#head.uncertainty",
        "#head.log_loss",
        "#head.ece",
    ];
    Table::new(texts, "results.calibrations", &heads, rows)
}

/// The interval corrected for bias and skewness (BCa), or why there is none.
fn bca(texts: &Texts, figure: &Metric) -> String {
    match (figure.bca_low, figure.bca_high) {
        (Some(low), Some(high)) => texts
            .fill("figure.range", &[("low", &formatting::share(low)), ("high", &formatting::share(high))]),
        _ if figure.undefined.is_some() => formatting::why(texts, figure),
        _ => reasons::because(texts, figure.bca_reason.as_ref(), figure.bca_undefined.as_deref()),
    }
}

/// What the calibration chart shows and on which set calibration was fitted.
fn calibration_means(texts: &Texts, metrics: &MetricsFile) -> String {
    let fitted = metrics.calibrators.temperature.is_some() || metrics.calibrators.isotonic.is_some();
    let elsewhere = if metrics.calibrated() { "results.decision_calibrated" } else { "results.decision_raw" };
    let mut said = vec![texts.say("results.calibration_means")];
    if fitted {
        said.push(texts.say("results.calibration_fitted"));
    }
    said.push(texts.say(elsewhere));
    said.join(" ")
}

/// The points of the calibration chart.
fn bins(texts: &Texts, metrics: &MetricsFile) -> Table {
    let of = &metrics.test.calibration;
    let named = [
        ("calibration.before", Some(&of.before)),
        ("calibration.temperature", of.temperature.as_ref()),
        ("calibration.isotonic", of.isotonic.as_ref()),
    ];
    let rows = named.into_iter().flat_map(|(name, calibration)| {
        let curve = calibration.map_or(&[][..], |calibration| &calibration.curve);
        curve.iter().map(move |bin| {
            let ends = [
                ("low", formatting::share(bin.observed_interval.low)),
                ("high", formatting::share(bin.observed_interval.high)),
            ];
            let ends = ends.each_ref().map(|(name, value)| (*name, value.as_str()));
            vec![
                texts.say(name),
                texts.count(bin.samples),
                formatting::share(bin.mean_predicted),
                formatting::share(bin.observed_share),
                texts.fill("figure.range", &ends),
            ]
        })
    });
    let heads = ["head.probabilities", "#head.series", "#head.predicted", "#head.observed", "#head.interval"];
    Table::new(texts, "results.bins", &heads, rows.collect())
}

/// The decision curve at every threshold that is a multiple of 0.05, from 0.05 on.
fn decisions(texts: &Texts, metrics: &MetricsFile) -> Table {
    let row = |point: &ctpipe_tables::json::NetBenefit| {
        let of = |benefit: f64| format!("{benefit:.3}");
        vec![format!("{:.2}", point.threshold), of(point.model), of(point.treat_all)]
    };
    let rows = metrics.test.decision_curve.iter().skip(5).step_by(5).map(row).collect();
    let heads = ["#threshold.name", "#chart.by_model", "#chart.treat_all"];
    Table::new(texts, "results.decisions", &heads, rows)
}

fn subgroups(texts: &Texts, inputs: &Inputs) -> Table {
    let row = |group: &ctpipe_tables::json::Subgroup| {
        let differs: Vec<String> =
            group.differs.iter().map(|name| texts.say(&format!("figure.{name}"))).collect();
        vec![
            self::group(texts, group),
            texts.count(group.samples),
            texts.count(group.pathology),
            formatting::short_figure(texts, &group.auc),
            formatting::short_figure(texts, &group.sensitivity),
            formatting::short_figure(texts, &group.specificity),
            match (group.auc.value, inputs.metrics.test.auc.value) {
                (Some(_), None) => texts.say("group.no_whole"),
                _ => differs.join(", "),
            },
        ]
    };
    let heads = [
        "head.group",
        "#head.series",
        "#class.pathology",
        "figure.auc",
        "figure.sensitivity",
        "figure.specificity",
        "head.differs",
    ];
    Table::new(texts, "results.subgroups", &heads, inputs.metrics.subgroups.iter().map(row).collect())
}

/// "Sex: F".
pub(crate) fn group(texts: &Texts, group: &ctpipe_tables::json::Subgroup) -> String {
    let by = texts.say(&format!("by.{}", group.by));
    let unknown = || texts.say("by.unknown");
    let name = match (group.by.as_str(), group.group.as_str()) {
        (_, "unknown") => unknown(),
        ("sex", sex) => texts.find(&format!("sex.{sex}")).unwrap_or(sex).to_owned(),
        (_, other) => other.to_owned(),
    };
    format!("{by}: {name}")
}

fn compared(texts: &Texts, found: &Comparison) -> Table {
    let none = || texts.say("word.undefined");
    let p = |value: Option<f64>| {
        value.map_or_else(none, |p| if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") })
    };
    let interval = match (found.delong.ci_low, found.delong.ci_high) {
        (Some(low), Some(high)) => texts
            .fill("figure.range", &[("low", &formatting::number(low)), ("high", &formatting::number(high))]),
        _ => reasons::because(texts, found.delong.reason.as_ref(), found.delong.undefined.as_deref()),
    };
    let count = |n: Option<u64>| n.map_or_else(none, |n| texts.count(n));
    let rows = [
        ("compare.samples", texts.count(found.samples)),
        ("compare.unknown", texts.count(found.unknown_to_baseline)),
        ("compare.threshold_b", formatting::number(found.baseline_threshold)),
        ("compare.auc_a", formatting::short_figure(texts, &found.auc_a)),
        ("compare.auc_b", formatting::short_figure(texts, &found.auc_b)),
        ("compare.delta_auc", formatting::short_number(texts, &found.delta_auc)),
        ("compare.delong", interval),
        ("compare.delong_p", p(found.delong.p_value)),
        ("compare.delta_sensitivity", formatting::short_number(texts, &found.delta_sensitivity)),
        ("compare.delta_specificity", formatting::short_number(texts, &found.delta_specificity)),
        ("compare.only_a", count(found.mcnemar.only_a_right)),
        ("compare.only_b", count(found.mcnemar.only_b_right)),
        ("compare.mcnemar_p", p(found.mcnemar.p_value)),
        ("compare.mcnemar_mid_p", p(found.mcnemar.mid_p_value)),
    ];
    let rows = rows.map(|(what, value)| vec![texts.say(what), value]).to_vec();
    Table::new(texts, "results.comparison", &["head.figure", "head.value"], rows)
}

/// The report in scikit-learn's form: classes first, then accuracy and the averages.
fn classification_report(texts: &Texts, part: &str, report: &Value) -> Option<Table> {
    const LAST: [&str; 3] = ["accuracy", "macro avg", "weighted avg"];
    let report = report.as_object()?;
    let classes = report.keys().map(String::as_str).filter(|key| !LAST.contains(key));
    let rows: Vec<Vec<String>> = classes
        .chain(LAST)
        .filter_map(|key| {
            let cells = match report.get(key)? {
                Value::Object(figures) => ["precision", "recall", "f1-score", "support"]
                    .map(|name| number(texts, name, figures.get(name))),
                single => [String::new(), String::new(), number(texts, key, Some(single)), String::new()],
            };
            let mut row = vec![class(texts, key)];
            row.extend(cells);
            Some(row)
        })
        .collect();
    let heads = ["head.class", "#figure.ppv", "#head.recall", "#figure.f1", "#head.series"];
    let caption = texts.fill("results.report", &[("part", part)]);
    Table::titled(texts, caption, &heads, rows).unless_empty()
}

fn class(texts: &Texts, key: &str) -> String {
    match key {
        "0" | "0.0" | "Normal" => formatting::class(texts, 0),
        "1" | "1.0" | "Pathology" => formatting::class(texts, 1),
        "accuracy" => texts.say("figure.accuracy"),
        "macro avg" => texts.say("results.macro"),
        "weighted avg" => texts.say("results.weighted"),
        other => other.to_owned(),
    }
}

fn number(texts: &Texts, name: &str, value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(n)) => {
            let n = n.as_f64().unwrap_or(f64::NAN);
            if name == "support" { texts.count(n as u64) } else { formatting::share(n) }
        }
        Some(Value::String(text)) => text.clone(),
        _ => texts.say("word.undefined"),
    }
}

/// The test series on the wrong side of the threshold, farthest from it first.
fn wrong(texts: &Texts, inputs: &Inputs) -> Table {
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
        vec![
            row.series_uid.clone(),
            formatting::class(texts, row.label),
            formatting::class(texts, u32::from(row.decision)),
            formatting::probability(row.probability),
        ]
    };
    let heads = ["head.uid", "head.label", "head.called", "#head.probability"];
    Table::new(texts, "results.wrong", &heads, wrong.iter().map(row).collect()).at_most(texts, SHOWN)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn a_report_of_scikit_learn_keeps_its_order_and_says_what_is_undefined() {
        let json = serde_json::json!({
            "0": {"precision": 0.75, "recall": 1.0, "f1-score": 0.857, "support": 3.0},
            "1": {"precision": null, "recall": 0.0, "f1-score": 0.0, "support": 1.0},
            "accuracy": 0.75,
            "macro avg": {"precision": 0.375, "recall": 0.5, "f1-score": 0.4286, "support": 4.0},
        });
        let table =
            serde_json::to_value(classification_report(&Texts::new(Language::En), "test", &json).unwrap())
                .unwrap();
        let first: Vec<&str> =
            table["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
        assert_eq!(first, ["normal", "pathology", "Accuracy", "Macro average"]);
        assert_eq!(table["rows"][1][1], "undefined");
        assert_eq!(table["rows"][2][3], "0.75");
        assert!(classification_report(&Texts::new(Language::En), "test", &Value::Null).is_none());
    }
}
