//! Compares proportions, tests, calibration, decision curves and thresholds with scipy,
//! statsmodels, dcurves, textbooks and brute force (`fixtures/make_statistics.py`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ctpipe_metrics::{
    Bootstrap, Chosen, Confusion, Criterion, McNemar, Model, Part, Temperature, auc, best_f1, brier,
    brier_decomposition, choose, cross_validation, decision_curve, expected_calibration_error, mcnemar,
    reliability_curve, summarise, wilson,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Statistics {
    /// Successes, trials, level, low, high.
    wilson: Vec<(u64, u64, f64, f64, f64)>,
    /// Only a right, only b right, exact p, mid-p.
    mcnemar: Vec<(u64, u64, f64, f64)>,
    by_patient: Vec<(Vec<(usize, usize)>, f64)>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    labels: String,
    logits: Vec<f64>,
    probabilities: Vec<f64>,
    temperature: f64,
    /// Threshold, model, all.
    net_benefit: Vec<(f64, f64, f64)>,
    binned: Vec<Binned>,
    /// Threshold and objective.
    chosen: BTreeMap<String, (f64, f64)>,
}

#[derive(Deserialize)]
struct Binned {
    bins: usize,
    /// Samples, mean probability, share of Pathology.
    curve: Vec<(u64, f64, f64)>,
    error: f64,
    reliability: f64,
    resolution: f64,
    uncertainty: f64,
    within_bin_variance: f64,
    within_bin_covariance: f64,
}

impl Case {
    fn labels(&self) -> Vec<bool> {
        self.labels.chars().map(|c| c == '1').collect()
    }
}

fn statistics() -> Statistics {
    serde_json::from_str(include_str!("fixtures/statistics.json")).unwrap()
}

#[track_caller]
fn assert_near(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1e-3), "{what}: {ours} is not {theirs}");
}

#[test]
fn wilson_is_that_of_statsmodels() {
    for (successes, trials, level, low, high) in statistics().wilson {
        let ours = wilson(successes, trials, level).unwrap();
        assert_near(&format!("low of {successes}/{trials}"), ours.low, low);
        assert_near(&format!("high of {successes}/{trials}"), ours.high, high);
    }
}

#[test]
fn wilson_is_that_of_the_table_in_newcombe_1998() {
    // Statistics in Medicine 17:857, table I, method 3.
    for (successes, trials, low, high) in
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    {
        let ours = wilson(successes, trials, 0.95).unwrap();
        assert!((ours.low - low).abs() < 5e-5 && (ours.high - high).abs() < 5e-5, "{ours:?}");
        assert!(ours.excludes(0.9) && !ours.excludes(ours.low) && !ours.excludes(ours.high));
    }
}

#[test]
fn mcnemar_is_that_of_statsmodels_and_its_mid_p_that_of_scipy() {
    for (a, b, p_value, mid_p_value) in statistics().mcnemar {
        let ours = McNemar::new(a, b);
        let near = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-10 * theirs;
        assert!(near(ours.p_value, p_value), "{a} {b}: {} {p_value}", ours.p_value);
        assert!(near(ours.mid_p_value, mid_p_value), "{a} {b}: {} {mid_p_value}", ours.mid_p_value);
    }
}

#[test]
fn mcnemar_counts_where_one_model_alone_is_right() {
    let labels = [true, true, true, false, false, false];
    let a = Model { scores: &[0.9, 0.9, 0.1, 0.1, 0.1, 0.9], threshold: 0.5 };
    let b = Model { scores: &[1.0, 0.0, 0.0, 0.0, 3.0, 3.0], threshold: 2.0 }; // predicts only the last two
    let counted = mcnemar(&labels, a, b, &[0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!((counted.only_a_right, counted.only_b_right), (3, 0));
    assert_eq!((counted.p_value, counted.mid_p_value), (0.25, 0.125));
    // As samples of one patient they are one toss, which falls one way or the other.
    let together = mcnemar(&labels, a, b, &[7; 6]).unwrap();
    assert_eq!((together.only_a_right, together.p_value, together.mid_p_value), (3, 1.0, 0.5));
    // The first alone and two together: sums of +-1 +-2 are 3, 1, -1 and -3, once each.
    let apart = mcnemar(&labels, a, b, &[1, 2, 2, 2, 2, 1]).unwrap();
    assert_eq!((apart.only_a_right, apart.only_b_right), (3, 0));
    assert_eq!((apart.p_value, apart.mid_p_value), (0.5, 0.25));
}

/// `scipy.stats.permutation_test` goes through all signs.
#[test]
fn mcnemar_by_patient_is_the_randomisation_test_of_scipy() {
    for (counts, p_value) in statistics().by_patient {
        let mut patients = Vec::new();
        let mut right = (Vec::new(), Vec::new());
        for (patient, (only_a, only_b)) in counts.into_iter().enumerate() {
            // One that both predict correctly, and then those on which they disagree.
            for (a, b) in [(1.0, 1.0)]
                .into_iter()
                .chain(std::iter::repeat_n((1.0, 0.0), only_a))
                .chain(std::iter::repeat_n((0.0, 1.0), only_b))
            {
                patients.push(patient);
                right.0.push(a);
                right.1.push(b);
            }
        }
        let labels = vec![true; patients.len()];
        let [a, b] = [&right.0, &right.1].map(|scores| Model { scores, threshold: 0.5 });
        let ours = mcnemar(&labels, a, b, &patients).unwrap().p_value;
        assert!((ours - p_value).abs() <= 1e-12, "{ours} {p_value}");
    }
}

#[test]
fn predictive_values_at_another_prevalence_are_those_of_the_textbook() {
    // Mammography as in Eddy (1982): prevalence 1 %, sensitivity 80 %, specificity 90.4 %; 7.8 % of
    // the women with a positive result have cancer.
    let counts =
        Confusion { true_positives: 80, false_negatives: 20, true_negatives: 904, false_positives: 96 };
    assert!((counts.ppv_at(0.01).unwrap() - 0.077_64).abs() < 5e-6);
    assert!((counts.npv_at(0.01).unwrap() - 0.997_77).abs() < 5e-6);
    // At the prevalence of the samples they are the values of the samples.
    assert_near("PPV", counts.ppv_at(100.0 / 1100.0).unwrap(), counts.precision().unwrap());
    assert_near("NPV", counts.npv_at(100.0 / 1100.0).unwrap(), counts.npv().unwrap());
}

#[test]
fn temperature_is_one_over_the_coefficient_of_a_logistic_regression() {
    for case in statistics().cases {
        let fitted = Temperature::fit(&case.labels(), &case.logits).unwrap();
        assert!(
            (fitted.temperature / case.temperature - 1.0).abs() < 1e-9,
            "{fitted:?} {}",
            case.temperature
        );
        assert!(!fitted.at_bound);
        // scipy.special.expit(1.5) at T = 1, and the same again at T = 2 for twice the difference
        for (temperature, d) in [(1.0, 1.5), (2.0, 3.0)] {
            let probability = Temperature { temperature, at_bound: false }.apply(d).unwrap();
            assert_near("probability", probability, 0.817_574_476_193_643_7);
        }
    }
}

#[test]
fn a_temperature_that_has_no_end_is_at_its_bound() {
    let labels = [false, false, true, true];
    let at = |differences: [f64; 4]| Temperature::fit(&labels, &differences).unwrap();
    let bound = |temperature| Temperature { temperature, at_bound: true };
    assert_eq!(at([-2.0, -1.0, 1.0, 2.0]), bound(0.01));
    assert_eq!(at([2.0, 1.0, -1.0, -2.0]), bound(100.0));
    let json = serde_json::to_string(&bound(100.0)).unwrap();
    assert_eq!(serde_json::from_str::<Temperature>(&json).unwrap(), bound(100.0));
    assert!(serde_json::from_str::<Temperature>(r#"{"temperature": 0.0, "at_bound": true}"#).is_err());
}

#[test]
fn bins_and_what_follows_from_them_are_those_of_pandas_by_definition() {
    for case in statistics().cases {
        let (labels, probabilities) = (case.labels(), &case.probabilities);
        for theirs in &case.binned {
            let curve = reliability_curve(&labels, probabilities, theirs.bins, 0.95).unwrap();
            assert_eq!(curve.len(), theirs.curve.len());
            for (bin, &(samples, predicted, observed)) in curve.iter().zip(&theirs.curve) {
                assert_eq!(bin.samples, samples);
                assert_near("predicted", bin.mean_predicted, predicted);
                assert_near("observed", bin.observed_share, observed);
                let pathology = (observed * samples as f64).round() as u64;
                assert_eq!(bin.observed_interval, wilson(pathology, samples, 0.95).unwrap());
            }
            let error = expected_calibration_error(&labels, probabilities, theirs.bins).unwrap();
            assert_near("calibration error", error, theirs.error);
            let parts = brier_decomposition(&labels, probabilities, theirs.bins).unwrap();
            assert_near("reliability", parts.reliability, theirs.reliability);
            assert_near("resolution", parts.resolution, theirs.resolution);
            assert_near("uncertainty", parts.uncertainty, theirs.uncertainty);
            assert_near("variance", parts.within_bin_variance, theirs.within_bin_variance);
            assert_near("covariance", parts.within_bin_covariance, theirs.within_bin_covariance);
            assert_eq!(parts.brier, brier(&labels, probabilities).unwrap());
        }
    }
}

#[test]
fn net_benefit_is_that_of_dcurves() {
    for case in statistics().cases {
        let thresholds: Vec<f64> = case.net_benefit.iter().map(|&(threshold, ..)| threshold).collect();
        let ours = decision_curve(&case.labels(), &case.probabilities, &thresholds).unwrap();
        for (ours, &(threshold, model, all)) in ours.iter().zip(&case.net_benefit) {
            assert_eq!(ours.threshold, threshold);
            assert_near("model", ours.model, model);
            assert_near("all", ours.treat_all, all);
        }
    }
}

#[test]
fn thresholds_are_those_of_trying_every_one() {
    for case in statistics().cases {
        let labels = case.labels();
        for (name, criterion) in [
            ("f1", Criterion::F1),
            ("youden", Criterion::Youden),
            ("cost", Criterion::Cost { false_positive: 1.0, false_negative: 4.0 }),
            ("sensitivity", Criterion::Sensitivity { at_least: 0.9 }),
            ("specificity", Criterion::Specificity { at_least: 0.9 }),
        ] {
            let Chosen { threshold, objective } = choose(&labels, &case.probabilities, criterion).unwrap();
            let (theirs, reached) = case.chosen[name];
            assert_near(name, threshold, theirs);
            assert_near(name, objective.unwrap(), reached);
        }
        let best = best_f1(&labels, &case.probabilities).unwrap();
        assert_near("best F1", best.f1, case.chosen["f1"].1);
    }
}

#[test]
fn where_nothing_should_be_called_the_threshold_is_the_next_number_above_the_scores() {
    let (labels, scores) = ([true, false, false], [0.1, 0.5, 0.75]);
    let above = 0.750_000_000_000_000_1; // numpy.nextafter(0.75, 1)
    for (criterion, objective) in [
        (Criterion::Youden, 0.0),
        (Criterion::Cost { false_positive: 1.0, false_negative: 1.0 }, 1.0 / 3.0),
        (Criterion::Cost { false_positive: 0.0, false_negative: 0.0 }, 0.0),
        (Criterion::Sensitivity { at_least: 0.0 }, 0.0),
        (Criterion::Specificity { at_least: 1.0 }, 1.0),
    ] {
        let chosen = Chosen { threshold: above, objective: Some(objective) };
        assert_eq!(choose(&labels, &scores, criterion), Ok(chosen), "{criterion:?}");
    }
    let fixed = Chosen { threshold: 0.3, objective: None };
    assert_eq!(choose(&labels, &scores, Criterion::Fixed(0.3)), Ok(fixed));
    let criterion: Criterion = serde_json::from_str(r#"{"sensitivity": {"at_least": 0.9}}"#).unwrap();
    assert_eq!(criterion, Criterion::Sensitivity { at_least: 0.9 });
}

#[test]
fn folds_have_the_mean_and_the_deviation_of_numpy() {
    let labels = [false, true, false, true];
    let folds = [[0.1, 0.9, 0.2, 0.8], [0.1, 0.9, 0.95, 0.8], [0.5, 0.5, 0.6, 0.6]];
    let parts = folds.each_ref().map(|scores| Part { labels: &labels, scores, patients: &[0, 1, 2, 3] });
    let ours = cross_validation(&parts);
    assert_eq!(ours.folds, [Ok(1.0), Ok(0.5), Ok(0.5)]);
    assert_near("mean", ours.mean.unwrap(), 2.0 / 3.0);
    // numpy.std([1, 0.5, 0.5], ddof=1)
    assert_near("deviation", ours.standard_deviation.unwrap(), 0.288_675_134_594_812_9);
    assert_eq!(ours.pooled, auc(&labels.repeat(3), &folds.concat()));
}

#[test]
fn an_interval_by_patients_is_that_of_so_many_independent_ones() {
    // 20 of 20 series of five patients are found. This is as certain as 5 of 5, for which
    // statsmodels gives 0.5655 (see the fixture), and not as 20 of 20.
    let labels: Vec<bool> = (0..24).map(|i| i < 20).collect();
    let scores: Vec<f64> = (0..24).map(|i| if i < 20 { 0.9 } else { 0.1 }).collect();
    let patients: Vec<usize> = (0..24).map(|i| if i < 20 { i % 5 } else { i }).collect();
    let part = Part { labels: &labels, scores: &scores, patients: &patients };
    let bootstrap = Bootstrap { replicates: 100, confidence_level: 0.95, seed: 1 };
    let found = summarise(&part, 0.5, &bootstrap).sensitivity;
    let near = |ours: f64, theirs: f64| assert!((ours - theirs).abs() < 1e-10, "{ours} {theirs}");
    near(found.wilson_patients.unwrap().low, 0.565_517_535_216_825_1);
    near(found.wilson.unwrap().low, wilson(20, 20, 0.95).unwrap().low);
}
