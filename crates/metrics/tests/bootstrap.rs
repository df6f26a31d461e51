//! Compares the intervals with numpy and with a textbook formula, and shows what the unit of
//! resampling means.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ctpipe_metrics::{
    BandPoint, Bootstrap, Comparison, Criterion, Figure, Interval, Model, Part, Summary, compare, pr_band,
    roc_band, summarise, threshold_spread,
};
use serde::Deserialize;

const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 2000, confidence_level: 0.95, seed: 42 };

#[derive(Deserialize)]
struct Numpy {
    labels: String,
    scores: Vec<f64>,
    patients: Vec<usize>,
    threshold: f64,
    confidence_level: f64,
    other: Vec<f64>,
    values: BTreeMap<String, f64>,
    intervals: BTreeMap<String, (f64, f64)>,
    bca: BTreeMap<String, (f64, f64)>,
    stratified: BTreeMap<String, (f64, f64)>,
    places: Vec<f64>,
    roc_band: Vec<(f64, f64)>,
    pr_band: Vec<(f64, f64)>,
    youden: (f64, f64, f64),
}

/// 150 samples of about 55 patients, with both classes and many samples of some patients.
struct Data {
    labels: Vec<bool>,
    scores: Vec<f64>,
    patients: Vec<usize>,
}

impl Data {
    fn part(&self) -> Part<'_> {
        Part { labels: &self.labels, scores: &self.scores, patients: &self.patients }
    }

    fn summarise(&self, bootstrap: &Bootstrap) -> Summary {
        summarise(&self.part(), 0.5, bootstrap)
    }

    /// Compares these scores with the fixture's other scores, both at 0.5.
    fn compare(&self, other: &[f64], bootstrap: &Bootstrap) -> Comparison {
        let model = |scores| Model { scores, threshold: 0.5 };
        compare(&self.labels, model(&self.scores), model(other), &self.patients, bootstrap)
    }

    /// Every sample twice; `patient` gives the patients of the copies.
    fn doubled(&self, patient: impl Fn(usize) -> usize) -> Self {
        let copies = self.patients.iter().map(|&original| patient(original));
        Self {
            labels: self.labels.repeat(2),
            scores: self.scores.repeat(2),
            patients: self.patients.iter().copied().chain(copies).collect(),
        }
    }
}

fn numpy() -> (Numpy, Data) {
    let numpy: Numpy = serde_json::from_str(include_str!("fixtures/bootstrap.json")).unwrap();
    let data = Data {
        labels: numpy.labels.chars().map(|c| c == '1').collect(),
        scores: numpy.scores.clone(),
        patients: numpy.patients.clone(),
    };
    (numpy, data)
}

fn figures(summary: &Summary) -> [(&'static str, &Figure); 13] {
    [
        ("auc", &summary.auc),
        ("average_precision", &summary.average_precision),
        ("sensitivity", &summary.sensitivity),
        ("specificity", &summary.specificity),
        ("precision", &summary.precision),
        ("npv", &summary.npv),
        ("f1", &summary.f1),
        ("accuracy", &summary.accuracy),
        ("balanced_accuracy", &summary.balanced_accuracy),
        ("mcc", &summary.mcc),
        ("positive_likelihood_ratio", &summary.positive_likelihood_ratio),
        ("negative_likelihood_ratio", &summary.negative_likelihood_ratio),
        ("brier", &summary.brier),
    ]
}

fn deltas(comparison: &Comparison) -> [(&'static str, &Figure); 3] {
    [
        ("delta_auc", &comparison.delta_auc),
        ("delta_sensitivity", &comparison.delta_sensitivity),
        ("delta_specificity", &comparison.delta_specificity),
    ]
}

fn width(figure: &Figure) -> f64 {
    let interval = figure.interval.unwrap();
    interval.high - interval.low
}

/// Two runs of 20 000 replicates differ by about 2 % of a standard error at each end of a
/// percentile interval. They differ by a little more at the ends of `BCa`, which lie further out,
/// and by one step or none where the figure takes few values.
#[track_caller]
fn assert_close(what: &str, ours: Interval, (low, high): (f64, f64)) {
    let tolerance = 0.05 * (high - low);
    assert!((ours.low - low).abs() <= tolerance, "{what}: {} {low}", ours.low);
    assert!((ours.high - high).abs() <= tolerance, "{what}: {} {high}", ours.high);
}

fn as_long(numpy: &Numpy) -> Bootstrap {
    Bootstrap { replicates: 20_000, confidence_level: numpy.confidence_level, seed: 1 }
}

#[test]
fn intervals_are_those_of_numpy_and_scipy_resampling_the_rows() {
    let (numpy, data) = numpy();
    let summary = summarise(&data.part(), numpy.threshold, &as_long(&numpy));
    let comparison = data.compare(&numpy.other, &as_long(&numpy));
    for (name, figure) in figures(&summary).into_iter().chain(deltas(&comparison)) {
        assert!((figure.value.unwrap() - numpy.values[name]).abs() < 1e-12, "{name}");
        assert_close(name, figure.interval.unwrap(), numpy.intervals[name]);
        assert_close(&format!("BCa of {name}"), figure.bca.unwrap(), numpy.bca[name]);
    }
}

#[test]
fn stratified_intervals_are_those_of_numpy_drawing_from_each_class() {
    let (numpy, data) = numpy();
    let summary = summarise(&data.part(), numpy.threshold, as_long(&numpy).stratified());
    for (name, figure) in figures(&summary) {
        assert_close(name, figure.interval.unwrap(), numpy.stratified[name]);
        assert!(figure.bca.is_ok(), "{name}");
    }
}

#[test]
fn bands_and_the_spread_of_a_threshold_are_those_of_scikit_learn_on_resampled_rows() {
    let (numpy, data) = numpy();
    let roc = roc_band(&data.part(), &numpy.places, &as_long(&numpy)).unwrap();
    let precision = pr_band(&data.part(), &numpy.places[1..], &as_long(&numpy)).unwrap();
    for (ours, theirs) in [(roc, &numpy.roc_band), (precision, &numpy.pr_band)] {
        assert_eq!(ours.len(), theirs.len());
        for (point, &theirs) in ours.iter().zip(theirs) {
            assert_close(&point.at.to_string(), Interval { low: point.low, high: point.high }, theirs);
        }
    }
    let spread = threshold_spread(&data.part(), Criterion::Youden, &as_long(&numpy)).unwrap();
    let (median, low, high) = numpy.youden;
    assert_close("Youden's threshold", Interval { low: spread.low, high: spread.high }, (low, high));
    assert!((spread.median - median).abs() < 0.03 * (high - low), "{} {median}", spread.median);
    assert_eq!(spread.undefined_replicates, 0);
}

#[test]
fn accuracy_of_independent_samples_has_the_interval_of_wald() {
    // 400 patients with one sample each, 300 of them correct: 0.75 +- 1.96 sqrt(0.75 * 0.25 / 400).
    let (labels, patients): (Vec<bool>, Vec<usize>) = (0..400).map(|i| (i % 2 == 0, i)).unzip();
    let scores: Vec<f64> = (0..400).map(|i| f64::from(u8::from((i % 2 == 0) == (i < 300)))).collect();
    let accuracy = Data { labels, scores, patients }.summarise(&BOOTSTRAP).accuracy;
    let interval = accuracy.interval.unwrap();
    assert_eq!(accuracy.value, Ok(0.75));
    assert!((interval.low - 0.707_565).abs() < 0.005, "{}", interval.low);
    assert!((interval.high - 0.792_435).abs() < 0.005, "{}", interval.high);
}

#[test]
fn the_result_is_the_same_on_one_two_and_three_threads() {
    let (numpy, data) = numpy();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            (
                data.summarise(&BOOTSTRAP),
                summarise(&data.part(), 0.5, BOOTSTRAP.stratified()),
                data.compare(&numpy.other, &BOOTSTRAP),
                roc_band(&data.part(), &numpy.places, &BOOTSTRAP),
                pr_band(&data.part(), &numpy.places, &BOOTSTRAP),
                threshold_spread(&data.part(), Criterion::F1, &BOOTSTRAP),
            )
        })
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(3));
}

#[test]
fn the_seed_decides_the_interval_and_not_the_value() {
    let (_, data) = numpy();
    let (a, b) = (data.summarise(&BOOTSTRAP), data.summarise(&Bootstrap { seed: 43, ..BOOTSTRAP }));
    assert_eq!(a, data.summarise(&BOOTSTRAP));
    assert_eq!(a.auc.value, b.auc.value);
    assert_ne!(a.auc.interval, b.auc.interval);
}

#[test]
fn how_patients_are_numbered_does_not_matter() {
    let (_, mut data) = numpy();
    let before = data.summarise(&BOOTSTRAP);
    for patient in &mut data.patients {
        *patient = usize::MAX - 31 * *patient;
    }
    assert_eq!(data.summarise(&BOOTSTRAP), before);
}

#[test]
fn patients_are_drawn_whole() {
    // A second copy of every sample adds nothing when it stays with its patient: not one bit of any
    // interval changes. As a patient of its own it would count as new evidence.
    let (_, data) = numpy();
    let once = data.summarise(&BOOTSTRAP);
    let kept_together = data.doubled(|patient| patient).summarise(&BOOTSTRAP);
    let torn_apart = data.doubled(|patient| patient + 1000).summarise(&BOOTSTRAP);
    for ((name, once), ((_, together), (_, apart))) in
        (figures(&once).into_iter()).zip(figures(&kept_together).into_iter().zip(figures(&torn_apart)))
    {
        // Only these two consist of roundings that differ.
        let tolerance = if matches!(name, "brier" | "mcc") { 1e-12 } else { 0.0 };
        for (once, together) in [(once.interval, together.interval), (once.bca, together.bca)] {
            let (once, together) = (once.unwrap(), together.unwrap());
            assert!((once.low - together.low).abs() <= tolerance, "{name}");
            assert!((once.high - together.high).abs() <= tolerance, "{name}");
        }
        let narrower = width(apart) / width(once); // 1 / sqrt(2) = 0.71 in expectation
        assert!((0.6..0.82).contains(&narrower), "{name}: {narrower}");
    }
}

#[test]
fn patients_with_a_sample_of_each_class_balance_every_resample() {
    // Each patient has one sample of each class, and both are predicted as Pathology. Accuracy is
    // one half in any resample of whole patients, and would vary if samples were drawn.
    let patients: Vec<usize> = (0..40).map(|i| i / 2).collect();
    let labels: Vec<bool> = (0..40).map(|i| i % 2 == 0).collect();
    let scores: Vec<f64> = (0..40).map(|i| 0.6 + f64::from(i) / 100.0).collect();
    let accuracy = Data { labels, scores, patients }.summarise(&BOOTSTRAP).accuracy;
    let interval = accuracy.interval.unwrap();
    assert_eq!((interval.low, interval.high), (0.5, 0.5));
}

#[test]
fn bands_of_patients_who_are_all_alike_are_the_curve() {
    // Each patient has two samples of each class, and one of each is tied at 0.5. For any draw, the
    // ROC curve runs (0, 0), (0, 1/2), (1/2, 1), (1, 1), and precision is 1, then 2/3, then 1/2.
    let patients: Vec<usize> = (0..24).map(|i| i / 4).collect();
    let labels = [true, true, false, false].repeat(6);
    let scores = [0.9, 0.5, 0.5, 0.1].repeat(6);
    let data = Data { labels, scores, patients };
    let places = [1.0, 0.25, 0.0, 0.5];
    let heights = |band: Vec<BandPoint>| -> Vec<(f64, f64, f64)> {
        band.iter().map(|point| (point.at, point.low, point.high)).collect()
    };
    let roc = heights(roc_band(&data.part(), &places, &BOOTSTRAP).unwrap());
    assert_eq!(roc, [(0.0, 0.5, 0.5), (0.25, 0.75, 0.75), (0.5, 1.0, 1.0), (1.0, 1.0, 1.0)]);
    let precision = heights(pr_band(&data.part(), &[0.5, 0.51, 1.0], BOOTSTRAP.stratified()).unwrap());
    let two_thirds = 2.0 / 3.0;
    let expected = [(0.5, 1.0, 1.0), (0.51, two_thirds, two_thirds), (1.0, two_thirds, two_thirds)];
    assert_eq!(precision, expected);
}

#[test]
fn a_higher_confidence_level_is_wider_and_contains_the_lower() {
    let (_, data) = numpy();
    let at = |confidence_level| data.summarise(&Bootstrap { confidence_level, ..BOOTSTRAP });
    let (narrow, wide) = (at(0.8), at(0.99));
    for ((name, narrow), (_, wide)) in figures(&narrow).into_iter().zip(figures(&wide)) {
        let (narrow, wide) = (narrow.interval.unwrap(), wide.interval.unwrap());
        assert!(wide.low < narrow.low && narrow.high < wide.high, "{name}");
    }
}
