//! What people see: lines and bars on standard error, JSON on standard output. Decides nothing.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use ctpipe_engine::{Event, Level, Observer, Outcome, describe};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The error and its causes, one a line, on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut last = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        // Transparent wrappers repeat what they wrap.
        if text != last {
            eprintln!("{}{text}", if depth == 0 { "error: " } else { "  because: " });
        }
        last = text;
    }
}

/// A line on standard output. A reader that went away (`| head`) is no failure.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}
pub(crate) use say;

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// One event a line on standard output, for programs.
pub(crate) struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            // A reader that went away is no reason to fail a run.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

/// Lines on standard error, and a bar for the stage at work where that is a terminal.
pub(crate) struct People {
    width: usize,
    bar: Mutex<Option<ProgressBar>>,
    terminal: bool,
}

impl People {
    /// `width`: of the longest stage name, so that the texts line up.
    pub(crate) fn new(width: usize) -> People {
        People { width, bar: Mutex::new(None), terminal: std::io::stderr().is_terminal() }
    }

    fn line(&self, stage: &str, text: &str) {
        let line = format!("{stage:width$}  {text}", width = self.width);
        match self.bar.lock().ok().and_then(|bar| bar.clone()) {
            Some(bar) => bar.println(line.trim_end()),
            None => eprintln!("{}", line.trim_end()),
        }
    }

    fn begin(&self, stage: &str) {
        if !self.terminal {
            return;
        }
        let bar = new_bar(&format!("{stage:width$}", width = self.width));
        if let Ok(mut slot) = self.bar.lock() {
            *slot = Some(bar);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().ok().and_then(|mut slot| slot.take()) {
            bar.finish_and_clear();
        }
    }

    fn progress(&self, done: u64, total: u64, unit: &str, note: &str) {
        if let Some(bar) = self.bar.lock().ok().and_then(|bar| bar.clone()) {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{unit} {note}"));
        }
    }
}

/// A bar on standard error; invisible where that is no terminal.
pub(crate) fn new_bar(prefix: &str) -> ProgressBar {
    let template = "{prefix}  [{bar:24}] {pos}/{len} {msg} ({elapsed}, {eta} left)";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(prefix.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Observer for People {
    fn event(&self, event: &Event) {
        match event {
            Event::RunStarted { run, .. } => self.line("run", run),
            Event::Preflight { stage, level, text } => {
                let stage = if stage.is_empty() { "pre-flight" } else { stage };
                self.line(stage, &format!("{}{text}", mark(*level)));
            }
            Event::Decided { stage, state } => {
                let (word, why) = describe(state);
                self.line(stage, &format!("{word}: {why}"));
            }
            Event::StageStarted { stage } => self.begin(stage),
            Event::Progress { done, total, unit, note, .. } => self.progress(*done, *total, unit, note),
            Event::Log { stage, level, text } => self.line(stage, &format!("{}{text}", mark(*level))),
            Event::StageFinished { stage, outcome, key, seconds, peak_memory, items, .. } => {
                self.end();
                let memory = peak_memory.map(|b| format!(", peak {} MB", b / 1_000_000)).unwrap_or_default();
                let taken = items.filter(|items| items.reused > 0);
                let taken = taken.map(|taken| format!(", {taken}"));
                let cost = format!("{seconds:.1} s{memory}{}", taken.unwrap_or_default());
                let key = key.get(..12).unwrap_or(key);
                let text = match outcome {
                    Outcome::Restored => format!("restored {key}"),
                    Outcome::Identical => format!("same bytes as before, {key}, {cost}"),
                    _ => format!("done {key}, {cost}"),
                };
                self.line(stage, &text);
            }
            // The error itself is told once, at the end.
            Event::StageFailed { stage, .. } => {
                self.end();
                self.line(stage, "failed");
            }
            Event::RunFinished { seconds, .. } => {
                self.end();
                self.line("run", &format!("{seconds:.1} s"));
            }
        }
    }
}

fn mark(level: Level) -> &'static str {
    match level {
        Level::Info => "",
        Level::Warning => "warning: ",
        Level::Error => "problem: ",
    }
}
