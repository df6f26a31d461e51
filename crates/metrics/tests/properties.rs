//! Laws that hold for any labels and scores, tried on seeded random ones with many ties.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ctpipe_metrics::{
    Bootstrap, Criterion, Isotonic, Model, Part, Temperature, auc, average_precision, best_f1,
    brier_decomposition, choose, compare, confusion, delong, log_loss, precision_recall_curve,
    reliability_curve, roc_curve,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Labels of both classes, and scores on a grid of eighths, where arithmetic is exact.
fn samples() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
    prop::collection::vec((any::<bool>(), -12..12_i32), 2..80)
        .prop_map(|samples| samples.into_iter().map(|(y, s)| (y, f64::from(s) / 8.0)).unzip())
        .prop_filter("both classes", |(labels, _): &(Vec<bool>, Vec<f64>)| {
            labels.contains(&true) && labels.contains(&false)
        })
}

fn mapped(scores: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    scores.iter().map(|&score| f(score)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(42),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn auc_is_the_share_of_pairs_in_the_right_order((labels, scores) in samples()) {
        let (mut twice_right, mut pairs) = (0_u32, 0_u32);
        for (i, &sick) in scores.iter().enumerate().filter(|&(i, _)| labels[i]) {
            for (_, &well) in scores.iter().enumerate().filter(|&(j, _)| !labels[j] && i != j) {
                pairs += 1;
                twice_right += u32::from(sick > well) + u32::from(sick >= well);
            }
        }
        let expected = f64::from(twice_right) / f64::from(2 * pairs);
        prop_assert_eq!(auc(&labels, &scores), Ok(expected));
    }

    #[test]
    fn auc_does_not_change_under_a_rising_transform((labels, scores) in samples()) {
        let expected = auc(&labels, &scores);
        prop_assert_eq!(auc(&labels, &mapped(&scores, f64::exp)), expected);
        prop_assert_eq!(auc(&labels, &mapped(&scores, |s| s * s * s)), expected);
        prop_assert_eq!(auc(&labels, &mapped(&scores, |s| 100.0 * s - 3.0)), expected);
    }

    #[test]
    fn auc_of_negated_scores_is_the_rest_to_one((labels, scores) in samples()) {
        let sum = auc(&labels, &scores).unwrap() + auc(&labels, &mapped(&scores, |s| -s)).unwrap();
        prop_assert!((sum - 1.0).abs() < 1e-15, "{}", sum);
    }

    #[test]
    fn auc_is_the_area_under_the_curve((labels, scores) in samples()) {
        let area: f64 = (roc_curve(&labels, &scores).unwrap().windows(2))
            .map(|w| {
                let width = w[1].false_positive_rate - w[0].false_positive_rate;
                width * (w[0].true_positive_rate + w[1].true_positive_rate) / 2.0
            })
            .sum();
        prop_assert!((area - auc(&labels, &scores).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn roc_curve_rises_from_corner_to_corner_and_each_point_is_its_threshold(
        (labels, scores) in samples(),
    ) {
        let curve = roc_curve(&labels, &scores).unwrap();
        let rates = |i: usize| (curve[i].false_positive_rate, curve[i].true_positive_rate);
        prop_assert_eq!(rates(0), (0.0, 0.0));
        prop_assert_eq!(rates(curve.len() - 1), (1.0, 1.0));
        for pair in curve.windows(2) {
            prop_assert!(pair[0].threshold > pair[1].threshold);
        }
        for point in curve {
            let counts = confusion(&labels, &scores, point.threshold).unwrap();
            prop_assert_eq!(counts.sensitivity(), Ok(point.true_positive_rate));
            prop_assert!((1.0 - counts.specificity().unwrap() - point.false_positive_rate).abs() < 1e-12);
        }
    }

    #[test]
    fn counts_are_those_of_comparing_each_score(
        (labels, scores) in samples(),
        threshold in -16..16_i32,
    ) {
        let threshold = f64::from(threshold) / 10.0; // at some scores, between others
        let count = |sick: bool, called: bool| {
            let is = |(&label, &score): (&bool, &f64)| label == sick && (score >= threshold) == called;
            labels.iter().zip(&scores).filter(|&sample| is(sample)).count() as u64
        };
        let counts = confusion(&labels, &scores, threshold).unwrap();
        prop_assert_eq!(counts.true_positives, count(true, true));
        prop_assert_eq!(counts.false_positives, count(false, true));
        prop_assert_eq!(counts.true_negatives, count(false, false));
        prop_assert_eq!(counts.false_negatives, count(true, false));
    }

    #[test]
    fn no_threshold_has_a_higher_f1_and_no_higher_one_the_same((labels, scores) in samples()) {
        let best = best_f1(&labels, &scores).unwrap();
        let f1_at = |threshold| confusion(&labels, &scores, threshold).unwrap().f1().unwrap();
        prop_assert!((f1_at(best.threshold) - best.f1).abs() < 1e-15);
        for &threshold in &scores {
            prop_assert!(f1_at(threshold) <= best.f1);
            prop_assert!(threshold <= best.threshold || f1_at(threshold) < best.f1);
        }
    }

    #[test]
    fn delong_has_the_auc_and_its_error_does_not_change_with_the_order_of_samples(
        (labels, scores) in samples(),
        patients in prop::collection::vec(0..30_usize, 80),
    ) {
        let patients = &patients[..labels.len()];
        if let Ok(ours) = delong(&Part { labels: &labels, scores: &scores, patients }, 0.95) {
            prop_assert_eq!(Ok(ours.auc), auc(&labels, &scores));
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.sort_by_key(|&i| (patients[i], i * 7919 % 83));
            let labels: Vec<bool> = order.iter().map(|&i| labels[i]).collect();
            let scores: Vec<f64> = order.iter().map(|&i| scores[i]).collect();
            let patients: Vec<usize> = order.iter().map(|&i| patients[i]).collect();
            let part = Part { labels: &labels, scores: &scores, patients: &patients };
            let again = delong(&part, 0.95).unwrap();
            prop_assert!((ours.standard_error - again.standard_error).abs() < 1e-14);
        }
    }

    #[test]
    fn average_precision_is_the_area_under_the_steps_of_all_cuts((labels, scores) in samples()) {
        let mut distinct = scores.clone();
        distinct.sort_by(|a, b| b.total_cmp(a));
        let (mut area, mut recall) = (0.0, 0.0);
        for threshold in distinct {
            let counts = confusion(&labels, &scores, threshold).unwrap();
            let reached = counts.sensitivity().unwrap();
            area += (reached - recall) * counts.precision().unwrap();
            recall = reached;
        }
        prop_assert!((average_precision(&labels, &scores).unwrap() - area).abs() < 1e-12);
    }

    #[test]
    fn each_point_of_the_precision_recall_curve_is_its_threshold((labels, scores) in samples()) {
        let curve = precision_recall_curve(&labels, &scores).unwrap();
        prop_assert_eq!(curve[curve.len() - 1].recall, 1.0);
        for pair in curve.windows(2) {
            prop_assert!(pair[0].threshold > pair[1].threshold && pair[0].recall <= pair[1].recall);
        }
        for point in curve {
            let counts = confusion(&labels, &scores, point.threshold).unwrap();
            prop_assert_eq!(counts.sensitivity(), Ok(point.recall));
            prop_assert_eq!(counts.precision(), Ok(point.precision));
        }
    }

    #[test]
    fn a_constrained_threshold_meets_its_constraint_and_the_next_one_does_not(
        (labels, scores) in samples(),
        tenths in 0..=10_u32,
    ) {
        let at_least = f64::from(tenths) / 10.0;
        let at = |threshold| confusion(&labels, &scores, threshold).unwrap();
        let sensitive = choose(&labels, &scores, Criterion::Sensitivity { at_least }).unwrap();
        prop_assert_eq!(at(sensitive.threshold).sensitivity().ok(), sensitive.objective);
        prop_assert!(at(sensitive.threshold).sensitivity().unwrap() >= at_least);
        let specific = choose(&labels, &scores, Criterion::Specificity { at_least }).unwrap();
        prop_assert_eq!(at(specific.threshold).specificity().ok(), specific.objective);
        prop_assert!(at(specific.threshold).specificity().unwrap() >= at_least);
        for &score in &scores {
            prop_assert!(score <= sensitive.threshold || at(score).sensitivity().unwrap() < at_least);
            prop_assert!(score >= specific.threshold || at(score).specificity().unwrap() < at_least);
        }
    }

    #[test]
    fn isotonic_regression_rises_and_keeps_the_sum((labels, scores) in samples()) {
        let isotonic = Isotonic::fit(&labels, &scores).unwrap();
        for pair in isotonic.knots().windows(2) {
            prop_assert!(pair[0].score < pair[1].score && pair[0].probability <= pair[1].probability);
        }
        for stretch in isotonic.knots().windows(3) {
            prop_assert!(stretch[0].probability < stretch[2].probability, "a knot that bends nothing");
        }
        let sum: f64 = scores.iter().map(|&score| isotonic.apply(score).unwrap()).sum();
        let positives = labels.iter().filter(|&&label| label).count() as f64;
        prop_assert!((sum - positives).abs() < 1e-10, "{} {}", sum, positives);
        let json = serde_json::to_string(&isotonic).unwrap();
        prop_assert_eq!(serde_json::from_str::<Isotonic>(&json).unwrap(), isotonic);
    }

    #[test]
    fn no_temperature_near_it_has_a_lower_loss((labels, differences) in samples()) {
        if let Ok(best) = Temperature::fit(&labels, &differences) {
            let loss = |temperature: f64| {
                let scaled = Temperature { temperature, ..best };
                log_loss(&labels, &mapped(&differences, |d| scaled.apply(d).unwrap())).unwrap()
            };
            let least = loss(best.temperature);
            for temperature in [best.temperature / 1.05, best.temperature * 1.05] {
                if (0.01..=100.0).contains(&temperature) {
                    prop_assert!(loss(temperature) >= least - 1e-12);
                }
            }
        }
    }

    #[test]
    fn the_parts_of_the_brier_score_add_up((labels, scores) in samples(), bins in 1..20_usize) {
        let probabilities = mapped(&scores, |score| (score + 1.5) / 3.0);
        let parts = brier_decomposition(&labels, &probabilities, bins).unwrap();
        let sum = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin_variance
            - parts.within_bin_covariance;
        prop_assert!((sum - parts.brier).abs() < 1e-14, "{} {}", sum, parts.brier);

        let curve = reliability_curve(&labels, &probabilities, bins, 0.95).unwrap();
        prop_assert!(curve.len() <= bins);
        prop_assert_eq!(curve.iter().map(|bin| bin.samples).sum::<u64>(), labels.len() as u64);
        for pair in curve.windows(2) {
            prop_assert!(pair[0].mean_predicted < pair[1].mean_predicted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(42),
        ..ProptestConfig::with_cases(30)
    })]

    #[test]
    fn a_model_does_not_differ_from_itself((labels, scores) in samples()) {
        let patients: Vec<usize> = (0..labels.len()).map(|i| i / 2).collect();
        let model = Model { scores: &scores, threshold: 0.25 };
        let bootstrap = Bootstrap { replicates: 60, confidence_level: 0.9, seed: 1 };
        let comparison = compare(&labels, model, model, &patients, &bootstrap);
        prop_assert_eq!(comparison.auc_a, comparison.auc_b);
        for delta in [comparison.delta_auc, comparison.delta_sensitivity, comparison.delta_specificity] {
            prop_assert_eq!(delta.value, Ok(0.0));
            if let Ok(interval) = delta.interval {
                prop_assert_eq!((interval.low, interval.high), (0.0, 0.0));
            }
            prop_assert!(delta.bca.is_err());
        }
        if let Ok(delong) = comparison.delong {
            prop_assert_eq!((delong.delta, delong.standard_error, delong.p_value), (0.0, 0.0, Ok(1.0)));
        }
        let mcnemar = comparison.mcnemar.unwrap();
        prop_assert_eq!((mcnemar.only_a_right, mcnemar.only_b_right, mcnemar.p_value), (0, 0, 1.0));
    }
}
