//! Input from which a figure cannot be computed: each case gives a named reason, and none panics.
//! Also the JSON of each case.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ctpipe_metrics::{
    BestF1, Bootstrap, Class, ClassificationReport, Criterion, Isotonic, Model, Part, Summary, Temperature,
    Undefined, auc, average_precision, best_f1, brier, brier_decomposition, choose, compare, confusion,
    cross_validation, decision_curve, delong, delong_paired, expected_calibration_error, log_loss, mcnemar,
    partial_auc, pr_band, precision_recall_curve, reliability_curve, roc_band, roc_curve, summarise,
    threshold_spread, wilson,
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
    let part = Part { labels, scores, patients: &patients };
    let summary = summary(labels, scores, &patients);
    let model = Model { scores, threshold: 0.5 };
    let comparison = compare(labels, model, model, &patients, &BOOTSTRAP);
    let folds = cross_validation(&[part, part]);
    for other in [
        average_precision(labels, scores).unwrap_err(),
        precision_recall_curve(labels, scores).unwrap_err(),
        partial_auc(labels, scores, 0.1).unwrap_err(),
        choose(labels, scores, Criterion::Youden).unwrap_err(),
        threshold_spread(&part, Criterion::F1, &BOOTSTRAP).unwrap_err(),
        roc_band(&part, &[0.1], &BOOTSTRAP).unwrap_err(),
        pr_band(&part, &[0.1], BOOTSTRAP.stratified()).unwrap_err(),
        delong(&part, 0.95).unwrap_err(),
        delong_paired(labels, scores, scores, &patients, 0.95).unwrap_err(),
        mcnemar(labels, model, model, &patients).unwrap_err(),
        comparison.delta_auc.bca.unwrap_err(),
        comparison.delta_specificity.value.unwrap_err(),
        brier(labels, scores).unwrap_err(),
        log_loss(labels, scores).unwrap_err(),
        brier_decomposition(labels, scores, 5).unwrap_err(),
        expected_calibration_error(labels, scores, 5).unwrap_err(),
        reliability_curve(labels, scores, 5, 0.95).unwrap_err(),
        decision_curve(labels, scores, &[0.5]).unwrap_err(),
        Temperature::fit(labels, scores).unwrap_err(),
        Isotonic::fit(labels, scores).unwrap_err(),
        folds.folds[1].unwrap_err(),
        folds.mean.unwrap_err(),
        folds.standard_deviation.unwrap_err(),
        folds.pooled.unwrap_err(),
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
    assert_eq!(sick.precision.value, one_class(Class::Pathology));
    let everything = BestF1 { threshold: 0.1, f1: 1.0 };
    assert_eq!(best_f1(&[true; 4], &SCORES), Ok(everything));

    let well = summary(&[false; 4], &SCORES, &PATIENTS);
    let no_pathology = Undefined::NoSampleOf { class: Class::Pathology };
    assert_eq!(well.auc.value, one_class(Class::Normal));
    assert_eq!(well.sensitivity.value, Err(no_pathology));
    assert_eq!(well.specificity.value, Ok(0.75));
    assert_eq!(well.f1.value, one_class(Class::Normal));
    assert_eq!(best_f1(&[false; 4], &SCORES), Err(no_pathology));
}

#[test]
fn f1_needs_both_classes_and_no_prediction() {
    let none = confusion(&[false; 4], &SCORES, 0.9).unwrap();
    assert_eq!(none.f1(), Err(Undefined::OneClass { class: Class::Normal, samples: 4 }));
    let missed = confusion(&LABELS, &SCORES, 0.9).unwrap();
    assert_eq!(missed.f1(), Ok(0.0));
    assert_eq!(missed.precision(), Err(Undefined::NoPredictionOf { class: Class::Pathology }));
}

#[test]
fn all_scores_equal_is_no_auc_of_one_half() {
    let equal = Err(Undefined::AllScoresEqual { samples: 4 });
    assert_eq!(auc(&LABELS, &[0.3; 4]), equal);
    assert_eq!(average_precision(&LABELS, &[0.3; 4]), equal);
    assert_eq!(roc_curve(&LABELS, &[0.3; 4]).map(|_| 0.0), equal);
    assert_eq!(precision_recall_curve(&LABELS, &[0.3; 4]).map(|_| 0.0), equal);
    let part = Part { labels: &LABELS, scores: &[0.3; 4], patients: &PATIENTS };
    assert_eq!(delong(&part, 0.95).map(|found| found.auc), equal);
    assert_eq!(roc_band(&part, &[0.1], &BOOTSTRAP).map(|_| 0.0), equal);
    // One different score is enough.
    assert!(auc(&LABELS, &[0.3, 0.3, 0.3, 0.4]).is_ok());
}

#[test]
fn of_one_class_nothing_is_told_that_compares_classes() {
    let normal = confusion(&[false; 3], &[0.9, 0.1, 0.2], 0.5).unwrap();
    let one_class = Err(Undefined::OneClass { class: Class::Normal, samples: 3 });
    assert_eq!([normal.precision(), normal.npv(), normal.f1()], [one_class; 3]);
    assert_eq!(normal.specificity(), Ok(2.0 / 3.0));
    let found = Isotonic::fit(&[true; 3], &[0.9, 0.1, 0.2]).unwrap_err();
    assert_eq!(found, Undefined::OneClass { class: Class::Pathology, samples: 3 });
}

#[test]
fn a_ratio_that_divides_by_none_in_many_resamples_has_no_upper_end() {
    // One of forty normal patients is predicted as pathological: it is drawn in two of three
    // resamples.
    let labels: Vec<bool> = (0..80).map(|i| i < 40).collect();
    let scores: Vec<f64> = (0..80).map(|i| f64::from(u8::from(i < 30 || i == 79))).collect();
    let patients: Vec<usize> = (0..80).collect();
    let ratio = summary(&labels, &scores, &patients).positive_likelihood_ratio;
    assert_eq!(ratio.value, Ok(30.0));
    assert_eq!(ratio.undefined_replicates, 0);
    let interval = ratio.interval.unwrap();
    assert!(interval.low.is_finite() && interval.high == f64::INFINITY);
    let json = serde_json::to_value(ratio).unwrap();
    assert_eq!((&json["ci_high"], &json["unbounded"]), (&Value::Null, &json!(true)));
    assert!(json["ci_low"].as_f64() > Some(5.0));
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
    // There are two patients, one of each class. Half of the resamples have both, and only those
    // have an AUC: in 1001 replicates 500.5 +- 16 times. The seed decides on which side of one half
    // this is.
    let of_two = |seed| {
        let labels = [true, false];
        let part = Part { labels: &labels, scores: &[0.9, 0.1], patients: &[0, 1] };
        summarise(&part, 0.5, &Bootstrap { replicates: 1001, confidence_level: 0.9, seed })
    };
    let (mut kept, mut undone) = (0, 0);
    for seed in 0..20 {
        let summary = of_two(seed);
        assert_eq!(summary.accuracy.undefined_replicates, 0);
        match summary.auc.interval {
            Ok(interval) => {
                kept += 1;
                assert!((430..=500).contains(&summary.auc.undefined_replicates));
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
fn bca_says_why_where_the_percentiles_do_not() {
    // A perfect order stays perfect whoever is drawn or left out.
    let perfect = summary(
        &[false, false, true, true, true, false],
        &[0.1, 0.2, 0.7, 0.8, 0.9, 0.3],
        &[0, 1, 2, 3, 4, 5],
    );
    assert_eq!(perfect.auc.value, Ok(1.0));
    assert!(perfect.auc.interval.is_ok());
    assert_eq!(perfect.auc.bca, Err(Undefined::NoAcceleration));
    let json = serde_json::to_value(perfect.auc).unwrap();
    assert_eq!(json["bca_low"], Value::Null);
    assert!(json["bca_undefined"].as_str().unwrap().contains("whichever patient is left out"));
    assert_eq!(json.get("undefined"), None);

    // One of six patients is pathological, and without that one there is no AUC.
    let rare = summary(
        &[false, false, true, false, false, false],
        &[0.1, 0.2, 0.25, 0.8, 0.3, 0.2],
        &[0, 1, 2, 3, 4, 5],
    );
    assert!(rare.auc.interval.is_ok());
    assert_eq!(rare.auc.bca, Err(Undefined::LeaveOneOut));
}

#[test]
fn five_patients_and_all_scores_equal_have_what_can_be_had() {
    let labels = [true, false, true, false, true];
    let patients = [0, 1, 2, 3, 4];
    let five = summary(&labels, &[0.9, 0.2, 0.6, 0.7, 0.8], &patients);
    assert!(five.auc.bca.is_ok() && five.average_precision.interval.is_ok());
    assert!(five.sensitivity.wilson.is_some() && five.mcc.wilson.is_none());

    let equal = summary(&labels, &[0.5; 5], &patients);
    let unordered = Err(Undefined::AllScoresEqual { samples: 5 });
    assert_eq!((equal.auc.value, equal.average_precision.value), (unordered, unordered));
    assert_eq!(equal.npv.value, Err(Undefined::NoPredictionOf { class: Class::Normal }));
    assert_eq!(equal.mcc.value, equal.npv.value);
    assert_eq!(equal.brier.value, Ok(0.25));
    let isotonic = Isotonic::fit(&labels, &[0.5; 5]).unwrap();
    assert_eq!((isotonic.apply(0.1), isotonic.apply(0.9)), (Ok(0.6), Ok(0.6)));
    assert!(matches!(isotonic.apply(f64::NAN), Err(Undefined::NonFiniteScore { .. })));
    assert_eq!(Temperature::fit(&labels, &[0.0; 5]), Err(Undefined::NoLogits));
    assert_eq!(reliability_curve(&labels, &[0.5; 5], 3, 0.95).unwrap().len(), 1);
}

#[test]
fn a_stratified_bootstrap_needs_two_patients_in_a_stratum() {
    let part = Part { labels: &[true, false], scores: &[0.9, 0.1], patients: &[0, 1] };
    let auc = summarise(&part, 0.5, BOOTSTRAP.stratified()).auc;
    assert_eq!((auc.value, auc.interval), (Ok(1.0), Err(Undefined::OnePatientAStratum)));
    // With two of each class, no resample lacks one.
    let part = Part { labels: &LABELS, scores: &SCORES, patients: &PATIENTS };
    assert_eq!(summarise(&part, 0.5, BOOTSTRAP.stratified()).auc.undefined_replicates, 0);
}

#[test]
fn likelihood_ratios_do_not_divide_by_nothing() {
    let counts = confusion(&LABELS, &SCORES, 0.4).unwrap(); // no false positive
    let none = |predicted| Err(Undefined::NoneOfPredictedAs { class: Class::Normal, predicted });
    assert_eq!(counts.positive_likelihood_ratio(), none(Class::Pathology));
    assert_eq!(counts.negative_likelihood_ratio(), Ok(0.0));
    let all = confusion(&LABELS, &SCORES, 0.0).unwrap();
    assert_eq!(all.positive_likelihood_ratio(), Ok(1.0));
    assert_eq!(all.negative_likelihood_ratio(), none(Class::Normal));
    assert_eq!(all.npv_at(0.5), Err(Undefined::NoPredictionOf { class: Class::Normal }));
    assert_eq!(counts.ppv_at(0.0), Err(Undefined::NoPredictionOf { class: Class::Pathology }));
}

#[test]
fn arguments_out_of_range_are_named_with_what_would_be_right() {
    let out = |result: Result<f64, Undefined>| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains("must lie"), "{message}");
    };
    let part = Part { labels: &LABELS, scores: &SCORES, patients: &PATIENTS };
    let chosen = |criterion| choose(&LABELS, &SCORES, criterion).map(|chosen| chosen.threshold);
    for value in [-0.1, 1.5, f64::NAN, f64::INFINITY] {
        out(confusion(&LABELS, &SCORES, 0.5).unwrap().ppv_at(value));
        out(partial_auc(&LABELS, &SCORES, value));
        out(chosen(Criterion::Sensitivity { at_least: value }));
        out(chosen(Criterion::Specificity { at_least: value }));
        out(roc_band(&part, &[0.5, value], &BOOTSTRAP).map(|_| 0.0));
        out(pr_band(&part, &[value], &BOOTSTRAP).map(|_| 0.0));
        out(decision_curve(&LABELS, &SCORES, &[0.5, value]).map(|_| 0.0));
    }
    out(partial_auc(&LABELS, &SCORES, 0.0));
    out(decision_curve(&LABELS, &SCORES, &[1.0]).map(|_| 0.0));
    out(chosen(Criterion::Cost { false_positive: -1.0, false_negative: 1.0 }));
    out(chosen(Criterion::Cost { false_positive: 1.0, false_negative: f64::INFINITY }));
    assert_eq!(chosen(Criterion::Fixed(f64::NAN)), Err(Undefined::ThresholdNotANumber));
    assert_eq!(wilson(3, 2, 0.95), Err(Undefined::NoProportion { successes: 3, trials: 2 }));
    assert_eq!(wilson(0, 0, 0.95), Err(Undefined::NoProportion { successes: 0, trials: 0 }));
    assert_eq!(
        brier(&LABELS, &[0.1, 0.2, 1.5, 0.3]),
        Err(Undefined::NotAProbability { index: 2, score: 1.5 })
    );
    assert_eq!(expected_calibration_error(&LABELS, &SCORES, 0), Err(Undefined::NoBins));
    assert_eq!(
        summary(&LABELS, &[-1.0, 3.0, 0.0, 2.0], &PATIENTS).brier.value,
        brier(&LABELS, &[-1.0, 3.0, 0.0, 2.0])
    );
    for folds in [cross_validation(&[]), cross_validation(&[part])] {
        assert!(matches!(folds.standard_deviation, Err(Undefined::TooFewFolds { needed: 2, .. })));
    }
    let json = serde_json::to_value(cross_validation(&[part])).unwrap();
    assert_eq!(json["folds"], json!([{"value": 1.0}]));
    assert!(json["standard_deviation"]["undefined"].as_str().unwrap().contains("there are 1 folds"));
}

#[test]
fn a_comparison_without_a_result_says_why_in_json() {
    let model = Model { scores: &SCORES, threshold: f64::NAN };
    let comparison = compare(&LABELS, model, model, &[0; 4], &BOOTSTRAP);
    assert_eq!(comparison.auc_a.interval, Err(Undefined::OnePatient));
    let json = serde_json::to_value(comparison).unwrap();
    assert_eq!(
        json["mcnemar"],
        json!({"undefined": Undefined::ThresholdNotANumber.to_string(), "reason": {"code": "threshold_not_a_number"}})
    );
    assert!(json["delong"]["undefined"].as_str().unwrap().contains("patients have a pathology sample"));
    assert_eq!(json["delta_sensitivity"]["value"], Value::Null);
}

#[test]
fn json_is_flat_and_says_why_a_number_is_missing() {
    let json = |summary: &Summary| serde_json::to_value(summary).unwrap();

    let whole = json(&summary(&LABELS, &SCORES, &PATIENTS));
    assert_eq!(whole["confusion"], json!({"tp": 1, "fp": 0, "tn": 2, "fn": 1}));
    let accuracy = whole["accuracy"].as_object().unwrap();
    let keys = [
        "bca_high",
        "bca_low",
        "ci_high",
        "ci_low",
        "value",
        "wilson_high",
        "wilson_low",
        "wilson_patients_high",
        "wilson_patients_low",
    ];
    assert_eq!(accuracy.keys().collect::<Vec<_>>(), keys);
    assert_eq!(accuracy["value"], json!(0.75));
    assert!(accuracy["ci_low"].is_f64() && accuracy["ci_high"].is_f64());
    assert!(whole["auc"]["undefined_replicates"].as_u64() > Some(0));

    let missing = "undefined because all 4 samples are pathology; samples of both classes are needed";
    let sick = json(&summary(&[true; 4], &SCORES, &PATIENTS));
    let nothing = json!({
        "value": null, "ci_low": null, "ci_high": null, "bca_low": null, "bca_high": null, "undefined": missing,
        "reason": {"code": "one_class", "values": {"class": "pathology", "samples": 4}},
    });
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
    let why = "undefined because no sample is predicted as pathology";
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
