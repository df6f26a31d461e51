//! Every figure against scikit-learn's, on the cases of `fixtures/make_sklearn.py`. Knows no interval.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ctpipe_metrics::{
    ClassFigures, ClassificationReport, Confusion, Undefined, auc, best_f1, confusion, roc_curve,
};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(deserialize_with = "bits")]
    labels: Vec<bool>,
    scores: Vec<f64>,
    threshold: f64,
    auc: Option<f64>,
    roc: Option<Roc>,
    confusion: BTreeMap<String, u64>,
    sensitivity: Option<f64>,
    specificity: Option<f64>,
    precision: Option<f64>,
    f1: Option<f64>,
    accuracy: Option<f64>,
    best_f1: Option<Best>,
    report: Report,
}

#[derive(Deserialize)]
struct Roc {
    fpr: Vec<f64>,
    tpr: Vec<f64>,
    thresholds: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Best {
    threshold: f64,
    f1: f64,
}

#[derive(Deserialize)]
struct Report {
    #[serde(rename = "Normal")]
    normal: Row,
    #[serde(rename = "Pathology")]
    pathology: Row,
    accuracy: f64,
    #[serde(rename = "macro avg")]
    macro_average: Row,
    #[serde(rename = "weighted avg")]
    weighted_average: Row,
}

#[derive(Deserialize)]
struct Row {
    precision: Option<f64>,
    recall: Option<f64>,
    #[serde(rename = "f1-score")]
    f1: Option<f64>,
    support: f64,
}

fn bits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<bool>, D::Error> {
    Ok(String::deserialize(deserializer)?.chars().map(|c| c == '1').collect())
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/sklearn.json")).unwrap();
    assert!(cases.len() > 30);
    cases
}

#[track_caller]
fn assert_near(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= TOLERANCE, "{what}: {ours} is not {theirs}");
}

/// scikit-learn's null, a NaN in Python, stands where we have an `Undefined`.
#[track_caller]
fn assert_agree(what: &str, ours: Result<f64, Undefined>, theirs: Option<f64>) {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => assert_near(what, ours, theirs),
        (Err(_), None) => {}
        (ours, theirs) => panic!("{what}: {ours:?} against {theirs:?}"),
    }
}

#[test]
fn auc_is_that_of_roc_auc_score() {
    for case in cases() {
        assert_agree(&case.name, auc(&case.labels, &case.scores), case.auc);
    }
}

#[test]
fn roc_curve_has_the_points_of_scikit_learn_and_no_others() {
    for case in cases() {
        let (ours, theirs) = (roc_curve(&case.labels, &case.scores), case.roc);
        let Some(theirs) = theirs else {
            assert!(matches!(ours, Err(Undefined::OneClass { .. })), "{}", case.name);
            continue;
        };
        let ours = ours.unwrap();
        assert_eq!(ours.len(), theirs.fpr.len(), "{}", case.name);
        assert!(ours[0].threshold.is_infinite() && ours[0].threshold > 0.0);
        for (i, point) in ours.iter().enumerate() {
            let what = format!("{}, point {i}", case.name);
            assert_near(&what, point.false_positive_rate, theirs.fpr[i]);
            assert_near(&what, point.true_positive_rate, theirs.tpr[i]);
            if let Some(threshold) = theirs.thresholds[i] {
                assert_near(&what, point.threshold, threshold);
            }
        }
    }
}

#[test]
fn confusion_and_its_figures_are_those_of_scikit_learn() {
    for case in cases() {
        let ours = confusion(&case.labels, &case.scores, case.threshold).unwrap();
        let theirs = |name: &str| case.confusion[name];
        let expected = Confusion {
            true_positives: theirs("tp"),
            false_positives: theirs("fp"),
            true_negatives: theirs("tn"),
            false_negatives: theirs("fn"),
        };
        assert_eq!(ours, expected, "{}", case.name);
        assert_agree(&case.name, ours.sensitivity(), case.sensitivity);
        assert_agree(&case.name, ours.specificity(), case.specificity);
        assert_agree(&case.name, ours.precision(), case.precision);
        assert_agree(&case.name, ours.f1(), case.f1);
        assert_agree(&case.name, ours.accuracy(), case.accuracy);
    }
}

#[test]
fn best_f1_is_that_of_trying_every_threshold() {
    for case in cases() {
        let (ours, theirs) = (best_f1(&case.labels, &case.scores), case.best_f1);
        let Some(theirs) = theirs else {
            assert!(matches!(ours, Err(Undefined::NoSampleOf { .. })), "{}", case.name);
            continue;
        };
        let ours = ours.unwrap();
        assert_near(&case.name, ours.threshold, theirs.threshold);
        assert_near(&case.name, ours.f1, theirs.f1);
    }
}

#[test]
fn report_is_classification_report_where_that_is_defined() {
    let mut undefined_averages = 0;
    for Case { name, labels, scores, threshold, report: theirs, .. } in cases() {
        let ours = ClassificationReport::new(&confusion(&labels, &scores, threshold).unwrap());
        assert_row(&name, &ours.normal, &theirs.normal);
        assert_row(&name, &ours.pathology, &theirs.pathology);
        assert_near(&name, ours.accuracy.unwrap(), theirs.accuracy);

        for (ours_of, theirs_of) in
            [(&ours.macro_average, &theirs.macro_average), (&ours.weighted_average, &theirs.weighted_average)]
        {
            // zero_division=nan averages what is left; we say that the average is undefined.
            let both = |pick: fn(&Row) -> Option<f64>| {
                pick(&theirs.normal).and(pick(&theirs.pathology)).and(pick(theirs_of))
            };
            let expected = Row {
                precision: both(|row| row.precision),
                recall: both(|row| row.recall),
                f1: both(|row| row.f1),
                support: theirs_of.support,
            };
            undefined_averages += usize::from(expected.precision.is_none());
            assert_row(&name, ours_of, &expected);
        }
    }
    assert!(undefined_averages > 0, "the cases should include an undefined average");
}

#[track_caller]
fn assert_row(what: &str, ours: &ClassFigures, theirs: &Row) {
    assert_agree(what, ours.precision, theirs.precision);
    assert_agree(what, ours.recall, theirs.recall);
    assert_agree(what, ours.f1, theirs.f1);
    assert_near(what, ours.support as f64, theirs.support);
}
