//! The audit on tiny stages: it finds everything that differs from what was written, and changes
//! nothing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ctpipe_engine::audit::{Again, FindingKind, Options as AuditOptions, Report, audit};
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::run;
use ctpipe_engine::{Error, Options, Pipeline, Selection, Spec};
use ctpipe_stage::{MadeFrom, Maker, Output, Param, Port, Stage, StageError, Task};

struct Tiny {
    kind: &'static str,
    /// The text that it writes to `out.txt` for this input.
    work: fn(String) -> String,
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
        &[]
    }
    fn outputs(&self) -> &'static [Output] {
        &[Output { path: "out.txt", doc: "what it writes" }]
    }
    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let input = task.input("in")?;
        let file = if input.is_dir() { input.join("out.txt") } else { input.to_path_buf() };
        let text = fs::read_to_string(file).map_err(StageError::failed)?;
        if self.kind == "items" {
            let mut made_from = MadeFrom::new();
            made_from.add(&text);
            task.keep_items(BTreeMap::from([("all".to_owned(), made_from.digest())]), 0);
            fs::create_dir(task.out().join("sub")).map_err(StageError::failed)?;
            fs::write(task.out().join("sub/length"), text.len().to_string()).map_err(StageError::failed)?;
        }
        if self.kind == "tells" && !task.is_rerun() {
            TOLD.fetch_add(1, Ordering::Relaxed);
        }
        fs::write(task.out().join("out.txt"), (self.work)(text)).map_err(StageError::failed)
    }
}

static COUNTER: AtomicUsize = AtomicUsize::new(0);
/// The number of progress reports to an outside observer.
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn stages() -> Vec<Arc<dyn Stage>> {
    let tiny = |kind, work| -> Arc<dyn Stage> { Arc::new(Tiny { kind, work }) };
    vec![
        tiny("copy", |text| text),
        tiny("tells", |text| text),
        tiny("items", |text| text.chars().rev().collect()),
        tiny("counter", |_| format!("the number is {}", COUNTER.fetch_add(1, Ordering::Relaxed))),
    ]
}

const CHAIN: &str =
    "stages:\n  a: { uses: items, inputs: { in: input.txt } }\n  b: { uses: copy, inputs: { in: a } }\n";

struct Place(tempfile::TempDir);

impl Place {
    /// A world with two runs, on "first" and then on "second", and a lock of the second.
    fn new(pipeline: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("pipeline.yaml"), pipeline).unwrap();
        for text in ["first text", "second text"] {
            fs::write(place.path("input.txt"), text).unwrap();
            place.run();
        }
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn pipeline(&self) -> Pipeline {
        let spec = Spec::load(&self.path("pipeline.yaml"), None, &[]).unwrap();
        Pipeline::new(&spec, &stages()).unwrap()
    }

    fn run(&self) {
        self.run_with(false, LockUse::Write).unwrap();
    }

    fn run_with(&self, force: bool, lock: LockUse) -> Result<(), Error> {
        let stop = AtomicBool::new(false);
        let options = Options {
            selection: Selection { force, ..Selection::default() },
            keep_going: false,
            wait: false,
            paranoid: false,
            lock,
            draw: None,
            jobs: 1,
            maker: Maker::default(),
            stop: &stop,
        };
        run(&self.pipeline(), &options, &()).map(|_| ())
    }

    fn audit_with(&self, again: Again, run: Option<&str>, maker: Maker) -> Result<Report, Error> {
        let stop = AtomicBool::new(false);
        let run = run.map(str::to_owned);
        audit(&self.pipeline(), &AuditOptions { again, run, out: None, wait: false, maker, stop: &stop }, &())
    }

    fn audit(&self) -> Report {
        self.audit_with(Again::Nothing, None, Maker::default()).unwrap()
    }

    /// The kinds of the findings of an audit, each once.
    fn kinds(&self) -> Vec<FindingKind> {
        let mut kinds: Vec<FindingKind> = self.audit().findings.iter().map(|finding| finding.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// The path of the current artifact of a stage.
    fn current(&self, stage: &str) -> PathBuf {
        fs::canonicalize(self.path(&format!("artifacts/{stage}"))).unwrap()
    }

    /// An artifact of a stage that is not current.
    fn earlier(&self, stage: &str) -> PathBuf {
        let current = self.current(stage);
        let all = fs::read_dir(current.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        all.map(|path| fs::canonicalize(path).unwrap()).find(|path| *path != current).unwrap()
    }
}

/// Edits a file of an artifact and hides the traces.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn times() -> usize {
    #[allow(clippy::disallowed_methods)] // set by `make soak`
    std::env::var("CTPIPE_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

#[test]
fn what_is_in_order_is_called_so_and_nothing_is_changed_by_looking() {
    let place = Place::new(CHAIN);
    let snapshot = || -> Vec<_> {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        files_below(&place.path("artifacts/store"))
            .into_iter()
            .map(|path| (mode(&path), fs::read(&path).unwrap(), path))
            .collect()
    };
    let before = snapshot();
    let report = place.audit_with(Again::All, None, Maker::default()).unwrap();
    assert_eq!(report.findings, []);
    // Two runs of two stages; `a` has four files, `b` has two.
    assert_eq!((report.artifacts, report.files), (4, 2 * 4 + 2 * 2));
    let bytes: u64 = before.iter().map(|(_, bytes, _)| bytes.len() as u64).sum();
    assert_eq!(report.bytes, bytes);
    assert!(report.reruns.iter().all(|rerun| rerun.same) && report.reruns.len() == 2);
    assert_eq!(snapshot(), before);
    let left = fs::read_dir(place.path("artifacts/tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the scratch place is gone");
    // From the last result back to the data.
    let [a, b] = &report.chain[..] else { panic!("{:?}", report.chain) };
    assert_eq!((b.inputs[0].leads_to.as_str(), b.inputs[0].digest.as_str()), ("a", a.content.as_str()));
    let data = blake3::hash(b"second text").to_hex().to_string();
    assert_eq!(
        (a.inputs[0].leads_to.as_str(), &a.inputs[0].digest),
        ("input.txt", &tree_digest("", "second text"))
    );
    assert_ne!(data, a.inputs[0].digest, "an input's digest is that of a tree");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(report.folder.join("audit.json")).unwrap()).unwrap();
    assert_eq!(json["artifacts"], 4);
    let page = fs::read_to_string(report.folder.join("audit.html")).unwrap();
    for said in ["No findings.", a.content.as_str(), b.key_hash.as_str(), "input.txt"] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("http"), "the page works offline");
}

/// The digest of a tree of one file, by its definition.
fn tree_digest(name: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(blake3::hash(text.as_bytes()).to_hex().as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[test]
fn every_single_bit_that_flips_anywhere_is_found() {
    let place = Place::new(CHAIN);
    let mut files = files_below(&place.path("artifacts/store"));
    files.push(place.path("pipeline.lock"));
    for run in ctpipe_engine::history::ids(&ctpipe_engine::Store::new(&place.path("artifacts"))) {
        files.push(place.path(&format!("artifacts/runs/{run}/run.json")));
    }
    let mut state = 42_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below as u64) as usize
    };
    let mut hit = BTreeMap::new();
    for round in 0..100 * times() {
        let path = &files[random(files.len())];
        let good = fs::read(path).unwrap();
        let (at, bit) = (random(good.len()), random(8));
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        overwrite(path, &bad);
        let found = place.audit_with(Again::Nothing, None, Maker::default());
        let clean = found.is_ok_and(|report| report.is_clean());
        assert!(!clean, "round {round}: bit {bit} of byte {at} of {}", path.display());
        overwrite(path, &good);
        *hit.entry(path.file_name().unwrap().to_owned()).or_insert(0) += 1;
        fs::remove_dir_all(place.path("artifacts/audit")).unwrap_or_default();
    }
    assert_eq!(hit.len(), 6, "out.txt, length, items.json, manifest.json, the lock and run.json: {hit:?}");
    assert_eq!(place.audit().findings, []);
}

#[test]
fn whatever_else_is_done_to_an_artifact_is_found_as_what_it_is() {
    type Deed = fn(&Place);
    let deeds: [(Deed, &[FindingKind]); 12] = [
        (
            |p| {
                let file = p.earlier("a").join("sub/length");
                fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
            },
            &[FindingKind::Mode],
        ),
        (|p| fs::write(p.earlier("b").join("more"), "").unwrap(), &[FindingKind::ExtraFile]),
        (|p| fs::write(p.path("artifacts/store/b/more"), "").unwrap(), &[FindingKind::ExtraFile]),
        (|p| fs::remove_file(p.earlier("a").join("sub/length")).unwrap(), &[FindingKind::Missing]),
        (|p| fs::remove_file(p.earlier("a").join("items.json")).unwrap(), &[FindingKind::Items]),
        (|p| fs::remove_file(p.earlier("a").join("manifest.json")).unwrap(), &[FindingKind::Manifest]),
        (
            |p| {
                let file = p.earlier("b").join("out.txt");
                fs::remove_file(&file).unwrap();
                symlink("/dev/null", &file).unwrap();
            },
            &[FindingKind::Missing, FindingKind::Mode],
        ),
        (
            |p| {
                let file = p.earlier("b").join("manifest.json");
                let text = fs::read_to_string(&file).unwrap();
                overwrite(&file, text.replacen("  \"", "   \"", 1).as_bytes());
            },
            &[FindingKind::Manifest],
        ),
        (
            |p| {
                let folder = p.earlier("b");
                fs::rename(&folder, folder.with_file_name("better")).unwrap();
            },
            &[FindingKind::Misplaced],
        ),
        (
            |p| {
                let (one, other) = (p.earlier("b"), p.current("b"));
                fs::rename(&one, p.path("aside")).unwrap();
                fs::rename(&other, &one).unwrap();
                fs::rename(p.path("aside"), &other).unwrap();
            },
            // The link leads to the current result for the first text, which differs from the lock.
            &[FindingKind::Misplaced, FindingKind::Lock],
        ),
        (
            |p| {
                let link = p.path("artifacts/b");
                fs::remove_file(&link).unwrap();
                symlink("store/b/nothing", link).unwrap();
            },
            &[FindingKind::Link],
        ),
        (
            |p| {
                let link = p.path("artifacts/b");
                fs::remove_file(&link).unwrap();
                symlink("store/a", link).unwrap();
            },
            &[FindingKind::Link],
        ),
    ];
    for (number, (deed, expected)) in deeds.into_iter().enumerate() {
        let place = Place::new(CHAIN);
        assert_eq!(place.audit().findings, [], "before deed {number}");
        deed(&place);
        let kinds = place.kinds();
        for kind in expected {
            assert!(
                kinds.contains(kind),
                "deed {number}: {kind:?} is not among {:?}",
                place.audit().findings
            );
        }
    }
}

#[test]
fn data_that_changed_since_is_a_finding_of_its_own_kind_and_of_earlier_artifacts_a_note() {
    let place = Place::new(CHAIN);
    let report = place.audit();
    assert!(report.is_clean());
    assert!(
        report.notes[0].text.starts_with("input.txt has changed since 1 earlier artifact"),
        "{:?}",
        report.notes
    );
    fs::write(place.path("input.txt"), "a third text").unwrap();
    let report = place.audit();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.kind, FindingKind::DataChanged);
    assert!(finding.text.contains("input.txt has changed since it was made"), "{}", finding.text);
    fs::remove_file(place.path("input.txt")).unwrap();
    assert!(place.audit().findings[0].text.contains("input.txt no longer exists"));
}

#[test]
fn a_run_is_audited_by_what_it_recorded_and_not_by_todays_links() {
    let place = Place::new(CHAIN);
    let runs = ctpipe_engine::history::ids(&ctpipe_engine::Store::new(&place.path("artifacts")));
    let [first, second] = &runs[..] else { panic!("{runs:?}") };
    overwrite(&place.earlier("b").join("out.txt"), b"txet tsriF");
    let kinds = |run: &str| {
        let report = place.audit_with(Again::Nothing, Some(run), Maker::default()).unwrap();
        report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(second), []);
    // The input of the first run no longer exists; that the lock is of the second run is not a
    // finding.
    assert_eq!(kinds(first), [FindingKind::OutputAltered, FindingKind::DataChanged]);
    // An edited record is a finding.
    let record = place.path(&format!("artifacts/runs/{second}/run.json"));
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replace("\"exit_code\": 0", "\"exit_code\": 1")).unwrap();
    assert_eq!(kinds(second), [FindingKind::Record]);
    let error = place.audit_with(Again::Nothing, Some("lates"), Maker::default()).unwrap_err();
    assert!(error.to_string().contains("did you mean \"latest\"?"), "{error}");
}

#[test]
fn a_stage_run_again_is_held_against_its_bytes_and_the_first_difference_is_named_and_explained() {
    let place = Place::new(
        "stages:\n  a: { uses: counter, inputs: { in: input.txt } }\n  b: { uses: copy, inputs: { in: a } }\n",
    );
    let report = place.audit_with(Again::Stage("b".into()), None, Maker::default()).unwrap();
    assert!(report.is_clean() && report.reruns[0].same);
    let report = place.audit_with(Again::All, None, Maker::default()).unwrap();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.kind, FindingKind::NotReproduced);
    let at = "the number is ".len();
    assert!(finding.text.contains(&format!("out.txt first differs at byte {at}")), "{}", finding.text);
    assert!(finding.text.contains("no known cause"), "{}", finding.text);
    let other = Maker { instruction_set: "avx9".into(), ..Maker::default() };
    let report = place.audit_with(Again::All, None, other).unwrap();
    assert!(
        report.findings[0].text.contains("the instruction set was  and is now avx9"),
        "{:?}",
        report.findings
    );
    // A rerun must not use other data than that of the artifact's key.
    fs::write(place.path("input.txt"), "else").unwrap();
    let report = place.audit_with(Again::Stage("a".into()), None, Maker::default()).unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::DataChanged, FindingKind::CannotRerun]);
}

#[test]
fn a_stage_that_the_pipeline_has_no_longer_is_run_again_as_it_was() {
    let place = Place::new(CHAIN);
    // Since then one stage was renamed, and the other was redefined.
    let since =
        CHAIN.replace("  a: { uses: items", "  first: { uses: items").replace("in: a }", "in: first }");
    fs::write(place.path("pipeline.yaml"), since.replace("uses: copy", "uses: counter")).unwrap();
    let again = |again| place.audit_with(again, Some("latest"), Maker::default());
    let report = again(Again::All).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    let reruns: Vec<_> = report.reruns.iter().map(|rerun| (rerun.stage.as_str(), rerun.same)).collect();
    assert_eq!(reruns, [("b", true), ("a", true)]);
    assert_eq!(again(Again::Stage("a".into())).unwrap().reruns.len(), 1);
    // The run had no stage of that name.
    let report = again(Again::Stage("first".into())).unwrap();
    assert_eq!(report.findings[0].kind, FindingKind::CannotRerun);
    assert!(again(Again::Stage("second".into())).is_err());
}

#[test]
fn a_stage_under_another_name_takes_over_what_is_the_same_work() {
    let place = Place::new("stages:\n  a: { uses: counter, inputs: { in: input.txt } }\n");
    let out = |stage: &str| fs::read_to_string(place.current(stage).join("out.txt")).unwrap();
    let made = out("a");
    let items = "  c: { uses: items, inputs: { in: input.txt } }\n";
    fs::write(
        place.path("pipeline.yaml"),
        format!("stages:\n  b: {{ uses: counter, inputs: {{ in: input.txt }} }}\n{items}"),
    )
    .unwrap();
    place.run();
    assert_eq!(out("b"), made, "no number was counted");
    assert_ne!(place.current("b"), place.current("a"));
    fs::write(place.path("pipeline.yaml"), format!("stages:\n{}", items.replace("c:", "d:"))).unwrap();
    place.run();
    assert!(place.current("d").join("sub/length").exists());
    let report = place.audit();
    assert!(report.is_clean(), "{:?}", report.findings);
    // A run whose result the lock rejects does the work all the same.
    let locked = format!("stages:\n  f: {{ uses: counter, inputs: {{ in: input.txt }} }}\n{items}");
    fs::write(place.path("pipeline.yaml"), &locked).unwrap();
    place.run_with(true, LockUse::Write).unwrap();
    let lock = fs::read_to_string(place.path("pipeline.lock")).unwrap();
    assert_ne!(out("f"), made, "a forced one does it anew");
    fs::remove_dir_all(place.path("artifacts/store/f")).unwrap();
    fs::remove_file(place.path("artifacts/f")).unwrap();
    let error = place.run_with(false, LockUse::Hold).unwrap_err();
    assert!(matches!(error, Error::Differs(_)), "{error}");
    assert!(
        ![made.clone(), String::new()].contains(&out("f")),
        "it was done, and came to something else again"
    );
    assert_eq!(fs::read_to_string(place.path("pipeline.lock")).unwrap(), lock);
    // An altered artifact cannot be used.
    overwrite(&place.current("b").join("out.txt"), b"the number is no");
    overwrite(&place.current("a").join("out.txt"), b"the number is no");
    fs::write(place.path("pipeline.yaml"), "stages:\n  e: { uses: counter, inputs: { in: input.txt } }\n")
        .unwrap();
    place.run();
    assert_ne!(out("e"), made);
}

#[test]
fn a_stage_that_is_run_again_knows_it_and_tells_nobody() {
    let place = Place::new("stages:\n  a: { uses: tells, inputs: { in: input.txt } }\n");
    assert_eq!(TOLD.load(Ordering::Relaxed), 2, "a run each");
    let report = place.audit_with(Again::All, None, Maker::default()).unwrap();
    assert!(report.is_clean() && report.reruns.iter().all(|rerun| rerun.same), "{report:?}");
    assert_eq!((report.reruns.len(), TOLD.load(Ordering::Relaxed)), (1, 2));
}
