//! A matrix through the binary: a sweep of commands and a stage that reads all of them, instances
//! by name, many instances in one row, and kills during a run.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Sandbox, said};

const SWEEP: &str = "\
stages:
  fit:
    run: echo \"$PARAM_LR x $PARAM_FOLD $(cat \"$IN_DATA\")\" > \"$OUT/fit.txt\"; echo \"$PARAM_FOLD\" > \"$OUT/fold\"
    inputs: { data: data.txt }
    matrix: { lr: [1e-2, 1e-3], fold: [2, 10] }
    outputs: [fit.txt, fold]
  score:
    run: cat \"$IN_FIT/fold\" > \"$OUT/score\"
    inputs: { fit: fit }
    matrix: fit
    outputs: [score]
  table:
    run: cd \"$IN_SCORES\" && for one in *; do echo \"$one $(cat \"$one/score\")\"; done > \"$OUT/table\"
    inputs: { scores: score }
    outputs: [table]
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", SWEEP);
    sandbox.write("data.txt", "text\n");
    sandbox
}

fn table(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path("artifacts/table/table")).unwrap()
}

/// In the order in which the shell lists them.
const TABLE: &str = "fold=10,lr=0.001 10\nfold=10,lr=0.01 10\nfold=2,lr=0.001 2\nfold=2,lr=0.01 2\n";

#[test]
fn a_sweep_is_run_cached_and_read_as_a_whole() {
    let sandbox = sandbox();
    let run = |more: &[&str]| sandbox.ctpipe(&[&["run", "--json"], more].concat()).expect(0).ran();
    assert_eq!(run(&["fit@lr=1e-2,fold=2"]), ["fit@fold=2,lr=0.01"]);
    assert_eq!(run(&["fit"]).len(), 3);
    assert_eq!(run(&[]).len(), 5);
    assert_eq!(table(&sandbox), TABLE);
    assert!(run(&[]).is_empty());
    let read = |path: &str| fs::read_to_string(sandbox.path(path)).unwrap();
    assert_eq!(read("artifacts/fit@fold=10,lr=0.001/fit.txt"), "0.001 x 10 text\n");
    // Every fit writes other bytes but the same score, so nothing after the scores is run.
    sandbox.write("data.txt", "more\n");
    let ran = run(&[]);
    assert!(ran.len() == 8 && !ran.contains(&"table".to_owned()), "{ran:?}");
    // Another value of one axis: the instances with it run, and the table once.
    let ran = run(&["--set", "fit.matrix.fold=[2, 3]"]);
    let expected = [
        "fit@fold=3,lr=0.001",
        "fit@fold=3,lr=0.01",
        "score@fold=3,lr=0.001",
        "score@fold=3,lr=0.01",
        "table",
    ];
    assert_eq!(ran, expected);
    // The folder of links is not part of the table's key, and has been removed.
    let manifest = sandbox.manifest("table").to_string();
    assert!(!manifest.contains("inputs-") && !manifest.contains("tmp"), "{manifest}");
    assert_eq!(fs::read_dir(sandbox.path("artifacts/tmp")).unwrap().count(), 0);
    // In another folder the key is the same.
    let elsewhere = self::sandbox();
    elsewhere.write("data.txt", "more\n");
    elsewhere.ctpipe(&["run", "--set", "fit.matrix.fold=[2, 3]"]).expect(0);
    assert_eq!(elsewhere.manifest("table")["key_hash"], sandbox.manifest("table")["key_hash"]);
}

#[test]
fn instances_are_told_by_name_and_many_of_them_in_one_row() {
    let sandbox = sandbox();
    let status = |more: &[&str]| sandbox.ctpipe(&[&["status"], more].concat());
    assert_eq!(status(&[]).stdout.lines().count(), 9);
    sandbox.ctpipe(&["run", "fit@fold=2"]).expect(0);
    let many = "--set=fit.matrix.fold=[0, 1, 2, 3, 4, 5, 6]";
    let rows = status(&[many]).expect(3).stdout;
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows[0], "fit (14 instances)    2 fresh, 12 run");
    assert_eq!(rows[1], "score (14 instances)  14 run");
    assert!(rows.len() == 3 && rows[2].starts_with("table                 run: "), "{rows:?}");
    let json: serde_json::Value = serde_json::from_str(&status(&[many, "--json"]).stdout).unwrap();
    let stages = json.as_array().unwrap();
    assert_eq!(stages.len(), 29);
    assert_eq!(stages[1]["stage"], "fit@fold=0,lr=0.01");
    assert_eq!(stages[1]["instance"], serde_json::json!({ "of": "fit", "axes": { "fold": 0, "lr": 0.01 } }));
    assert!(stages[28]["instance"].is_null());

    let why = |stage: &str| sandbox.ctpipe(&["why", stage]);
    let one = why("fit@fold=2,lr=.01").expect(0).stdout;
    assert!(one.starts_with("fit@fold=2,lr=0.01: fresh") && one.contains("\"fold\": 2"), "{one}");
    let all = why("fit").expect(0).stdout;
    assert_eq!(all.matches("key ").count(), 4, "{all}");
    let unknown = why("fit@fold=2,lr=0.02").expect(2).stderr;
    assert!(unknown.contains("did you mean \"fit@fold=2,lr=0.01\"?"), "{unknown}");
    let set = sandbox.ctpipe(&["run", "--set", "fit.lr=1"]).expect(2).stderr;
    assert!(set.contains("lr is an axis of the matrix of fit; set fit.matrix.lr to a list"), "{set}");
    assert!(!sandbox.path("artifacts/table").exists());
}

#[test]
fn an_instance_that_fails_does_not_cost_the_others() {
    let sandbox = sandbox();
    sandbox
        .write("pipeline.yaml", &SWEEP.replace("    run: cat", "    run: test \"$PARAM_FOLD\" = 2 && cat"));
    let run = sandbox.ctpipe(&["run", "--json", "--keep-going"]).expect(1);
    let scored: BTreeSet<String> =
        run.ran().into_iter().filter(|stage| stage.starts_with("score@")).collect();
    assert_eq!(scored, ["score@fold=2,lr=0.001", "score@fold=2,lr=0.01"].map(str::to_owned).into());
    assert!(!sandbox.path("artifacts/table").exists());
}

#[test]
fn a_kill_at_any_step_of_a_sweep_costs_nothing_but_the_work_under_way() {
    let (killed, undisturbed) = (sandbox(), sandbox());
    let mut kills = 0;
    // An increment of 17 reaches each kind of step sooner or later.
    for number in (1..).step_by(17) {
        for place in [&killed, &undisturbed] {
            place.write("data.txt", &format!("text {number}\n"));
            place.write("pipeline.yaml", &SWEEP.replace("[2, 10]", &format!("[2, {}]", 10 + number)));
        }
        let order = number.to_string();
        let run = said(killed.command(&["run", "--jobs", "1"]).env("CTPIPE_FAULT", &order));
        let was_killed = run.code == -1;
        assert!(was_killed || run.code == 0, "{order}: {}", run.stderr);
        killed.ctpipe(&["run"]).expect(0);
        undisturbed.ctpipe(&["run"]).expect(0);
        assert_eq!(killed.manifest("table")["content"], undisturbed.manifest("table")["content"]);
        assert_eq!(fs::read_dir(killed.path("artifacts/tmp")).map_or(0, Iterator::count), 0);
        if !was_killed {
            break;
        }
        kills += 1;
    }
    assert!(kills > 8, "{kills} kills");
    killed.ctpipe(&["status", "--paranoid"]).expect(0);
}
