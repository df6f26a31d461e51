//! Input from which a figure cannot be made: each gives a named reason, none a panic. Also what the
//! JSON then says. Knows nothing of whether the defined figures are right.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ctpipe_metrics::{
    BestF1, Bootstrap, Class, ClassificationReport, Part, Summary, Undefined, auc, best_f1, confusion,
    roc_curve, summarise,
};
use serde_json::{Value, json};

const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 50, confidence_level: 0.95, seed: 42 };
const LABELS: [bool; 4] = [false, true, false, true];
const SCORES: [f64; 4] = [0.1, 0.4, 0.35, 0.8];
const PATIENTS: [usize; 4] = [0, 1, 2, 3];

fn summary(labels: &[bool], scores: &[f64], patients: &[usize]) -> Summary {
    summarise(&Part { labels, scores, patients }, 0.5, &BOOTSTRAP)
}

/// The reason that every function gives for the same unusable input.
fn reason(labels: &[bool], scores: &[f64]) -> Undefined {
    let reason = auc(labels, scores).unwrap_err();
    let message = reason.to_string();
    assert!(message.starts_with("undefined because "), "{message}");

    let patients: Vec<usize> = (0..labels.len()).collect();
    let summary = summary(labels, scores, &patients);
    for other in [
        roc_curve(labels, scores).unwrap_err(),
        best_f1(labels, scores).unwrap_err(),
        confusion(labels, scores, 0.5).unwrap_err(),
        summary.confusion.unwrap_err(),
        summary.auc.value.unwrap_err(),
        summary.accuracy.interval.unwrap_err(),
    ] {
        assert_eq!(other.to_string(), message);
    }
    reason
}

#[test]
fn empty_input_has_no_samples() {
    assert_eq!(reason(&[], &[]), Undefined::NoSamples);
}

#[test]
fn lengths_that_differ_are_named() {
    let mismatch = |what, found| Undefined::LengthMismatch { labels: 4, what, found };
    assert_eq!(reason(&LABELS, &SCORES[..3]), mismatch("scores", 3));
    let short = summary(&LABELS, &SCORES, &PATIENTS[..2]);
    assert_eq!(short.f1.value, Err(mismatch("patient indices", 2)));
    let long = summary(&LABELS, &SCORES, &[0; 9]);
    assert_eq!(long.f1.value, Err(mismatch("patient indices", 9)));
}

#[test]
fn nan_and_infinite_scores_are_named_with_their_place() {
    for (score, says) in [
        (f64::NAN, "score 2 is NaN"),
        (f64::INFINITY, "score 2 is inf"),
        (f64::NEG_INFINITY, "score 2 is -inf"),
    ] {
        let mut scores = SCORES;
        scores[2] = score;
        let message = reason(&LABELS, &scores).to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn one_class_leaves_what_does_not_compare_the_classes() {
    let one_class = |class| Err(Undefined::OneClass { class, samples: 4 });

    let sick = summary(&[true; 4], &SCORES, &PATIENTS);
    assert_eq!(sick.auc.value, one_class(Class::Pathology));
    assert_eq!(sick.specificity.value, Err(Undefined::NoSampleOf { class: Class::Normal }));
    assert_eq!(sick.sensitivity.value, Ok(0.25));
    assert_eq!(sick.precision.value, Ok(1.0));
    let everything = BestF1 { threshold: 0.1, f1: 1.0 };
    assert_eq!(best_f1(&[true; 4], &SCORES), Ok(everything));

    let well = summary(&[false; 4], &SCORES, &PATIENTS);
    let no_pathology = Undefined::NoSampleOf { class: Class::Pathology };
    assert_eq!(well.auc.value, one_class(Class::Normal));
    assert_eq!(well.sensitivity.value, Err(no_pathology));
    assert_eq!(well.specificity.value, Ok(0.75));
    assert_eq!(well.f1.value, Ok(0.0));
    assert_eq!(best_f1(&[false; 4], &SCORES), Err(no_pathology));
}

#[test]
fn f1_needs_the_class_or_a_prediction_of_it() {
    let none = confusion(&[false; 4], &SCORES, 0.9).unwrap();
    assert_eq!(none.f1(), Err(Undefined::ClassAbsent { class: Class::Pathology }));
    let missed = confusion(&LABELS, &SCORES, 0.9).unwrap();
    assert_eq!(missed.f1(), Ok(0.0));
    assert_eq!(missed.precision(), Err(Undefined::NoPredictionOf { class: Class::Pathology }));
}

#[test]
fn all_scores_equal_is_an_auc_of_one_half() {
    assert_eq!(auc(&LABELS, &[0.3; 4]), Ok(0.5));
    assert_eq!(roc_curve(&LABELS, &[0.3; 4]).unwrap().len(), 2);
}

#[test]
fn a_threshold_may_be_infinite_but_not_nan() {
    let at = |threshold| confusion(&LABELS, &SCORES, threshold);
    assert_eq!(at(f64::INFINITY).unwrap().true_negatives, 2);
    assert_eq!(at(f64::NEG_INFINITY).unwrap().true_positives, 2);
    assert_eq!(at(f64::NAN), Err(Undefined::ThresholdNotANumber));

    let part = Part { labels: &LABELS, scores: &SCORES, patients: &PATIENTS };
    let summary = summarise(&part, f64::NAN, &BOOTSTRAP);
    assert_eq!(summary.accuracy.value, Err(Undefined::ThresholdNotANumber));
    assert_eq!(summary.auc.value, Ok(1.0), "AUC does not depend on the threshold");
}

#[test]
fn one_patient_has_figures_but_no_interval() {
    let summary = summary(&LABELS, &SCORES, &[7; 4]);
    assert_eq!(summary.patients, 1);
    assert_eq!(summary.auc.value, Ok(1.0));
    assert_eq!(summary.auc.interval, Err(Undefined::OnePatient));
}

#[test]
fn a_bootstrap_that_cannot_be_drawn_leaves_the_values() {
    let part = Part { labels: &LABELS, scores: &SCORES, patients: &PATIENTS };
    let with = |bootstrap| summarise(&part, 0.5, &bootstrap).accuracy;

    let none = with(Bootstrap { replicates: 0, ..BOOTSTRAP });
    assert_eq!((none.value, none.interval), (Ok(0.75), Err(Undefined::NoReplicates)));
    for confidence_level in [0.0, 1.0, -0.5, 95.0, f64::NAN] {
        let figure = with(Bootstrap { confidence_level, ..BOOTSTRAP });
        assert_eq!(figure.value, Ok(0.75));
        assert!(matches!(figure.interval, Err(Undefined::ConfidenceLevel { .. })));
    }
}

#[test]
fn undefined_replicates_are_left_out_and_counted_and_too_many_undo_the_interval() {
    // Of two patients, one of each class, a resample has both half of the time, and only then an AUC:
    // in 1001 replicates 500.5 +- 16 times. Which side of one half that is, the seed decides.
    let of_two = |seed| {
        let labels = [true, false];
        let part = Part { labels: &labels, scores: &[0.9, 0.1], patients: &[0, 1] };
        summarise(&part, 0.5, &Bootstrap { replicates: 1001, confidence_level: 0.9, seed })
    };
    let (mut kept, mut undone) = (0, 0);
    for seed in 0..20 {
        let summary = of_two(seed);
        assert_eq!(summary.accuracy.interval.unwrap().undefined_replicates, 0);
        match summary.auc.interval {
            Ok(interval) => {
                kept += 1;
                assert!((430..=500).contains(&interval.undefined_replicates));
                assert_eq!((interval.low, interval.high), (1.0, 1.0));
            }
            Err(Undefined::TooFewReplicates { defined, replicates: 1001 }) => {
                undone += 1;
                assert!((430..=500).contains(&defined));
            }
            Err(other) => unreachable!("{other}"),
        }
    }
    assert!(kept > 0 && undone > 0, "{kept} kept, {undone} undone");
}

#[test]
fn json_is_flat_and_says_why_a_number_is_missing() {
    let json = |summary: &Summary| serde_json::to_value(summary).unwrap();

    let whole = json(&summary(&LABELS, &SCORES, &PATIENTS));
    assert_eq!(whole["confusion"], json!({"tp": 1, "fp": 0, "tn": 2, "fn": 1}));
    let accuracy = whole["accuracy"].as_object().unwrap();
    assert_eq!(accuracy.keys().collect::<Vec<_>>(), ["ci_high", "ci_low", "value"]);
    assert_eq!(accuracy["value"], json!(0.75));
    assert!(accuracy["ci_low"].is_f64() && accuracy["ci_high"].is_f64());
    assert!(whole["auc"]["undefined_replicates"].as_u64() > Some(0));

    let missing = "undefined because all 4 samples are Pathology; samples of both classes are needed";
    let sick = json(&summary(&[true; 4], &SCORES, &PATIENTS));
    let nothing = json!({"value": null, "ci_low": null, "ci_high": null, "undefined": missing});
    assert_eq!(sick["auc"], nothing);

    let no_interval = json(&summary(&LABELS, &SCORES, &[0; 4]));
    assert_eq!(no_interval["auc"]["value"], json!(1.0));
    assert_eq!(no_interval["auc"]["ci_low"], Value::Null);
    assert_eq!(
        no_interval["auc"]["undefined"],
        json!("undefined because all samples are of one patient; an interval needs two or more"),
    );
    assert_eq!(json(&summary(&[], &[], &[]))["confusion"], Value::Null);
}

#[test]
fn json_of_the_report_has_the_names_of_scikit_learn() {
    let counts = confusion(&LABELS, &SCORES, 0.9).unwrap();
    let report = serde_json::to_value(ClassificationReport::new(&counts)).unwrap();
    let why = "undefined because no sample is predicted as Pathology";
    assert_eq!(
        report["Pathology"],
        json!({
            "precision": null, "recall": 0.0, "f1-score": 0.0, "support": 2,
            "undefined": {"precision": why},
        }),
    );
    assert_eq!(report["macro avg"]["undefined"]["precision"], json!(why));
    assert_eq!(report["weighted avg"]["recall"], json!(0.5));
    assert_eq!(report["accuracy"], json!(0.5));
    assert_eq!(report["Normal"]["support"], json!(2));
}
