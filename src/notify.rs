//! Sends a notice of a run that failed, or in which a gate failed, to a command or a webhook of the
//! user. It is limited in time and never makes the run fail. What leaves the machine names stages,
//! gates and numbers; error texts, which may name files, stay in the run's record.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use ctpipe_engine::event::Judged;
use ctpipe_engine::spec::Notify;
use ctpipe_engine::{Error, Event, Observer, Pipeline};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use ureq::tls::{RootCerts, TlsConfig};

use crate::terminal::tell;

/// The time limit for the answer of a webhook.
const WEBHOOK: Duration = Duration::from_secs(10);
/// The time limit for a command.
const COMMAND: Duration = Duration::from_mins(1);
/// The interval between checks whether the command has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Exit codes without a notice: done, and interrupted by the user.
const NO_NEWS: [u8; 2] = [0, 130];
/// The most bytes of a variable: with a few hundred thousand a program cannot be started.
const LONGEST: usize = 16_384;

/// Passes events on, and keeps the parts of a notice.
pub(crate) struct Watch<'a> {
    next: &'a dyn Observer,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    run: String,
    failed: Vec<String>,
    gates: Vec<Judged>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(next: &'a dyn Observer) -> Watch<'a> {
        Watch { next, seen: Mutex::default() }
    }

    /// Sends the notice if the run ended with an exit code that calls for one.
    pub(crate) fn tell(&self, pipeline: &Pipeline, exit_code: u8, error: Option<&Error>) {
        let Ok(seen) = self.seen.lock() else { return };
        let begun = !seen.run.is_empty();
        // An error before the start of a run (such as a merge conflict in the lock) must be
        // noticed, too.
        if NO_NEWS.contains(&exit_code) || !begun && error.is_none_or(Error::is_no_news) {
            return;
        }
        let Notify { command, webhook } = &pipeline.notify;
        let page = pipeline.artifacts.join("runs").join(&seen.run).join("run.html");
        let notice = seen.notice(exit_code, error);
        let told = [
            ("command", command.as_ref().map(|line| run_command(line, pipeline, &notice, &page))),
            ("webhook", webhook.as_ref().map(|address| post(address, &notice))),
        ];
        let mut record = json!({ "notice": notice });
        for (who, told) in told.into_iter().filter_map(|(who, told)| Some((who, told?))) {
            let text = match told {
                Ok(()) => "told".to_owned(),
                Err(error) => {
                    let text = format!("could not notify the {who}: {error:#}");
                    // This is not an event: the end of the run is the last event.
                    tell!("warning: {text}");
                    text
                }
            };
            record[who] = text.into();
        }
        // A file beside the run's record, which is closed. If it cannot be written, the error was
        // printed above.
        if begun && (command.is_some() || webhook.is_some()) {
            let text = serde_json::to_string_pretty(&record).unwrap_or_default();
            let _ = std::fs::write(page.with_file_name("notice.json"), text + "\n");
        }
    }
}

impl Observer for Watch<'_> {
    fn event(&self, event: &Event) {
        self.next.event(event);
        let Ok(mut seen) = self.seen.lock() else { return };
        match event {
            Event::RunStarted { run, .. } => seen.run.clone_from(run),
            Event::StageFailed { stage, .. } => seen.failed.push(stage.clone()),
            Event::GateJudged { judged } => seen.gates.push(judged.clone()),
            _ => {}
        }
    }
}

impl Seen {
    fn notice(&self, exit_code: u8, error: Option<&Error>) -> Value {
        let failed_gates: Vec<&Judged> = self.gates.iter().filter(|judged| !judged.passed).collect();
        let what = match (self.failed.as_slice(), failed_gates.as_slice()) {
            _ if self.run.is_empty() => {
                // The error's own text is left out: it may contain a file name.
                let why = match error {
                    Some(Error::Conflict(_)) => ": the lock contains a merge conflict",
                    Some(Error::Damaged { .. }) => ": the lock was altered",
                    Some(Error::Later { .. }) => ": a later ctpipe wrote here",
                    _ => "",
                };
                format!("it could not start, exit code {exit_code}{why}")
            }
            ([], []) => format!("it ended with exit code {exit_code}"),
            ([], gates) => format!("{} gate(s) failed", gates.len()),
            (failed, _) => format!("{} failed", failed.join(", ")),
        };
        let run = format!("ctpipe run {}", self.run);
        json!({
            // The field that chats show.
            "text": format!("{}: {what}", run.trim_end()),
            "run": self.run,
            "exit_code": exit_code,
            "failed": self.failed,
            "gates": failed_gates.iter().map(|judged| json!({
                "stage": judged.stage, "gate": judged.gate, "found": judged.found,
            })).collect::<Vec<_>>(),
        })
    }
}

fn post(address: &str, notice: &Value) -> anyhow::Result<()> {
    let address = match address.strip_prefix('$') {
        Some(name) => std::env::var_os(name)
            .and_then(|value| value.into_string().ok())
            .with_context(|| format!("the webhook's address is in ${name}, which is not set"))?,
        None => address.to_owned(),
    };
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(WEBHOOK))
        .http_status_as_error(false)
        // A redirect would not send the notice again.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(tls)
        .build()
        .into();
    let request = agent.post(&address).header("content-type", "application/json");
    // The address is often a secret; ureq's errors do not contain it.
    let answer = request.send(notice.to_string()).map_err(|e| anyhow!("the webhook did not answer: {e}"))?;
    let status = answer.status();
    if !status.is_success() {
        bail!("the webhook answered {status}");
    }
    Ok(())
}

/// Runs the command with the notice as JSON on its standard input, and its main parts as variables.
fn run_command(line: &str, pipeline: &Pipeline, notice: &Value, page: &Path) -> anyhow::Result<()> {
    let names = |list: &Value, name: &str| {
        let items = list.as_array().map_or(&[][..], Vec::as_slice).iter();
        let texts = items.filter_map(|item| item.as_str().or_else(|| item[name].as_str()));
        texts.collect::<Vec<_>>().join("; ")
    };
    let short = |text: &str| match text.char_indices().find(|(at, _)| *at > LONGEST) {
        Some((at, _)) => format!("{} ...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    };
    let folder = if pipeline.root.as_os_str().is_empty() { Path::new(".") } else { &pipeline.root };
    let child = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("CTPIPE_TEXT", short(notice["text"].as_str().unwrap_or_default()))
        .env("CTPIPE_RUN", notice["run"].as_str().unwrap_or_default())
        .env("CTPIPE_EXIT_CODE", notice["exit_code"].to_string())
        .env("CTPIPE_FAILED", short(&names(&notice["failed"], "")))
        .env("CTPIPE_GATES", short(&names(&notice["gates"], "gate")))
        // A run that could not start has no page.
        .env("CTPIPE_PAGE", if page.exists() { std::path::absolute(page)? } else { PathBuf::new() })
        .stdin(Stdio::piped())
        // Standard output may be an event stream.
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("the notify command could not be started")?;
    let deadline = Instant::now() + COMMAND;
    let mut group = Group(child);
    if let Some(mut stdin) = group.0.stdin.take() {
        let notice = notice.to_string();
        // The command need not read the notice. The thread ends with the command or the program.
        std::thread::spawn(move || stdin.write_all(notice.as_bytes()));
    }
    loop {
        match group.0.try_wait().context("the notify command did not end")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("the notify command ended with {status}"),
            None if Instant::now() >= deadline => {
                bail!("the notify command was stopped after {} s", COMMAND.as_secs())
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// The command and all its child processes, which are killed on drop.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
            // The group may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
