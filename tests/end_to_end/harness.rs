//! A folder for each test, with a small data set, in which the binary runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// A fast pipeline: the network has the smallest possible width.
pub(crate) const PIPELINE: &str = "\
seed: 42
stages:
  ingest:
    inputs: { dicom: data/training_data, labels: data/training_data.csv, patient_key: data/patient.key }
  preprocess:
    inputs: { series: ingest, dicom: data/training_data }
  split:
    inputs: { series: ingest, volumes: preprocess }
  train:
    inputs: { volumes: preprocess, split: split }
    params: { width: 1, hidden_size: 4, batch_size: 4, epochs: 2, lr: 1e-3, device: cpu }
  evaluate:
    inputs: { model: train, volumes: preprocess, split: split, series: ingest }
    params: { n_bootstrap: 100, saliency_cases: 0, device: cpu }
  report:
    inputs: { series: ingest, volumes: preprocess, split: split, model: train, metrics: evaluate }
";

/// Its stages, in order.
pub(crate) const STAGES: [&str; 6] = ["ingest", "preprocess", "split", "train", "evaluate", "report"];

/// The output of a command.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// Fails the test unless the exit code is this one.
    pub(crate) fn expect(self, code: i32) -> Said {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The `--json` events of a run.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
    }

    /// The outcome of each stage that did something.
    pub(crate) fn outcomes(&self) -> BTreeMap<String, String> {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let finished = self.events().into_iter().filter(|event| event["event"] == "stage_finished");
        finished.map(|event| (text(&event, "stage"), text(&event, "outcome"))).collect()
    }

    /// The stages that ran, in alphabetical order.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.outcomes()
            .into_iter()
            .filter(|(_, outcome)| outcome != "restored")
            .map(|(stage, _)| stage)
            .collect()
    }
}

/// A temporary folder with a pipeline file and, optionally, data.
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    /// A folder with the small data set.
    pub(crate) fn new() -> Sandbox {
        let sandbox = Sandbox::empty();
        copy_tree(data_set(), &sandbox.path("data"));
        sandbox
    }

    /// A folder with a pipeline file only.
    pub(crate) fn empty() -> Sandbox {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("pipeline.yaml"), PIPELINE).expect("the pipeline file");
        Sandbox { dir }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("a folder of the test");
        }
        fs::write(path, text).expect("a file of the test");
    }

    /// The command of the binary, set to run in this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctpipe"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn ctpipe(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// Brings everything up to date before the test begins.
    pub(crate) fn run(&self) -> Said {
        self.ctpipe(&["run", "--json"]).expect(0)
    }

    /// The manifest of a stage's current artifact.
    pub(crate) fn manifest(&self, stage: &str) -> Value {
        let text = fs::read_to_string(self.path(&format!("artifacts/{stage}/manifest.json")));
        serde_json::from_str(&text.expect("a manifest")).expect("JSON")
    }

    /// The content digests of the current artifacts by stage.
    pub(crate) fn contents(&self) -> BTreeMap<String, String> {
        let content = |stage: &str| self.manifest(stage)["content"].as_str().expect("a digest").to_owned();
        STAGES.iter().map(|stage| ((*stage).to_owned(), content(stage))).collect()
    }

    /// A DICOM file of the data set.
    pub(crate) fn dicom_file(&self) -> PathBuf {
        files_below(&self.path("data/training_data")).into_iter().next().expect("a DICOM file")
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    // A child of another test may still have a copy of the program open for writing, between its
    // fork and its exec.
    let output = loop {
        match command.output() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            other => break other.expect("the binary runs"),
        }
    };
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Phantoms of 14 patients at 64 x 64, written once for all tests of this process.
fn data_set() -> &'static Path {
    static DATA: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, data) = DATA.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let synth = ["synth", "data", "--patients", "14", "--matrix", "64"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctpipe"));
        said(command.args(synth).current_dir(dir.path())).expect(0);
        let data = dir.path().join("data");
        (dir, data)
    });
    data
}

/// Every file in a folder and its subfolders, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(&file, target).expect("a copy");
    }
}
