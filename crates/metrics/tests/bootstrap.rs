//! The intervals: against numpy, against a textbook formula, and what the unit of resampling means.
//! Knows nothing of how a resample is drawn.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use ctpipe_metrics::{Bootstrap, Figure, Part, Summary, summarise};
use serde::Deserialize;

const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 2000, confidence_level: 0.95, seed: 42 };

#[derive(Deserialize)]
struct Numpy {
    labels: String,
    scores: Vec<f64>,
    patients: Vec<usize>,
    threshold: f64,
    confidence_level: f64,
    intervals: BTreeMap<String, (f64, f64)>,
}

/// 150 samples of about 55 patients, with both classes and many samples of some patients.
struct Data {
    labels: Vec<bool>,
    scores: Vec<f64>,
    patients: Vec<usize>,
}

impl Data {
    fn summarise(&self, bootstrap: &Bootstrap) -> Summary {
        let Self { labels, scores, patients } = self;
        summarise(&Part { labels, scores, patients }, 0.5, bootstrap)
    }

    /// Every sample twice; the copies are of the patients that `patient` says.
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

fn figures(summary: &Summary) -> [(&'static str, &Figure); 6] {
    [
        ("auc", &summary.auc),
        ("sensitivity", &summary.sensitivity),
        ("specificity", &summary.specificity),
        ("precision", &summary.precision),
        ("f1", &summary.f1),
        ("accuracy", &summary.accuracy),
    ]
}

fn width(figure: &Figure) -> f64 {
    let interval = figure.interval.unwrap();
    interval.high - interval.low
}

#[test]
fn intervals_are_those_of_numpy_resampling_the_rows() {
    let (numpy, data) = numpy();
    let summary = summarise(
        &Part { labels: &data.labels, scores: &data.scores, patients: &data.patients },
        numpy.threshold,
        &Bootstrap { replicates: 20_000, confidence_level: numpy.confidence_level, seed: 1 },
    );
    for (name, figure) in figures(&summary) {
        let interval = figure.interval.unwrap();
        let (low, high) = numpy.intervals[name];
        // Two runs of 20 000 replicates differ by about 2 % of a standard error at each end.
        let tolerance = 0.05 * (high - low);
        assert!((interval.low - low).abs() < tolerance, "{name}: {} {low}", interval.low);
        assert!((interval.high - high).abs() < tolerance, "{name}: {} {high}", interval.high);
    }
}

#[test]
fn accuracy_of_independent_samples_has_the_interval_of_wald() {
    // 400 patients with a sample each, 300 of them right: 0.75 +- 1.96 sqrt(0.75 * 0.25 / 400).
    let (labels, patients): (Vec<bool>, Vec<usize>) = (0..400).map(|i| (i % 2 == 0, i)).unzip();
    let scores: Vec<f64> = (0..400).map(|i| f64::from(u8::from((i % 2 == 0) == (i < 300)))).collect();
    let accuracy = Data { labels, scores, patients }.summarise(&BOOTSTRAP).accuracy;
    let interval = accuracy.interval.unwrap();
    assert_eq!(accuracy.value, Ok(0.75));
    assert!((interval.low - 0.707_565).abs() < 0.005, "{}", interval.low);
    assert!((interval.high - 0.792_435).abs() < 0.005, "{}", interval.high);
}

#[test]
fn the_result_is_the_same_on_one_thread_and_on_four() {
    let (_, data) = numpy();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| data.summarise(&BOOTSTRAP))
    };
    assert_eq!(on(1), on(4));
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
    // interval changes. As a patient of its own it would pass for new evidence.
    let (_, data) = numpy();
    let once = data.summarise(&BOOTSTRAP);
    let kept_together = data.doubled(|patient| patient).summarise(&BOOTSTRAP);
    let torn_apart = data.doubled(|patient| patient + 1000).summarise(&BOOTSTRAP);
    for ((name, once), ((_, together), (_, apart))) in
        (figures(&once).into_iter()).zip(figures(&kept_together).into_iter().zip(figures(&torn_apart)))
    {
        assert_eq!(once, together, "{name}");
        let narrower = width(apart) / width(once); // 1 / sqrt(2) = 0.71 in expectation
        assert!((0.6..0.82).contains(&narrower), "{name}: {narrower}");
    }
}

#[test]
fn patients_with_a_sample_of_each_class_balance_every_resample() {
    // Each patient has one sample of each class, both called Pathology. Accuracy is one half in any
    // resample of whole patients, and would vary if samples were drawn.
    let patients: Vec<usize> = (0..40).map(|i| i / 2).collect();
    let labels: Vec<bool> = (0..40).map(|i| i % 2 == 0).collect();
    let scores: Vec<f64> = (0..40).map(|i| 0.6 + f64::from(i) / 100.0).collect();
    let accuracy = Data { labels, scores, patients }.summarise(&BOOTSTRAP).accuracy;
    let interval = accuracy.interval.unwrap();
    assert_eq!((interval.low, interval.high), (0.5, 0.5));
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
