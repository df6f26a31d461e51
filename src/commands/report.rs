//! `ctpipe report`: prints the path of the current report; `--open` opens it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use ctpipe_engine::{Pipeline, Store};

use crate::cli::{Global, Report};
use crate::context;
use crate::printed::Reports;
use crate::terminal::{print_json, say};

/// The programs that open a page, by system; the first that exists is used.
const OPENERS: [&str; 3] = ["xdg-open", "open", "wslview"];

/// The current reports of a pipeline.
pub(crate) fn pages(pipeline: &Pipeline) -> Vec<PathBuf> {
    let store = Store::new(&pipeline.artifacts);
    let reports = pipeline.nodes.iter().filter(|node| node.stage.kind() == "report");
    let made = reports.filter(|node| matches!(store.current(&node.name), Ok(Some(_))));
    made.map(|node| pipeline.artifacts.join(&node.name).join("report.html")).collect()
}

pub(crate) fn report(global: &Global, args: &Report) -> anyhow::Result<u8> {
    let pages = pages(&context::pipeline(global)?);
    if pages.is_empty() {
        anyhow::bail!("there is no report yet; make one with `ctpipe run`");
    }
    if global.json {
        print_json(&Reports { reports: pages.clone() })?;
    } else {
        for page in &pages {
            say!("{}", page.display());
        }
    }
    if args.open {
        pages.iter().try_for_each(open)?;
    }
    Ok(0)
}

fn open(page: &PathBuf) -> anyhow::Result<()> {
    for opener in OPENERS {
        let started = Command::new(opener)
            .arg(page)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match started {
            Ok(status) if status.success() => return Ok(()),
            _ => {}
        }
    }
    anyhow::bail!("none of {} could open {}; open it in a browser", OPENERS.join(", "), page.display())
}
