//! The output: text and progress bars on standard error, JSON on standard output.

use std::collections::BTreeMap;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use ctpipe_engine::{Event, Observer, Outcome, describe};
use ctpipe_stage::Level;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints a line on standard error. A reader that has gone (`2>&1 | head`) is not an error, and
/// does not stop a run.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}
pub(crate) use tell;

/// Prints the error and its causes on standard error, one per line.
pub(crate) fn complain(error: &anyhow::Error) {
    let mut last = String::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        // Transparent wrappers repeat the error that they wrap.
        if text != last {
            tell!("{}{text}", if depth == 0 { "error: " } else { "  because: " });
        }
        last = text;
    }
    if let Some(advice) = advice(&format!("{error:#}")) {
        tell!("{advice}");
    }
}

/// A hint for a failure of the system. Libraries pass on its text but not its kind; the text of the
/// standard library ends with the error number.
fn advice(text: &str) -> Option<&'static str> {
    let (_, rest) = text.split_once("(os error ")?;
    let (number, _) = rest.split_once(')')?;
    match std::io::Error::from_raw_os_error(number.parse().ok()?).kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Some("free some space and run again; what was finished is kept")
        }
        ErrorKind::ReadOnlyFilesystem => {
            Some("its file system is mounted read-only; mount it writable, or use a folder that is writable")
        }
        ErrorKind::PermissionDenied => Some("give this user permission (see ls -l) and run again"),
        _ => None,
    }
}

/// Prints a line on standard output. A reader that has gone (`| head`) is not an error.
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

/// Prints a text unchanged on standard output.
pub(crate) fn print_bytes(bytes: &[u8]) {
    // A reader that has gone is not an error.
    let _ = std::io::stdout().lock().write_all(bytes);
}

/// Prints one event per line on standard output, for programs.
pub(crate) struct JsonLines;

impl Observer for JsonLines {
    fn event(&self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            // A reader that has gone does not make a run fail.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

/// Prints lines on standard error, and a bar for each running stage if that is a terminal.
pub(crate) struct People {
    width: usize,
    /// All bars; it keeps them from being drawn over each other.
    screen: MultiProgress,
    bars: Mutex<BTreeMap<String, ProgressBar>>,
    terminal: bool,
}

impl People {
    /// `width` is the length of the longest stage name, so that the texts line up.
    pub(crate) fn new(width: usize) -> People {
        let terminal = std::io::stderr().is_terminal();
        People { width, screen: MultiProgress::new(), bars: Mutex::default(), terminal }
    }

    fn line(&self, stage: &str, text: &str) {
        let line = format!("{stage:width$}  {text}", width = self.width);
        let line = line.trim_end();
        // Without a terminal, `screen` discards the lines.
        if !self.terminal || self.screen.println(line).is_err() {
            tell!("{line}");
        }
    }

    fn begin(&self, stage: &str) {
        if !self.terminal {
            return;
        }
        // The bar is hidden until it belongs to the screen: what is drawn outside stays on the
        // terminal.
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        bar.set_style(style(SPINNER));
        bar.set_prefix(format!("{stage:width$}", width = self.width));
        let bar = self.screen.add(bar);
        bar.enable_steady_tick(TICK);
        if let Ok(mut bars) = self.bars.lock() {
            bars.insert(stage.to_owned(), bar);
        }
    }

    fn end(&self, stage: &str) {
        if let Some(bar) = self.bars.lock().ok().and_then(|mut bars| bars.remove(stage)) {
            bar.finish_and_clear();
        }
    }

    fn end_all(&self) {
        let bars = self.bars.lock().map(|mut bars| std::mem::take(&mut *bars)).unwrap_or_default();
        bars.values().for_each(ProgressBar::finish_and_clear);
    }

    fn progress(&self, stage: &str, done: u64, total: u64, unit: &str, note: &str) {
        if let Some(bar) = self.bars.lock().ok().and_then(|bars| bars.get(stage).cloned()) {
            bar.set_style(style(BAR));
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{unit} {note}"));
        }
    }
}

/// The interval at which a bar is redrawn.
const TICK: Duration = Duration::from_millis(200);
/// The progress of work of known size.
const BAR: &str = "{prefix}  [{bar:24}] {pos}/{len} {msg} ({elapsed}, {eta} left)";
/// The progress of work of unknown size.
const SPINNER: &str = "{prefix}  {spinner} {elapsed}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// A bar on standard error; hidden if that is not a terminal.
pub(crate) fn new_bar(prefix: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(style(BAR));
    bar.set_prefix(prefix.to_owned());
    bar.enable_steady_tick(TICK);
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
            Event::Progress { stage, done, total, unit, note } => {
                self.progress(stage, *done, *total, unit, note);
            }
            Event::Log { stage, level, text } => self.line(stage, &format!("{}{text}", mark(*level))),
            Event::StageFinished { stage, outcome, key, seconds, peak_memory, items, .. } => {
                self.end(stage);
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
            Event::GateJudged { judged } => self.line(&judged.stage, &judged.to_string()),
            Event::Released { released } => self.line("run", &released.to_string()),
            Event::LockDiffers { difference } => {
                self.line("", &format!("{}{difference}", mark(Level::Error)));
            }
            // The error itself is printed once, at the end.
            Event::StageFailed { stage, .. } => {
                self.end(stage);
                self.line(stage, "failed");
            }
            Event::RunFinished { seconds, .. } => {
                self.end_all();
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
