//! `ctpipe run`: brings stages up to date, or prints what would be done.

use std::collections::BTreeMap;
use std::num::NonZero;

use ctpipe_engine::history::StageRecord;
use ctpipe_engine::lock::LockUse;
use ctpipe_engine::run::foresee;
use ctpipe_engine::run::{self, Summary, dry_run};
use ctpipe_engine::{Error, Observer, Options, Selection};

use crate::cli::{Global, Run};
use crate::commands::{dag, report, status};
use crate::context;
use crate::notify::Watch;
use crate::terminal::{JsonLines, People, tell};

pub(crate) fn run(global: &Global, args: &Run) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let selection = Selection {
        stages: args.stages.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        force: args.force,
    };
    let lock = match (args.lock, args.locked) {
        (true, _) => LockUse::Write,
        (_, true) => LockUse::Hold,
        _ => LockUse::Update,
    };
    if args.dry_run {
        let decisions = dry_run(&pipeline, &selection, args.paranoid, lock)?;
        let code = status::show(global, &pipeline, &decisions)?;
        if args.locked {
            foresee(&pipeline, &decisions)?;
        }
        return Ok(code);
    }
    let stop = context::stop_flag()?;
    let draw = |records: &[StageRecord], open: &BTreeMap<String, &'static str>| {
        dag::of_run(&pipeline, records, open)
    };
    let options = Options {
        selection,
        keep_going: args.keep_going,
        wait: args.wait,
        paranoid: args.paranoid,
        draw: Some(&draw),
        lock,
        jobs: args
            .jobs
            .map_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get), NonZero::get),
        maker: context::maker(),
        stop: &stop,
    };
    let observer: Box<dyn Observer> =
        if global.json { Box::new(JsonLines) } else { Box::new(People::new(status::width(&pipeline))) };
    let watch = Watch::new(observer.as_ref());
    let result = run::run(&pipeline, &options, &watch);
    let code = result.as_ref().map_or_else(Error::exit_code, Summary::exit_code);
    watch.tell(&pipeline, code, result.as_ref().err());
    result?;
    if !global.json {
        for page in report::pages(&pipeline) {
            tell!("report: {}", page.display());
        }
    }
    Ok(code)
}
