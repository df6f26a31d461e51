//! What the commands share: the built-in stages, the selected pipeline, the creator of artifacts,
//! and the signals.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use ctpipe_engine::{Pipeline, Spec};
use ctpipe_stage::{Maker, Stage};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::cli::Global;

/// The exit code of an interrupted process.
const INTERRUPTED: i32 = 130;

/// Every built-in stage, in pipeline order.
pub(crate) fn stages() -> Vec<Arc<dyn Stage>> {
    vec![
        Arc::new(ctpipe_ingest::Ingest),
        Arc::new(ctpipe_preprocess::Preprocess),
        Arc::new(ctpipe_split::Split),
        Arc::new(ctpipe_train::Train),
        Arc::new(ctpipe_search::Search),
        Arc::new(ctpipe_evaluate::Evaluate),
        Arc::new(ctpipe_folds::Folds),
        Arc::new(ctpipe_report::Report),
    ]
}

/// The pipeline that the arguments select.
pub(crate) fn pipeline(global: &Global) -> anyhow::Result<Pipeline> {
    let spec = Spec::load(&global.pipeline, global.profile.as_deref(), &global.set)
        .map_err(ctpipe_engine::Error::from)?;
    Ok(Pipeline::new(&spec, &stages())?)
}

/// The version, commit, compiler and instruction set that artifacts record.
pub(crate) fn maker() -> Maker {
    Maker {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("CTPIPE_COMMIT").to_owned(),
        compiler: env!("CTPIPE_COMPILER").to_owned(),
        instruction_set: ctpipe_network::instruction_set().to_owned(),
    }
}

/// The first SIGINT or SIGTERM sets the flag, so that the current work ends cleanly. The second
/// ends the process at once, which loses nothing that is already stored.
pub(crate) fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, INTERRUPTED, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("cannot listen to signals")?;
    }
    Ok(stop)
}
