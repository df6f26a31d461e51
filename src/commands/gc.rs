//! `ctpipe gc`: removes artifacts that nothing refers to any more.

use ctpipe_engine::amount::{in_bytes, size};
use ctpipe_engine::gc::{Options, Removed, collect};
use std::num::NonZero;

use crate::cli::{Gc, Global};
use crate::context;
use crate::terminal::{print_json, say, tell};

pub(crate) fn gc(global: &Global, args: &Gc) -> anyhow::Result<u8> {
    let pipeline = context::pipeline(global)?;
    let stop = context::stop_flag()?;
    let max_size = args.max_size.as_deref().map(size).transpose();
    let max_size =
        max_size.map_err(|problem| ctpipe_engine::Error::Usage(format!("--max-size: {problem}")))?;
    let options = Options {
        keep_runs: args.keep_runs.map(NonZero::get),
        max_size,
        dry_run: args.dry_run,
        wait: args.wait,
        stop: &stop,
    };
    let report = collect(&pipeline, &options)?;
    if global.json {
        print_json(&report)?;
    } else {
        for Removed { path, bytes } in &report.removed {
            say!("{path}  {}", in_bytes(*bytes));
        }
        let did = if report.dry_run { "would be freed" } else { "freed" };
        say!(
            "{} {did}, {} and {} artifacts are left",
            in_bytes(report.freed),
            in_bytes(report.left),
            report.artifacts
        );
    }
    if report.over > 0 {
        tell!(
            "warning: artifacts that must be kept exceed --max-size by {}: they are current, or a lock, a tag or a kept run uses them",
            in_bytes(report.over)
        );
    }
    Ok(0)
}
