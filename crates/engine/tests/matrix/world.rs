//! A folder with a pipeline of tiny stages, and the stages themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ctpipe_engine::chain;
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::run;
use ctpipe_engine::{Error, Event, Observer, Options, Pipeline, Selection, Spec};
use ctpipe_stage::{Kind, Maker, Output, Param, Params, Port, Stage, StageError, Task};

/// Writes its parameters and the first line of each of its inputs, with its label; `fit` reads one
/// input, `list` several.
pub(crate) struct Tiny {
    kind: &'static str,
    /// How often a plan has asked for the facts of a stage, and for its declared reads.
    asked: Arc<AtomicUsize>,
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
        const ONE: &[Port] = &[Port::required("in", "what it reads")];
        const MANY: &[Port] = &[Port::many("in", "what it reads"), Port::optional_many("more", "the same")];
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.kind == "fit" { ONE } else { MANY }
    }
    fn params(&self) -> &'static [Param] {
        const FIT: &[Param] = &[
            Param { name: "fold", kind: Kind::Int { default: 0, min: 0, max: 999 }, unit: "", doc: "any" },
            Param {
                name: "lr",
                kind: Kind::Float { default: 0.5, min: 0.0, max: 1.0 },
                unit: "",
                doc: "any",
            },
        ];
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.kind == "fit" { FIT } else { &[] }
    }
    fn outputs(&self) -> &'static [Output] {
        &[Output { path: "out", doc: "what it writes" }]
    }
    fn facts(&self, _: &Params) -> Result<BTreeMap<String, String>, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(BTreeMap::new())
    }
    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let params: serde_json::Value = task.params()?;
        let mut text = format!("{}{params}\n", self.kind);
        if self.kind == "fit" {
            text += &first_line(task.input("in")?);
        } else {
            for (label, path) in task.inputs_of("in").into_iter().chain(task.inputs_of("more")) {
                let _ = writeln!(text, "{label}: {}", first_line(path));
            }
            // A port with several inputs cannot be read as one.
            if task.inputs_of("in").len() > 1 {
                let error = task.input("in").unwrap_err().to_string();
                assert!(error.contains("all of them are to be read"), "{error}");
            }
        }
        fs::write(task.out().join("out"), text).map_err(StageError::failed)
    }
}

pub(crate) fn first_line(path: &Path) -> String {
    let file = if path.is_dir() { path.join("out") } else { path.to_path_buf() };
    fs::read_to_string(file).unwrap().lines().next().unwrap_or_default().to_owned()
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) asked: Arc<AtomicUsize>,
}

impl World {
    pub(crate) fn new(pipeline: &str) -> World {
        let world = World { folder: tempfile::tempdir().unwrap(), asked: Arc::default() };
        world.write("pipeline.yaml", pipeline);
        world.write("data.txt", "data\n");
        world
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    pub(crate) fn load(&self, profile: Option<&str>, sets: &[&str]) -> Result<Pipeline, Error> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let spec = Spec::load(&self.path("pipeline.yaml"), profile, &sets)?;
        let stage = |kind| -> Arc<dyn Stage> { Arc::new(Tiny { kind, asked: self.asked.clone() }) };
        Pipeline::new(&spec, &[stage("fit"), stage("list")])
    }

    /// The error for a wrong pipeline, without the folder's path.
    pub(crate) fn refused(&self, sets: &[&str]) -> String {
        let said = self.load(None, sets).map(drop).unwrap_err().to_string();
        said.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// Brings everything up to date and returns the stages that ran.
    pub(crate) fn run(&self) -> BTreeSet<String> {
        select(&self.load(None, &[]).unwrap(), Selection::default())
    }

    pub(crate) fn out(&self, stage: &str) -> String {
        fs::read_to_string(self.path(&format!("artifacts/{stage}/out"))).unwrap()
    }
}

/// Runs the selected stages and returns those that ran.
pub(crate) fn select(pipeline: &Pipeline, selection: Selection) -> BTreeSet<String> {
    let stop = AtomicBool::new(false);
    let maker = Maker::default();
    let options = Options {
        selection,
        keep_going: false,
        wait: false,
        paranoid: false,
        lock: LockUse::Update,
        draw: None,
        jobs: 2,
        maker,
        stop: &stop,
    };
    let started = Started::default();
    run(pipeline, &options, &started).map_err(|e| chain(&e)).unwrap();
    started.0.into_inner().unwrap()
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

pub(crate) fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

pub(crate) fn node_names(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.nodes.iter().map(|node| node.name.as_str()).collect()
}
