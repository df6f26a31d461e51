//! What runs again and what does not.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::harness::{STAGES, Sandbox};

#[test]
fn the_second_run_does_nothing_and_says_why_in_one_line_a_stage() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run().ran().len(), STAGES.len());
    let again = sandbox.ctpipe(&["run"]).expect(0);
    for stage in STAGES {
        let lines: Vec<&str> = again.stderr.lines().filter(|l| l.starts_with(&format!("{stage} "))).collect();
        let why: Vec<&&str> =
            lines.iter().filter(|l| l.contains("fresh: none of its inputs has changed")).collect();
        assert_eq!(why.len(), 1, "{stage}: {lines:?}");
    }
    assert!(sandbox.run().outcomes().is_empty());
    sandbox.ctpipe(&["status"]).expect(0);
}

#[test]
fn a_changed_learning_rate_runs_train_and_what_follows_and_its_return_restores() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let first = sandbox.contents();
    let set = ["--set", "train.lr=2e-3"];
    let dry = sandbox.ctpipe(&["run", "--dry-run", set[0], set[1]]).expect(3);
    assert!(dry.stdout.contains("train       run: lr changed from 0.001 to 0.002"), "{}", dry.stdout);
    assert!(dry.stdout.contains("evaluate    may run: depends on the output of train"), "{}", dry.stdout);
    let why = sandbox.ctpipe(&["why", "train", set[0], set[1]]).expect(0);
    assert!(why.stdout.contains("  lr changed from 0.001 to 0.002"), "{}", why.stdout);
    sandbox.ctpipe(&["status", set[0], set[1]]).expect(3);
    let changed = sandbox.ctpipe(&["run", "--json", set[0], set[1]]).expect(0);
    assert_eq!(changed.ran(), ["evaluate", "report", "train"]);
    let back = sandbox.run();
    assert!(back.ran().is_empty());
    assert_eq!(back.outcomes()["train"], "restored");
    assert_eq!(sandbox.contents(), first);
}

#[test]
fn touching_a_file_runs_nothing() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let file = fs::File::options().append(true).open(sandbox.dicom_file()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
    assert!(sandbox.run().outcomes().is_empty());
}

#[test]
fn one_changed_byte_of_pixels_runs_ingest_and_preprocess_and_then_what_their_bytes_change() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    let path = sandbox.dicom_file();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() - 64 * 64; // in the middle of 64 x 64 pixels of two bytes
    bytes[middle + 64] ^= 0x07;
    fs::write(&path, bytes).unwrap();
    let why = sandbox.ctpipe(&["why", "ingest"]).expect(0);
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        why.stdout.contains("input dicom changed: changed ") && why.stdout.contains(name),
        "{}",
        why.stdout
    );
    let run = sandbox.run();
    assert_eq!(run.outcomes()["ingest"], "made");
    assert_eq!(run.outcomes()["preprocess"], "made");
    let after = sandbox.contents();
    assert_eq!(after["ingest"], before["ingest"], "no header changed");
    assert_ne!(after["preprocess"], before["preprocess"]);
    // The split read the same labels: early cut-off keeps its content, and train reads the new
    // volumes.
    assert_eq!(after["split"], before["split"]);
    assert!(run.ran().contains(&"train".to_owned()));
}

#[test]
fn from_to_and_named_stages_select_and_missing_artifacts_are_told() {
    let sandbox = Sandbox::new();
    let missing = sandbox.ctpipe(&["run", "--from", "train"]).expect(2);
    assert!(missing.stderr.contains("there is no artifact of"), "{}", missing.stderr);
    let to = sandbox.ctpipe(&["run", "--json", "--to", "split"]).expect(0);
    assert_eq!(to.ran(), ["ingest", "preprocess", "split"]);
    let named = sandbox.ctpipe(&["run", "--json", "train"]).expect(0);
    assert_eq!(named.ran(), ["train"]);
    let from = sandbox.ctpipe(&["run", "--json", "--from", "train"]).expect(0);
    assert_eq!(from.ran(), ["evaluate", "report"]);
    let forced = sandbox.ctpipe(&["run", "--json", "--from", "evaluate", "--force"]).expect(0);
    assert_eq!(forced.ran(), ["evaluate", "report"]);
    assert_eq!(forced.outcomes()["evaluate"], "identical");
    let nothing = sandbox.ctpipe(&["run", "--from", "report", "--to", "split"]).expect(2);
    assert!(nothing.stderr.contains("there is nothing from report to split"), "{}", nothing.stderr);
}

#[test]
fn from_uses_what_comes_before_as_it_is_and_says_that_it_is_stale() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    let run = sandbox
        .ctpipe(&[
            "run",
            "--json",
            "--from",
            "train",
            "--set",
            "split.test_size=0.3",
            "--set",
            "train.epochs=1",
        ])
        .expect(0);
    assert_eq!(run.ran(), ["evaluate", "report", "train"]);
    assert_eq!(sandbox.contents()["split"], before["split"]);
    assert!(run.stdout.contains("split is stale (test_size changed from 0.2 to 0.3) but is used as it is"));
}

#[test]
fn the_same_bytes_come_from_another_folder_and_from_one_and_two_threads() {
    let (a, b) = (Sandbox::new(), Sandbox::new());
    a.ctpipe(&["run"]).expect(0);
    for (name, threads) in [("RAYON_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "2")] {
        crate::harness::said(b.command(&["run", "--force"]).env(name, threads)).expect(0);
        assert_eq!(a.contents(), b.contents(), "{threads} threads");
    }
}

#[test]
fn an_output_altered_by_hand_is_made_again_and_put_aside() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    let file = sandbox.path("artifacts/evaluate/metrics.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o222, 0, "outputs are read-only");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "{}").unwrap();
    let why = sandbox.ctpipe(&["why", "evaluate"]).expect(0);
    assert!(why.stdout.contains("its output metrics.json was changed or removed by hand"), "{}", why.stdout);
    assert_eq!(sandbox.run().ran(), ["evaluate"]);
    assert_eq!(sandbox.contents(), before);
    let store = fs::read_dir(sandbox.path("artifacts/store/evaluate")).unwrap();
    assert!(store.flatten().any(|e| e.file_name().to_string_lossy().contains(".altered-1")));
}

#[test]
fn what_was_deleted_by_hand_is_made_again_and_said() {
    let sandbox = Sandbox::new();
    sandbox.run();
    let before = sandbox.contents();
    let target = |stage: &str| fs::canonicalize(sandbox.path(&format!("artifacts/{stage}"))).unwrap();
    let why = |expected: &str| {
        let said = sandbox.ctpipe(&["why", "split"]).expect(0);
        assert!(said.stdout.contains(expected), "{}", said.stdout);
    };
    // Removes an output, the manifest, the whole artifact, only the link (its artifact still
    // exists), and everything.
    fs::remove_file(target("split").join("split.parquet")).unwrap();
    why("its output split.parquet was changed or removed by hand");
    assert_eq!(sandbox.run().ran(), ["split"]);
    fs::remove_file(target("split").join("manifest.json")).unwrap();
    why("manifest.json");
    assert_eq!(sandbox.run().ran(), ["split"]);
    fs::remove_dir_all(target("split")).unwrap();
    why("manifest.json");
    assert_eq!(sandbox.run().ran(), ["split"]);
    fs::remove_file(sandbox.path("artifacts/split")).unwrap();
    assert_eq!(sandbox.run().outcomes()["split"], "restored");
    assert_eq!(sandbox.contents(), before);
    fs::remove_dir_all(sandbox.path("artifacts")).unwrap();
    assert_eq!(sandbox.run().ran().len(), 6);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn nothing_begins_from_an_artifact_that_was_altered_by_hand() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    sandbox.run();
    let file = sandbox.path("artifacts/split/summary.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, "{}").unwrap();
    let refused = sandbox.ctpipe(&["run", "--from", "train", "--force"]).expect(2);
    assert!(refused.stderr.contains("summary.json of split was changed by hand"), "{}", refused.stderr);
}

#[test]
fn where_the_work_is_done_is_no_part_of_the_key() {
    let sandbox = Sandbox::new();
    sandbox.run();
    // Without a GPU, auto selects the CPU.
    if !cfg!(feature = "cuda") {
        sandbox.ctpipe(&["status", "--set", "train.device=auto"]).expect(0);
    }
}

#[test]
fn a_second_run_at_the_same_time_is_refused_at_once() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("artifacts")).unwrap();
    let lock = fs::File::create(sandbox.path("artifacts/lock")).unwrap();
    lock.lock().unwrap();
    let refused = sandbox.ctpipe(&["run"]).expect(75);
    assert!(refused.stderr.contains("another run is in progress"), "{}", refused.stderr);
    sandbox.ctpipe(&["status"]).expect(3);
    drop(lock);
    sandbox.ctpipe(&["run", "--to", "ingest"]).expect(0);
}
