//! A folder with a pipeline of commands, which the engine runs, audits and collects.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ctpipe_engine::audit::{Again, FindingKind, Options as AuditOptions, Report, audit};
use ctpipe_engine::gc::{Options as Keep, collect};
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::{Summary, run};
use ctpipe_engine::{Error, Options, Pipeline, Selection, Spec};
use ctpipe_stage::Maker;

/// A folder with a pipeline file and its artifacts.
pub(crate) struct World(pub(crate) tempfile::TempDir);

impl World {
    pub(crate) fn new(pipeline: &str) -> World {
        let world = World(tempfile::tempdir().unwrap());
        world.write("pipeline.yaml", pipeline);
        world
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
    }

    pub(crate) fn pipeline(&self, file: &str, profile: Option<&str>) -> Pipeline {
        Pipeline::new(&Spec::load(&self.path(file), profile, &[]).unwrap(), &[]).unwrap()
    }

    pub(crate) fn run_with(&self, file: &str, selection: Selection, lock: LockUse) -> Result<Summary, Error> {
        let (stop, maker) = (AtomicBool::new(false), Maker::default());
        // A child of another test may hold our lock for a moment, between its fork and its exec.
        let (keep_going, wait, paranoid, jobs) = (false, true, false, 1);
        let options =
            Options { selection, keep_going, wait, paranoid, lock, draw: None, jobs, maker, stop: &stop };
        run(&self.pipeline(file, None), &options, &())
    }

    /// Runs all stages and returns the name of the run.
    pub(crate) fn run(&self) -> String {
        let summary = self.run_with("pipeline.yaml", Selection::default(), LockUse::Update).unwrap();
        summary.folder.file_name().unwrap().to_str().unwrap().to_owned()
    }

    pub(crate) fn audit(&self, again: Again, run: Option<&str>) -> Report {
        let (stop, maker, run) = (AtomicBool::new(false), Maker::default(), run.map(str::to_owned));
        let options = AuditOptions { again, run, out: None, wait: true, maker, stop: &stop };
        audit(&self.pipeline("pipeline.yaml", None), &options, &()).unwrap()
    }

    pub(crate) fn kinds(&self) -> Vec<FindingKind> {
        self.audit(Again::Nothing, None).findings.iter().map(|finding| finding.kind).collect()
    }

    pub(crate) fn collect(
        &self,
        file: &str,
        keep_runs: Option<usize>,
        max_size: Option<u64>,
    ) -> Result<(), Error> {
        let stop = AtomicBool::new(false);
        let options = Keep { keep_runs, max_size, dry_run: false, wait: true, stop: &stop };
        collect(&self.pipeline(file, None), &options).map(|_| ())
    }

    /// The bytes that would be left by a collection that removes only temporary files.
    pub(crate) fn size(&self) -> u64 {
        let stop = AtomicBool::new(false);
        let options = Keep { keep_runs: Some(9), max_size: None, dry_run: true, wait: true, stop: &stop };
        collect(&self.pipeline("pipeline.yaml", None), &options).unwrap().left
    }

    /// The path of the current artifact of a stage.
    pub(crate) fn current(&self, stage: &str) -> PathBuf {
        fs::canonicalize(self.path(&format!("artifacts/{stage}"))).unwrap()
    }

    /// Every artifact, as `stage/key`.
    pub(crate) fn stored(&self) -> BTreeSet<String> {
        let below = |folder: &Path| -> Vec<PathBuf> {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let store = self.path("artifacts/store");
        let folders = below(&store).into_iter().flat_map(|stage| below(&stage));
        folders.map(|path| path.strip_prefix(&store).unwrap().display().to_string()).collect()
    }
}

/// A stage that writes the text, after its input if it has one.
pub(crate) fn writes(name: &str, text: &str) -> String {
    format!("  {name}: {{ run: 'echo {text} > $OUT/out.txt', outputs: [out.txt] }}\n")
}

pub(crate) fn appends(name: &str, input: &str, text: &str) -> String {
    format!(
        "  {name}: {{ run: 'cat $IN_OLD/out.txt > $OUT/out.txt; echo {text} >> $OUT/out.txt', \
         inputs: {{ old: {input} }}, outputs: [out.txt] }}\n"
    )
}

pub(crate) fn stages(all: &[String]) -> String {
    format!("stages:\n{}", all.concat())
}

pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}
