//! Audits and collection, on stages that copy and count: artifacts are still as they were written,
//! and unneeded ones are removed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Said, Sandbox, said};

/// `upper` and `lower` do not read each other; `both` reads both, and has metrics.
pub(crate) const PIPELINE: &str = "\
stages:
  both: { run: 'cat $IN_UPPER/out $IN_LOWER/out > $OUT/out; printf \"{\\\"size\\\": {\\\"value\\\": %d}}\" $(wc -c < $OUT/out) > $OUT/metrics.json', inputs: { upper: upper, lower: lower }, outputs: [out] }
  lower: { run: 'tr A-Z a-z < \"$IN_DATA\" > $OUT/out; echo $PARAM_MARK >> $OUT/out', inputs: { data: data.txt }, params: { mark: 1 }, outputs: [out] }
  upper: { run: 'tr a-z A-Z < \"$IN_DATA\" > $OUT/out; echo $PARAM_MARK >> $OUT/out', inputs: { data: data.txt }, params: { mark: 1 }, outputs: [out] }
profiles:
  demo: { lower: { params: { mark: 5 } } }
";

pub(crate) fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", PIPELINE);
    sandbox.write("data.txt", "Some Text\n");
    sandbox
}

pub(crate) fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.stdout))
}

pub(crate) fn read(sandbox: &Sandbox, below: &str) -> String {
    fs::read_to_string(sandbox.path(below)).unwrap()
}

/// The names of the runs, newest first.
pub(crate) fn runs(sandbox: &Sandbox) -> Vec<String> {
    let history = json(&sandbox.ctpipe(&["history", "--json"]).expect(0));
    history.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

/// Edits a file of an artifact, as a user might by hand.
fn overwrite(sandbox: &Sandbox, below: &str, text: &str) {
    let path = sandbox.path(below);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

/// Every file and link in `artifacts/store`.
fn stored(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for stage in fs::read_dir(sandbox.path("artifacts/store")).unwrap().flatten() {
        for artifact in fs::read_dir(stage.path()).unwrap().flatten() {
            let (stage, artifact) = (stage.file_name(), artifact.file_name());
            found.insert(format!("{}/{}", stage.to_string_lossy(), artifact.to_string_lossy()));
        }
    }
    found
}

#[test]
fn an_audit_exits_with_what_it_found_and_leaves_a_page() {
    let sandbox = sandbox();
    let said = sandbox.ctpipe(&["audit"]).expect(2);
    assert!(said.stderr.contains("there is nothing to audit"), "{}", said.stderr);
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let said = sandbox.ctpipe(&["audit", "--rerun", "all"]).expect(0);
    assert!(said.stdout.contains("both run again: the same bytes, 2 files"), "{}", said.stdout);
    assert!(
        said.stdout.contains("3 artifacts, 7 files") && said.stdout.contains("no findings"),
        "{}",
        said.stdout
    );
    let unknown = sandbox.ctpipe(&["audit", "--rerun", "lowre"]).expect(2);
    assert!(unknown.stderr.contains("did you mean \"lower\"?"), "{}", unknown.stderr);
    overwrite(&sandbox, "artifacts/lower/out", "some text\n2\n");
    let said = sandbox.ctpipe(&["audit", "--json"]).expect(4);
    let report = json(&said);
    assert_eq!(report["findings"][0]["kind"], "output_altered");
    let page = said.stderr.lines().find_map(|line| line.strip_prefix("audit: ")).unwrap();
    let page = read(&sandbox, page);
    assert!(page.contains("its bytes differ") && page.contains("Research use only"), "{page}");
    // The run makes it again, and the artifact that it set aside is not a finding.
    sandbox.ctpipe(&["run"]).expect(0);
    let said = sandbox.ctpipe(&["audit"]).expect(0);
    assert!(said.stdout.contains("a run moved it here"), "{}", said.stdout);
    // The set-aside artifact is removed once, and its replacement stays.
    let before = stored(&sandbox);
    for more in [&["--dry-run"][..], &[]] {
        let said = sandbox.ctpipe(&[&["gc", "--keep-runs", "9"], more].concat()).expect(0).stdout;
        assert_eq!(said.matches(".altered-1").count(), 1, "{said}");
    }
    let gone: Vec<_> = before.difference(&stored(&sandbox)).cloned().collect();
    assert!(gone.len() == 1 && gone[0].ends_with(".altered-1"), "{gone:?}");
    assert!(sandbox.ctpipe(&["run", "--json"]).expect(0).ran().is_empty());
}

#[test]
fn a_command_run_again_that_gives_other_bytes_is_named_with_file_and_offset() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "pipeline.yaml",
        "stages:\n  own:\n    run: printf 'same %s' \"$(cat $PWD/hidden)\" > $OUT/out\n    outputs: [out]\n",
    );
    sandbox.write("hidden", "1");
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["audit", "--rerun", "own"]).expect(0);
    sandbox.write("hidden", "22");
    let said = sandbox.ctpipe(&["audit", "--rerun", "own"]).expect(4);
    assert!(said.stdout.contains("out first differs at byte 5, 7 bytes instead of 6"), "{}", said.stdout);
    assert_eq!(read(&sandbox, "artifacts/own/out"), "same 1");
    // A stage whose definition has changed is still run as recorded.
    let text = read(&sandbox, "pipeline.yaml").replace("same %s", "other %s");
    sandbox.write("pipeline.yaml", &text);
    sandbox.write("hidden", "1");
    sandbox.ctpipe(&["audit", "--rerun", "own"]).expect(0);
}

#[test]
fn what_is_current_locked_tagged_or_used_by_the_last_runs_is_never_collected() {
    let sandbox = sandbox();
    let run = |mark: &str| sandbox.ctpipe(&["run", "--set", &format!("lower.mark={mark}")]).expect(0);
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let locked = stored(&sandbox);
    run("2");
    sandbox.ctpipe(&["tag", "two"]).expect(0);
    let tagged = stored(&sandbox);
    run("3");
    let third = stored(&sandbox);
    run("4");
    let fourth = stored(&sandbox);
    run("5");
    let all = stored(&sandbox);
    assert_eq!((locked.len(), all.len()), (3, 3 + 4 * 2));
    let said = sandbox.ctpipe(&["gc"]).expect(2);
    assert!(said.stderr.contains("--keep-runs 10"), "{}", said.stderr);
    sandbox.ctpipe(&["gc", "--keep-runs", "0"]).expect(2);
    let said = sandbox.ctpipe(&["gc", "--max-size", "10XB"]).expect(2);
    assert!(said.stderr.contains("\"10XB\" is not an amount such as 800MB"), "{}", said.stderr);
    let dry = json(&sandbox.ctpipe(&["gc", "--keep-runs", "2", "--dry-run", "--json"]).expect(0));
    assert_eq!(stored(&sandbox), all);
    let real = json(&sandbox.ctpipe(&["gc", "--keep-runs", "2", "--json"]).expect(0));
    assert_eq!((&dry["removed"], &dry["freed"]), (&real["removed"], &real["freed"]));
    // The artifacts of the third run that no other run used.
    let expected: BTreeSet<String> =
        all.difference(&third.difference(&tagged).cloned().collect()).cloned().collect();
    assert_eq!(stored(&sandbox), expected);
    assert_eq!(expected.len(), all.len() - 2);
    // The records of the last two runs, and of the tagged run.
    assert_eq!(runs(&sandbox).len(), 3);
    sandbox.ctpipe(&["show", "latest"]).expect(0);
    assert!(sandbox.path("artifacts/runs/latest/run.html").exists());
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    let expected: BTreeSet<String> =
        expected.difference(&fourth.difference(&third).cloned().collect()).cloned().collect();
    assert_eq!(stored(&sandbox), expected);
    let left = sandbox.ctpipe(&["audit"]).expect(4).stdout;
    assert!(left.lines().all(|line| !line.contains("is not in the store")), "{left}");
    assert_eq!(fs::read_dir(sandbox.path("artifacts/tmp")).map_or(0, Iterator::count), 0);
    // None of the remaining artifacts had to be made again.
    assert!(sandbox.ctpipe(&["run", "--json"]).expect(0).ran().is_empty());
    sandbox.ctpipe(&["run", "--locked"]).expect(0);
    sandbox.ctpipe(&["audit"]).expect(0);
    assert!(sandbox.ctpipe(&["run", "--json", "--set", "lower.mark=2"]).expect(0).ran().is_empty());
}

#[test]
fn as_much_is_collected_as_a_size_asks_for_what_was_used_longest_ago_first() {
    let sandbox = Sandbox::empty();
    let pipeline = "stages:\n  own: { run: 'head -c 100000 /dev/zero > $OUT/out; echo $PARAM_MARK >> $OUT/out', params: { mark: 1 }, outputs: [out] }\n";
    sandbox.write("pipeline.yaml", pipeline);
    // 1 is made first, and used again after 2 and 3; runs in the same second differ in their
    // number.
    for mark in ["1", "2", "3", "1", "4"] {
        sandbox.ctpipe(&["run", "--set", &format!("own.mark={mark}")]).expect(0);
    }
    let said = sandbox.ctpipe(&["gc", "--max-size", "350kB"]).expect(0);
    assert!(said.stdout.contains("kB freed"), "{}", said.stdout);
    let left: BTreeSet<String> = stored(&sandbox)
        .iter()
        .map(|name| read(&sandbox, &format!("artifacts/store/{name}/manifest.json")))
        .map(|text| serde_json::from_str::<Value>(&text).unwrap()["key"]["params"]["mark"].to_string())
        .collect();
    assert_eq!(left, ["1", "3", "4"].map(str::to_owned).into());
    let said = sandbox.ctpipe(&["gc", "--max-size", "1kB"]).expect(0);
    assert!(said.stderr.contains("artifacts that must be kept exceed --max-size"), "{}", said.stderr);
    assert_eq!(stored(&sandbox).len(), 1, "what is current stays");
}

#[test]
fn nothing_is_collected_or_audited_while_a_run_is_under_way() {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", "stages:\n  own: { run: 'sleep 30; touch $OUT/out', outputs: [out] }\n");
    let mut run = sandbox.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let begun =
        || fs::read_dir(sandbox.path("artifacts/tmp")).is_ok_and(|mut entries| entries.next().is_some());
    while !begun() && started.elapsed() < Duration::from_secs(30) {
        sleep(Duration::from_millis(20));
    }
    fs::create_dir_all(sandbox.path("artifacts/store")).unwrap();
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(75);
    sandbox.ctpipe(&["audit"]).expect(75);
    run.kill().unwrap();
    run.wait().unwrap();
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
}

#[test]
fn a_collection_that_is_killed_at_any_step_leaves_whole_artifacts_and_ends_the_next_time() {
    for number in 1..100 {
        let sandbox = sandbox();
        for mark in ["2", "3"] {
            sandbox.ctpipe(&["run", "--set", &format!("lower.mark={mark}")]).expect(0);
        }
        let mut command = sandbox.command(&["gc", "--keep-runs", "1"]);
        let run = said(command.env("CTPIPE_FAULT", number.to_string()));
        // Every remaining artifact is whole.
        let audit = sandbox.ctpipe(&["audit"]).expect(0);
        assert!(audit.stdout.contains("no findings"), "{}", audit.stdout);
        sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
        assert_eq!(stored(&sandbox).len(), 3, "killed at {number}");
        assert_eq!(runs(&sandbox).len(), 1);
        if run.code != -1 {
            assert!(number > 8, "only {number} places");
            return;
        }
    }
    panic!("it never ended undisturbed");
}

#[test]
fn a_store_of_a_later_ctpipe_is_neither_audited_nor_collected() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let manifest = read(&sandbox, "artifacts/upper/manifest.json");
    let later = manifest.replacen("\"format\": 2", "\"format\": 99", 1);
    // With a valid checksum of ours, the number was altered; it is not a later format.
    overwrite(&sandbox, "artifacts/upper/manifest.json", &later);
    let said = sandbox.ctpipe(&["audit"]).expect(4);
    assert!(said.stdout.contains("its checksum does not match: it was altered"), "{}", said.stdout);
    let later = later.replacen("\"checksum\": \"", "\"checksum\": \"0", 1);
    overwrite(&sandbox, "artifacts/upper/manifest.json", &later);
    for command in [&["audit"][..], &["gc", "--keep-runs", "1"], &["run"]] {
        let said = sandbox.ctpipe(command).expect(2);
        assert!(
            said.stderr.contains("written by a later ctpipe (form 99; this one reads up to 2)"),
            "{}",
            said.stderr
        );
    }
}

#[test]
fn unfinished_work_stays_until_its_stage_has_begun_anew_and_what_was_released_stays() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let released = sandbox.manifest("lower")["key_hash"].as_str().unwrap().to_owned();
    std::os::unix::fs::symlink(format!("store/lower/{released}"), sandbox.path("artifacts/released"))
        .unwrap();
    sandbox.ctpipe(&["run", "--set", "lower.mark=2"]).expect(0);
    sleep(Duration::from_millis(1100));
    sandbox.write("artifacts/work/lower/new/checkpoint", "after the last run of lower");
    sandbox.write("artifacts/live/lower/gone/events", "of no artifact");
    sandbox.write("artifacts/cache/trees/00.json", "{}");
    sandbox.write("artifacts/tags/.tmp123", "");
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    assert!(sandbox.path("artifacts/work/lower/new/checkpoint").exists());
    for gone in ["live/lower/gone", "cache/trees/00.json", "tags/.tmp123"] {
        assert!(!sandbox.path(&format!("artifacts/{gone}")).exists(), "{gone}");
    }
    assert!(stored(&sandbox).contains(&format!("lower/{released}")), "{:?}", stored(&sandbox));
    sleep(Duration::from_millis(1100));
    sandbox.ctpipe(&["run", "--set", "lower.mark=3"]).expect(0);
    let freed = sandbox.ctpipe(&["gc", "--keep-runs", "5"]).expect(0).stdout;
    assert!(freed.contains("work/lower/new  27 B") && freed.contains("27 B freed"), "{freed}");
}

/// As after a kill between a result and the end of its work.
#[test]
fn work_that_was_left_beside_its_result_goes_with_the_next_run_and_that_of_a_forced_one_stays() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let key_hash = |stage: &str| sandbox.manifest(stage)["key_hash"].as_str().unwrap().to_owned();
    let left = |stage: &str| format!("artifacts/work/{stage}/{}", key_hash(stage));
    for (stage, file) in [("upper", "half"), ("lower", "forced")] {
        fs::create_dir_all(sandbox.path(&left(stage))).unwrap();
        sandbox.write(&format!("{}/{file}", left(stage)), "");
    }
    sandbox.ctpipe(&["run"]).expect(0);
    assert!(!sandbox.path("artifacts/work/upper").exists());
    assert!(sandbox.path(&left("lower")).exists());
}

#[test]
fn results_of_another_pipeline_file_of_the_folder_stay_and_other_programs_files_do_not_matter() {
    let sandbox = Sandbox::empty();
    let sweep = |values: &str| {
        format!(
            "stages:\n  a: {{ matrix: {{ x: {values} }}, run: 'echo $PARAM_X > $OUT/out', outputs: [out] }}\n"
        )
    };
    sandbox.write("pipeline.yaml", &sweep("[1, 2]"));
    // A pipeline file is recognised under any name and in any YAML notation.
    sandbox.write("big.pipe", &sweep("[1, 2, 3]").replace("stages:", "\"stages\":"));
    sandbox.write(".gitlab-ci.yml", "stages:\n  - build\n");
    sandbox.write("dvc.yaml", "stages:\n  a:\n    cmd: true\n");
    sandbox.ctpipe(&["run", "--pipeline", "big.pipe"]).expect(0);
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    assert!(sandbox.path("artifacts/a@x=3/out").exists());
    fs::remove_file(sandbox.path("big.pipe")).unwrap();
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    assert!(!sandbox.path("artifacts/a@x=3").is_symlink());
}

/// The folder of an auditor: a copy with read access only.
#[test]
fn a_copy_that_cannot_be_written_is_audited_from_outside() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let reader = Reader::of(&sandbox);
    let said = reader.ctpipe(&["audit"]).expect(2);
    assert!(said.stderr.contains("\"--out FOLDER\" to write it elsewhere"), "{}", said.stderr);
    let out = reader.home.path().join("audit");
    let audit = ["audit", "--rerun", "all", "--out", out.to_str().unwrap()];
    let said = reader.ctpipe(&audit).expect(0);
    assert!(said.stdout.contains("upper run again: the same bytes"), "{}", said.stdout);
    let written: BTreeSet<String> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(written, ["audit.html", "audit.json"].map(str::to_owned).into());
    let again = reader.ctpipe(&audit).expect(2);
    assert!(again.stderr.contains("already contains an audit"), "{}", again.stderr);
    let said = reader.ctpipe(&["gc", "--keep-runs", "1", "--dry-run"]).expect(0);
    assert!(said.stdout.contains("would be freed"), "{}", said.stdout);
    // Even the lock file is missing: a warning says that other processes could not be kept out.
    reader.set_mode(0o755);
    fs::remove_file(sandbox.path("artifacts/lock")).unwrap();
    reader.set_mode(0o555);
    let other = reader.home.path().join("other");
    let said = reader.ctpipe(&["audit", "--out", other.to_str().unwrap()]).expect(0);
    assert!(said.stdout.contains("runs cannot be locked out"), "{}", said.stdout);
}

#[test]
fn what_cannot_be_read_is_a_finding_and_the_rest_is_audited() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    overwrite(&sandbox, "artifacts/lower/out", "altered");
    let closed = sandbox.path("artifacts/upper/out");
    let reader = Reader::of(&sandbox);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let out = reader.home.path().join("audit");
    let said = reader.ctpipe(&["audit", "--out", out.to_str().unwrap()]).expect(4);
    for text in ["out: it cannot be read: Permission denied", "out: its bytes differ"] {
        assert!(said.stdout.contains(text), "{text} is not in {}", said.stdout);
    }
    assert!(out.join("audit.json").exists());
}

/// As are copies from a read-only disk.
#[test]
fn folders_that_nobody_may_write_to_are_kept_run_again_and_collected() {
    let sandbox = Sandbox::empty();
    let run = "mkdir $OUT/d && cat data.txt > $OUT/d/out && echo $PARAM_M >> $OUT/d/out && chmod 555 $OUT/d && test $PARAM_M -lt 4";
    sandbox.write(
        "pipeline.yaml",
        &format!("stages: {{ a: {{ run: '{run}', params: {{ m: 1 }}, outputs: [d] }} }}\n"),
    );
    sandbox.write("data.txt", "data");
    fs::create_dir(sandbox.path("artifacts")).unwrap();
    let user = Reader::of(&sandbox);
    user.set_mode(0o777);
    user.ctpipe(&["run"]).expect(0);
    user.ctpipe(&["run", "--set", "a.m=4"]).expect(1);
    user.ctpipe(&["run", "--set", "a.m=2"]).expect(0);
    user.ctpipe(&["run", "--force", "--set", "a.m=2"]).expect(0);
    user.ctpipe(&["audit", "--rerun", "all"]).expect(0);
    user.ctpipe(&["run", "--set", "a.m=3"]).expect(0);
    let said = user.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    assert_eq!(said.stdout.matches("store/a/").count(), 2, "{}", said.stdout);
    user.ctpipe(&["run"]).expect(0);
    // Results can be written but the lock cannot: the command fails.
    fs::set_permissions(&user.folder, fs::Permissions::from_mode(0o555)).unwrap();
    let said = user.ctpipe(&["run", "--lock"]).expect(1);
    assert!(
        said.stderr.contains("pipeline.lock") && said.stderr.contains("Permission denied"),
        "{}",
        said.stderr
    );
}

#[test]
fn what_only_reads_keeps_runs_away_and_nobody_else() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let lock = fs::File::open(sandbox.path("artifacts/lock")).unwrap();
    lock.lock_shared().unwrap();
    sandbox.ctpipe(&["audit"]).expect(0);
    sandbox.ctpipe(&["run"]).expect(75);
    lock.unlock().unwrap();
    lock.lock().unwrap();
    sandbox.ctpipe(&["audit"]).expect(75);
    sandbox.ctpipe(&["gc", "--keep-runs", "1", "--dry-run"]).expect(75);
}

/// A user who may read the sandbox, run ctpipe in it, and write to a home folder.
struct Reader {
    folder: PathBuf,
    home: TempDir,
    program: PathBuf,
    /// The user's number if the tests run as root, to whom permissions do not apply.
    user: Option<u32>,
}

impl Reader {
    /// The number of `nobody` on Linux.
    const NOBODY: u32 = 65_534;

    fn of(sandbox: &Sandbox) -> Reader {
        let folder = sandbox.path(".").canonicalize().unwrap();
        let home = tempfile::tempdir().unwrap();
        // Other users may not have access to the build folder.
        let program = home.path().join("ctpipe");
        fs::copy(env!("CARGO_BIN_EXE_ctpipe"), &program).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut reader = Reader { folder, home, program, user: None };
        reader.set_mode(0o555);
        // Root may write to read-only folders.
        let bound = tempfile::tempfile_in(&reader.folder).is_err();
        reader.user = (!bound).then_some(Self::NOBODY);
        reader
    }

    /// The permissions of the folder and of `artifacts/`.
    fn set_mode(&self, mode: u32) {
        for path in [self.folder.clone(), self.folder.join("artifacts")] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    fn ctpipe(&self, args: &[&str]) -> Said {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).args(args).env("HOME", self.home.path());
        if let Some(user) = self.user {
            command.uid(user);
        }
        said(&mut command)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.set_mode(0o755);
    }
}
