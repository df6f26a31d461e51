//! What a run leaves about itself in `artifacts/runs/<id>/`: every event as it happens, a summary
//! and a page. All that holds a clock is here and in the manifests, never in an output.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::event::{Event, Level, Observer};
use crate::fault;
use crate::files;
use crate::graph::Pipeline;
use crate::history::{self, LATEST, RECORD, RunRecord, StageRecord};
use crate::manifest::Maker;
use crate::page;
use crate::run::Scope;
use crate::store::Store;

/// Writes down what it is told and passes it on.
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
    /// By their place in the pipeline.
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
        let runs = store.root().join("runs");
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

    /// Something that the engine itself has to say.
    pub(crate) fn note(&self, level: Level, text: String) {
        self.event(&Event::Log { stage: String::new(), level, text });
    }

    /// What a stage of the run is, whether it was made in it or not.
    pub(crate) fn stage(&self, index: usize, record: StageRecord) {
        if let Ok(mut log) = self.log.lock() {
            log.stages.insert(index, record);
        }
    }

    /// The stages so far, in the pipeline's order.
    pub(crate) fn stages(&self) -> Vec<StageRecord> {
        self.log.lock().map(|log| log.stages.values().cloned().collect()).unwrap_or_default()
    }

    /// The stages that were to be brought up to date and were not, with what became of each.
    pub(crate) fn unfinished(&self) -> BTreeMap<String, &'static str> {
        self.log.lock().map(|log| page::unfinished(&log.events)).unwrap_or_default()
    }

    /// Closes the record; returns its folder. What cannot be written is said and no failure.
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
                events: log.events.iter().filter_map(|event| serde_json::to_value(event).ok()).collect(),
                checksum: String::new(),
            };
            files::write_atomically(&self.folder.join(RECORD), &record.sealed().to_json())?;
            let report = self.folder.join(page::REPORT).exists();
            let html = page::render(&self.id, &started, &self.maker, &log.events, drawing, report);
            files::write_atomically(&self.folder.join("run.html"), html.as_bytes())?;
            // The report, which must not name a run, leads here.
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
            // A full disk is reported by whatever needs the space, not by its log.
            let _ = fault::point().and_then(|()| writeln!(log.file, "{json}"));
            log.events.push(kept);
        }
    }
}
