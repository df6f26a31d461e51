//! Compares DeLong's variance with pROC on published data, with the definition by brute force, and
//! with the bootstrap.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ctpipe_metrics::{
    Bootstrap, Class, Criterion, Interval, Part, Undefined, auc, choose, delong, delong_paired, partial_auc,
    summarise,
};
use serde::Deserialize;

/// Outcome after aneurysmal subarachnoid haemorrhage and three markers of 113 patients: Turck et
/// al. (2010), Intensive Care Medicine 36:107, the data `aSAH` of R's pROC (Robin et al. 2011).
#[derive(Deserialize)]
struct Asah {
    labels: String,
    wfns: Vec<f64>,
    s100b: Vec<f64>,
    ndka: Vec<f64>,
}

/// Made by `fixtures/make_statistics.py` with `numpy.cov`, and by the sums of Obuchowski (1997)
/// over the full matrix of pairs.
#[derive(Deserialize)]
struct Case {
    name: String,
    labels: String,
    patients: Vec<usize>,
    scores_a: Vec<f64>,
    scores_b: Vec<f64>,
    auc_a: f64,
    auc_b: f64,
    error_a: f64,
    error_delta: f64,
    z: f64,
    p_value: f64,
}

fn bits(text: &str) -> Vec<bool> {
    text.chars().map(|c| c == '1').collect()
}

#[track_caller]
fn assert_near(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= 1e-10 * theirs.abs(), "{what}: {ours} is not {theirs}");
}

#[test]
fn areas_variances_and_tests_are_those_of_proc_on_published_data() {
    // The numbers are pROC's own, from its tests (tests/testthat/test-roc.test.R, test-var.R,
    // test-ci.R, test-auc.R).
    let asah: Asah = serde_json::from_str(include_str!("fixtures/asah.json")).unwrap();
    let labels = bits(&asah.labels);
    let patients: Vec<usize> = (0..labels.len()).collect();
    let of = |scores| delong(&Part { labels: &labels, scores, patients: &patients }, 0.95).unwrap();
    for (scores, auc, variance) in [
        (&asah.wfns, 0.823_678_861_788_618, 0.001_469_914_708_823_63),
        (&asah.ndka, 0.611_957_994_579_946, 0.003_190_810_549_391_3),
        (&asah.s100b, 0.731_368_563_685_637, 0.002_668_682_457_172_44),
    ] {
        assert_near("AUC", of(scores).auc, auc);
        assert_near("variance", of(scores).standard_error.powi(2), variance);
    }
    let interval = of(&asah.ndka).interval.unwrap();
    assert_near("low", interval.low, 0.501_244_999_271_703);
    assert_near("high", interval.high, 0.722_670_989_888_189);

    for (a, b, z, p, low, high) in [
        (
            &asah.wfns,
            &asah.s100b,
            2.208_983_591_440_91,
            0.027_175_782_229_188_2,
            0.010_406_176_956_484_6,
            0.174_214_419_249_478,
        ),
        (
            &asah.wfns,
            &asah.ndka,
            2.797_775_918_689_04,
            0.005_145_579_706_910_98,
            0.063_401_170_933_987_6,
            0.360_040_563_483_356_6,
        ),
        (
            &asah.ndka,
            &asah.s100b,
            -1.390_770_025_735_58,
            0.164_295_175_223_054,
            -0.287_691_744_634_191_4,
            0.048_870_606_422_809_4,
        ),
    ] {
        let paired = delong_paired(&labels, a, b, &patients, 0.95).unwrap();
        assert_near("z", paired.z.unwrap(), z);
        assert_near("p", paired.p_value.unwrap(), p);
        assert_near("low", paired.interval.unwrap().low, low);
        assert_near("high", paired.interval.unwrap().high, high);
    }

    assert_near("partial", partial_auc(&labels, &asah.wfns, 0.1).unwrap(), 0.649_693_339_038_653);
    // pROC places its threshold of 0.205 midway between 0.19 and 0.22, which separates the samples
    // in the same way.
    let youden = choose(&labels, &asah.s100b, Criterion::Youden).unwrap();
    assert!((youden.threshold - 0.22).abs() < 1e-12);
    assert_near("J", youden.objective.unwrap(), 0.634_146_341_463_414_6 + 0.805_555_555_555_555_6 - 1.0);
}

#[test]
fn one_sample_a_patient_and_several_are_those_of_the_definition() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/delong.json")).unwrap();
    assert!(cases.len() > 4);
    for Case { name, labels, patients, scores_a, scores_b, auc_a, auc_b, error_a, error_delta, z, p_value } in
        cases
    {
        let labels = bits(&labels);
        let a = delong(&Part { labels: &labels, scores: &scores_a, patients: &patients }, 0.9).unwrap();
        assert_near(&name, a.auc, auc_a);
        assert_near(&name, a.standard_error, error_a);
        let reach = 1.644_853_626_951_472_2 * error_a; // scipy.stats.norm.ppf(0.95)
        assert_near(&name, a.interval.unwrap().low, (auc_a - reach).max(0.0));
        assert_near(&name, a.interval.unwrap().high, (auc_a + reach).min(1.0));

        let paired = delong_paired(&labels, &scores_a, &scores_b, &patients, 0.9).unwrap();
        assert_near(&name, paired.auc_b, auc_b);
        assert!((paired.delta - (auc_a - auc_b)).abs() < 1e-14, "{name}");
        assert_near(&name, paired.standard_error, error_delta);
        assert!((paired.z.unwrap() - z).abs() < 1e-10, "{name}");
        assert_near(&name, paired.p_value.unwrap(), p_value);
    }
}

#[test]
fn several_samples_of_a_patient_count_as_the_bootstrap_over_patients_says() {
    // 80 patients with two identical samples each: the error is that of 80 and not of 160 samples.
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/delong.json")).unwrap();
    let Case { labels, scores_a, .. } = &cases[0];
    let labels = bits(labels).repeat(2);
    let scores = scores_a.repeat(2);
    let patients: Vec<usize> = (0..80).chain(0..80).collect();
    let part = Part { labels: &labels, scores: &scores, patients: &patients };
    let clustered = delong(&part, 0.95).unwrap();
    assert_near("clustered", clustered.standard_error, cases[0].error_a);

    let bootstrap = Bootstrap { replicates: 4000, confidence_level: 0.95, seed: 1 };
    let Interval { low, high } = summarise(&part, 0.5, &bootstrap).auc.interval.unwrap();
    let ratio = (high - low) / (2.0 * 1.96 * clustered.standard_error);
    assert!((0.93..1.07).contains(&ratio), "{ratio}");
}

#[test]
fn no_variance_is_said_and_not_taken_for_certainty() {
    let labels = [false, false, true, true];
    let patients = [0, 1, 2, 3];
    let perfect = [0.1, 0.2, 0.8, 0.9];
    let of = |scores| delong(&Part { labels: &labels, scores, patients: &patients }, 0.95).unwrap();
    let reversed = [0.9, 0.8, 0.2, 0.1];
    for (scores, auc) in [(&perfect, 1.0), (&reversed, 0.0)] {
        assert_eq!((of(scores).auc, of(scores).standard_error), (auc, 0.0));
        assert_eq!(of(scores).interval, Err(Undefined::NoVariance));
    }

    // A perfect order against its opposite: a different AUC, and no variance to judge it by.
    let differ = delong_paired(&labels, &perfect, &reversed, &patients, 0.95).unwrap();
    assert_eq!((differ.delta, differ.standard_error), (1.0, 0.0));
    assert_eq!((differ.z, differ.p_value), (Err(Undefined::NoVariance), Err(Undefined::NoVariance)));
    let json = serde_json::to_value(differ).unwrap();
    assert_eq!(json["p_value"], serde_json::Value::Null);
    assert!(json["undefined"].as_str().unwrap().starts_with("undefined because its standard error"));

    // The same order: no difference is smaller than none.
    let same = delong_paired(&labels, &perfect, &[1.0, 2.0, 8.0, 9.0], &patients, 0.95).unwrap();
    assert_eq!((same.delta, same.z, same.p_value), (0.0, Err(Undefined::NoVariance), Ok(1.0)));
}

#[test]
fn too_few_patients_of_a_class_leave_no_variance() {
    let labels = [false, false, false, true, true];
    let scores = [0.1, 0.2, 0.3, 0.25, 0.9];
    let with = |patients: &[usize]| delong(&Part { labels: &labels, scores: &scores, patients }, 0.95);
    let too_few = |class| Err(Undefined::TooFewPatientsOf { class, patients: 1 });
    assert_eq!(with(&[0, 1, 2, 3, 3]), too_few(Class::Pathology));
    assert_eq!(with(&[0, 0, 0, 3, 4]), too_few(Class::Normal));
    assert_eq!(with(&[0; 5]), too_few(Class::Pathology));
    assert_eq!(with(&[0, 1, 2, 3, 4]).unwrap().auc, auc(&labels, &scores).unwrap());
    let level = delong(&Part { labels: &labels, scores: &scores, patients: &[0, 1, 2, 3, 4] }, 1.0);
    assert!(matches!(level, Err(Undefined::ConfidenceLevel { .. })));
}
