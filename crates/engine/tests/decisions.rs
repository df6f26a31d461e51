//! Random pipelines and edits: the dry run predicts the run, and every stage that had to run has
//! run.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use ctpipe_engine::chain;
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::{dry_run, run};
use ctpipe_engine::{Event, Observer, Options, Pipeline, Selection, Spec, State};
use ctpipe_stage::{Kind, Maker, Output, Param, Port, Stage, StageError, Task};
use proptest::prelude::*;
use proptest::sample::Index;

/// Writes the sum of its inputs and of its mark, modulo 3, so that other inputs often give the same
/// bytes.
struct Sum;

const PORTS: [&str; 8] = ["p0", "p1", "p2", "p3", "p4", "f0", "f1", "f2"];

impl Stage for Sum {
    fn kind(&self) -> &'static str {
        "sum"
    }
    fn version(&self) -> u32 {
        1
    }
    fn doc(&self) -> &'static str {
        "a stage of the tests"
    }
    fn ports(&self) -> &'static [Port] {
        const ALL: [Port; 8] = {
            let mut all = [Port::optional("", "a number"); 8];
            let mut i = 0;
            while i < 8 {
                all[i] = Port::optional(PORTS[i], "a number");
                i += 1;
            }
            all
        };
        &ALL
    }
    fn params(&self) -> &'static [Param] {
        const PARAMS: &[Param] =
            &[Param { name: "mark", kind: Kind::Int { default: 0, min: 0, max: 9 }, unit: "", doc: "added" }];
        PARAMS
    }
    fn outputs(&self) -> &'static [Output] {
        &[Output { path: "out", doc: "the sum" }]
    }
    fn cpus(&self) -> Option<u32> {
        Some(1)
    }
    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let params: BTreeMap<String, u32> = task.params()?;
        let mut sum = params["mark"];
        for port in PORTS {
            if let Some(path) = task.optional_input(port) {
                let path = if path.is_dir() { path.join("out") } else { path.to_path_buf() };
                let text = fs::read_to_string(path).map_err(StageError::failed)?;
                sum += text.parse::<u32>().map_err(StageError::failed)?;
            }
        }
        fs::write(task.out().join("out"), (sum % 3).to_string()).map_err(StageError::failed)
    }
}

/// The earlier nodes and the files (of three) that a node reads, and its mark.
type Node = (u8, u8, u32);

#[derive(Debug, Clone)]
enum Edit {
    Nothing,
    File(usize, u32),
    Mark(Index, u32),
    /// Its output is removed.
    Delete(Index),
    /// The bytes of its output are changed.
    Alter(Index),
    /// It stops reading a file, or starts to read it.
    Wire(Index, u8),
}

struct World {
    folder: tempfile::TempDir,
    nodes: Vec<Node>,
    files: [u32; 3],
}

/// The first node in the file is not the first to run.
fn name(node: usize) -> String {
    format!("n{}", (node * 7 + 3) % 10)
}

impl World {
    fn new(nodes: Vec<Node>) -> World {
        let world = World { folder: tempfile::tempdir().unwrap(), nodes, files: [0, 1, 2] };
        world.write();
        world
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn parents(&self, node: usize) -> impl Iterator<Item = usize> {
        let mask = self.nodes[node].0;
        (0..node.min(5)).filter(move |parent| mask >> parent & 1 == 1)
    }

    fn files(&self, node: usize) -> impl Iterator<Item = usize> {
        let mask = self.nodes[node].1;
        (0..3).filter(move |file| mask >> file & 1 == 1)
    }

    fn write(&self) {
        for (file, number) in self.files.iter().enumerate() {
            fs::write(self.path(&format!("file{file}")), number.to_string()).unwrap();
        }
        let mut yaml = "stages:\n".to_owned();
        for (node, (_, _, mark)) in self.nodes.iter().enumerate() {
            let parents = self.parents(node).map(|parent| format!("p{parent}: {}", name(parent)));
            let files = self.files(node).map(|file| format!("f{file}: ./file{file}"));
            let inputs = parents.chain(files).collect::<Vec<_>>().join(", ");
            let name = name(node);
            let _ = writeln!(
                yaml,
                "  {name}: {{ uses: sum, inputs: {{ {inputs} }}, params: {{ mark: {mark} }} }}"
            );
        }
        fs::write(self.path("pipeline.yaml"), yaml).unwrap();
    }

    fn pipeline(&self) -> Pipeline {
        let spec = Spec::load(&self.path("pipeline.yaml"), None, &[]).unwrap();
        let stage: Arc<dyn Stage> = Arc::new(Sum);
        Pipeline::new(&spec, &[stage]).unwrap()
    }

    fn expected(&self, node: usize) -> u32 {
        let parents: u32 = self.parents(node).map(|parent| self.expected(parent)).sum();
        let files: u32 = self.files(node).map(|file| self.files[file]).sum();
        (parents + files + self.nodes[node].2) % 3
    }

    fn apply(&mut self, edit: &Edit) {
        let output =
            |node: &Index| self.path(&format!("artifacts/{}/out", name(node.index(self.nodes.len()))));
        match edit {
            Edit::Nothing => {}
            Edit::File(file, number) => self.files[*file] = *number,
            Edit::Mark(node, mark) => {
                let node = node.index(self.nodes.len());
                self.nodes[node].2 = *mark;
            }
            Edit::Wire(node, file) => {
                let node = node.index(self.nodes.len());
                self.nodes[node].1 ^= 1 << file;
            }
            Edit::Delete(node) => {
                let _ = fs::remove_file(output(node));
            }
            Edit::Alter(node) => {
                let path = output(node);
                if path.exists() {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                    fs::write(&path, "99").unwrap();
                }
            }
        }
        self.write();
    }

    /// Runs the pipeline and returns the stages that ran.
    fn run(&self, jobs: usize) -> BTreeSet<String> {
        let stop = AtomicBool::new(false);
        let (selection, maker) = (Selection::default(), Maker::default());
        let options = Options {
            selection,
            keep_going: false,
            wait: false,
            paranoid: false,
            lock: LockUse::Update,
            draw: None,
            jobs,
            maker,
            stop: &stop,
        };
        let started = Started::default();
        run(&self.pipeline(), &options, &started).map_err(|e| chain(&e)).unwrap();
        started.0.into_inner().unwrap()
    }
}

#[derive(Default)]
struct Started(Mutex<BTreeSet<String>>);

impl Observer for Started {
    fn event(&self, event: &Event) {
        if let Event::StageStarted { stage } = event {
            assert!(self.0.lock().unwrap().insert(stage.clone()), "{stage} ran twice");
        }
    }
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        1 => Just(Edit::Nothing),
        3 => (0..3_usize, 0..6_u32).prop_map(|(file, number)| Edit::File(file, number)),
        3 => (any::<Index>(), 0..6_u32).prop_map(|(node, mark)| Edit::Mark(node, mark)),
        1 => any::<Index>().prop_map(Edit::Delete),
        1 => any::<Index>().prop_map(Edit::Alter),
        2 => (any::<Index>(), 0..3_u8).prop_map(|(node, file)| Edit::Wire(node, file)),
    ]
}

/// The factor on the number of edits, which `make soak` sets.
#[allow(clippy::disallowed_methods)]
fn times() -> u32 {
    std::env::var("CTPIPE_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

proptest! {
    // A hundred pipelines with ten edits each.
    #![proptest_config(ProptestConfig { cases: 100 * times(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_announced_happens_and_what_had_to_run_has_run(
        nodes in proptest::collection::vec((any::<u8>(), any::<u8>(), 0..6_u32), 1..6),
        edits in proptest::collection::vec((edits(), 1..4_usize), 10),
    ) {
        let mut world = World::new(nodes);
        for (edit, jobs) in edits {
            world.apply(&edit);
            let announced = dry_run(&world.pipeline(), &Selection::default(), false, LockUse::Update).unwrap();
            let ran = world.run(jobs);
            for (stage, decision) in announced {
                let did = ran.contains(&stage);
                match decision.state {
                    State::Will { .. } => prop_assert!(did, "{stage} was to run: {edit:?}"),
                    State::Fresh | State::Restore { .. } => prop_assert!(!did, "{stage} was not to run: {edit:?}"),
                    State::May { .. } => {}
                }
            }
            for node in 0..world.nodes.len() {
                let path = world.path(&format!("artifacts/{}/out", name(node)));
                let found = fs::read_to_string(path).unwrap();
                prop_assert_eq!(found, world.expected(node).to_string(), "{} after {:?}", name(node), edit);
            }
            prop_assert!(world.run(jobs).is_empty(), "nothing is left to do after {edit:?}");
        }
    }
}
