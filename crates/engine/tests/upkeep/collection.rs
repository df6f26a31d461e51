//! The artifacts that a collection removes and keeps, and the effect of tags and locks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicBool;

use ctpipe_engine::audit::{Again, FindingKind};
use ctpipe_engine::gc::{Options as Keep, collect};
use ctpipe_engine::history::tags;
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::{Error, Selection, Store, history};

use crate::world::{World, appends, stages, writes};

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
    // By its path in the store, through a link, and by one of its files only.
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
    // The pipeline no longer reads it; the result made from it is current.
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
    // Its link moves on to a later artifact; the lock does not.
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
    // If the contents of a lock are unknown, nothing is removed.
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
fn a_collection_that_ends_early_leaves_no_result_without_its_origin() {
    // The same run used all of them, and by name the origin would be removed first.
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
    // Lowering the limit by one byte at a time removes one artifact at a time.
    for left in [2, 1, 0] {
        world.collect("pipeline.yaml", None, Some(world.size() - 1)).unwrap();
        assert_eq!(whole(&world.stored()), left);
    }
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
    // No dangling link is left.
    assert!(!world.path("artifacts/fit@lr=1").is_symlink() && world.path("artifacts/fit@lr=3").is_symlink());
    assert_eq!(world.kinds(), []);
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
    // A pipeline file that cannot be parsed now may have used it.
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
    let without = world.size();
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
    assert!(error.contains("the artifact of a that"), "{error}");
    tags::put(&store, "good", &second).unwrap();
    world.write("artifacts/tags/bad", "garbage");
    let error = tags::list(&store).unwrap_err().to_string();
    assert!(error.contains("\"ctpipe tag --delete bad\" removes it"), "{error}");
    assert_eq!(history::resolve(&store, "good").unwrap(), second);
    tags::delete(&store, "good").unwrap();
    // The run of the tag is unknown, so nothing can be collected.
    assert!(world.collect("pipeline.yaml", Some(1), None).is_err());
    tags::delete(&store, "bad").unwrap();
    world.collect("pipeline.yaml", Some(1), None).unwrap();
}
