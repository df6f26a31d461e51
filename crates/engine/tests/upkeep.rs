//! Audit and collection of pipelines made of commands: what is right is called so, and what is referred to stays.
//! Knows no stage but the shell's.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ctpipe_engine::audit::{Again, FindingKind, Options as AuditOptions, Report, audit};
use ctpipe_engine::gc::{Options as Keep, collect};
use ctpipe_engine::locked::LockUse;
use ctpipe_engine::run::{Summary, run};
use ctpipe_engine::{Error, Maker, Options, Pipeline, Selection, Spec, Store, history, tags};

/// A folder with a pipeline file, and whatever it makes.
struct World(tempfile::TempDir);

impl World {
    fn new(pipeline: &str) -> World {
        let world = World(tempfile::tempdir().unwrap());
        world.write("pipeline.yaml", pipeline);
        world
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
    }

    fn pipeline(&self, file: &str, profile: Option<&str>) -> Pipeline {
        Pipeline::new(&Spec::load(&self.path(file), profile, &[]).unwrap(), &[]).unwrap()
    }

    fn run_with(&self, file: &str, selection: Selection, lock: LockUse) -> Result<Summary, Error> {
        let (stop, maker) = (AtomicBool::new(false), Maker::default());
        // Another test's child may hold our lock for the moment between its fork and its exec.
        let (keep_going, wait, paranoid, jobs) = (false, true, false, 1);
        let options =
            Options { selection, keep_going, wait, paranoid, lock, draw: None, jobs, maker, stop: &stop };
        run(&self.pipeline(file, None), &options, &())
    }

    /// Runs all; the run's name.
    fn run(&self) -> String {
        let summary = self.run_with("pipeline.yaml", Selection::default(), LockUse::Update).unwrap();
        summary.folder.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn audit(&self, again: Again, run: Option<&str>) -> Report {
        let (stop, maker, run) = (AtomicBool::new(false), Maker::default(), run.map(str::to_owned));
        let options = AuditOptions { again, run, out: None, wait: true, maker, stop: &stop };
        audit(&self.pipeline("pipeline.yaml", None), &options, &()).unwrap()
    }

    fn kinds(&self) -> Vec<FindingKind> {
        self.audit(Again::Nothing, None).findings.iter().map(|finding| finding.kind).collect()
    }

    fn collect(&self, file: &str, keep_runs: Option<usize>, max_size: Option<u64>) -> Result<(), Error> {
        let stop = AtomicBool::new(false);
        let options = Keep { keep_runs, max_size, dry_run: false, wait: true, stop: &stop };
        collect(&self.pipeline(file, None), &options).map(|_| ())
    }

    /// Where the current artifact of a stage lies.
    fn current(&self, stage: &str) -> PathBuf {
        fs::canonicalize(self.path(&format!("artifacts/{stage}"))).unwrap()
    }

    /// Every artifact, as `stage/key`.
    fn stored(&self) -> BTreeSet<String> {
        let below = |folder: &Path| -> Vec<PathBuf> {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let store = self.path("artifacts/store");
        let folders = below(&store).into_iter().flat_map(|stage| below(&stage));
        folders.map(|path| path.strip_prefix(&store).unwrap().display().to_string()).collect()
    }
}

/// A stage that writes the text; with an input, behind what it read.
fn writes(name: &str, text: &str) -> String {
    format!("  {name}: {{ run: 'echo {text} > $OUT/out.txt', outputs: [out.txt] }}\n")
}

fn appends(name: &str, input: &str, text: &str) -> String {
    format!(
        "  {name}: {{ run: 'cat $IN_OLD/out.txt > $OUT/out.txt; echo {text} >> $OUT/out.txt', \
         inputs: {{ old: {input} }}, outputs: [out.txt] }}\n"
    )
}

fn stages(all: &[String]) -> String {
    format!("stages:\n{}", all.concat())
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn a_command_that_reads_a_matrix_or_a_list_is_run_again_with_the_same_variables() {
    let world = World::new(
        "stages:\n  part: { matrix: { n: [1, 2] }, run: 'echo $PARAM_N > $OUT/out.txt', outputs: [out.txt] }\n  \
         sum: { run: 'set -u; cat $IN_S/*/out.txt $IN_MORE/* > $OUT/out.txt', \
         inputs: { s: part, more: [x.txt, y.txt] }, outputs: [out.txt] }\n",
    );
    world.write("x.txt", "x\n");
    world.write("y.txt", "y\n");
    world.run();
    assert_eq!(fs::read_to_string(world.path("artifacts/sum/out.txt")).unwrap(), "1\n2\nx\ny\n");
    let report = world.audit(Again::Stage("sum".into()), None);
    assert_eq!(report.findings, []);
    assert!(report.reruns.len() == 1 && report.reruns[0].same);
}

#[test]
fn an_altered_record_neither_loses_what_its_tagged_run_used_nor_gets_a_tag() {
    let world = World::new(&stages(&[writes("a", "first")]));
    let first = world.run();
    let store = Store::new(&world.path("artifacts"));
    tags::put(&store, "keep", &first).unwrap();
    world.write("pipeline.yaml", &stages(&[writes("a", "second")]));
    world.run();
    let record = world.path(&format!("artifacts/runs/{first}/run.json"));
    let text = fs::read_to_string(&record).unwrap();
    let at = text.find("\"content\": \"").unwrap() + "\"content\": \"".len();
    let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    fs::write(&record, [&text[..at], other, &text[at + 1..]].concat()).unwrap();
    let before = world.stored();
    let error = world.collect("pipeline.yaml", Some(1), None).unwrap_err().to_string();
    assert!(error.contains("altered after it was written"), "{error}");
    assert_eq!(world.stored(), before);
    let error = tags::put(&store, "another", &first).unwrap_err().to_string();
    assert!(error.contains("altered after it was written"), "{error}");
    fs::write(&record, text).unwrap();
    tags::put(&store, "another", &first).unwrap();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert_eq!(world.stored(), before);
}

#[test]
fn an_earlier_result_that_is_read_by_its_path_stays_whether_the_pipeline_reads_it_still_or_did_once() {
    let world = World::new(&stages(&[writes("ev", "first")]));
    world.run();
    let first = world.current("ev");
    let key = first.file_name().unwrap().to_str().unwrap().to_owned();
    // By the path in the store, through a link, and only a file of it.
    symlink(format!("store/ev/{key}"), world.path("artifacts/base")).unwrap();
    for given in [format!("artifacts/store/ev/{key}"), "artifacts/base".to_owned()] {
        world.write("pipeline.yaml", &stages(&[writes("ev", "second"), appends("new", &given, "more")]));
        world.run();
        world.run();
        world.collect("pipeline.yaml", None, Some(0)).unwrap();
        assert!(first.is_dir(), "{given}");
    }
    fs::remove_file(world.path("artifacts/base")).unwrap();
    let file = format!("artifacts/store/ev/{key}/out.txt");
    let reads = format!(
        "  new: {{ run: 'cp $IN_OLD $OUT/out.txt', inputs: {{ old: {file} }}, outputs: [out.txt] }}\n"
    );
    world.write("pipeline.yaml", &stages(&[writes("ev", "second"), reads]));
    world.run();
    // The pipeline reads it no longer; what was made of it is current.
    world.write("pipeline.yaml", &stages(&[writes("ev", "second"), writes("new", "without")]));
    world.collect("pipeline.yaml", None, Some(0)).unwrap();
    assert!(first.is_dir(), "a current result was made of it");
    world.run();
    world.collect("pipeline.yaml", None, Some(0)).unwrap();
    assert!(!first.is_dir(), "nothing refers to it any more");
}

#[test]
fn the_lock_of_another_pipeline_file_in_the_folder_holds_and_files_of_other_programs_do_not_matter() {
    let world = World::new(&stages(&[writes("b", "mine")]));
    world.write("a.yaml", &stages(&[writes("a", "locked")]));
    world.run_with("a.yaml", Selection::default(), LockUse::Write).unwrap();
    let locked = world.current("a");
    // Its link goes on; the lock does not.
    let (all, update) = (Selection::default(), LockUse::Update);
    fs::rename(world.path("a.lock"), world.path("aside")).unwrap();
    world.write("a.yaml", &stages(&[writes("a", "later")]));
    world.run_with("a.yaml", all, update).unwrap();
    fs::rename(world.path("aside"), world.path("a.lock")).unwrap();
    world.run();
    world.write("empty.lock", "");
    world.write("poetry.lock", "# by another program\nchecksum = 1\n");
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert!(locked.is_dir(), "a.lock holds it");
    assert_eq!(world.audit(Again::Nothing, None).findings, []);
    // Where it is not known what a lock holds, nothing goes.
    let text = fs::read_to_string(world.path("a.lock")).unwrap();
    for broken in [text.replacen("# ctpipe", "# ctpype", 1), text.replacen("locked", "lacked", 1)] {
        world.write("a.lock", &broken);
        world.collect("pipeline.yaml", Some(1), None).unwrap_err();
        assert_eq!(world.kinds(), [FindingKind::Lock]);
    }
    fs::remove_file(world.path("a.lock")).unwrap();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert!(!locked.is_dir(), "nothing holds it");
}

#[test]
fn a_run_that_is_held_to_the_lock_does_not_make_current_what_it_refuses() {
    let world = World::new(&stages(&[writes("ev", "other")]));
    world.run();
    world.write("pipeline.yaml", &stages(&[writes("ev", "locked")]));
    world.run_with("pipeline.yaml", Selection::default(), LockUse::Write).unwrap();
    let locked = world.current("ev");
    world.write("pipeline.yaml", &stages(&[writes("ev", "other")]));
    let error = world.run_with("pipeline.yaml", Selection::default(), LockUse::Hold).err().unwrap();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert_eq!(world.current("ev"), locked);
    world.run_with("pipeline.yaml", Selection::default(), LockUse::Update).unwrap();
    assert_ne!(world.current("ev"), locked);
}

#[test]
fn who_waits_for_a_run_to_end_can_be_stopped() {
    let world = World::new(&stages(&[writes("a", "x")]));
    world.run();
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
    let store = Store::new(&world.path("artifacts"));
    let held = store.lock(true, &go).unwrap();
    let error = store.lock(true, &stop).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    drop(held);
    store.lock(true, &go).unwrap();
}

#[test]
fn a_run_is_not_blamed_for_an_altered_artifact_of_another_that_holds_the_same() {
    let chain = |first: &str| stages(&[first.to_owned(), appends("b", "a", "more")]);
    let world = World::new(&chain(&writes("a", "text")));
    let first = world.run();
    let used = world.current("a");
    // Another command, the same bytes.
    world.write("pipeline.yaml", &chain(&writes("a", "\"text\"")));
    world.run();
    assert_ne!(world.current("a"), used);
    overwrite(&world.current("a").join("out.txt"), b"tixt\n");
    assert_eq!(world.audit(Again::Nothing, Some(&first)).findings, []);
    overwrite(&used.join("out.txt"), b"tixt\n");
    let kinds = |report: Report| report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
    let found = kinds(world.audit(Again::Nothing, Some(&first)));
    assert!(found.contains(&FindingKind::OutputAltered), "{found:?}");
}

#[test]
fn a_lock_that_no_run_can_come_to_is_a_finding() {
    let random =
        "  c: { run: 'od -An -N8 -tx8 /dev/urandom > $OUT/out.txt', outputs: [out.txt] }\n".to_owned();
    let world = World::new(&stages(&[random.clone(), appends("d", "c", "more"), writes("e", "x")]));
    let run = |selection| world.run_with("pipeline.yaml", selection, LockUse::Write).unwrap();
    run(Selection::default());
    assert_eq!(world.kinds(), []);
    // Only c is made anew: d's block tells of what c held before.
    run(Selection { stages: vec!["c".into()], force: true, ..Selection::default() });
    let report = world.audit(Again::Nothing, None);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.kind, FindingKind::Lock);
    assert!(finding.text.starts_with("d has read "), "{}", finding.text);
    run(Selection::default());
    assert_eq!(world.kinds(), []);
    world.write("pipeline.yaml", &stages(&[random, appends("d", "c", "more")]));
    let report = world.audit(Again::Nothing, None);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.text, "e is in the lock and not in the pipeline");
}

#[test]
fn a_collection_that_ends_early_leaves_no_result_without_its_origin() {
    // One and the same run used them all, and by their names the origin would go first.
    let chain =
        |text: &str| stages(&[writes("a", text), appends("b", "a", "more"), appends("c", "b", "still")]);
    let world = World::new(&chain("first"));
    world.run();
    let earlier = world.stored();
    world.write("pipeline.yaml", &chain("second"));
    world.run();
    let whole = |stored: &BTreeSet<String>| {
        let left: Vec<&str> = earlier.intersection(stored).map(|path| &path[..1]).collect();
        assert!(["", "a", "ab", "abc"].contains(&left.concat().as_str()), "{left:?}");
        left.len()
    };
    let size = |world: &World| {
        let stop = AtomicBool::new(false);
        let options = Keep { keep_runs: Some(9), max_size: None, dry_run: true, wait: true, stop: &stop };
        collect(&world.pipeline("pipeline.yaml", None), &options).unwrap().left
    };
    // A byte less at a time takes one artifact at a time.
    for left in [2, 1, 0] {
        world.collect("pipeline.yaml", None, Some(size(&world) - 1)).unwrap();
        assert_eq!(whole(&world.stored()), left);
    }
}

#[test]
fn what_was_released_or_tagged_is_traced_and_a_link_that_was_set_by_hand_is_found() {
    // `judge` says yes to what is current, and is released.
    let gated = |text: &str| {
        let judge = "  judge: { run: 'echo {\\\"ok\\\":1} > $OUT/metrics.json; cat $IN_OLD/out.txt > $OUT/out.txt', \
             inputs: { old: a }, outputs: [metrics.json, out.txt], gates: [ok >= 1] }\n";
        stages(&[writes("a", text), judge.to_owned()])
    };
    let world = World::new(&gated("first"));
    let first = world.run();
    let released = world.current("released");
    world.write("pipeline.yaml", &gated("second"));
    world.run();
    assert_ne!(world.current("released"), released);
    assert_eq!(world.kinds(), []);
    // By hand, to what an earlier run had released, and to another stage's artifact.
    let link = world.path("artifacts/released");
    let right = fs::read_link(&link).unwrap();
    for wrong in [released.clone(), world.current("a")] {
        fs::remove_file(&link).unwrap();
        symlink(&wrong, &link).unwrap();
        assert_eq!(world.kinds(), [FindingKind::Link]);
    }
    fs::remove_file(&link).unwrap();
    symlink(right, &link).unwrap();
    assert_eq!(world.kinds(), []);
    // No longer current, but released; then its origin goes.
    world.write("pipeline.yaml", &stages(&[writes("a", "third"), appends("judge", "a", "x")]));
    world.run();
    let report = world.audit(Again::Nothing, None);
    assert!(report.is_clean() && report.chain.iter().any(|link| link.stage == "released"), "{report:?}");
    let mut origins =
        fs::read_dir(world.path("artifacts/store/a")).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: &PathBuf| fs::read_to_string(path.join("out.txt")).unwrap();
    let origin = origins.find(|path| text(path) == "second\n").unwrap();
    fs::rename(&origin, world.path("aside")).unwrap();
    assert_eq!(world.kinds(), [FindingKind::InputMissing]);
    fs::rename(world.path("aside"), &origin).unwrap();
    assert_eq!(world.kinds(), []);
    // What a tagged run made goes on as well; of others it is no more than a note.
    let earliest = fs::read_dir(world.path("artifacts/store/a")).unwrap().map(|entry| entry.unwrap().path());
    let earliest = earliest.into_iter().find(|path| text(path) == "first\n").unwrap();
    fs::rename(&earliest, world.path("aside")).unwrap();
    let report = world.audit(Again::Nothing, None);
    assert_eq!(report.findings, []);
    assert!(
        report.notes.iter().any(|note| note.text == "1 artifact of earlier runs was collected"),
        "{report:?}"
    );
    fs::rename(world.path("aside"), &earliest).unwrap();
    tags::put(&Store::new(&world.path("artifacts")), "v1", &first).unwrap();
    fs::rename(&earliest, world.path("aside")).unwrap();
    let kinds = world.kinds();
    assert!(kinds.contains(&FindingKind::InputMissing), "{kinds:?}");
}

#[test]
fn an_instance_that_left_the_matrix_of_its_stage_goes_and_one_of_a_profile_stays() {
    let sweep = |values: &str| {
        format!(
            "stages:\n  fit: {{ matrix: {{ lr: {values} }}, run: 'echo $PARAM_LR > $OUT/out.txt', outputs: [out.txt] }}\n\
             profiles: {{ wide: {{ fit: {{ matrix: {{ lr: [3] }} }} }} }}\n"
        )
    };
    let world = World::new(&sweep("[1, 2, 3]"));
    world.run();
    world.write("pipeline.yaml", &sweep("[4]"));
    world.run();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    let left: BTreeSet<String> =
        world.stored().into_iter().map(|path| path.split('/').next().unwrap().to_owned()).collect();
    assert_eq!(left, BTreeSet::from(["fit@lr=3".to_owned(), "fit@lr=4".to_owned()]));
    // No link is left that leads nowhere.
    assert!(!world.path("artifacts/fit@lr=1").is_symlink() && world.path("artifacts/fit@lr=3").is_symlink());
    assert_eq!(world.kinds(), []);
}

/// `a` reads `data.txt`, `b` reads `a`.
fn from_data() -> String {
    let reads = "  a: { run: 'cat $IN_D > $OUT/out.txt', inputs: { d: data.txt }, outputs: [out.txt] }\n";
    stages(&[reads.to_owned(), appends("b", "a", "more")])
}

#[test]
fn what_a_result_was_made_from_is_held_to_the_same_standard_wherever_the_links_lead() {
    let world = World(tempfile::tempdir().unwrap());
    world.write("data.txt", "first");
    world.write("pipeline.yaml", &from_data());
    world.run();
    let first = world.current("a");
    world.write("data.txt", "second");
    let only = |stage: &str| Selection { stages: vec![stage.to_owned()], ..Selection::default() };
    let id = world.run_with("pipeline.yaml", only("a"), LockUse::Update).unwrap().folder;
    // `b` is current, and was made from data that is no longer there.
    let report = world.audit(Again::Nothing, None);
    let found: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [FindingKind::DataChanged]);
    let chain: Vec<_> = report.chain.iter().map(|link| link.stage.as_str()).collect();
    assert_eq!(chain, ["a", "a", "b"]);
    assert!(world.audit(Again::Nothing, Some(id.file_name().unwrap().to_str().unwrap())).is_clean());
    fs::remove_dir_all(first).unwrap();
    assert_eq!(world.kinds(), [FindingKind::InputMissing]);
}

#[test]
fn a_link_that_went_or_leads_elsewhere_and_an_artifact_that_was_replaced_are_found() {
    let world = World::new(&stages(&[
        writes("a", "first"),
        "  b: { run: 'cat $PWD/hidden > $OUT/out.txt', outputs: [out.txt] }\n".into(),
    ]));
    world.write("hidden", "one");
    world.run();
    let first = world.current("a");
    world.write(
        "pipeline.yaml",
        &fs::read_to_string(world.path("pipeline.yaml")).unwrap().replace("first", "second"),
    );
    world.run();
    assert_eq!(world.kinds(), []);
    let link = world.path("artifacts/a");
    let right = fs::read_link(&link).unwrap();
    fs::remove_file(&link).unwrap();
    // As gc leaves it where an instance goes: no fault, but told.
    let report = world.audit(Again::Nothing, None);
    assert!(report.is_clean() && report.notes.iter().any(|note| note.place == "a"), "{report:?}");
    symlink(first, &link).unwrap();
    assert_eq!(world.kinds(), [FindingKind::Link], "an earlier one");
    fs::remove_file(&link).unwrap();
    symlink(right, &link).unwrap();
    assert_eq!(world.kinds(), []);
    // What another machine made under the same key.
    let other = World::new(&fs::read_to_string(world.path("pipeline.yaml")).unwrap());
    other.write("hidden", "two");
    other.run();
    let place = world.current("b");
    fs::remove_dir_all(&place).unwrap();
    fs::rename(other.current("b"), &place).unwrap();
    // A command is known by its text: both are of one key.
    assert_eq!(world.kinds(), [FindingKind::Link]);
}

#[test]
fn the_record_of_another_run_is_not_taken_for_a_runs_own() {
    let world = World::new(&stages(&[writes("a", "first")]));
    let first = world.run();
    world.write("pipeline.yaml", &stages(&[writes("a", "second")]));
    let second = world.run();
    tags::put(&Store::new(&world.path("artifacts")), "good", &first).unwrap();
    let record = |id: &str| world.path(&format!("artifacts/runs/{id}/run.json"));
    fs::copy(record(&second), record(&first)).unwrap();
    assert!(world.kinds().contains(&FindingKind::Record));
    let error = world.collect("pipeline.yaml", Some(1), None).unwrap_err().to_string();
    assert!(error.contains(&format!("it is the record of the run {second}")), "{error}");
}

#[test]
fn the_chain_names_the_stage_that_was_read_where_two_hold_the_same() {
    let both = "  both: { run: 'cat $IN_X/out.txt $IN_Y/out.txt > $OUT/out.txt', inputs: { x: a, y: b }, outputs: [out.txt] }\n";
    let world = World::new(&stages(&[writes("a", "same"), writes("b", "same"), both.to_owned()]));
    world.run();
    let report = world.audit(Again::Nothing, None);
    let inputs: Vec<_> =
        report.chain.iter().flat_map(|link| &link.inputs).map(|i| i.leads_to.as_str()).collect();
    assert_eq!(inputs, ["a", "b"]);
}

#[test]
fn data_that_cannot_be_read_is_one_finding_and_the_rest_is_audited() {
    let world = World(tempfile::tempdir().unwrap());
    fs::create_dir(world.path("data.txt")).unwrap();
    world.write("data.txt/1", "first");
    world.write(
        "pipeline.yaml",
        &stages(&[
            "  a: { run: 'cat $IN_D/1 > $OUT/out.txt', inputs: { d: data.txt }, outputs: [out.txt] }\n"
                .into(),
            writes("c", "x"),
        ]),
    );
    world.run();
    symlink(".", world.path("data.txt/loop")).unwrap();
    overwrite(&world.current("c").join("out.txt"), b"y\n");
    let report = world.audit(Again::Nothing, None);
    let found: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [FindingKind::OutputAltered, FindingKind::Unreadable], "{report:?}");
    assert!(report.findings[1].text.contains("a link to a folder above it"), "{report:?}");
}

#[test]
fn a_store_that_is_a_link_keeps_what_is_current() {
    let world = World::new(&stages(&[writes("a", "first"), writes("b", "first")]));
    world.run();
    fs::rename(world.path("artifacts/store"), world.path("elsewhere")).unwrap();
    symlink("../elsewhere", world.path("artifacts/store")).unwrap();
    fs::rename(world.path("elsewhere/b"), world.path("b of another disk")).unwrap();
    symlink("../b of another disk", world.path("elsewhere/b")).unwrap();
    world.write("pipeline.yaml", &stages(&[writes("a", "second"), writes("b", "first")]));
    world.run();
    assert_eq!(world.audit(Again::Nothing, None).findings, []);
    let stop = AtomicBool::new(false);
    let options = Keep { keep_runs: Some(1), max_size: None, dry_run: false, wait: true, stop: &stop };
    let report = collect(&world.pipeline("pipeline.yaml", None), &options).unwrap();
    let [artifact] = report.removed.iter().filter(|r| r.path.starts_with("store/")).collect::<Vec<_>>()[..]
    else {
        panic!("{report:?}")
    };
    assert!(artifact.path.starts_with("store/a/") && artifact.bytes > 0, "{report:?}");
    assert_eq!(fs::read_to_string(world.current("b").join("out.txt")).unwrap(), "first\n");
}

#[test]
fn instances_of_another_pipeline_file_of_the_folder_stay() {
    let sweep = |values: &str| {
        format!(
            "stages:\n  fit: {{ matrix: {{ lr: {values} }}, run: 'echo $PARAM_LR > $OUT/out.txt', outputs: [out.txt] }}\n"
        )
    };
    let world = World::new(&sweep("[1, 2]"));
    world.write("exp.yaml", &sweep("[1, 2, 3]"));
    world.run_with("exp.yaml", Selection::default(), LockUse::Update).unwrap();
    world.run();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert!(world.path("artifacts/fit@lr=3/out.txt").exists());
    // One that cannot be understood now may have had it.
    world.write("exp.yaml", "stages:\n  fit: [");
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert!(world.path("artifacts/fit@lr=3/out.txt").exists());
    fs::remove_file(world.path("exp.yaml")).unwrap();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert!(!world.path("artifacts/fit@lr=3").is_symlink());
}

#[test]
fn what_nothing_can_use_goes_before_any_result() {
    let world = World::new(&stages(&[writes("a", "first")]));
    world.run();
    world.write("pipeline.yaml", &stages(&[writes("a", "second")]));
    world.run();
    let stored = world.stored();
    let size = |world: &World| {
        let stop = AtomicBool::new(false);
        let options = Keep { keep_runs: Some(9), max_size: None, dry_run: true, wait: true, stop: &stop };
        collect(&world.pipeline("pipeline.yaml", None), &options).unwrap().left
    };
    let without = size(&world);
    fs::create_dir_all(world.path("artifacts/live/a/gone")).unwrap();
    world.write("artifacts/live/a/gone/events", &"x".repeat(5000));
    world.collect("pipeline.yaml", None, Some(without)).unwrap();
    assert_eq!(world.stored(), stored);
    assert!(!world.path("artifacts/live/a").exists());
}

#[test]
fn a_tag_is_not_put_on_what_is_gone_and_a_damaged_one_is_in_no_others_way() {
    let world = World::new(&stages(&[writes("a", "first")]));
    let first = world.run();
    world.write("pipeline.yaml", &stages(&[writes("a", "second")]));
    let second = world.run();
    world.collect("pipeline.yaml", None, Some(1)).unwrap();
    let store = Store::new(&world.path("artifacts"));
    let error = tags::put(&store, "old", &first).unwrap_err().to_string();
    assert!(error.contains("used of a is no longer in the store"), "{error}");
    tags::put(&store, "good", &second).unwrap();
    world.write("artifacts/tags/bad", "garbage");
    let error = tags::list(&store).unwrap_err().to_string();
    assert!(error.contains("\"ctpipe tag --delete bad\" removes it"), "{error}");
    assert_eq!(history::resolve(&store, "good").unwrap(), second);
    tags::delete(&store, "good").unwrap();
    // What it was on is not known, so that nothing can be collected.
    assert!(world.collect("pipeline.yaml", Some(1), None).is_err());
    tags::delete(&store, "bad").unwrap();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
}

#[test]
fn records_that_are_gone_are_no_reason_to_doubt_what_is_current() {
    let world = World::new(&stages(&[writes("a", "x"), writes("b", "first")]));
    let first = world.run();
    tags::put(&Store::new(&world.path("artifacts")), "v1", &first).unwrap();
    world.write("pipeline.yaml", &stages(&[writes("a", "x"), writes("b", "second")]));
    world.run();
    let only = Selection { to: Some("a".into()), ..Selection::default() };
    world.run_with("pipeline.yaml", only, LockUse::Update).unwrap();
    assert_eq!(world.kinds(), []);
    world.collect("pipeline.yaml", Some(1), None).unwrap();
    assert_eq!(world.kinds(), []);
}

#[test]
fn of_several_origins_with_the_same_bytes_one_that_is_in_order_is_enough() {
    let first_byte = |p: u32| {
        stages(&[
            format!(
                "  a: {{ run: 'head -c 1 $IN_D > $OUT/out.txt; : {p}', inputs: {{ d: data.txt }}, outputs: [out.txt] }}\n"
            ),
            appends("b", "a", "more"),
        ])
    };
    // Whichever key's hash comes first.
    for numbers in [[1, 2], [2, 1], [3, 4], [4, 3]] {
        let world = World(tempfile::tempdir().unwrap());
        world.write("data.txt", "x1");
        world.write("pipeline.yaml", &first_byte(numbers[0]));
        world.run();
        world.write("data.txt", "x19");
        world.run();
        world.write("pipeline.yaml", &first_byte(numbers[1]));
        let only = Selection { to: Some("a".into()), ..Selection::default() };
        world.run_with("pipeline.yaml", only, LockUse::Update).unwrap();
        assert_eq!(world.audit(Again::Nothing, None).findings, []);
    }
}
