//! The whole pipeline: what it writes, and what it must not write.

use std::fs;

use ctpipe_tables::json::MetricsFile;
use ctpipe_tables::{EpochRow, PredictionRow, SeriesRow, SplitRow, Table, VolumeRow};
use serde_json::Value;

use crate::harness::{STAGES, Sandbox, files_below};

#[test]
fn from_dicom_to_report_every_file_is_there_and_fits_the_others() {
    let sandbox = Sandbox::new();
    let said = sandbox.ctpipe(&["run"]).expect(0);
    assert!(said.stderr.contains("artifacts/report/report.html"), "{}", said.stderr);
    for found in ["configuration valid", "free for", "data found", "labels readable", "device: cpu"] {
        assert!(said.stderr.contains(found), "the pre-flight check says {found}: {}", said.stderr);
    }
    let artifact = |stage: &str| sandbox.path(&format!("artifacts/{stage}"));
    let series = SeriesRow::read(&artifact("ingest")).unwrap();
    let volumes = VolumeRow::read(&artifact("preprocess")).unwrap();
    let split = SplitRow::read(&artifact("split")).unwrap();
    let predictions = PredictionRow::read(&artifact("evaluate")).unwrap();
    let history = EpochRow::read(&artifact("train")).unwrap();
    assert!(series.len() >= 14 && series.iter().all(|row| row.status == "accepted"));
    assert_eq!([volumes.len(), split.len(), predictions.len()], [series.len(); 3]);
    assert_eq!(history.len(), 2);
    assert_eq!(history.iter().filter(|row| row.best).count(), 1);
    let metrics = fs::read_to_string(artifact("evaluate").join(MetricsFile::FILE)).unwrap();
    let metrics: MetricsFile = serde_json::from_str(&metrics).unwrap();
    let total = metrics.train.samples + metrics.val.samples + metrics.test.samples;
    assert_eq!(total, series.len() as u64);
    let results = fs::read_to_string(artifact("report").join("training_results.json")).unwrap();
    let results: Value = serde_json::from_str(&results).unwrap();
    for field in ["train_metrics", "val_metrics", "test_metrics", "optimal_threshold", "training_history"] {
        assert!(results.get(field).is_some(), "{field}");
    }
    assert_eq!(results["training_history"].as_array().unwrap().len(), 2);
    let page = fs::read_to_string(artifact("report").join("report.html")).unwrap();
    assert!(page.contains(&series[0].series_uid));
    assert!(!page.contains("src=\"http") && !page.contains("<link"), "the page works offline");
}

#[test]
fn nothing_personal_leaves_the_dicom_files() {
    let sandbox = Sandbox::new();
    let said = sandbox.ctpipe(&["run"]).expect(0);
    // The name and the ID of the first patient in the phantoms.
    let markers = ["PHANTOM^", "PHANTOM-"];
    let dicom = fs::read(sandbox.dicom_file()).unwrap();
    let holds = |bytes: &[u8], marker: &str| bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
    assert!(markers.iter().any(|marker| holds(&dicom, marker)), "the marker is in the data to begin with");
    for marker in markers {
        assert!(!said.stderr.contains(marker) && !said.stdout.contains(marker));
        for file in files_below(&sandbox.path("artifacts")) {
            assert!(!holds(&fs::read(&file).unwrap(), marker), "{}", file.display());
        }
    }
}

#[test]
fn outputs_hold_no_clock_and_no_path_of_this_machine() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let folder = sandbox.path("").to_string_lossy().into_owned();
    for stage in STAGES {
        let home = fs::canonicalize(sandbox.path(&format!("artifacts/{stage}"))).unwrap();
        for file in files_below(&home) {
            let bytes = fs::read(&file).unwrap();
            let found = bytes.windows(folder.len()).any(|w| w == folder.as_bytes());
            assert!(!found, "{} holds {folder}", file.display());
        }
    }
}

/// Sets parameters in the pipeline file, by `--set` and in the key; the tests of the library check
/// their effects.
#[test]
fn parameters_of_training_change_what_is_computed() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    for change in ["width=2", "lr=5e-3", "schedule=one_cycle", "augment=false", "arch=cnn3d_gap"] {
        let set = format!("train.{change}");
        let run = sandbox.ctpipe(&["run", "--json", "--to", "train", "--set", &set]).expect(0);
        assert_eq!(run.outcomes()["train"], "made", "{change}");
        assert_ne!(sandbox.contents()["train"], before["train"], "{change}");
        // The weights differ, and not just the recorded parameter.
        let weights = |path: &str| fs::read(sandbox.path(path)).unwrap();
        let now = weights("artifacts/train/model.safetensors");
        sandbox.ctpipe(&["run", "--to", "train"]).expect(0);
        assert!(now != weights("artifacts/train/model.safetensors"), "{change}");
    }
}

#[test]
fn the_schemas_that_are_kept_are_those_of_this_program() {
    let kept = [
        ("--schema", "pipeline.schema.json", include_str!("../../schemas/pipeline.schema.json")),
        ("--metrics-schema", "metrics.schema.json", include_str!("../../schemas/metrics.schema.json")),
        ("--folds-schema", "folds.schema.json", include_str!("../../schemas/folds.schema.json")),
        ("--search-schema", "search.schema.json", include_str!("../../schemas/search.schema.json")),
        ("--events-schema", "events.schema.json", include_str!("../../schemas/events.schema.json")),
    ];
    for (option, file, text) in kept {
        let said = Sandbox::empty().ctpipe(&["stages", option]).expect(0);
        assert!(said.stdout == text, "{file} is old: \"make schemas\" writes it");
    }
}
