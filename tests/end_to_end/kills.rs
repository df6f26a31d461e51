//! `kill -9`, a full disk and a read-only disk at any time: nothing is left half-written or locked,
//! and the final result is that of an undisturbed run.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::harness::{Said, Sandbox, said};

/// Small stages, in parallel and in sequence, with several files each.
const PIPELINE: &str = "\
stages:
  left: { run: 'for i in 1 2 3; do sed \"s/^/$i/\" \"$IN_DATA\" > $OUT/$i; done', inputs: { data: data.txt }, outputs: [\"1\", \"2\", \"3\"] }
  right: { run: 'tr a-z A-Z < \"$IN_DATA\" > $OUT/upper', inputs: { data: data.txt }, outputs: [upper] }
  both: { run: 'cd $IN_LEFT; cat 1 2 3 $IN_RIGHT/upper > $OUT/both', inputs: { left: left, right: right }, outputs: [both] }
  count: { run: 'wc -c < $IN_BOTH/both > $OUT/count', inputs: { both: both }, outputs: [count] }
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", PIPELINE);
    sandbox
}

/// Brings both folders up to date and checks that their results are the same.
fn finish(disturbed: &Sandbox, undisturbed: &Sandbox, after: &str) {
    disturbed.ctpipe(&["run"]).expect(0);
    undisturbed.ctpipe(&["run"]).expect(0);
    for stage in ["left", "right", "both", "count"] {
        let content = |place: &Sandbox| place.manifest(stage)["content"].clone();
        assert_eq!(content(disturbed), content(undisturbed), "{stage} after {after}");
    }
    let left = std::fs::read_dir(disturbed.path("artifacts/tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "rubbish after {after}");
}

/// Runs with new data and a fault at the first place for one, then at the next, and so on until a
/// run ends undisturbed. It runs one stage at a time, so that the places have a fixed order.
fn at_places(fault: &str, step: usize, disturbs: impl Fn(&Said) -> bool) {
    let (disturbed, undisturbed) = (sandbox(), sandbox());
    for number in (1..).step_by(step) {
        for place in [&disturbed, &undisturbed] {
            place.write("data.txt", &format!("text {number}\nand more\n"));
        }
        let order = format!("{number}{fault}");
        let run = said(disturbed.command(&["run", "--jobs", "1"]).env("CTPIPE_FAULT", &order));
        if !disturbs(&run) {
            assert_eq!(run.code, 0, "{order}: {}", run.stderr);
            assert!(number > 60, "only {number} places");
            break;
        }
        // The commands that only read still work after a fault.
        let status = disturbed.ctpipe(&["status"]);
        assert!([0, 3].contains(&status.code), "after {order}: {}", status.stderr);
        finish(&disturbed, &undisturbed, &order);
    }
    disturbed.ctpipe(&["status", "--paranoid"]).expect(0);
}

/// Checks that the error says what to do, and that everything but the record was written.
fn is_said(run: &Said, problem: &str, advice: &str) -> bool {
    let failed = run.code == 1 && run.stderr.contains(advice);
    let recorded = run.code == 0 && run.stderr.contains("could not be");
    assert!(!run.stderr.contains(problem) || failed || recorded, "{}: {}", run.code, run.stderr);
    run.stderr.contains(problem)
}

#[test]
fn a_kill_before_after_and_in_the_middle_of_every_step_costs_nothing_but_the_work_under_way() {
    at_places("", 1, |run| run.code == -1);
}

#[test]
fn a_disk_that_is_full_from_any_step_on_is_said_and_loses_nothing() {
    let advice = "free some space and run again; what was finished is kept";
    at_places(":full", 1, |run| is_said(run, "No space left on device", advice));
}

#[test]
fn a_disk_that_is_read_only_from_some_step_on_is_said_and_loses_nothing() {
    at_places(":readonly", 5, |run| is_said(run, "Read-only file system", "mounted read-only"));
}

#[test]
fn five_hundred_kills_cost_nothing_but_the_work_that_was_under_way() {
    let (killed, undisturbed) = (sandbox(), sandbox());
    let mut state = 42_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut on_the_way, mut too_late) = (0, 0);
    // `make soak` runs more rounds.
    let times = std::env::var("CTPIPE_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for round in 0..50 * times {
        // There is new work in each round, and ten runs of it are killed.
        let data = format!("text {round}\nand more\n");
        for place in [&killed, &undisturbed] {
            place.write("data.txt", &data);
        }
        for _ in 0..10 {
            let mut command = killed.command(&["run"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_micros(random(70_000)));
            // The run was killed, or it had ended already.
            let _ = child.kill();
            match child.wait().unwrap().code() {
                None => on_the_way += 1,
                Some(code) => {
                    assert_eq!(code, 0, "no run fails for what a kill has left");
                    too_late += 1;
                }
            }
        }
        if round % 5 == 0 {
            let said = killed.ctpipe(&["status", "--json"]);
            assert!([0, 3].contains(&said.code), "{}", said.stderr);
        }
        finish(&killed, &undisturbed, &format!("round {round}"));
    }
    assert!(on_the_way > 100, "{on_the_way} were killed, {too_late} had ended");
    killed.ctpipe(&["status", "--paranoid"]).expect(0);
}
