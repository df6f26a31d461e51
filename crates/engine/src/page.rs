//! `run.html`: one run as one offline page. Draws what the events say and knows nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::event::{Event, Level};
use crate::key::Reason;
use crate::manifest::Maker;
use crate::plan::State;

/// As the report is dressed.
pub const STYLE: &str = include_str!("page.css");

/// From a run's folder to the report of the pipeline, where it has one.
pub(crate) const REPORT: &str = "../../report/report.html";

const NOT_TRIED: &str = "not tried";

/// How many reasons, or stages that one depends on, are named before the rest is counted.
const SHOWN: usize = 8;

/// The page of one run.
/// `drawing` is markup that stands as it is; `report`: is there one to lead to?
pub(crate) fn render(
    id: &str,
    started: &str,
    maker: &Maker,
    events: &[Event],
    drawing: &str,
    report: bool,
) -> String {
    let mut rows = String::new();
    let mut notes = String::new();
    let mut head = String::new();
    let mut gates = String::new();
    for event in events {
        match event {
            Event::Decided { stage, state } => {
                let (word, why) = describe(state);
                let (outcome, cost) = ending(stage, events);
                let _ = write!(
                    rows,
                    "<tr><th scope=row>{}</th><td>{word}</td><td>{}</td><td>{}</td><td>{cost}</td></tr>",
                    escape(stage),
                    escape(&why),
                    escape(&outcome)
                );
            }
            Event::Log { stage, level, text } | Event::Preflight { stage, level, text } => {
                let class = match level {
                    Level::Info => "info",
                    Level::Warning => "warning",
                    Level::Error => "error",
                };
                let stage = if stage.is_empty() { String::new() } else { format!("{}: ", escape(stage)) };
                let _ = write!(notes, "<li class={class}>{stage}{}</li>", escape(text));
            }
            Event::StageFailed { stage, error } => {
                let _ = write!(notes, "<li class=error>{}: {}</li>", escape(stage), escape(error));
            }
            Event::GateJudged { judged } => {
                let (class, word) = if judged.passed { ("info", "yes") } else { ("error", "no") };
                let found = judged.found.map(|found| found.to_string()).unwrap_or_default();
                let found = judged.why.clone().unwrap_or(found);
                let _ = write!(
                    gates,
                    "<tr><th scope=row>{}</th><td>{}</td><td class={class}>{word}</td><td>{}</td></tr>",
                    escape(&judged.stage),
                    escape(&judged.gate),
                    escape(&found)
                );
            }
            Event::LockDiffers { difference } => {
                let _ = write!(notes, "<li class=error>{}</li>", escape(&difference.to_string()));
            }
            Event::RunFinished { exit_code, seconds, .. } => {
                let _ = write!(head, "<p>Exit code {exit_code} after {seconds:.1} s.</p>");
            }
            _ => {}
        }
    }
    let unfinished = unfinished(events);
    for (stage, _) in unfinished.iter().filter(|(_, word)| **word == NOT_TRIED) {
        let _ = write!(
            rows,
            "<tr><th scope=row>{}</th><td></td><td></td><td>{NOT_TRIED}</td><td></td></tr>",
            escape(stage)
        );
    }
    let report =
        if report { format!("<p><a href=\"{REPORT}\">Current report</a></p>") } else { String::new() };
    if !gates.is_empty() {
        gates = format!(
            "<table><caption>Gates</caption><thead><tr><th scope=col>Stage<th scope=col>Gate<th scope=col>Says\
<th scope=col>Found</tr></thead><tbody>{gates}</tbody></table>"
        );
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<title>Run {id}</title><style>{STYLE}</style><header><p class=badge>Research use only</p><h1>Run {id}</h1></header><main><p>Started {started}, ctpipe {} ({}).</p>{head}{drawing}\
<table><caption>Stages</caption><thead><tr><th scope=col>Stage<th scope=col>Decision<th scope=col>Why\
<th scope=col>Outcome<th scope=col>Cost</tr></thead><tbody>{rows}</tbody></table>{gates}<h2>What was said</h2><ul>{notes}</ul>\
{report}</main></html>\n",
        escape(&maker.version),
        escape(&maker.instruction_set)
    )
}

/// Stages that the run was to bring up to date and has not, with what became of each.
pub(crate) fn unfinished(events: &[Event]) -> BTreeMap<String, &'static str> {
    let mut open = BTreeMap::new();
    for event in events {
        match event {
            Event::RunStarted { stages, .. } => {
                open.extend(stages.iter().map(|stage| (stage.clone(), NOT_TRIED)));
            }
            Event::Decided { stage, state: State::Fresh } | Event::StageFinished { stage, .. } => {
                open.remove(stage);
            }
            Event::Decided { stage, .. } => {
                open.insert(stage.clone(), "interrupted");
            }
            // One that was not tried because of another has not been decided on.
            Event::StageFailed { stage, .. } if open.get(stage) == Some(&"interrupted") => {
                open.insert(stage.clone(), "failed");
            }
            _ => {}
        }
    }
    open
}

fn ending(stage: &str, events: &[Event]) -> (String, String) {
    for event in events {
        match event {
            Event::StageFinished { stage: s, outcome, key, seconds, peak_memory, items, .. }
                if s == stage =>
            {
                let word = format!("{outcome:?}").to_lowercase();
                let memory = peak_memory.map(|b| format!(", {} MB", b / 1_000_000)).unwrap_or_default();
                let key = key.get(..12).unwrap_or(key);
                let taken = items.filter(|items| items.reused > 0);
                let taken = taken.map(|taken| format!(", {taken}"));
                let cost = format!("{seconds:.1} s{memory}{}", taken.unwrap_or_default());
                return (format!("{word} ({key})"), cost);
            }
            Event::StageFailed { stage: s, .. } if s == stage => {
                return ("failed".to_owned(), String::new());
            }
            _ => {}
        }
    }
    (String::new(), String::new())
}

/// One word, and why.
pub fn describe(state: &State) -> (&'static str, String) {
    let join = |reasons: &[Reason]| cut(&reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), "; ");
    match state {
        State::Fresh => ("fresh", "nothing it reads has changed".to_owned()),
        State::Restore { reasons } => ("restore", format!("made before; {}", join(reasons))),
        State::Will { reasons } => ("run", join(reasons)),
        State::May { depends_on, reasons } => {
            let depends = format!("depends on what {} makes", cut(depends_on, ", "));
            let known = if reasons.is_empty() { String::new() } else { format!("; {}", join(reasons)) };
            ("may run", depends + &known)
        }
    }
}

/// The first of a list, and how many more there are: a stage may read a thousand instances.
fn cut(list: &[String], separator: &str) -> String {
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(separator);
    let more = list.len().saturating_sub(SHOWN);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Text that may stand anywhere in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
