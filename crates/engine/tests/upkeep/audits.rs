//! The findings of an audit, and what must not be a finding.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use ctpipe_engine::audit::{Again, FindingKind, Report};
use ctpipe_engine::history::tags;
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::{Selection, Store};

use crate::world::{World, appends, overwrite, stages, writes};

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
    // Only c is made again: d's block records the earlier content of c.
    run(Selection { stages: vec!["c".into()], force: true, ..Selection::default() });
    let report = world.audit(Again::Nothing, None);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.kind, FindingKind::Lock);
    assert!(finding.text.starts_with("d read "), "{}", finding.text);
    run(Selection::default());
    assert_eq!(world.kinds(), []);
    world.write("pipeline.yaml", &stages(&[random, appends("d", "c", "more")]));
    let report = world.audit(Again::Nothing, None);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.text, "e is in the lock but not in the pipeline");
}

#[test]
fn what_was_released_or_tagged_is_traced_and_a_link_that_was_set_by_hand_is_found() {
    // `judge` passes the current artifact, which is released.
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
    // Edits by hand a release of an earlier run, and the artifact of another stage.
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
    // The artifact is no longer current, but released; then its origin is removed.
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
    // A missing artifact of a tagged run is a finding; for other runs it is only a note.
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
    // `b` is current, and was made from data that no longer exists.
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
    // As gc leaves it when an instance is removed: not a fault, but a note.
    let report = world.audit(Again::Nothing, None);
    assert!(report.is_clean() && report.notes.iter().any(|note| note.place == "a"), "{report:?}");
    symlink(first, &link).unwrap();
    assert_eq!(world.kinds(), [FindingKind::Link], "an earlier one");
    fs::remove_file(&link).unwrap();
    symlink(right, &link).unwrap();
    assert_eq!(world.kinds(), []);
    // The artifact that another machine made under the same key.
    let other = World::new(&fs::read_to_string(world.path("pipeline.yaml")).unwrap());
    other.write("hidden", "two");
    other.run();
    let place = world.current("b");
    fs::remove_dir_all(&place).unwrap();
    fs::rename(other.current("b"), &place).unwrap();
    // The key of a command contains its text: both have the same key.
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
    assert!(error.contains(&format!("it is the record of run {second}")), "{error}");
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
    // The result must not depend on which key's hash comes first.
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
