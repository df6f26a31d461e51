//! Laws that hold for any labels and scores, tried on seeded random ones with many ties. Knows no
//! particular number.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ctpipe_metrics::{auc, best_f1, confusion, roc_curve};
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
}
