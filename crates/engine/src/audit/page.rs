//! Renders an audit report as `audit.html`, a single page that works offline.

use std::fmt::Write as _;

use crate::audit::report::{Finding, Input, Report};
use crate::html::{STYLE, escape};

/// Long digests may break anywhere; the first column must not.
const OWN_STYLE: &str = "th:first-child { min-width: 9rem; } code { font-size: .85em; }";

/// Renders the page.
pub(super) fn render(report: &Report) -> String {
    let verdict = match report.findings.len() {
        0 => "<p><strong>No findings.</strong></p>".to_owned(),
        1 => "<p class=error><strong>1 finding.</strong></p>".to_owned(),
        count => format!("<p class=error><strong>{count} findings.</strong></p>"),
    };
    let scope = report.run.as_ref().map_or_else(
        || "Every artifact in the store".to_owned(),
        |run| format!("The artifacts of run {}, and what they were made from", escape(run)),
    );
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<title>Audit of {started}</title><style>{STYLE}{OWN_STYLE}</style><header><p class=badge>Research use only</p>\
<h1>Audit of {started}</h1></header><main>{verdict}\
<p>{scope}: {} artifacts, {} files, {} bytes, read in full in {:.1} s by ctpipe {} {} ({}).</p>",
        report.artifacts,
        report.files,
        report.bytes,
        report.seconds,
        escape(&report.maker.version),
        escape(&report.maker.commit),
        escape(&report.maker.instruction_set),
        started = escape(&report.started),
    );
    page += "<h2>What was checked</h2><ul>\
<li>Every file of an artifact: its bytes (BLAKE3) and size against the manifest, its mode, and that there is no other.\
<li>Every manifest and list of items: its bytes, its checksum, that its key has the hash that names its folder.\
<li>Every input of every key: that an artifact, or the data as it is now, has this digest.\
<li>The links to current results, pipeline.lock, the records of runs, and tags.\
<li>Stages named for it: run again, and compared byte by byte.</ul>";
    table(&mut page, "Findings", &report.findings);
    if !report.reruns.is_empty() {
        page += "<h2>Run again</h2><table><thead><tr><th scope=col>Stage<th scope=col>Result<th scope=col>Files<th scope=col>Time</tr></thead><tbody>";
        for rerun in &report.reruns {
            let result =
                if rerun.same { "the same bytes" } else { "<span class=error>different bytes</span>" };
            let _ = write!(
                page,
                "<tr><th scope=row>{}</th><td>{result}</td><td>{}</td><td>{:.1} s</td></tr>",
                escape(&rerun.stage),
                rerun.files,
                rerun.seconds
            );
        }
        page += "</tbody></table>";
    }
    chain(&mut page, report);
    table(&mut page, "Notes", &report.notes);
    page += "</main></html>\n";
    page
}

fn table(page: &mut String, title: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let _ = write!(
        page,
        "<h2>{title}</h2><table><thead><tr><th scope=col>Where<th scope=col>What<th scope=col>What to do</tr></thead><tbody>"
    );
    for Finding { place, text, advice, .. } in findings {
        let _ = write!(
            page,
            "<tr><th scope=row>{}</th><td>{}</td><td>{}</td></tr>",
            escape(place),
            escape(text),
            escape(advice)
        );
    }
    *page += "</tbody></table>";
}

/// Renders the chain from the last result back to the data.
fn chain(page: &mut String, report: &Report) {
    *page += "<h2>From the results back to the data</h2><table><thead><tr><th scope=col>Stage<th scope=col>Holds\
<th scope=col>Made from<th scope=col>Made</tr></thead><tbody>";
    for link in report.chain.iter().rev() {
        let mut inputs = String::new();
        for Input { port, leads_to, digest } in &link.inputs {
            let _ =
                write!(inputs, "{}: {} <code>{}</code><br>", escape(port), escape(leads_to), escape(digest));
        }
        let whole = if link.whole { "" } else { "<br><span class=error>has findings</span>" };
        let _ = write!(
            page,
            "<tr><th scope=row>{}</th><td><code>{}</code><br>key <code>{}</code>{whole}</td><td>{inputs}</td><td>{}</td></tr>",
            escape(&link.stage),
            escape(&link.content),
            escape(&link.key_hash),
            escape(&link.made)
        );
    }
    *page += "</tbody></table>";
}
