//! The output for programs: every line of `run --json`, and the `--json` output of other commands,
//! conforms to `schemas/events.schema.json`.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ctpipe_engine::audit::FindingKind;
use ctpipe_engine::event::{Judged, LockDifference, LockedFact, Reason, Released};
use ctpipe_engine::{Event, Outcome, State};
use ctpipe_stage::TreeDiff;
use ctpipe_stage::{Level, Reuse};
use serde_json::{Value, json};

use crate::harness::{Said, Sandbox};
use crate::json_schema::fault;
use crate::proof::sandbox;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../schemas/events.schema.json")).unwrap()
}

/// The part of the schema at a JSON pointer.
fn below(pointer: &str) -> Value {
    schema().pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone()
}

/// One value of each variant of an enum. It does not compile if a variant or a field is missing.
macro_rules! one_of_each {
    ($type:ident { $($variant:ident $({ $($field:ident: $value:expr),* $(,)? })?),* $(,)? }) => {{
        let _ = |value: &$type| match value { $($type::$variant $({ $($field: _),* })? => {})* };
        vec![$($type::$variant $({ $($field: $value),* })?),*]
    }};
}

fn reasons() -> Vec<Reason> {
    let text = || "x".to_owned();
    let diff = TreeDiff { changed: vec![text()], added: vec![text()], removed: vec![] };
    let mut all = one_of_each!(Reason {
        NeverRun,
        Forced,
        ParamChanged { name: text(), old: Some(json!(0.5)), new: None },
        InputChanged { port: text(), items: Some(diff) },
        VersionChanged { old: text(), new: text() },
        FactChanged { name: text(), old: None, new: Some(text()) },
        LineageChanged { port: text() },
        OutputAltered { path: text() },
        NotAsLocked,
        ManifestUnreadable { problem: text() },
        InputMissing { port: text() },
    });
    all.push(Reason::InputChanged { port: text(), items: None });
    all
}

fn states() -> Vec<State> {
    let mut all = one_of_each!(State {
        Fresh,
        Restore { reasons: reasons() },
        Will { reasons: reasons() },
        May { depends_on: vec!["x".to_owned()], reasons: reasons() },
    });
    all.push(State::May { depends_on: vec![], reasons: vec![] });
    all
}

fn events() -> Vec<Event> {
    let text = || "x".to_owned();
    let LockDifference { .. } = difference();
    let mut all = one_of_each!(Event {
        RunStarted { run: text(), stages: vec![text()] },
        Preflight { stage: text(), level: Level::Info, text: text() },
        Decided { stage: text(), state: State::Fresh },
        StageStarted { stage: text() },
        Progress { stage: text(), done: 1, total: 2, unit: text(), note: text() },
        Log { stage: text(), level: Level::Info, text: text() },
        StageFinished {
            stage: text(),
            outcome: Outcome::Made,
            key: text(),
            content: text(),
            seconds: 0.5,
            peak_memory: Some(1),
            items: Some(Reuse { items: 2, reused: 1 }),
        },
        StageFailed { stage: text(), error: text() },
        LockDiffers { difference: difference() },
        GateJudged { judged: judged(None) },
        Released { released: Released { link: text(), stage: text(), key: text() } },
        RunFinished { run: text(), exit_code: 0, seconds: 0.5 },
    });
    all.push(Event::GateJudged { judged: judged(Some("x")) });
    all.extend(states().into_iter().map(|state| Event::Decided { stage: text(), state }));
    let levels = one_of_each!(Level { Info, Warning, Error });
    all.extend(levels.into_iter().map(|level| Event::Log { stage: text(), level, text: text() }));
    let outcomes = one_of_each!(Outcome { Fresh, Restored, Made, Identical, Different, AsIs });
    all.extend(outcomes.into_iter().map(|outcome| Event::StageFinished {
        stage: text(),
        outcome,
        key: text(),
        content: text(),
        seconds: 0.5,
        peak_memory: None,
        items: None,
    }));
    all
}

fn judged(why: Option<&str>) -> Judged {
    let (stage, gate) = ("x".to_owned(), "a > 1".to_owned());
    let found = if why.is_none() { Some(2.0) } else { None };
    Judged { stage, gate, passed: why.is_none(), found, why: why.map(str::to_owned) }
}

fn difference() -> LockDifference {
    let text = || "x".to_owned();
    LockDifference {
        stage: text(),
        what: LockedFact::Key,
        expected: text(),
        found: text(),
        because: vec![text()],
    }
}

/// The names that a choice of records allows for a field.
fn offered(choice: &Value, field: &str) -> BTreeSet<String> {
    let root = schema();
    let mut names = BTreeSet::new();
    let mut open = vec![choice.clone()];
    while let Some(schema) = open.pop() {
        for several in ["oneOf", "allOf"] {
            open.extend(schema[several].as_array().into_iter().flatten().cloned());
        }
        let led = schema["$ref"].as_str().and_then(|text| root.pointer(&text[1..])).cloned();
        open.extend(led);
        names.extend(schema["properties"][field]["const"].as_str().map(str::to_owned));
    }
    names
}

/// The names that values have in a field.
fn said_in(values: impl Iterator<Item = Value>, field: &str) -> BTreeSet<String> {
    values.map(|value| value[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_schema_knows_every_event_with_every_field_and_none_that_there_is_not() {
    let root = schema();
    for event in events() {
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(fault(&root, &root, &value), None, "{value}");
        // An event with an extra field, or without a required one, is not valid.
        let fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        let mut more = value.clone();
        more["another"] = json!(1);
        assert!(fault(&root, &root, &more).is_some(), "{more}");
        for field in fields.iter().filter(|field| !["items", "reasons", "why"].contains(&field.as_str())) {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(field);
            assert!(fault(&root, &root, &less).is_some(), "{less}");
        }
    }
    let values = || events().into_iter().map(|event| serde_json::to_value(event).unwrap());
    assert_eq!(offered(&root, "event"), said_in(values(), "event"));
    let states = states().into_iter().map(|state| serde_json::to_value(state).unwrap());
    assert_eq!(offered(&below("/definitions/State"), "state"), said_in(states, "state"));
    let reasons = reasons().into_iter().map(|reason| serde_json::to_value(reason).unwrap());
    assert_eq!(offered(&below("/definitions/Reason"), "reason"), said_in(reasons, "reason"));
    let words = |definition: &str| -> BTreeSet<String> {
        let one_of = below(&format!("/definitions/{definition}/oneOf"));
        one_of.as_array().unwrap().iter().map(|word| word["const"].as_str().unwrap().to_owned()).collect()
    };
    let kinds = one_of_each!(FindingKind {
        OutputAltered,
        Missing,
        ExtraFile,
        Unreadable,
        Mode,
        Manifest,
        Items,
        Misplaced,
        Link,
        DataChanged,
        InputMissing,
        Lock,
        Record,
        NotReproduced,
        CannotRerun,
    });
    let kinds = kinds.iter().map(|kind| json!(kind).as_str().unwrap().to_owned()).collect();
    assert_eq!(words("FindingKind"), kinds);
    assert_eq!(words("Outcome").len(), 6);
    assert_eq!(words("Level").len(), 3);
}

/// Validates each line of a run against the schema, and returns the names of its events.
fn checked(said: &Said) -> BTreeSet<String> {
    let root = schema();
    let lines = said.events();
    for line in &lines {
        assert_eq!(fault(&root, &root, line), None, "{line}");
    }
    assert_eq!(lines.first().unwrap()["event"], "run_started");
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["exit_code"]), (&json!("run_finished"), &json!(said.code)));
    said_in(lines.into_iter(), "event")
}

/// `fold` is a matrix, and `late` fails while a file `broken` exists.
const MATRIX: &str = "\
stages:
  fold: { run: 'echo $PARAM_K > $OUT/out', matrix: { k: [0, 1, 2] }, outputs: [out] }
  late: { run: 'test ! -e $PWD/broken && cat $IN_ALL/*/out > $OUT/out', inputs: { all: fold }, outputs: [out] }
";

#[test]
fn every_line_of_every_kind_of_run_is_as_the_schema_says() {
    let sandbox = sandbox();
    let mut seen = BTreeSet::new();
    let mut run = |sandbox: &Sandbox, more: &[&str], code: i32| {
        let said = sandbox.ctpipe(&[&["run", "--json"], more].concat()).expect(code);
        let events = checked(&said);
        seen.extend(events.clone());
        events
    };
    // The states: made, fresh, changed, restored, forced, used as it is.
    run(&sandbox, &["--lock"], 0);
    let fresh = run(&sandbox, &[], 0);
    assert!(!fresh.contains("stage_started") && fresh.contains("decided"), "{fresh:?}");
    run(&sandbox, &["--set", "lower.mark=2"], 0);
    run(&sandbox, &[], 0);
    run(&sandbox, &["--force"], 0);
    run(&sandbox, &["--from", "both"], 0);
    // The result differs from the lock: each difference is an event of its own.
    let said = sandbox.ctpipe(&["run", "--json", "--locked", "--set", "lower.mark=3"]).expect(4);
    let locked = checked(&said);
    let differs: Vec<_> = said.events().into_iter().filter(|e| e["event"] == "lock_differs").collect();
    assert_eq!(differs.len(), 1, "{differs:?}");
    assert_eq!((&differs[0]["stage"], &differs[0]["what"]), (&json!("lower"), &json!("key")));
    assert_eq!(differs[0]["because"], json!(["mark changed from 1 to 3"]));
    // A matrix, and a stage that fails.
    let matrix = Sandbox::empty();
    matrix.write("pipeline.yaml", MATRIX);
    run(&matrix, &[], 0);
    matrix.write("broken", "");
    let failed = run(&matrix, &["--force", "--keep-going"], 1);
    assert!(failed.contains("stage_failed"), "{failed:?}");
    // Gates of a stage with the numbers, and of a stage without.
    let gates = Sandbox::empty();
    let metrics = "run: 'echo \"{\\\"a\\\": 1}\" > $OUT/metrics.json'";
    gates.write("pipeline.yaml", &format!("stages:\n  own: {{ {metrics}, gates: [a > 0, b > 0] }}\n"));
    assert!(run(&gates, &[], 5).contains("gate_judged"));
    // Gates that all passed release a result.
    gates.write("pipeline.yaml", &format!("stages:\n  own: {{ {metrics}, gates: [a > 0] }}\n"));
    assert!(run(&gates, &[], 0).contains("released"));
    // Built-in stages, which report progress and keep items.
    let whole = Sandbox::new();
    run(&whole, &["--to", "split"], 0);
    seen.extend(locked);
    assert_eq!(seen, offered(&schema(), "event"), "an event that no run of this test has");
    // A run that could not start prints no line.
    assert_eq!(sandbox.ctpipe(&["run", "--json", "nothing"]).expect(2).stdout, "");
}

#[test]
fn the_stream_of_a_run_that_is_interrupted_ends_with_its_exit_code() {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", "stages:\n  slow: { run: 'echo > begun; sleep 60' }\n");
    let child =
        sandbox.command(&["run", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !sandbox.path("begun").exists() && started.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_millis(20));
    }
    crate::harness::said(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]))
        .expect(0);
    let output = child.wait_with_output().unwrap();
    let said = Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    let events = checked(&said.expect(130));
    assert!(events.contains("stage_started") && !events.contains("stage_finished"), "{events:?}");
}

#[test]
fn what_other_commands_print_is_as_the_schema_says() {
    let root = schema();
    let check = |sandbox: &Sandbox, definition: &str, arguments: &[&str], code: i32| {
        let said = sandbox.ctpipe(&[arguments, &["--json"]].concat()).expect(code);
        let value: Value = serde_json::from_str(&said.stdout).unwrap();
        let schema = below(&format!("/definitions/{definition}"));
        assert_eq!(fault(&root, &schema, &value), None, "{arguments:?}: {value}");
        value
    };
    let sandbox = sandbox();
    check(&sandbox, "status", &["status"], 3);
    check(&sandbox, "why", &["why", "both"], 0);
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    sandbox.ctpipe(&["run", "--set", "lower.mark=2"]).expect(0);
    check(&sandbox, "status", &["run", "--dry-run"], 3);
    check(&sandbox, "status", &["run", "--dry-run", "--set", "lower.mark=2"], 0);
    check(&sandbox, "why", &["why", "lower"], 0);
    check(&sandbox, "tag", &["tag", "first"], 0);
    let history = check(&sandbox, "history", &["history"], 0);
    let before = history[1]["run"].as_str().unwrap();
    check(&sandbox, "show", &["show", "latest"], 0);
    let compared = check(&sandbox, "compare", &["compare", before, "latest"], 0);
    assert_eq!(compared["params"].as_array().unwrap().len(), 1, "{compared}");
    // The current artifact differs from the lock, and one stage is run again.
    let audit = check(&sandbox, "audit", &["audit", "--rerun", "lower", "--set", "lower.mark=2"], 4);
    assert!(
        !audit["findings"].as_array().unwrap().is_empty() && !audit["chain"].as_array().unwrap().is_empty()
    );
    check(&sandbox, "audit", &["audit", "--run", before], 0);
    check(&sandbox, "gc", &["gc", "--keep-runs", "1", "--dry-run"], 0);
    // A failed run, and a matrix.
    let matrix = Sandbox::empty();
    matrix.write("pipeline.yaml", MATRIX);
    matrix.write("broken", "");
    matrix.ctpipe(&["run"]).expect(1);
    check(&matrix, "status", &["status"], 3);
    assert!(check(&matrix, "why", &["why", "fold"], 0).is_array());
    check(&matrix, "show", &["show", "latest"], 0);
    check(&matrix, "history", &["history"], 0);
}
