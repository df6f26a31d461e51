//! Evaluation and report through the binary: maps, a baseline, thresholds, languages.

use std::fs;

use ctpipe_tables::json::MetricsFile;
use ctpipe_tables::{Part, PredictionRow, SaliencyRow, Table};
use serde_json::Value;

use crate::harness::Sandbox;

fn metrics(sandbox: &Sandbox) -> MetricsFile {
    let text = fs::read_to_string(sandbox.path("artifacts/evaluate/metrics.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn series_of_the_test_part_are_explained_and_shown() {
    let sandbox = Sandbox::new();
    let few = ["evaluate.saliency_cases=1", "evaluate.smooth_grad_samples=2", "evaluate.occlusion_window=64"];
    let with = |threads: &str| {
        let mut arguments = vec!["run", "--json"];
        arguments.extend(few.iter().flat_map(|set| ["--set", set]));
        let mut command = sandbox.command(&arguments);
        command.env("RAYON_NUM_THREADS", threads);
        crate::harness::said(&mut command).expect(0);
        sandbox.contents()["evaluate"].clone()
    };
    let made = with("2");
    let rows = SaliencyRow::read(&sandbox.path("artifacts/evaluate")).unwrap();
    let predictions = PredictionRow::read(&sandbox.path("artifacts/evaluate")).unwrap();
    let (whole, cases): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.series_uid.is_empty());
    assert_eq!(whole.len(), 1);
    assert!(!cases.is_empty() && cases.len() % 4 == 0, "four methods a series");
    for row in cases {
        let of = predictions.iter().find(|prediction| prediction.series_uid == row.series_uid).unwrap();
        assert_eq!(of.split, Part::Test.as_str());
        assert_eq!((row.size, row.map.len()), (64, 64 * 64 * 64));
        let at = (row.z as usize * 64 + row.y as usize) * 64 + row.x as usize;
        assert_eq!(u32::from(row.map[at]), if row.largest > 0.0 { 255 } else { 0 }, "{}", row.method);
    }
    let page = fs::read_to_string(sandbox.path("artifacts/report/report.html")).unwrap();
    assert!(page.contains("<select name=\"method-0\" aria-label=") && page.contains("Whole test set"));
    sandbox.ctpipe(&["run", "--to", "evaluate"]).expect(0);
    fs::remove_dir_all(sandbox.path("artifacts/store/evaluate")).unwrap();
    assert_eq!(with("1"), made, "on another number of threads");
}

#[test]
fn a_model_beside_itself_is_no_better_and_beside_another_it_is_said() {
    let sandbox = Sandbox::new();
    sandbox.run();
    // The file contains every key metric that evaluate declares.
    let history: serde_json::Value =
        serde_json::from_str(&sandbox.ctpipe(&["history", "--json"]).stdout).unwrap();
    let key = history[0]["metrics"]["evaluate"].as_object().unwrap();
    assert_eq!(key.len(), 6, "{key:?}");
    assert_eq!(key["test.auc.value"].as_f64(), metrics(&sandbox).test.auc.value, "{key:?}");
    crate::harness::copy_tree(&sandbox.path("artifacts/evaluate/"), &sandbox.path("baseline"));
    let set = ["run", "--set", "evaluate.baseline=baseline"];
    sandbox.ctpipe(&set).expect(0);
    let same = metrics(&sandbox).comparison.unwrap();
    assert_eq!((same.delta_auc.value, same.delong.p_value), (Some(0.0), Some(1.0)));
    assert_eq!((same.mcnemar.only_a_right, same.unknown_to_baseline), (Some(0), 0));
    let page = fs::read_to_string(sandbox.path("artifacts/report/report.html")).unwrap();
    assert!(page.contains("p-value (McNemar, exact, by patient)"));
    // Another seed trains and splits differently, and a warning names the patients that the
    // baseline was trained on.
    let other = sandbox.ctpipe(&[set[0], set[1], set[2], "--set", "seed=7"]).expect(0);
    assert!(other.stderr.contains("it may have learnt from them"), "{}", other.stderr);
    let broken = sandbox.path("baseline/predictions.parquet");
    fs::remove_file(&broken).unwrap();
    let said = sandbox.ctpipe(&set).expect(1);
    assert!(said.stderr.contains("predictions.parquet"), "{}", said.stderr);
}

#[test]
fn the_threshold_goes_by_what_was_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.run();
    for (by, said) in [
        ("youden", "youden on val"),
        ("sensitivity", "sensitivity >= 0.9 on val"),
        ("specificity", "specificity >= 0.9 on val"),
        ("cost", "cost (false positive 1, false negative 1) on val"),
        ("fixed", "fixed"),
    ] {
        let set = format!("evaluate.threshold_by={by}");
        sandbox.ctpipe(&["run", "--to", "evaluate", "--set", &set]).expect(0);
        let found = metrics(&sandbox);
        assert_eq!(found.threshold.source, said);
        let reached = match by {
            "sensitivity" => found.val.sensitivity.value,
            "specificity" => found.val.specificity.value,
            _ => None,
        };
        assert!(reached.is_none_or(|reached| reached >= 0.9), "{by}: {reached:?}");
    }
    let said = sandbox.ctpipe(&["run", "--set", "evaluate.threshold_by=youdens"]).expect(2);
    assert!(said.stderr.contains("youden"), "{}", said.stderr);
}

#[test]
fn the_report_is_found_and_is_linked_with_the_run_both_ways() {
    let sandbox = Sandbox::new();
    let said = sandbox.ctpipe(&["report"]).expect(1);
    assert!(said.stderr.contains("ctpipe run"), "{}", said.stderr);
    sandbox.ctpipe(&["run", "--set", "report.language=ru"]).expect(0);
    let said = sandbox.ctpipe(&["report"]).expect(0);
    assert!(said.stdout.trim_end().ends_with("artifacts/report/report.html"), "{}", said.stdout);
    let said: Value = serde_json::from_str(&sandbox.ctpipe(&["report", "--json"]).expect(0).stdout).unwrap();
    assert_eq!(said["reports"].as_array().unwrap().len(), 1);
    let page = fs::read_to_string(sandbox.path("artifacts/report/report.html")).unwrap();
    assert!(page.contains("<html lang=\"ru\"") && page.contains("href=\"../runs/latest/run.html\""));
    let run = fs::read_to_string(sandbox.path("artifacts/runs/latest/run.html")).unwrap();
    assert!(run.contains("href=\"../../report/report.html\""));
    assert!(sandbox.path("artifacts/report/predictions.xlsx").exists());
}
