//! Stages with a matrix, on tiny stages that write down their inputs.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod mistakes;
mod world;

use std::sync::atomic::Ordering;

use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::dry_run;
use ctpipe_engine::{Selection, Source, State};
use ctpipe_stage::Manifest;

use crate::world::{World, names, node_names, select};

const SWEEP: &str = "\
stages:
  a:
    uses: fit
    inputs: { in: data.txt }
    matrix: { lr: [1e-1, 1e-2], fold: [2, 10] }
  b:
    uses: list
    inputs: { in: a }
";

#[test]
fn every_combination_is_a_node_with_its_values_as_parameters_and_is_cached_like_any() {
    let world = World::new(SWEEP);
    let pipeline = world.load(None, &[]).unwrap();
    let all = ["a@fold=2,lr=0.01", "a@fold=2,lr=0.1", "a@fold=10,lr=0.01", "a@fold=10,lr=0.1", "b"];
    assert_eq!(node_names(&pipeline), all);
    let instance = pipeline.nodes[1].instance.clone().unwrap();
    assert_eq!((pipeline.nodes[1].of(), instance.axes["lr"].as_f64()), ("a", Some(0.1)));
    assert!(pipeline.nodes[4].instance.is_none());

    assert_eq!(world.run(), names(all));
    // The order is by number, not by letter, and each instance has its own values.
    let listed = "list{}\n\
        fold=2,lr=0.01: fit{\"fold\":2,\"lr\":0.01}\n\
        fold=2,lr=0.1: fit{\"fold\":2,\"lr\":0.1}\n\
        fold=10,lr=0.01: fit{\"fold\":10,\"lr\":0.01}\n\
        fold=10,lr=0.1: fit{\"fold\":10,\"lr\":0.1}\n";
    assert_eq!(world.out("b"), listed);
    assert!(world.run().is_empty());

    // Another value runs its own instances, and the reader once.
    world.write("pipeline.yaml", &SWEEP.replace("1e-2", "1e-3"));
    assert_eq!(world.run(), names(["a@fold=2,lr=0.001", "a@fold=10,lr=0.001", "b"]));
    // The same values in another order or notation change nothing.
    world.write(
        "pipeline.yaml",
        &SWEEP.replace("[1e-1, 1e-2], fold: [2, 10]", "[0.010, 0.1], fold: [10.0, 2]"),
    );
    assert!(world.run().is_empty());
    assert_eq!(world.out("b"), listed);
    // With one value fewer, only the reader runs.
    world.write("pipeline.yaml", &SWEEP.replace(", 1e-2", ""));
    let pipeline = world.load(None, &[]).unwrap();
    let decisions = dry_run(&pipeline, &Selection::default(), false, LockUse::Update).unwrap();
    let State::Will { reasons } = &decisions[2].1.state else { panic!("{:?}", decisions[2].1.state) };
    let gone: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(gone, ["input in@fold=10,lr=0.01 changed", "input in@fold=2,lr=0.01 changed"]);
    assert_eq!(world.run(), names(["b"]));
}

#[test]
fn an_instance_that_makes_the_same_bytes_again_stops_the_wave() {
    let world = World::new(SWEEP);
    world.run();
    // Only the first line is read.
    world.write("data.txt", "data\nand more\n");
    let ran = world.run();
    assert_eq!(ran.len(), 4);
    assert!(!ran.contains("b"), "{ran:?}");
}

#[test]
fn instances_are_paired_by_the_axes_that_both_have_and_collected_over_the_others() {
    let world = World::new(
        "\
stages:
  a: { uses: fit, inputs: { in: data.txt }, matrix: { fold: [0, 1], lr: [0.1, 1] } }
  same: { uses: fit, inputs: { in: a }, matrix: a }
  like: { uses: list, inputs: { in: same }, matrix: same }
  folds: { uses: list, inputs: { in: a, more: same }, matrix: { lr: [1, 0.1] } }
  every: { uses: list, inputs: { in: folds } }
  one: { uses: fit, inputs: { in: \"a@lr=1.0,fold=1\" } }
  half: { uses: list, inputs: { in: a@lr=1e-1 } }
",
    );
    let pipeline = world.load(None, &[]).unwrap();
    let reads = |name: &str| -> Vec<(&str, &str)> {
        let node = pipeline.nodes.iter().find(|node| node.name == name).unwrap();
        let name_of = |source: &Source| match source {
            Source::Stage(index) => pipeline.nodes[*index].name.as_str(),
            Source::Path { .. } => "a path",
        };
        node.inputs.iter().map(|(port, source)| (port.as_str(), name_of(source))).collect()
    };
    assert_eq!(reads("same@fold=1,lr=0.1"), [("in", "a@fold=1,lr=0.1")]);
    assert_eq!(reads("like@fold=0,lr=1"), [("in", "same@fold=0,lr=1")]);
    assert_eq!(
        reads("folds@lr=0.1"),
        [
            ("in@fold=0", "a@fold=0,lr=0.1"),
            ("in@fold=1", "a@fold=1,lr=0.1"),
            ("more@fold=0", "same@fold=0,lr=0.1"),
            ("more@fold=1", "same@fold=1,lr=0.1"),
        ]
    );
    assert_eq!(reads("every"), [("in@lr=0.1", "folds@lr=0.1"), ("in@lr=1", "folds@lr=1")]);
    assert_eq!(reads("one"), [("in", "a@fold=1,lr=1")]);
    assert_eq!(reads("half"), [("in@fold=0", "a@fold=0,lr=0.1"), ("in@fold=1", "a@fold=1,lr=0.1")]);
    world.run();
    assert_eq!(world.out("every"), "list{}\nlr=0.1: list{}\nlr=1: list{}\n");
    assert!(world.run().is_empty());
}

#[test]
fn a_port_for_several_takes_one_and_lists_of_stages_and_paths() {
    let pipeline = |inputs: &str| {
        format!(
            "stages:\n  a: {{ uses: fit, inputs: {{ in: data.txt }} }}\n  b: {{ uses: fit, inputs: {{ in: a }}, \
             matrix: {{ fold: [9, 10] }} }}\n  c: {{ uses: list, inputs: {{ {inputs} }} }}\n"
        )
    };
    let world = World::new(&pipeline("in: a, more: data.txt"));
    world.run();
    assert_eq!(world.out("c"), "list{}\n: fit{\"fold\":0,\"lr\":0.5}\n: data\n");
    world.write("pipeline.yaml", &pipeline("in: [b, data.txt, a, ./data.txt]"));
    assert_eq!(world.run(), names(["c"]));
    // Paths are named by their position, other values by their text.
    let expected = "list{}\n2: data\n4: data\na: fit{\"fold\":0,\"lr\":0.5}\n\
        b@fold=9: fit{\"fold\":9,\"lr\":0.5}\nb@fold=10: fit{\"fold\":10,\"lr\":0.5}\n";
    assert_eq!(world.out("c"), expected);
    world.write("pipeline.yaml", &pipeline("in: [b@fold=9, a]"));
    world.run();
    assert_eq!(world.out("c").lines().count(), 3);
    assert!(world.refused(&["c.in=[a, b, a]"]).ends_with("--set c.in=[a, b, a]: a is given twice"));
    // Another notation does not change the name.
    world.write("pipeline.yaml", &pipeline("in: [\"b@fold=9.0\", a]"));
    assert!(world.run().is_empty());
    assert!(world.refused(&["c.in=[b@fold=9, b@fold=9e0]"]).contains("b@fold=9 is given twice"));
    assert!(world.refused(&["c.in=[b, b@fold=9]"]).contains("b@fold=9 is given twice"));
}

#[test]
fn no_key_holds_a_path_or_the_name_of_the_stage() {
    let keys = |stage: &str| {
        let pipeline = format!(
            "stages:\n  {stage}: {{ uses: fit, inputs: {{ in: data.txt }}, matrix: {{ fold: [1, 2] }} }}\n  c: {{ uses: list, \
             inputs: {{ in: {stage}, more: [data.txt, ./data.txt] }} }}\n"
        );
        let world = World::new(&pipeline);
        world.run();
        let key = |name: &str| Manifest::read(&world.path(&format!("artifacts/{name}"))).unwrap().key;
        let keys = [key(&format!("{stage}@fold=1")), key("c")];
        let text = serde_json::to_string(&keys).unwrap();
        let folder = world.folder.path().to_string_lossy().into_owned();
        assert!(!text.contains(&folder) && !text.contains("data.txt"), "{text}");
        keys
    };
    let [instance, reader] = keys("some");
    assert_eq!([instance, reader.clone()], keys("other"));
    let ports: Vec<&String> = reader.inputs.keys().collect();
    assert_eq!(ports, ["in@fold=1", "in@fold=2", "more@1", "more@2"]);
}

#[test]
fn a_selection_means_all_instances_or_those_that_it_names() {
    let world = World::new(SWEEP);
    let pipeline = world.load(None, &[]).unwrap();
    let stages = |names: &[&str]| Selection {
        stages: names.iter().map(|&name| name.to_owned()).collect(),
        ..Selection::default()
    };
    assert_eq!(select(&pipeline, stages(&["a@lr=1e-1,fold=2"])), names(["a@fold=2,lr=0.1"]));
    assert_eq!(select(&pipeline, stages(&["a@fold=10"])).len(), 2);
    assert_eq!(select(&pipeline, stages(&["a"])), names(["a@fold=2,lr=0.01"]));
    let force = Selection { force: true, ..stages(&["a"]) };
    assert_eq!(select(&pipeline, force).len(), 4);
    let from = Selection { from: Some("a@fold=2,lr=0.01".into()), ..Selection::default() };
    assert_eq!(select(&pipeline, from), names(["b"]));
    let to = Selection { to: Some("a".into()), force: true, ..Selection::default() };
    assert_eq!(select(&pipeline, to).len(), 4);
    let unknown = |name: &str| pipeline.indices(name).unwrap_err().to_string();
    assert_eq!(unknown("aa"), "unknown stage \"aa\" (did you mean \"a\"?); stages: a, b");
    assert_eq!(
        unknown("a@fold=2,lr=0.2"),
        "there is no a@fold=2,lr=0.2 (did you mean \"a@fold=2,lr=0.1\"?); there are: a@fold=2,lr=0.01, \
         a@fold=2,lr=0.1, a@fold=10,lr=0.01, a@fold=10,lr=0.1"
    );
    assert!(unknown("a@x").starts_with("there is no a@x"));
}

#[test]
fn a_profile_and_set_change_a_matrix() {
    let profiles = "profiles:\n  none: { a: { matrix: null } }\n  few: { a: { matrix: { fold: [3] } } }\n";
    let world = World::new(&format!("{SWEEP}{profiles}"));
    let nodes = |profile, sets: &[&str]| {
        let pipeline = world.load(profile, sets).unwrap();
        node_names(&pipeline).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(nodes(Some("none"), &[]), ["a", "b"]);
    assert_eq!(nodes(Some("few"), &[]), ["a@fold=3", "b"]);
    assert_eq!(nodes(Some("few"), &["a.matrix.fold=[4, 5]"]), ["a@fold=4", "a@fold=5", "b"]);
    assert_eq!(nodes(Some("none"), &["a.matrix.lr=[0.5]"]), ["a@lr=0.5", "b"]);
    assert_eq!(nodes(None, &["a.matrix={lr: [1]}"]), ["a@lr=1", "b"]);
    assert_eq!(nodes(None, &["a.matrix=null", "a.lr=1"]), ["a", "b"]);
    assert_eq!(
        world.refused(&["a.lr=1"]),
        "--set a.lr=1: lr is an axis of the matrix of a; set a.matrix.lr to a list"
    );
    assert_eq!(
        world.refused(&["a.matrix.lr=1"]),
        "--set a.matrix.lr=1: expected a list of values of lr, found 1"
    );
}

#[test]
fn a_thousand_instances_are_the_most_and_cost_as_much_each_as_a_hundred() {
    let pipeline = |count: usize| {
        let folds: Vec<String> = (0..count).map(|fold| fold.to_string()).collect();
        format!(
            "stages:\n  a: {{ uses: fit, inputs: {{ in: data.txt }}, matrix: {{ fold: [{}] }} }}\n  b: {{ uses: fit, inputs: {{ in: a }}, \
             matrix: a }}\n  c: {{ uses: list, inputs: {{ in: b }} }}\n",
            folds.join(", ")
        )
    };
    let asked = |count: usize| {
        let world = World::new(&pipeline(count));
        let pipeline = world.load(None, &[]).unwrap();
        let decisions = dry_run(&pipeline, &Selection::default(), false, LockUse::Update).unwrap();
        assert_eq!((decisions.len(), pipeline.nodes[2 * count].inputs.len()), (2 * count + 1, count));
        let (_, why) = ctpipe_engine::describe(&State::May {
            depends_on: node_names(&pipeline).into_iter().map(str::to_owned).collect(),
            reasons: Vec::new(),
        });
        assert!(why.len() < 200, "{why}");
        world.asked.load(Ordering::Relaxed)
    };
    let (hundred, thousand) = (asked(100), asked(1000));
    assert!(thousand <= 10 * hundred, "{hundred} questions for 100, {thousand} for 1000");

    let world = World::new(&pipeline(1000).replace("fold: [0,", "lr: [0, 1], fold: [0,"));
    let expected = "a would have 2000 instances (1000 of fold x 2 of lr); at most 1000 are allowed";
    assert!(world.refused(&[]).contains(expected), "{}", world.refused(&[]));
    // There are too many instances to count.
    let ten = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    let axes: Vec<String> = (0..20).map(|axis| format!("x{axis}: {ten}")).collect();
    let world = World::new(&format!("stages:\n  a: {{ uses: fit, matrix: {{ {} }} }}\n", axes.join(", ")));
    assert!(world.refused(&[]).contains("at most 1000 are allowed"));
    let long = "x".repeat(150);
    let world = World::new(&SWEEP.replace("1e-1", &long).replace("10]", &format!("{long}]")));
    assert!(world.refused(&[]).contains("characters; at most 200 are allowed"), "{}", world.refused(&[]));
}
