//! Small inputs of a report, and the engine that runs it on them: the five stages before it are
//! fakes that write the rows of a [`Set`]. Knows nothing about the page.

mod reasons;
mod set;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ctpipe_engine::{Options, Pipeline, Selection, Spec};
use ctpipe_report::Report;
use ctpipe_stage::{Kind, Manifest, Output, Param, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, FoldsFile, SearchFile};

pub(crate) use reasons::reasons;
pub(crate) use set::{Set, figure};

/// A fake of one of the stages before the report.
struct Fake {
    kind: &'static str,
    ports: &'static [Port],
    params: &'static [Param],
    set: Arc<Set>,
}

impl Stage for Fake {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn version(&self) -> u32 {
        3
    }
    fn doc(&self) -> &'static str {
        "writes rows that were written by hand"
    }
    fn ports(&self) -> &'static [Port] {
        self.ports
    }
    fn params(&self) -> &'static [Param] {
        self.params
    }
    fn outputs(&self) -> &'static [Output] {
        &[]
    }
    fn seeded(&self) -> bool {
        self.kind == "train"
    }
    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        self.set.write(self.kind, task.out()).map_err(|e| StageError::Failed(Box::new(e)))
    }
}

fn stages(set: &Arc<Set>) -> Vec<Arc<dyn Stage>> {
    const NONE: &[Param] = &[];
    const RATE: Kind = Kind::Float { default: 1e-4, min: 0.0, max: 1.0 };
    const TRAIN: &[Param] = &[Param { name: "learning_rate_of_the_fake", kind: RATE, unit: "", doc: "" }];
    const SERIES: &[Port] = &[Port::required("series", "")];
    let fake =
        |kind, ports, params| -> Arc<dyn Stage> { Arc::new(Fake { kind, ports, params, set: set.clone() }) };
    vec![
        fake("ingest", &[], NONE),
        fake("preprocess", SERIES, NONE),
        fake("split", SERIES, NONE),
        fake("train", &[], TRAIN),
        fake("evaluate", &[], NONE),
        Arc::new(Report),
    ]
}

const PIPELINE: &str = "stages:
  ingest: {}
  preprocess: { inputs: { series: ingest } }
  split: { inputs: { series: ingest } }
  train: {}
  evaluate: {}
  report:
    inputs: { series: ingest, volumes: preprocess, split: split, model: train, metrics: evaluate }
";

/// A finished run.
pub(crate) struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn artifact(&self, stage: &str) -> PathBuf {
        self.folder.path().join("artifacts").join(stage)
    }

    pub(crate) fn page(&self) -> String {
        fs::read_to_string(self.artifact("report").join("report.html")).unwrap()
    }

    /// All files that the report wrote, by path.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let root = self.artifact("report");
        let read = |folder: &Path, prefix: &str| {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let files = entries.filter(|path| path.is_file() && !path.ends_with("manifest.json"));
            let name = |path: &Path| format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
            files.map(|path| (name(&path), fs::read(&path).unwrap())).collect::<Vec<_>>()
        };
        read(&root, "").into_iter().chain(read(&root.join("plots"), "plots/")).collect()
    }

    /// The content digest of all that the report wrote.
    pub(crate) fn content(&self) -> String {
        Manifest::read(&self.artifact("report")).unwrap().content
    }

    /// The manifests of the report's inputs.
    pub(crate) fn manifests(&self) -> Vec<Manifest> {
        let stages = ["ingest", "preprocess", "split", "train", "evaluate"];
        stages.map(|stage| Manifest::read(&self.artifact(stage)).unwrap()).into()
    }
}

/// Runs all stages in a new folder; `more` is appended below the report in the pipeline.
pub(crate) fn run(set: &Set, more: &str) -> Made {
    run_pipeline(set, tempfile::tempdir().unwrap(), &format!("{PIPELINE}{more}"))
}

/// Runs all stages, with a cross-validation and a search as further inputs of the report.
pub(crate) fn run_with(set: &Set, folds: &FoldsFile, search: &SearchFile, more: &str) -> Made {
    let folder = tempfile::tempdir().unwrap();
    for name in ["folds", "search"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    json::write(folds, &folder.path().join("folds").join(FoldsFile::FILE)).unwrap();
    json::write(search, &folder.path().join("search").join(SearchFile::FILE)).unwrap();
    let wired =
        PIPELINE.replace("metrics: evaluate }", "metrics: evaluate, folds: ./folds, search: ./search }");
    run_pipeline(set, folder, &format!("{wired}{more}"))
}

/// Runs only the report, on folders that no stage made.
pub(crate) fn run_on_folders(set: &Set) -> Made {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ingest", "preprocess", "split", "train", "evaluate"] {
        fs::create_dir(folder.path().join(kind)).unwrap();
        set.write(kind, &folder.path().join(kind)).unwrap();
    }
    let inputs =
        "series: ./ingest, volumes: ./preprocess, split: ./split, model: ./train, metrics: ./evaluate";
    run_pipeline(set, folder, &format!("stages:\n  report:\n    inputs: {{ {inputs} }}\n"))
}

fn run_pipeline(set: &Set, folder: tempfile::TempDir, pipeline: &str) -> Made {
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, pipeline).unwrap();
    let spec = Spec::load(&file, None, &[]).unwrap();
    let pipeline = Pipeline::new(&spec, &stages(&Arc::new(set.clone()))).unwrap();
    let stop = AtomicBool::new(false);
    let options = Options {
        selection: Selection::default(),
        keep_going: false,
        wait: false,
        paranoid: true,
        lock: ctpipe_engine::lock::LockUse::Update,
        draw: None,
        jobs: 1,
        maker: ctpipe_stage::Maker::default(),
        stop: &stop,
    };
    ctpipe_engine::run::run(&pipeline, &options, &())
        .unwrap_or_else(|e| panic!("{}", ctpipe_engine::chain(&e)));
    Made { folder }
}
