//! `ctpipe audit`: is everything that was made still what it was, and does it come from what it says?

use ctpipe_engine::Observer;
use ctpipe_engine::audit::{Again, Finding, Options, Report, audit as engine_audit};

use crate::cli::{Audit, Global};
use crate::commands::status;
use crate::context;
use crate::terminal::{People, print_json, say, tell};

/// The exit code for "something does not match".
const MISMATCH: u8 = 4;

pub(crate) fn audit(global: &Global, args: &Audit) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let stop = context::stop_flag()?;
    let options = Options {
        again: match args.rerun.as_deref() {
            None => Again::Nothing,
            Some("all") => Again::All,
            Some(stage) => Again::Stage(stage.to_owned()),
        },
        run: args.run.clone(),
        // A command is run in the pipeline's folder.
        out: args.out.as_ref().map(std::path::absolute).transpose()?,
        wait: args.wait,
        maker: context::maker(),
        stop: &stop,
    };
    let observer: Box<dyn Observer> =
        if global.json { Box::new(()) } else { Box::new(People::new(status::width(&pipeline))) };
    let report = engine_audit(&pipeline, &options, observer.as_ref())?;
    if global.json {
        print_json(&report)?;
    } else {
        show(&report);
    }
    tell!("audit: {}", report.folder.join("audit.html").display());
    Ok(if report.is_clean() { 0 } else { MISMATCH })
}

fn show(report: &Report) {
    for Finding { place, text, advice, .. } in &report.findings {
        say!("{place}: {text}; {advice}");
    }
    for Finding { place, text, .. } in &report.notes {
        say!("note: {place}: {text}");
    }
    for rerun in &report.reruns {
        let result = if rerun.same { "the same bytes" } else { "other bytes" };
        say!("{} run again: {result}, {} files, {:.1} s", rerun.stage, rerun.files, rerun.seconds);
    }
    let findings = match report.findings.len() {
        0 => "all in order".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    say!("{} artifacts, {} files, {} bytes: {findings}", report.artifacts, report.files, report.bytes);
}
