//! The figures over folds against numpy and scikit-learn, and which folds may be combined.
#![allow(clippy::unwrap_used, missing_docs)]

use ctpipe_folds::{Config, Evaluation, FoldsError, check, notes, summarise};
use ctpipe_tables::json::{Confusion, Figure, MetricsFile, OTHER_SPLIT, TestedFold};
use ctpipe_tables::{Note, PredictionRow};

/// A fold with its own patients, one series each.
fn fold(label: &str, threshold: f64, rows: &[(u32, f64)]) -> Evaluation {
    let row = |(i, &(of_class, probability)): (usize, &(u32, f64))| PredictionRow {
        series_uid: format!("{label}.{i}"),
        patient_key: format!("patient {label} {i}"),
        split: "test".into(),
        label: of_class,
        probability,
        ..PredictionRow::default()
    };
    let mut metrics = MetricsFile::default();
    metrics.threshold.value = threshold;
    metrics.test.samples = rows.len() as u64;
    Evaluation { label: label.into(), metrics, rows: rows.iter().enumerate().map(row).collect() }
}

fn folds() -> Vec<Evaluation> {
    vec![
        fold("fold=0", 0.5, &[(0, 0.1), (1, 0.9), (0, 0.2), (1, 0.8)]),
        fold("fold=1", 0.85, &[(0, 0.1), (1, 0.9), (0, 0.95), (1, 0.8)]),
        fold("fold=2", 0.3, &[(0, 0.35), (1, 0.2), (0, 0.25), (1, 0.6)]),
    ]
}

fn config() -> Config {
    Config { n_bootstrap: 200, ..Config::default() }
}

#[track_caller]
fn near(figure: &Figure, theirs: f64) {
    assert!((figure.value.unwrap() - theirs).abs() < 1e-12, "{figure:?} is not {theirs}");
}

#[test]
fn mean_and_deviation_are_those_of_numpy_and_pooled_figures_those_of_scikit_learn() {
    let found = summarise(&folds(), &config(), 42).unwrap();
    // roc_auc_score of each fold: 1, 0.5, 0.5; numpy.mean, numpy.std(.., ddof=1).
    near(&found.mean.auc, 2.0 / 3.0);
    near(&found.standard_deviation.auc, 0.288_675_134_594_812_9);
    // recall_score of each fold at its own threshold: 1, 0.5, 0.5 for pathology and 1, 0.5, 0.5 for
    // normal.
    near(&found.mean.sensitivity, 2.0 / 3.0);
    near(&found.standard_deviation.specificity, 0.288_675_134_594_812_9);
    // roc_auc_score of all twelve: of the 36 pairs, 0.2 beats two and ties with one; each of the
    // other five pathological series beats five.
    near(&found.pooled.auc, (2.5 + 5.0 * 5.0) / 36.0);
    assert_eq!(found.pooled.confusion, Some(Confusion { tp: 4, fp: 2, tn: 4, r#fn: 2 }));
    near(&found.pooled.sensitivity, 4.0 / 6.0);
    let auc = &found.pooled.auc;
    assert!(auc.ci_low < auc.value && auc.value < auc.ci_high, "{auc:?}");
    assert_eq!((found.pooled.samples, found.pooled.patients, found.folds[1].threshold), (12, 12, 0.85));
}

#[test]
fn a_fold_without_a_class_leaves_the_mean_undefined_with_its_reason_and_the_pooled_auc_defined() {
    let mut all = folds();
    all[1] = fold("fold=1", 0.5, &[(0, 0.1), (0, 0.95)]);
    let found = summarise(&all, &config(), 42).unwrap();
    assert_eq!(found.mean.auc.value, None);
    assert_eq!(found.mean.auc.reason.as_ref().unwrap().code, "one_class");
    assert_eq!(found.standard_deviation.auc.reason.as_ref().unwrap().code, "one_class");
    assert_eq!(found.mean.sensitivity.reason.as_ref().unwrap().code, "no_sample_of");
    assert!(found.mean.specificity.value.is_some() && found.pooled.auc.value.is_some());
    let alone = summarise(&all[..1], &config(), 42).unwrap();
    near(&alone.mean.auc, 1.0);
    assert_eq!(alone.standard_deviation.auc.reason.unwrap().code, "too_few_folds");
}

#[test]
fn folds_that_are_missing_are_named_and_a_model_that_may_know_its_test_part_is_refused() {
    let mut all = folds();
    // For a split without folds, there is nothing to report.
    assert_eq!(notes(&all), []);
    for (fold, evaluation) in (0..).zip(&mut all) {
        evaluation.metrics.cross_validation = Some(TestedFold { fold, k_folds: 3 });
    }
    assert_eq!(notes(&all), []);
    let said = notes(&all[1..2]);
    let missing = &said[0];
    assert_eq!((said.len(), missing.code.as_str()), (1, "folds_missing"));
    assert!(missing.text.starts_with("2 of 3 folds are missing (0, 2)"), "{missing:?}");
    let doubt = Note::new("init_from", "the model began with earlier weights", []);
    for evaluation in &mut all {
        evaluation.metrics.doubts = vec![doubt.clone()];
    }
    assert_eq!(notes(&all), [doubt], "said once");
    assert!(check(&all).is_ok());
    all[2].metrics.doubts.push(Note::new(OTHER_SPLIT, "another split", []));
    let error = check(&all).unwrap_err().to_string();
    assert!(error.starts_with("the model of fold=2 was trained on another split"), "{error}");
}

#[test]
fn the_order_in_which_folds_are_given_changes_no_pooled_figure() {
    let mut all = folds();
    let before = summarise(&all, &config(), 42).unwrap();
    all.reverse();
    assert_eq!(summarise(&all, &config(), 42).unwrap().pooled, before.pooled);
}

#[test]
fn nobody_may_be_tested_twice_and_the_error_names_both_folds() {
    assert!(check(&folds()).is_ok());
    let mut all = folds();
    all[2].rows[3].patient_key = all[0].rows[1].patient_key.clone();
    let error = check(&all).unwrap_err();
    assert!(matches!(error, FoldsError::Shared { .. }));
    let text = error.to_string();
    for said in ["fold=0", "fold=2", "fold=0.1", "fold=2.3", "k_folds", "matrix: { fold: [0, 1, ..] }"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Two series of a patient in one fold are allowed.
    let mut all = folds();
    all[0].rows[0].patient_key = all[0].rows[1].patient_key.clone();
    assert!(check(&all).is_ok());
    all[1].rows[2].series_uid = all[0].rows[2].series_uid.clone();
    assert!(matches!(check(&all), Err(FoldsError::SharedSeries { .. })));
    let mut all = folds();
    all[1].rows.pop();
    assert!(matches!(check(&all), Err(FoldsError::Mixed { samples: 4, rows: 3, .. })));
}
