//! Writes the record of a run to `artifacts/runs/<id>/`: every event as it happens, a summary and a
//! page. Everything with a clock in it is here and in the manifests, never in an output.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use ctpipe_stage::{Level, Maker};

use crate::error::{Error, Result};
use crate::event::{Event, Observer, RecordedEvent};
use crate::graph::Pipeline;
use crate::history::{self, LATEST, RECORD, RunRecord, StageRecord};
use crate::run::page;
use crate::run::selection::Scope;
use crate::store::Store;
use crate::sys::{fault, files};

/// Writes down the events and passes them on.
pub(crate) struct Recorder<'a> {
    id: String,
    after: Option<String>,
    folder: PathBuf,
    started: jiff::Timestamp,
    clock: Instant,
    maker: Maker,
    log: Mutex<Log>,
    next: &'a dyn Observer,
}

struct Log {
    file: File,
    events: Vec<Event>,
    /// By position in the pipeline.
    stages: BTreeMap<usize, StageRecord>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn start(
        store: &Store,
        pipeline: &Pipeline,
        scope: &Scope,
        maker: Maker,
        next: &'a dyn Observer,
    ) -> Result<Recorder<'a>> {
        let started = jiff::Timestamp::now();
        let runs = store.layout.runs();
        let mut ids = history::ids(store);
        let id = history::next_id(store, &ids, &started.strftime("%Y%m%dT%H%M%SZ").to_string());
        fault::point()
            .and_then(|()| fs::create_dir_all(&runs))
            .map_err(|e| Error::io("cannot make", &runs, e))?;
        let folder = runs.join(&id);
        let path = folder.join("events.jsonl");
        let file = fs::create_dir(&folder)
            .and_then(|()| fault::point())
            .and_then(|()| File::create(&path))
            .map_err(|e| Error::io("cannot write", &path, e))?;
        let log = Mutex::new(Log { file, events: Vec::new(), stages: BTreeMap::new() });
        let recorder =
            Recorder { id, after: ids.pop(), folder, started, clock: Instant::now(), maker, log, next };
        let stages = scope.run.iter().map(|&i| pipeline.nodes[i].name.clone()).collect();
        recorder.event(&Event::RunStarted { run: recorder.id.clone(), stages });
        Ok(recorder)
    }

    /// Records a message of the engine itself.
    pub(crate) fn note(&self, level: Level, text: String) {
        self.event(&Event::Log { stage: String::new(), level, text });
    }

    /// Records the result of a stage, whether it was made in this run or not.
    pub(crate) fn stage(&self, index: usize, record: StageRecord) {
        if let Ok(mut log) = self.log.lock() {
            log.stages.insert(index, record);
        }
    }

    /// The stages so far, in the order of the pipeline.
    pub(crate) fn stages(&self) -> Vec<StageRecord> {
        self.log.lock().map(|log| log.stages.values().cloned().collect()).unwrap_or_default()
    }

    /// The stages that the run did not bring up to date although it should have, with the reason
    /// for each.
    pub(crate) fn unfinished(&self) -> BTreeMap<String, &'static str> {
        self.log.lock().map(|log| page::unfinished(&log.events)).unwrap_or_default()
    }

    /// Closes the record and returns its folder. What cannot be written is reported, but is no
    /// error.
    pub(crate) fn finish(self, drawing: &str, exit_code: u8) -> PathBuf {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.event(&Event::RunFinished { run: self.id.clone(), exit_code, seconds });
        let written = self.log.lock().map_or(Ok(()), |log| {
            let started = self.started.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
            let record = RunRecord {
                format: 0,
                run: self.id.clone(),
                after: self.after.clone(),
                started: started.clone(),
                seconds,
                exit_code,
                maker: self.maker.clone(),
                stages: Some(log.stages.values().cloned().collect()),
                events: log.events.iter().map(RecordedEvent::from).collect(),
                checksum: String::new(),
            };
            files::write_atomically(&self.folder.join(RECORD), &record.sealed().to_json())?;
            let report = self.folder.join(page::REPORT).exists();
            let html = page::render(&self.id, &started, &self.maker, &log.events, drawing, report);
            files::write_atomically(&self.folder.join("run.html"), html.as_bytes())?;
            // The report must not name a run, so it links to this page.
            let runs = self.folder.parent().unwrap_or(&self.folder);
            files::point(&runs.join(LATEST), Path::new(&self.id), &self.folder)
        });
        if let Err(e) = written {
            let text = format!("the record of this run could not be written: {e}");
            self.next.event(&Event::Log { stage: String::new(), level: Level::Warning, text });
        }
        self.folder
    }
}

impl Observer for Recorder<'_> {
    fn event(&self, event: &Event) {
        self.next.event(event);
        if matches!(event, Event::Progress { .. }) {
            return;
        }
        let kept = match event {
            Event::Decided { stage, state } => {
                Event::Decided { stage: stage.clone(), state: state.without_names() }
            }
            other => other.clone(),
        };
        if let (Ok(mut log), Ok(json)) = (self.log.lock(), serde_json::to_string(&kept)) {
            // A full disk is reported by the code that needs the space, not by this log.
            let _ = fault::point().and_then(|()| writeln!(log.file, "{json}"));
            log.events.push(kept);
        }
    }
}
