//! `kill -9` at any time: nothing is half-made, nothing has to be unlocked, and what comes of it in the end is
//! what an undisturbed run makes.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::harness::Sandbox;

/// Small stages, side by side and one after the other, with several files each.
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

#[test]
fn five_hundred_kills_cost_nothing_but_the_work_that_was_under_way() {
    let (killed, undisturbed) = (sandbox(), sandbox());
    let mut state = 42_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut on_the_way, mut too_late) = (0, 0);
    for round in 0..50 {
        // There is new work in each round, and ten runs of it are killed.
        let data = format!("text {round}\nand more\n");
        for place in [&killed, &undisturbed] {
            place.write("data.txt", &data);
        }
        for _ in 0..10 {
            let mut command = killed.command(&["run"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_micros(random(70_000)));
            // Killed, or it was done already.
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
        killed.ctpipe(&["run"]).expect(0);
        undisturbed.ctpipe(&["run"]).expect(0);
        for stage in ["left", "right", "both", "count"] {
            let content = |place: &Sandbox| place.manifest(stage)["content"].clone();
            assert_eq!(content(&killed), content(&undisturbed), "{stage} in round {round}");
        }
    }
    assert!(on_the_way > 100, "{on_the_way} were killed, {too_late} had ended");
    killed.ctpipe(&["status", "--paranoid"]).expect(0);
    assert_eq!(std::fs::read_dir(killed.path("artifacts/tmp")).map_or(0, Iterator::count), 0);
}
