//! `ctpipe audit`: checks that every artifact is as it was written and comes from its recorded
//! inputs.

use ctpipe_engine::audit::{Again, Finding, Options, Report, audit as engine_audit};
use ctpipe_engine::{Observer, exit_code};

use crate::cli::{Audit, Global};
use crate::commands::status;
use crate::context;
use crate::terminal::{People, print_json, say, tell};

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
    Ok(if report.is_clean() { exit_code::DONE } else { exit_code::MISMATCH })
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
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    say!("{} artifacts, {} files, {} bytes: {findings}", report.artifacts, report.files, report.bytes);
}
