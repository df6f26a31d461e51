//! Compares every figure with scikit-learn's, on the cases of `fixtures/make_sklearn.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ctpipe_metrics::{
    ClassFigures, ClassificationReport, Confusion, Isotonic, Undefined, auc, average_precision, best_f1,
    brier, confusion, log_loss, partial_auc, precision_recall_curve, roc_curve,
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
    npv: Option<f64>,
    balanced_accuracy: Option<f64>,
    mcc: Option<f64>,
    positive_likelihood_ratio: Option<f64>,
    negative_likelihood_ratio: Option<f64>,
    average_precision: Option<f64>,
    pr: Option<Pr>,
    partial_auc: Vec<(f64, Option<f64>)>,
    brier: Option<f64>,
    log_loss: Option<f64>,
    /// `(score, probability)`
    isotonic: Vec<(f64, f64)>,
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
struct Pr {
    precision: Vec<f64>,
    recall: Vec<f64>,
    thresholds: Vec<f64>,
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

/// scikit-learn's null, a NaN in Python, corresponds to our `Undefined`.
#[track_caller]
fn assert_agree(what: &str, ours: Result<f64, Undefined>, theirs: Option<f64>) {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => assert_near(what, ours, theirs),
        // scikit-learn returns figures for one class and for equal scores, where ours are
        // undefined.
        (Err(_), None) | (Err(Undefined::OneClass { .. } | Undefined::AllScoresEqual { .. }), Some(_)) => {}
        (ours, theirs) => panic!("{what}: {ours:?} against {theirs:?}"),
    }
}

/// `None` where all scores are equal, which must be reported.
#[track_caller]
fn of_an_order<T: std::fmt::Debug>(scores: &[f64], ours: Result<T, Undefined>) -> Option<T> {
    if scores.iter().any(|score| *score != scores[0]) {
        return Some(ours.unwrap());
    }
    assert!(matches!(ours, Err(Undefined::AllScoresEqual { .. })));
    None
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
        let Some(ours) = of_an_order(&case.scores, ours) else { continue };
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
        assert_agree(&case.name, ours.npv(), case.npv);
        assert_agree(&case.name, ours.balanced_accuracy(), case.balanced_accuracy);
        assert_agree(&case.name, ours.mcc(), case.mcc);
        assert_agree(&case.name, ours.positive_likelihood_ratio(), case.positive_likelihood_ratio);
        assert_agree(&case.name, ours.negative_likelihood_ratio(), case.negative_likelihood_ratio);
    }
}

#[test]
fn average_precision_and_partial_auc_are_those_of_scikit_learn() {
    for case in cases() {
        let Case { name, labels, scores, average_precision: theirs, partial_auc: partial, .. } = case;
        assert_agree(&name, average_precision(&labels, &scores), theirs);
        for (width, theirs) in partial {
            assert_agree(&format!("{name}, up to {width}"), partial_auc(&labels, &scores, width), theirs);
        }
    }
}

#[test]
fn precision_recall_curve_has_the_corners_of_scikit_learns_and_no_others() {
    for case in cases() {
        let (ours, theirs) = (precision_recall_curve(&case.labels, &case.scores), case.pr);
        let Some(theirs) = theirs else {
            assert!(matches!(ours, Err(Undefined::NoSampleOf { .. })), "{}", case.name);
            continue;
        };
        let Some(ours) = of_an_order(&case.scores, ours) else { continue };
        assert_eq!(ours.len(), theirs.thresholds.len(), "{}", case.name);
        for (i, point) in ours.iter().enumerate() {
            let what = format!("{}, point {i}", case.name);
            assert_near(&what, point.threshold, theirs.thresholds[i]);
            assert_near(&what, point.recall, theirs.recall[i]);
            assert_near(&what, point.precision, theirs.precision[i]);
        }
    }
}

#[test]
fn brier_and_log_loss_are_those_of_scikit_learn() {
    for case in cases() {
        assert_agree(&case.name, brier(&case.labels, &case.scores), case.brier);
        assert_agree(&case.name, log_loss(&case.labels, &case.scores), case.log_loss);
    }
}

#[test]
fn isotonic_regression_is_scikit_learns_at_the_scores_between_and_outside() {
    for case in cases() {
        let isotonic = Isotonic::fit(&case.labels, &case.scores);
        if case.labels.iter().all(|label| *label == case.labels[0]) {
            assert!(matches!(isotonic, Err(Undefined::OneClass { .. })));
            continue;
        }
        let isotonic = isotonic.unwrap();
        for (score, theirs) in case.isotonic {
            let what = format!("{} at {score}", case.name);
            assert_near(&what, isotonic.apply(score).unwrap(), theirs);
        }
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
            // `zero_division=nan` averages the rest; ours says that the average is undefined.
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
