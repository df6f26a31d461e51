//! `run.html`: one run as one offline page, made from its events.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ctpipe_stage::{Level, Maker};

use crate::event::{Event, Judged, State, describe};
use crate::html::{STYLE, escape};

/// The path from a run's folder to the report of the pipeline, if there is one.
pub(crate) const REPORT: &str = "../../report/report.html";

const NOT_TRIED: &str = "not run";

/// The events of a run as table rows and list items.
#[derive(Default)]
struct Sections {
    stages: String,
    gates: String,
    notes: String,
    end: String,
}

impl Sections {
    fn of(events: &[Event]) -> Sections {
        let mut sections = Sections::default();
        for event in events {
            sections.add(event, events);
        }
        let not_tried = unfinished(events).into_iter().filter(|(_, word)| *word == NOT_TRIED);
        for (stage, word) in not_tried {
            let _ = write!(
                sections.stages,
                "<tr><th scope=row>{}</th><td></td><td></td><td>{word}</td><td></td></tr>",
                escape(&stage)
            );
        }
        sections
    }

    fn add(&mut self, event: &Event, all: &[Event]) {
        match event {
            Event::Decided { stage, state } => self.decided(stage, state, all),
            Event::Log { stage, level, text } | Event::Preflight { stage, level, text } => {
                let stage = if stage.is_empty() { String::new() } else { format!("{stage}: ") };
                self.note(*level, &format!("{stage}{text}"));
            }
            Event::StageFailed { stage, error } => self.note(Level::Error, &format!("{stage}: {error}")),
            Event::GateJudged { judged } => self.judged(judged),
            Event::Released { released } => self.note(Level::Info, &released.to_string()),
            Event::LockDiffers { difference } => self.note(Level::Error, &difference.to_string()),
            Event::RunFinished { exit_code, seconds, .. } => {
                self.end = format!("<p>Exit code {exit_code} after {seconds:.1} s.</p>");
            }
            Event::RunStarted { .. }
            | Event::StageStarted { .. }
            | Event::Progress { .. }
            | Event::StageFinished { .. } => {}
        }
    }

    fn decided(&mut self, stage: &str, state: &State, all: &[Event]) {
        let (word, why) = describe(state);
        let (outcome, cost) = ending(stage, all);
        let _ = write!(
            self.stages,
            "<tr><th scope=row>{}</th><td>{word}</td><td>{}</td><td>{}</td><td>{cost}</td></tr>",
            escape(stage),
            escape(&why),
            escape(&outcome)
        );
    }

    fn judged(&mut self, judged: &Judged) {
        let (class, word) = if judged.passed { ("info", "passed") } else { ("error", "failed") };
        let found = judged.found.map(|found| found.to_string()).unwrap_or_default();
        let found = judged.why.clone().unwrap_or(found);
        let _ = write!(
            self.gates,
            "<tr><th scope=row>{}</th><td>{}</td><td class={class}>{word}</td><td>{}</td></tr>",
            escape(&judged.stage),
            escape(&judged.gate),
            escape(&found)
        );
    }

    fn note(&mut self, level: Level, text: &str) {
        let class = match level {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let _ = write!(self.notes, "<li class={class}>{}</li>", escape(text));
    }
}

/// The page of one run.
/// `drawing` is markup that is used as it is; `report` says whether there is a report to link to.
pub(crate) fn render(
    id: &str,
    started: &str,
    maker: &Maker,
    events: &[Event],
    drawing: &str,
    report: bool,
) -> String {
    let Sections { stages, gates, notes, end } = Sections::of(events);
    let report =
        if report { format!("<p><a href=\"{REPORT}\">Current report</a></p>") } else { String::new() };
    let gates = if gates.is_empty() {
        gates
    } else {
        format!(
            "<table><caption>Gates</caption><thead><tr><th scope=col>Stage<th scope=col>Gate<th scope=col>Result\
<th scope=col>Found</tr></thead><tbody>{gates}</tbody></table>"
        )
    };
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<title>Run {id}</title><style>{STYLE}</style><header><p class=badge>Research use only</p><h1>Run {id}</h1></header><main><p>Started {started}, ctpipe {} ({}).</p>{end}{drawing}\
<table><caption>Stages</caption><thead><tr><th scope=col>Stage<th scope=col>Decision<th scope=col>Why\
<th scope=col>Outcome<th scope=col>Cost</tr></thead><tbody>{stages}</tbody></table>{gates}<h2>Messages</h2><ul>{notes}</ul>\
{report}</main></html>\n",
        escape(&maker.version),
        escape(&maker.instruction_set)
    )
}

/// The stages that the run did not bring up to date although it should have, with the reason for
/// each.
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
            // A stage that was not tried because of another was never decided on.
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
