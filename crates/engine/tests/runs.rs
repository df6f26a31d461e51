//! The engine on tiny stages that copy and count bytes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::{Summary, dry_run, run};
use ctpipe_engine::{Error, Options, Outcome, Pipeline, Selection, Spec, State};
use ctpipe_stage::Kind;
use ctpipe_stage::{Maker, Output, Param, Port, Stage, StageError, Task};

/// The function of a stage on its input text.
type Work = fn(&Task<'_>, String) -> Result<String, StageError>;

struct Tiny {
    kind: &'static str,
    work: Work,
}

impl Stage for Tiny {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn version(&self) -> u32 {
        1
    }
    fn doc(&self) -> &'static str {
        "a stage of the tests"
    }
    fn ports(&self) -> &'static [Port] {
        const PORTS: &[Port] = &[Port::required("in", "what it reads")];
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        const NUMBER: &[Param] =
            &[Param { name: "number", kind: Kind::Int { default: 0, min: 0, max: 9 }, unit: "", doc: "any" }];
        if self.kind == "seven" { NUMBER } else { &[] }
    }
    fn outputs(&self) -> &'static [Output] {
        &[Output { path: "out.txt", doc: "what it writes" }]
    }
    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let input = task.input("in")?;
        let file = if input.is_dir() { input.join("out.txt") } else { input.to_path_buf() };
        let text = fs::read_to_string(file).map_err(StageError::failed)?;
        let made = (self.work)(task, text)?;
        fs::write(task.out().join("out.txt"), made).map_err(StageError::failed)
    }
}

static COUNTER: AtomicUsize = AtomicUsize::new(0);

fn stages() -> Vec<Arc<dyn Stage>> {
    let tiny = |kind, work: Work| -> Arc<dyn Stage> { Arc::new(Tiny { kind, work }) };
    vec![
        tiny("copy", |_, text| Ok(text)),
        tiny("length", |_, text| Ok(text.len().to_string())),
        tiny("counter", |_, _| Ok(COUNTER.fetch_add(1, Ordering::Relaxed).to_string())),
        tiny("flip", |_, _| Ok(FLIPS.fetch_add(1, Ordering::Relaxed).min(1).to_string())),
        tiny("seven", |_, text| Ok(text)),
        tiny("fail", |_, _| Err(StageError::failed("no luck"))),
        tiny("panic", |_, text| Ok(text[..1000].to_owned())),
        tiny("opens", |task, text| {
            task.opens("in", ["out.txt".to_owned()]);
            meddle(task, &text)
        }),
        tiny("opens nothing in particular", |task, text| meddle(task, &text)),
        tiny("meddle", |task, text| {
            fs::write(task.input("in")?, format!("{text}!")).map_err(StageError::failed)?;
            Ok(text)
        }),
    ]
}

/// Reads one file of a folder. Meanwhile another process changes the named file or removes it.
fn meddle(task: &Task<'_>, named: &str) -> Result<String, StageError> {
    assert_eq!(task.files("in").names().collect::<Vec<_>>(), ["other", "out.txt", "\u{FFFD}ff"]);
    let folder = task.input("in")?;
    match named {
        "nothing" => Ok(()),
        "gone" => fs::remove_file(folder.join("out.txt")),
        name => fs::write(folder.join(name), "written meanwhile"),
    }
    .map_err(StageError::failed)?;
    Ok(named.to_owned())
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(pipeline: &str, input: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("pipeline.yaml"), pipeline).unwrap();
        fs::write(place.path("input.txt"), input).unwrap();
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn pipeline(&self) -> Pipeline {
        let spec = Spec::load(&self.path("pipeline.yaml"), None, &[]).unwrap();
        Pipeline::new(&spec, &stages()).unwrap()
    }

    fn run(&self, selection: Selection, keep_going: bool) -> Result<Summary, Error> {
        let stop = AtomicBool::new(false);
        let maker = Maker::default();
        let options = Options {
            selection,
            keep_going,
            wait: false,
            paranoid: false,
            lock: LockUse::Update,
            draw: None,
            jobs: 1,
            maker,
            stop: &stop,
        };
        run(&self.pipeline(), &options, &())
    }

    fn outcomes(&self) -> Vec<(String, Outcome)> {
        self.run(Selection::default(), false).unwrap().outcomes
    }
}

const CHAIN: &str = "stages:\n  a: { uses: copy, inputs: { in: input.txt } }\n  b: { uses: length, inputs: { in: a } }\n  c: { uses: copy, inputs: { in: b } }\n";

#[test]
fn a_stage_that_makes_the_same_bytes_again_stops_the_wave() {
    let place = Place::new(CHAIN, "four");
    assert!(place.outcomes().iter().all(|(_, outcome)| *outcome == Outcome::Made));
    fs::write(place.path("input.txt"), "five").unwrap();
    let decisions = dry_run(&place.pipeline(), &Selection::default(), false, LockUse::Update).unwrap();
    let states: Vec<&State> = decisions.iter().map(|(_, decision)| &decision.state).collect();
    assert!(matches!(states[..], [State::Will { .. }, State::May { .. }, State::May { .. }]), "{states:?}");
    let expected = [("a", Outcome::Made), ("b", Outcome::Made), ("c", Outcome::Fresh)];
    assert_eq!(place.outcomes(), expected.map(|(name, outcome)| (name.to_owned(), outcome)));
    fs::write(place.path("input.txt"), "four").unwrap();
    let expected = [("a", Outcome::Restored), ("b", Outcome::Restored), ("c", Outcome::Fresh)];
    assert_eq!(place.outcomes(), expected.map(|(name, outcome)| (name.to_owned(), outcome)));
}

#[test]
fn an_input_that_changes_while_it_is_read_fails_the_stage_and_nothing_is_kept() {
    let place = Place::new("stages:\n  a: { uses: meddle, inputs: { in: input.txt } }\n", "text");
    let error = place.run(Selection::default(), false).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let said = ctpipe_engine::chain(&error);
    assert!(said.contains("input.txt changed while it was read; run again"), "{said}");
    assert!(!place.path("artifacts/a").exists());
}

#[test]
fn of_what_a_stage_says_it_opens_the_rest_may_change_meanwhile() {
    for (kind, meanwhile, good) in [
        ("opens", "nothing", true),
        ("opens", "other", true),
        ("opens", "new", true),
        ("opens", "out.txt", false),
        ("opens", "gone", false),
        ("opens nothing in particular", "nothing", true),
        ("opens nothing in particular", "other", false),
        ("opens nothing in particular", "new", false),
    ] {
        let place = Place::new(&format!("stages:\n  a: {{ uses: {kind}, inputs: {{ in: data }} }}\n"), "");
        fs::create_dir(place.path("data")).unwrap();
        for (name, text) in [(&b"out.txt"[..], meanwhile), (b"other", "text"), (b"\xFF", "text")] {
            fs::write(place.path("data").join(OsStr::from_bytes(name)), text).unwrap();
        }
        let done = place.run(Selection::default(), false);
        assert_eq!(done.is_ok(), good, "{kind}, {meanwhile}: {:?}", done.err());
    }
}

#[test]
fn other_bytes_under_the_same_key_are_kept_beside_the_old_ones() {
    let place = Place::new("stages:\n  a: { uses: counter, inputs: { in: input.txt } }\n", "text");
    assert_eq!(place.outcomes()[0].1, Outcome::Made);
    let first = fs::canonicalize(place.path("artifacts/a")).unwrap();
    let old = fs::read(first.join("out.txt")).unwrap();
    let force = Selection { force: true, ..Selection::default() };
    assert_eq!(place.run(force, false).unwrap().outcomes[0].1, Outcome::Different);
    let second = fs::canonicalize(place.path("artifacts/a")).unwrap();
    assert_eq!(second.to_string_lossy(), format!("{}~2", first.display()));
    assert_eq!(fs::read(first.join("out.txt")).unwrap(), old);
    assert_ne!(fs::read(second.join("out.txt")).unwrap(), old);
}

#[test]
fn any_whole_artifact_of_the_key_serves_when_the_current_one_is_altered() {
    let place = Place::new("stages:\n  a: { uses: counter, inputs: { in: input.txt } }\n", "two");
    place.outcomes();
    let first = fs::canonicalize(place.path("artifacts/a")).unwrap();
    place.run(Selection { force: true, ..Selection::default() }, false).unwrap();
    let second = fs::canonicalize(place.path("artifacts/a")).unwrap();
    let restored = [("a".to_owned(), Outcome::Restored)];
    for (altered, whole) in [(&second, &first), (&first, &second)] {
        let good = fs::read(altered.join("out.txt")).unwrap();
        let write = |bytes: &[u8]| {
            fs::remove_file(altered.join("out.txt")).unwrap();
            fs::write(altered.join("out.txt"), bytes).unwrap();
        };
        write(b"edited");
        assert_eq!(place.outcomes(), restored);
        assert_eq!(fs::canonicalize(place.path("artifacts/a")).unwrap(), *whole);
        write(&good);
    }
}

#[test]
fn an_input_that_moves_is_not_tried_again() {
    let pipeline = "stages:\n  a: { uses: meddle, inputs: { in: input.txt }, retries: 9 }\n";
    let place = Place::new(pipeline, "text");
    place.run(Selection::default(), false).unwrap_err();
    assert_eq!(fs::read_to_string(place.path("input.txt")).unwrap(), "text!");
}

#[test]
fn a_file_that_cannot_be_read_and_links_in_a_circle_are_named() {
    use std::os::unix::fs::symlink;
    let place = Place::new("stages:\n  a: { uses: copy, inputs: { in: data } }\n", "");
    fs::create_dir_all(place.path("data/below")).unwrap();
    // Nobody can read the memory of a process at address 0, not even root.
    for (target, link, problem) in [
        ("/proc/self/mem", "data/scan.dcm", "Input/output error"),
        ("..", "data/below/up", "a link to a folder above it"),
        ("around", "data/around", "Too many levels of symbolic links"),
    ] {
        symlink(target, place.path(link)).unwrap();
        let error = ctpipe_engine::chain(&place.run(Selection::default(), false).unwrap_err());
        assert!(error.contains(link) && error.contains(problem), "{error}");
        fs::remove_file(place.path(link)).unwrap();
    }
}

#[test]
fn what_may_run_tells_what_differs_already_and_a_missing_input_is_no_may() {
    let place = Place::new(
        "stages:\n  a: { uses: copy, inputs: { in: input.txt } }\n  b: { uses: seven, inputs: { in: a } }\n",
        "text",
    );
    let state = |set: &[String], stage: usize| {
        let spec = Spec::load(&place.path("pipeline.yaml"), None, set).unwrap();
        let pipeline = Pipeline::new(&spec, &stages()).unwrap();
        dry_run(&pipeline, &Selection::default(), false, LockUse::Update).unwrap()[stage].1.state.clone()
    };
    let seven = ["b.number=7".to_owned()];
    place.outcomes();
    fs::write(place.path("input.txt"), "other").unwrap();
    assert!(matches!(state(&[], 1), State::May { reasons, .. } if reasons.is_empty()));
    // Nothing was ever made with this parameter, so the stage runs in any case.
    assert!(matches!(state(&seven, 1), State::Will { .. }));
    let spec = Spec::load(&place.path("pipeline.yaml"), None, &seven).unwrap();
    let stop = AtomicBool::new(false);
    let options = Options {
        selection: Selection::default(),
        keep_going: false,
        wait: false,
        paranoid: false,
        lock: LockUse::Update,
        draw: None,
        jobs: 1,
        maker: Maker::default(),
        stop: &stop,
    };
    run(&Pipeline::new(&spec, &stages()).unwrap(), &options, &()).unwrap();
    fs::write(place.path("input.txt"), "text").unwrap();
    place.outcomes();
    fs::write(place.path("input.txt"), "a third").unwrap();
    let State::May { depends_on, reasons } = state(&seven, 1) else { panic!("an earlier result may serve") };
    assert_eq!(
        (depends_on, reasons[0].to_string()),
        (vec!["a".to_owned()], "number changed from 0 to 7".to_owned())
    );

    fs::remove_file(place.path("input.txt")).unwrap();
    let State::Will { reasons } = state(&[], 0) else { panic!("without its input it cannot be fresh") };
    assert_eq!(reasons[0].to_string(), "input in is missing");
}

/// 0, then 1 twice.
static FLIPS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn the_same_other_bytes_are_kept_once() {
    let place = Place::new("stages:\n  a: { uses: flip, inputs: { in: input.txt } }\n", "text");
    place.outcomes();
    for _ in 0..2 {
        let force = Selection { force: true, ..Selection::default() };
        assert_eq!(place.run(force, false).unwrap().outcomes[0].1, Outcome::Different);
    }
    assert_eq!(fs::read_dir(place.path("artifacts/store/a")).unwrap().count(), 2);
}

#[test]
fn a_folder_where_the_link_belongs_is_told_before_the_work_is_done() {
    let place = Place::new(CHAIN, "text");
    fs::create_dir_all(place.path("artifacts/a")).unwrap();
    let error = place.run(Selection::default(), false).unwrap_err();
    assert!(error.to_string().contains("move it elsewhere"), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn keep_going_does_what_does_not_depend_on_the_failure() {
    let pipeline = "stages:\n  a: { uses: fail, inputs: { in: input.txt } }\n  b: { uses: copy, inputs: { in: a } }\n  c: { uses: copy, inputs: { in: input.txt } }\n";
    let place = Place::new(pipeline, "text");
    let error = place.run(Selection::default(), false).unwrap_err();
    assert_eq!(ctpipe_engine::chain(&error), "stage a failed: no luck");
    assert!(!place.path("artifacts/c").exists());
    let error = place.run(Selection::default(), true).unwrap_err();
    assert_eq!(error.to_string(), "2 stages failed: a, b");
    assert!(place.path("artifacts/c").exists());
}

#[test]
fn a_panic_costs_its_stage_and_not_the_record_of_the_run() {
    let place = Place::new("stages:\n  a: { uses: panic, inputs: { in: input.txt } }\n", "short");
    let error = ctpipe_engine::chain(&place.run(Selection::default(), false).unwrap_err());
    assert!(error.contains("a mistake in ctpipe") && error.contains("please report it"), "{error}");
    let runs: Vec<PathBuf> =
        fs::read_dir(place.path("artifacts/runs")).unwrap().map(|e| e.unwrap().path()).collect();
    let page = fs::read_to_string(runs[0].join("run.html")).unwrap();
    assert!(page.contains("Exit code 1"));
}

#[test]
fn the_names_of_files_stay_out_of_the_record() {
    let place = Place::new("stages:\n  a: { uses: length, inputs: { in: data } }\n", "");
    fs::create_dir(place.path("data")).unwrap();
    fs::write(place.path("data/out.txt"), "one").unwrap();
    place.outcomes();
    fs::write(place.path("data/DOE^JANE.dcm"), "two").unwrap();
    let decisions = dry_run(&place.pipeline(), &Selection::default(), false, LockUse::Update).unwrap();
    let (_, why) = ctpipe_engine::describe(&decisions[0].1.state);
    assert!(why.contains("new DOE^JANE.dcm"), "people are told: {why}");
    place.outcomes();
    for run in fs::read_dir(place.path("artifacts/runs")).unwrap() {
        for file in ["events.jsonl", "run.json", "run.html"] {
            let text = fs::read_to_string(run.as_ref().unwrap().path().join(file)).unwrap();
            assert!(!text.contains("DOE^JANE"), "{file}");
        }
    }
}
