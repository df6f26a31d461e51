//! One run from top to bottom: takes the lock, runs the pre-flight check, brings every stage up to
//! date, writes the record and, if all gates pass, releases the result.

mod attempt;
mod context;
mod dry_run;
mod options;
mod page;
mod preflight;
mod recorder;
mod release;
mod resources;
mod schedule;
mod selection;
mod settle;
mod start;

use std::path::PathBuf;

use ctpipe_stage::Level;

use crate::error::{Error, Result, chain};
use crate::event::{Judged, Observer, Outcome};
use crate::exit_code;
use crate::graph::Pipeline;
use crate::lock::{Lock, LockUse};
use crate::store::Store;

use context::RunContext;
use preflight::preflight;
use recorder::Recorder;
use release::{judge, release};
use schedule::bring_up_to_date;
use start::{open_cache, refuse_later};

pub use dry_run::{dry_run, foresee};
pub use options::{Draw, Options};
pub use selection::{Scope, Selection};

/// The result of a run.
#[derive(Debug)]
pub struct Summary {
    /// Its folder under `artifacts/runs/`.
    pub folder: PathBuf,
    /// Stage to its outcome, in order.
    pub outcomes: Vec<(String, Outcome)>,
    /// The results of the gates.
    pub gates: Vec<Judged>,
}

impl Summary {
    /// The exit code of the process: a gate may have failed.
    pub fn exit_code(&self) -> u8 {
        exit_code_of(&self.gates)
    }
}

fn exit_code_of(gates: &[Judged]) -> u8 {
    if gates.iter().all(|judged| judged.passed) { exit_code::DONE } else { exit_code::GATE_FAILED }
}

/// Brings the selected stages up to date.
///
/// # Errors
/// [`Error::Locked`], a problem found by the pre-flight check, or the stage that failed; what was
/// finished before is kept.
pub fn run(pipeline: &Pipeline, options: &Options<'_>, observer: &dyn Observer) -> Result<Summary> {
    let scope = options.selection.scope(pipeline)?;
    let store = Store::new(&pipeline.artifacts);
    let _lock = store.lock(options.wait, options.stop)?;
    store.sweep()?;
    refuse_later(pipeline, &store)?;
    let lock = Lock::open(pipeline, options.lock)?;
    let cache = open_cache(&store, options.paranoid);
    let recorder = Recorder::start(&store, pipeline, &scope, options.maker.clone(), observer)?;
    let mut result = preflight(pipeline, &scope, &store, &recorder).and_then(|()| {
        let (store, cache, recorder, lock) = (&store, &cache, &recorder, &lock);
        bring_up_to_date(RunContext { pipeline, store, cache, options, recorder, lock }, &scope)
    });
    // Failing to save the cache or the end of the record must not turn a good run into a failed
    // one.
    if let Err(e) = cache.save(&store.layout.stat_cache()) {
        recorder.note(Level::Warning, format!("the stat cache could not be saved: {e}"));
    }
    // Done after a failure, too: what succeeded is in the store.
    match lock.update(pipeline, &recorder.stages(), &options.maker) {
        Ok(None) => {}
        Ok(Some(note)) => recorder.note(Level::Info, note),
        // The user asked for the lock, so this is an error.
        Err(e) if options.lock == LockUse::Write && result.is_ok() => result = Err(e),
        Err(e) => recorder.note(Level::Warning, format!("the lock could not be written: {}", chain(&e))),
    }
    let gates = judge(pipeline, &store, &recorder.stages(), &recorder);
    if result.is_ok()
        && let Err(e) = release(pipeline, &store, &gates, &recorder)
    {
        recorder.note(Level::Warning, format!("nothing could be released: {}", chain(&e)));
    }
    let drawing =
        options.draw.map(|draw| draw(&recorder.stages(), &recorder.unfinished())).unwrap_or_default();
    let folder =
        recorder.finish(&drawing, result.as_ref().map_or_else(Error::exit_code, |_| exit_code_of(&gates)));
    result.map(|outcomes| Summary { folder, outcomes, gates })
}
