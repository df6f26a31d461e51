//! The stage, run through the engine on evaluations that were written by hand: its bytes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ctpipe_engine::lock::LockUse;
use ctpipe_engine::{Options, Pipeline, Selection, Spec};
use ctpipe_folds::Folds;
use ctpipe_stage::{Maker, Manifest, Stage};
use ctpipe_tables::json::{self, MetricsFile};
use ctpipe_tables::{PredictionRow, Table};

/// Ten patients with two series each, and one series of the training set, which the stage must
/// ignore.
fn write(folder: &Path, fold: u32) {
    fs::create_dir(folder).unwrap();
    let row = |i: u32| PredictionRow {
        series_uid: format!("1.{fold}.{i}"),
        patient_key: format!("{fold}-{}", i / 2),
        split: if i == 20 { "train" } else { "test" }.into(),
        label: i / 2 % 2,
        probability: f64::from(i * 7 % 20) / 20.0 + f64::from(fold) / 100.0,
        ..PredictionRow::default()
    };
    PredictionRow::write(&(0..21).map(row).collect::<Vec<_>>(), folder).unwrap();
    let mut metrics = MetricsFile::default();
    metrics.threshold.value = 0.5;
    metrics.test.samples = 20;
    metrics.confidence_level = 0.95;
    json::write(&metrics, &folder.join(MetricsFile::FILE)).unwrap();
}

/// When this fails, the stage writes different bytes from the same inputs: raise its version
/// together with the digest here.
#[test]
fn the_same_folds_give_the_same_bytes_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    for fold in 0..3 {
        write(&folder.path().join(format!("fold{fold}")), fold);
    }
    let file = folder.path().join("pipeline.yaml");
    let inputs = "metrics: [./fold0, ./fold1, ./fold2]";
    fs::write(&file, format!("stages:\n  folds: {{ inputs: {{ {inputs} }} }}\n")).unwrap();
    let stages: [Arc<dyn Stage>; 1] = [Arc::new(Folds)];
    let pipeline = Pipeline::new(&Spec::load(&file, None, &[]).unwrap(), &stages).unwrap();
    let stop = AtomicBool::new(false);
    let options = Options {
        selection: Selection::default(),
        keep_going: false,
        wait: false,
        paranoid: true,
        lock: LockUse::Update,
        draw: None,
        jobs: 1,
        maker: Maker::default(),
        stop: &stop,
    };
    ctpipe_engine::run::run(&pipeline, &options, &()).unwrap();
    let made = folder.path().join("artifacts/folds");
    let rows = PredictionRow::read(&made).unwrap();
    assert!(rows.len() == 60 && rows.is_sorted_by(|a, b| a.series_uid < b.series_uid));
    let manifest = Manifest::read(&made).unwrap();
    assert_eq!(
        (manifest.key.version, manifest.content.as_str()),
        (2, "693f9155ba10a4c6cebbdda10f4d30fb5b6c973c9aa99a565809fbb5ead89387")
    );
}
