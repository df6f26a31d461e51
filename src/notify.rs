//! Tells somebody of a run that failed, or of which a gate said no: a command of the user's, a webhook. Bounded in time,
//! and never the run's failure. What leaves the machine names stages, gates and numbers: error texts, which may name
//! files, stay in the run's record.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use ctpipe_engine::gates::Judged;
use ctpipe_engine::spec::Notify;
use ctpipe_engine::{Error, Event, Observer, Pipeline};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use ureq::tls::{RootCerts, TlsConfig};

use crate::terminal::tell;

/// A webhook that does not answer is given up.
const WEBHOOK: Duration = Duration::from_secs(10);
/// And so is a command.
const COMMAND: Duration = Duration::from_mins(1);
/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Exit codes that nobody needs to be told of: done, and interrupted by whoever sits there.
const NO_NEWS: [u8; 2] = [0, 130];
/// A variable holds no more bytes than this: a few hundred thousand are too many for a program to be started with.
const LONGEST: usize = 16_384;

/// Passes on what happens, and keeps what a notice is made of.
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

    /// Tells whom the pipeline names, where the run that ended with this code is worth it.
    pub(crate) fn tell(&self, pipeline: &Pipeline, exit_code: u8, error: Option<&Error>) {
        let Ok(seen) = self.seen.lock() else { return };
        let begun = !seen.run.is_empty();
        // What keeps a run from beginning (a merge of the lock, say) must not stop the nights unnoticed.
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
                    let text = format!("the {who} was not told of this run: {error:#}");
                    // Not among the events, of which that the run is over is the last.
                    tell!("warning: {text}");
                    text
                }
            };
            record[who] = text.into();
        }
        // Beside the run's record, which is closed. What cannot be written here has been said above.
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
        let said_no: Vec<&Judged> = self.gates.iter().filter(|judged| !judged.passed).collect();
        let what = match (self.failed.as_slice(), said_no.as_slice()) {
            _ if self.run.is_empty() => {
                // Without the error's own text, which may hold a file's name.
                let why = match error {
                    Some(Error::Conflict(_)) => ": the lock holds the conflict of a merge",
                    Some(Error::Damaged { .. }) => ": the lock is not as it was written",
                    Some(Error::Later { .. }) => ": a later ctpipe has been here",
                    _ => "",
                };
                format!("it could not begin, exit code {exit_code}{why}")
            }
            ([], []) => format!("it ended with exit code {exit_code}"),
            ([], gates) => format!("{} gate(s) said no", gates.len()),
            (failed, _) => format!("{} failed", failed.join(", ")),
        };
        let run = format!("ctpipe run {}", self.run);
        json!({
            // What chats show.
            "text": format!("{}: {what}", run.trim_end()),
            "run": self.run,
            "exit_code": exit_code,
            "failed": self.failed,
            "gates": said_no.iter().map(|judged| json!({
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
        // Where one leads, the notice itself would not be sent again.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(tls)
        .build()
        .into();
    let request = agent.post(&address).header("content-type", "application/json");
    // The address is often a secret, and ureq's errors do not hold it.
    let answer = request.send(notice.to_string()).map_err(|e| anyhow!("the webhook did not answer: {e}"))?;
    let status = answer.status();
    if !status.is_success() {
        bail!("the webhook answered {status}");
    }
    Ok(())
}

/// With the notice as JSON on its standard input, and its main parts as variables.
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
        // Of a run that could not begin there is none.
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
        // One that does not read it is in its right, and keeps nobody: it ends with the command, or the program.
        std::thread::spawn(move || stdin.write_all(notice.as_bytes()));
    }
    loop {
        match group.0.try_wait().context("the notify command is lost")? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("the notify command ended with {status}"),
            None if Instant::now() >= deadline => {
                bail!("the notify command was stopped after {} s", COMMAND.as_secs())
            }
            None => std::thread::sleep(LOOK),
        }
    }
}

/// The command and all that it has started, killed when it is let go.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
            // There may be nobody left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
