//! `pipeline.lock`: written by `--lock`, kept up to date, compared with, damaged, and merged by
//! git.

use std::process::{Command, Stdio};

use crate::harness::{Sandbox, said};
use crate::proof::{PIPELINE, read, sandbox};

#[test]
fn a_lock_is_made_when_asked_for_and_kept_up_to_date_from_then_on() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    assert!(!sandbox.path("pipeline.lock").exists(), "no run makes one unasked");
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let first = read(&sandbox, "pipeline.lock");
    let manifest = sandbox.manifest("lower");
    for field in ["key_hash", "content"] {
        assert!(first.contains(manifest[field].as_str().unwrap()), "{first}");
    }
    let place = sandbox.path("");
    for word in [place.to_str().unwrap(), "20", "started"] {
        let years = word == "20" && !first.contains("202");
        assert!(years || !first.contains(word), "{word} in {first}");
    }
    // An experiment does not change the lock. A change of the file does, and the other blocks stay.
    let said = sandbox.ctpipe(&["run", "--set", "lower.mark=2"]).expect(0);
    assert!(said.stderr.contains("pipeline.lock is not updated"), "{}", said.stderr);
    assert_eq!(read(&sandbox, "pipeline.lock"), first);
    sandbox.write("pipeline.yaml", &PIPELINE.replacen("mark: 1", "mark: 3", 1));
    sandbox.ctpipe(&["run", "lower"]).expect(0);
    let second = read(&sandbox, "pipeline.lock");
    let blocks = |text: &str| text.split("\n\n").map(str::to_owned).collect::<Vec<_>>();
    let same: Vec<bool> = blocks(&first).iter().zip(blocks(&second)).map(|(a, b)| *a == b).collect();
    assert_eq!(same, [true, true, false, true], "head, both, lower, upper: {second}");
    // A profile has its own lock.
    sandbox.ctpipe(&["run", "--lock", "--profile", "demo"]).expect(0);
    assert_eq!(read(&sandbox, "pipeline.lock"), second);
    assert!(read(&sandbox, "pipeline.demo.lock").contains("\"mark\" 5"));
}

#[test]
fn a_locked_run_fails_where_a_result_is_another_lists_all_and_leaves_the_lock_alone() {
    let sandbox = sandbox();
    let missing = sandbox.ctpipe(&["run", "--locked"]).expect(2);
    assert!(missing.stderr.contains("\"ctpipe run --lock\" writes it"), "{}", missing.stderr);
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let lock = read(&sandbox, "pipeline.lock");
    // A run from nothing in another folder gives the same lock.
    let clone = Sandbox::empty();
    for file in ["pipeline.yaml", "data.txt", "pipeline.lock"] {
        clone.write(file, &read(&sandbox, file));
    }
    clone.ctpipe(&["run", "--locked"]).expect(0);
    clone.ctpipe(&["run", "--locked", "--force"]).expect(0);
    assert_eq!(read(&clone, "pipeline.lock"), lock);
    // Another parameter: both stages that use it are reported with the reason, and neither is run.
    let set = ["--set", "lower.mark=2", "--set", "upper.mark=2"];
    let said = clone.ctpipe(&[&["run", "--locked", "--json"], &set[..]].concat()).expect(4);
    assert!(said.ran().is_empty(), "{}", said.stdout);
    for stage in ["lower", "upper"] {
        assert!(said.stderr.contains(&format!("{stage}: its key is ")), "{}", said.stderr);
    }
    assert_eq!(said.stderr.matches("mark changed from 1 to 2").count(), 2, "{}", said.stderr);
    // A dry run reports the same two; the third is not known before they are made.
    let foreseen = clone.ctpipe(&[&["run", "--locked", "--dry-run", "--json"], &set[..]].concat()).expect(4);
    assert_eq!(foreseen.stderr.matches("mark changed from 1 to 2").count(), 2, "{}", foreseen.stderr);
    assert!(foreseen.stdout.contains("depends_on"), "{}", foreseen.stdout);
    clone.ctpipe(&["run", "--locked", "--dry-run"]).expect(0);
    // The results that `--from` takes as they are, are compared with the lock, too.
    clone.ctpipe(&[&["run"], &set[..]].concat()).expect(0);
    for more in [&["--dry-run"][..], &[]] {
        let said = clone.ctpipe(&[&["run", "--locked", "--from", "both"], more].concat()).expect(4);
        assert!(said.stderr.contains("lower: its key is "), "{}", said.stderr);
    }
    clone.ctpipe(&["run", "--locked"]).expect(0);
    assert_eq!(read(&clone, "pipeline.lock"), lock);
    // A stage that is not in the lock, and one that is not in the pipeline.
    let renamed = PIPELINE.replace("  upper:", "  loud:").replace("upper: upper", "upper: loud");
    clone.write("pipeline.yaml", &renamed);
    let said = clone.ctpipe(&["run", "--locked"]).expect(4);
    assert!(said.stderr.contains("loud is not in the lock"), "{}", said.stderr);
    assert!(said.stderr.contains("upper is in the lock but not in the pipeline"), "{}", said.stderr);
    // The same key, other bytes: the stage's output depends on a file in its folder.
    let clock = "stages:\n  clock: { run: 'cp hidden $OUT/out', outputs: [out] }\n";
    clone.write("pipeline.yaml", &clock.replace("cp hidden", "cp $PWD/hidden"));
    clone.write("hidden", "1");
    clone.ctpipe(&["run", "--lock"]).expect(0);
    clone.write("hidden", "2");
    let said = clone.ctpipe(&["run", "--locked", "--force"]).expect(4);
    assert!(said.stderr.contains("clock: its content is "), "{}", said.stderr);
    assert!(said.stderr.contains("the stage is not deterministic"), "{}", said.stderr);
    // The locked result still exists: it is restored from the same key and from another key.
    let current = || std::fs::read_to_string(clone.path("artifacts/clock/out")).unwrap();
    assert_eq!(current(), "2");
    let why = "the lock has a different result under the same key";
    let foreseen = clone.ctpipe(&["run", "--locked", "--dry-run"]).expect(3);
    assert!(foreseen.stdout.contains(why), "{}", foreseen.stdout);
    let said = clone.ctpipe(&["run", "--locked"]).expect(0);
    assert!(said.stderr.contains(why) && said.ran().is_empty(), "{}", said.stderr);
    assert_eq!(current(), "1");
    // The lock now has the later result, which is not the first under this key.
    clone.ctpipe(&["run", "--lock", "--force"]).expect(0);
    clone.ctpipe(&["run", "--set", "clock.mark=2"]).expect(0);
    clone.ctpipe(&["run", "--locked"]).expect(0);
    assert_eq!(current(), "2");
    clone.ctpipe(&["run", "--set", "clock.mark=2"]).expect(0);
    clone.ctpipe(&["run"]).expect(0);
    assert_eq!(current(), "2");
    // An altered result cannot be used, and the remaining one under the key differs from the lock.
    clone.write("artifacts/clock/out", "3");
    let said = clone.ctpipe(&["run", "--locked"]).expect(4);
    assert!(said.stderr.contains("clock: its content is "), "{}", said.stderr);
}

#[test]
fn a_lock_that_is_a_link_stays_one() {
    let sandbox = sandbox();
    std::fs::create_dir(sandbox.path("locks")).unwrap();
    sandbox.write("locks/of.lock", "");
    std::os::unix::fs::symlink("locks/of.lock", sandbox.path("pipeline.lock")).unwrap();
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    assert!(sandbox.path("pipeline.lock").is_symlink());
    assert!(read(&sandbox, "locks/of.lock").contains("stage upper"), "{}", read(&sandbox, "locks/of.lock"));
    sandbox.ctpipe(&["run", "--locked"]).expect(0);
}

#[test]
fn a_lock_that_is_damaged_in_conflict_or_of_a_later_ctpipe_is_told_as_such() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let lock = read(&sandbox, "pipeline.lock");
    for how in [&["run", "--locked"][..], &["run"]] {
        sandbox.write("pipeline.lock", &lock.replacen("\"mark\" 1", "\"mark\" 2", 1));
        let said = sandbox.ctpipe(how).expect(4);
        assert!(said.stderr.contains("the block of lower was altered"), "{}", said.stderr);
        sandbox.write("pipeline.lock", &lock.replacen("stage lower\n", "<<<<<<< HEAD\nstage lower\n", 1));
        let said = sandbox.ctpipe(how).expect(2);
        assert!(said.stderr.contains("contains a merge conflict"), "{}", said.stderr);
        sandbox.write("pipeline.lock", &lock.replacen("form 1", "form 9", 1));
        let said = sandbox.ctpipe(how).expect(2);
        assert!(said.stderr.contains("a later ctpipe (form 9; this one reads up to 1)"), "{}", said.stderr);
    }
    sandbox.ctpipe(&["run", "--lock"]).expect(2);
    // The lock that --lock writes in place of a damaged one is whole again.
    sandbox.write("pipeline.lock", &lock.replacen("\"mark\" 1", "\"mark\" 2", 1));
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    assert_eq!(read(&sandbox, "pipeline.lock"), lock);
}

#[test]
fn two_branches_that_changed_different_stages_merge_without_conflict() {
    if Command::new("git").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("there is no git: its merge is not tested");
        return;
    }
    // Neighbouring stages that nothing else reads.
    let apart = PIPELINE.lines().filter(|line| !line.starts_with("  both")).collect::<Vec<_>>().join("\n");
    let sandbox = sandbox();
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"];
        let mut command = Command::new("git");
        said(command.args(who).args(arguments).current_dir(sandbox.path("")))
    };
    let commit = |stage: Option<&str>| {
        let lines = apart.lines().map(|line| match stage {
            Some(stage) if line.starts_with(&format!("  {stage}:")) => line.replace("mark: 1", "mark: 7"),
            _ => line.to_owned(),
        });
        sandbox.write("pipeline.yaml", &(lines.collect::<Vec<_>>().join("\n") + "\n"));
        sandbox.ctpipe(&["run", "--lock"]).expect(0);
        git(&["add", "pipeline.yaml", "pipeline.lock"]).expect(0);
        git(&["commit", "-qm", "work"]).expect(0);
    };
    git(&["init", "-q"]).expect(0);
    commit(None);
    git(&["checkout", "-qb", "left"]).expect(0);
    commit(Some("lower"));
    git(&["checkout", "-q", "-b", "right", "HEAD~1"]).expect(0);
    commit(Some("upper"));
    // The pipeline file has the two stages on neighbouring lines and would conflict, so only the
    // lock is merged.
    git(&["checkout", "-q", "right"]).expect(0);
    for (branch, file) in [("left", "ours.lock"), ("right", "theirs.lock"), ("left~1", "base.lock")] {
        let text = git(&["show", &format!("{branch}:pipeline.lock")]).expect(0).stdout;
        sandbox.write(file, &text);
    }
    git(&["merge-file", "ours.lock", "base.lock", "theirs.lock"]).expect(0);
    let merged = git(&["merge", "-q", "--no-edit", "left"]);
    assert!(
        !merged.stdout.contains("CONFLICT (content): Merge conflict in pipeline.lock"),
        "{}",
        merged.stdout
    );
    assert_eq!(read(&sandbox, "pipeline.lock"), read(&sandbox, "ours.lock"));
    // The lock merged by git equals the lock of a run with both changes.
    sandbox.write("pipeline.yaml", &(apart.replacen("mark: 1", "mark: 7", 2) + "\n"));
    sandbox.ctpipe(&["run", "--locked"]).expect(0);
}

#[test]
fn a_kill_at_any_step_leaves_the_old_lock_or_the_new_one_and_nothing_beside_it() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    for number in (1..).step_by(3) {
        sandbox.write("data.txt", &format!("Text {number}\n"));
        let old = read(&sandbox, "pipeline.lock");
        let mut command = sandbox.command(&["run", "--jobs", "1"]);
        let run = said(command.env("CTPIPE_FAULT", number.to_string()));
        let left = read(&sandbox, "pipeline.lock");
        let mut beside: Vec<_> =
            std::fs::read_dir(sandbox.path("")).unwrap().flatten().map(|e| e.file_name()).collect();
        beside.sort();
        assert_eq!(beside, ["artifacts", "data.txt", "pipeline.lock", "pipeline.yaml"], "killed at {number}");
        // The next run finishes the interrupted update of the lock.
        sandbox.ctpipe(&["run"]).expect(0);
        let new = read(&sandbox, "pipeline.lock");
        assert!(old != new && (left == old || left == new), "killed at {number}: {left}");
        sandbox.ctpipe(&["run", "--locked"]).expect(0);
        if run.code != -1 {
            assert!(number > 60, "only {number} places");
            return;
        }
    }
}
