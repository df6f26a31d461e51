//! Every bad input stops the run before or at its stage, the message says what would be right, and
//! existing files stay whole.

use std::fs;
use std::process::Command;

use crate::harness::{PIPELINE, Sandbox, files_below, said};

/// The pipeline is rejected before anything starts.
fn refused(sandbox: &Sandbox, arguments: &[&str], expected: &str) {
    let said = sandbox.ctpipe(arguments).expect(2);
    assert!(said.stderr.contains(expected), "expected {expected:?} in:\n{}", said.stderr);
}

#[test]
fn a_missing_folder_or_csv_is_found_before_anything_starts() {
    let sandbox = Sandbox::empty();
    refused(&sandbox, &["run"], "there is no data/training_data (the folder with the DICOM files)");
    refused(&sandbox, &["run"], "there is no data/training_data.csv");
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("data/training_data.csv")).unwrap();
    refused(&sandbox, &["run"], "input labels: there is no data/training_data.csv");
    fs::write(sandbox.path("data/training_data.csv"), "").unwrap();
    refused(&sandbox, &["run"], "the labels are empty");
    sandbox.write("data/training_data.csv", "study_uid,series_uid,pathology\n");
    refused(&sandbox, &["run"], "has a header and no rows");
    sandbox.write("data/training_data.csv", "study_uid,series,label\n1,2,1\n");
    refused(
        &sandbox,
        &["run"],
        "the labels have no column \"series_uid\"; they have: study_uid, series, label",
    );
    assert!(!sandbox.path("artifacts/ingest").exists());
}

#[test]
fn mistakes_in_the_pipeline_file_are_shown_with_line_and_column() {
    let sandbox = Sandbox::new();
    let with = |from: &str, to: &str| sandbox.write("pipeline.yaml", &PIPELINE.replace(from, to));
    with("lr: 1e-3", "lrr: 1e-3");
    refused(&sandbox, &["run"], "pipeline.yaml:11:67: train has no parameter \"lrr\" (did you mean \"lr\"?)");
    with("epochs: 2", "epochs: 0");
    refused(&sandbox, &["run"], "epochs must be a whole number from 1 to 100000, found 0");
    with("stages:", "stagess:");
    refused(&sandbox, &["run"], "pipeline.yaml:2:1: unknown key \"stagess\" (did you mean \"stages\"?)");
    with("  split:\n", "  splitt:\n");
    refused(&sandbox, &["run"], "unknown stage \"splitt\" (did you mean \"split\"?)");
    with("series: ingest, dicom", "series: evaluate, dicom");
    refused(&sandbox, &["run"], "the stages depend on each other in a cycle: ");
    with("dicom: data/training_data, labels", "dicm: data/training_data, labels");
    refused(&sandbox, &["run"], "ingest has no input \"dicm\" (did you mean \"dicom\"?)");
    with("device: cpu }", "device: cuda }");
    refused(&sandbox, &["run"], "no CUDA device");
    with("device: cpu }", "device: gpu }");
    refused(&sandbox, &["run"], "expected auto, cpu, cuda or cuda:N");
    with("seed: 42", "seed: [");
    refused(&sandbox, &["status"], "not valid YAML");
    sandbox.write("pipeline.yaml", PIPELINE);
    refused(&sandbox, &["run", "--set", "train.epochs=-1"], "--set train.epochs=-1: epochs must be");
    refused(
        &sandbox,
        &["run", "--set", "split.test_size=0.5", "--set", "split.val_size=0.5"],
        "leave no series for training",
    );
    refused(&sandbox, &["run", "--profile", "none"], "unknown profile \"none\"");
    refused(&sandbox, &["run", "--from", "trian"], "unknown stage \"trian\" (did you mean \"train\"?)");
    refused(&sandbox, &["run", "--pipeline", "none.yaml"], "cannot read the pipeline file");
    assert!(!sandbox.path("artifacts/ingest").exists());
}

#[test]
fn no_series_left_stops_at_ingest_and_says_which_rules_left_none() {
    let sandbox = Sandbox::new();
    let said = sandbox.ctpipe(&["run", "--set", "ingest.min_slices=500"]).expect(1);
    assert!(
        said.stderr.contains("no series is left") && said.stderr.contains("too_few_slices"),
        "{}",
        said.stderr
    );
    fs::remove_dir_all(sandbox.path("data/training_data")).unwrap();
    fs::create_dir_all(sandbox.path("data/training_data")).unwrap();
    refused(&sandbox, &["run"], "holds no files");
    sandbox.write("data/training_data/notes.txt", "no DICOM here");
    let said = sandbox.ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("none of the 1 files is a readable DICOM series"), "{}", said.stderr);
}

#[test]
fn a_class_with_too_few_patients_stops_at_split_and_leaves_the_rest_whole() {
    let sandbox = Sandbox::new();
    let labels = fs::read_to_string(sandbox.path("data/training_data.csv")).unwrap();
    // Sets the pathology column to 0 in all rows but the first two with a 1.
    let column = labels.lines().next().unwrap().split(',').position(|c| c == "pathology").unwrap();
    let mut left = 2;
    let rows: Vec<String> = labels
        .lines()
        .map(|line| {
            let mut cells: Vec<&str> = line.split(',').collect();
            if cells[column] == "1" {
                if left == 0 {
                    cells[column] = "0";
                } else {
                    left -= 1;
                }
            }
            cells.join(",")
        })
        .collect();
    sandbox.write("data/training_data.csv", &rows.join("\n"));
    let said = sandbox.ctpipe(&["run"]).expect(1);
    assert!(
        said.stderr.contains("class 1 has") && said.stderr.contains("set test_size or val_size to 0"),
        "{}",
        said.stderr
    );
    assert!(sandbox.path("artifacts/preprocess/volumes.parquet").exists());
    assert!(!sandbox.path("artifacts/split").exists());
}

#[test]
fn broken_files_are_rows_and_the_run_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    let files = files_below(&sandbox.path("data/training_data"));
    // Cuts a file within its pixels, so that preprocess rejects its series, and damages the header
    // of another file.
    let bytes = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &bytes[..bytes.len() - 5000]).unwrap();
    let mut header = fs::read(files.last().unwrap()).unwrap();
    header.truncate(200);
    fs::write(files.last().unwrap(), header).unwrap();
    let run = sandbox.run();
    assert!(run.stdout.contains("could not be read"), "{}", run.stdout);
    assert!(
        run.stdout.contains("pixel_data_truncated") || run.stdout.contains("series rejected"),
        "{}",
        run.stdout
    );
    assert_ne!(sandbox.contents()["report"], before["report"]);
    let page = fs::read_to_string(sandbox.path("artifacts/report/report.html")).unwrap();
    assert!(
        page.contains("missing_slice") || page.contains("too_few_slices") || page.contains("1 unreadable"),
        "the page names the rejection"
    );
}

#[test]
fn synth_never_writes_over_a_patient_key_or_data() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("data")).unwrap();
    sandbox.write("data/patient.key", "a real secret");
    refused(&sandbox, &["synth", "data"], "data/patient.key already exists");
    assert_eq!(fs::read_to_string(sandbox.path("data/patient.key")).unwrap(), "a real secret");
    refused(&sandbox, &["synth", "other", "--patients", "0"], "patients is 0, expected 1 to 9999");
}

#[test]
fn a_disk_that_is_nearly_full_is_found_before_anything_starts() {
    let sandbox = Sandbox::new();
    // A small file system of the test's own. Without the right to mount one, the test is skipped.
    let alone = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .current_dir(sandbox.path(""));
        unshare
    };
    if !alone("mount -t tmpfs probe /mnt").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine does not let the test mount a small file system");
        return;
    }
    let binary = env!("CARGO_BIN_EXE_ctpipe");
    let script =
        format!("mkdir artifacts && mount -t tmpfs -o size=1m full artifacts && exec '{binary}' run");
    let said = said(&mut alone(&script)).expect(2);
    assert!(said.stderr.contains("free some space"), "{}", said.stderr);
}

#[test]
fn a_write_that_fails_stops_the_stage_with_a_message_and_leaves_earlier_artifacts_whole() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    // A limit on the file size stands for a disk that fills up while a shard is written: the system
    // rejects the write in the same way, and no privileges are needed. 512-byte blocks: 100 KB.
    let script = format!(
        "trap '' XFSZ; ulimit -f 200; exec '{}' run --force --from preprocess",
        env!("CARGO_BIN_EXE_ctpipe")
    );
    let said = said(Command::new("sh").args(["-c", &script]).current_dir(sandbox.path(""))).expect(1);
    assert!(said.stderr.contains("stage preprocess failed"), "{}", said.stderr);
    assert!(
        said.stderr.contains("cannot write") && said.stderr.contains("File too large"),
        "{}",
        said.stderr
    );
    assert_eq!(sandbox.contents(), before);
    assert!(sandbox.run().outcomes().is_empty());
}
