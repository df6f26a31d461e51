//! Reports a training to an MLflow server through its REST interface, from a thread of its own. A
//! server that is slow, down or refuses requests costs the training nothing and its end a few
//! seconds. What could not be sent is sent again with later metrics.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::tensorboard::now;

/// Maximum time of one request; the upload of a model may take longer.
const TIMEOUT: Duration = Duration::from_secs(5);
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(10);
/// Pause after a failed request, in which the server is left alone.
const PAUSE: Duration = Duration::from_secs(30);
/// Maximum number of metrics and of parameters in one request (MLflow's own limits).
const METRICS: usize = 1000;
const PARAMS: usize = 100;
/// File that keeps the run's ID, so that a training that is continued is the same run.
const RUN_FILE: &str = "mlflow-run";

/// One value at a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Metric {
    key: String,
    value: f64,
    /// Milliseconds since 1970.
    timestamp: u64,
    step: u64,
}

impl Metric {
    pub(crate) fn new(key: &str, value: f64, step: u64) -> Metric {
        Metric { key: key.to_owned(), value, timestamp: (now() * 1000.0) as u64, step }
    }
}

enum Message {
    Metrics(Vec<Metric>),
    End { status: &'static str, files: Vec<PathBuf> },
}

/// A run on a server.
pub(crate) struct Tracker {
    sender: Sender<Message>,
    notes: Receiver<String>,
    worker: Option<JoinHandle<()>>,
    done: Receiver<()>,
}

impl Tracker {
    /// Begins a run with these parameters, or continues the one whose ID is kept in the folder
    /// `work`.
    pub(crate) fn begin(
        config: &Config,
        name: String,
        parameters: Vec<(String, String)>,
        work: Option<&Path>,
    ) -> Tracker {
        let (sender, messages) = channel();
        let (noted, notes) = channel();
        let (finished, done) = channel();
        let server = Server {
            base: config.tracking_uri.trim_end_matches('/').to_owned(),
            experiment: config.tracking_experiment.clone(),
            name,
            parameters,
            run_file: work.map(|work| work.join(RUN_FILE)),
            run: None,
            pending: Vec::new(),
            notes: noted,
            failed: None,
        };
        let worker = std::thread::spawn(move || {
            server.serve(&messages);
            let _ = finished.send(());
        });
        let tracker = Tracker { sender, notes, worker: Some(worker), done };
        // This creates the run now, so that a failure is reported at the start.
        tracker.metrics(Vec::new());
        tracker
    }

    pub(crate) fn metrics(&self, metrics: Vec<Metric>) {
        let _ = self.sender.send(Message::Metrics(metrics));
    }

    /// The failures since the last call.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.try_iter().collect()
    }

    /// Ends the run with one of MLflow's statuses and uploads files; returns the remaining
    /// warnings.
    pub(crate) fn end(mut self, status: &'static str, files: Vec<PathBuf>) -> Vec<String> {
        // Time for the current request, a few final ones, and the files.
        let longest = 4 * TIMEOUT + if files.is_empty() { Duration::ZERO } else { UPLOAD_TIMEOUT };
        let _ = self.sender.send(Message::End { status, files });
        match self.done.recv_timeout(longest) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                let _ = self.worker.take().map(JoinHandle::join);
            }
            // The thread ends with the process.
            Err(RecvTimeoutError::Timeout) => {}
        }
        self.notes()
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The server was not reached or did not answer in time.
    #[error("{0}")]
    Silent(String),
    /// The server answered with an error.
    #[error("{call} was answered with {status}: {why}")]
    Refused { call: String, status: u16, why: String },
    /// The server's answer is not as expected, or a file could not be transferred.
    #[error("{0}")]
    Unexpected(String),
}

struct Server {
    base: String,
    experiment: String,
    name: String,
    parameters: Vec<(String, String)>,
    run_file: Option<PathBuf>,
    /// The run, once the server has created it.
    run: Option<Run>,
    /// Metrics that have not been sent yet.
    pending: Vec<Metric>,
    notes: Sender<String>,
    /// When the last request failed, if none has succeeded since.
    failed: Option<Instant>,
}

#[derive(Clone)]
struct Run {
    id: String,
    /// Address of its artifacts.
    artifacts: String,
    /// Whether the parameters have been sent.
    described: bool,
}

impl Server {
    fn serve(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            // All messages that have arrived meanwhile are sent together, which spares a slow
            // server.
            for message in std::iter::once(first).chain(messages.try_iter().collect::<Vec<_>>()) {
                match message {
                    Message::Metrics(metrics) => self.pending.extend(metrics),
                    Message::End { status, files } => {
                        self.end(status, &files);
                        return;
                    }
                }
            }
            if self.failed.is_some_and(|when| when.elapsed() < PAUSE) {
                continue;
            }
            match self.send() {
                Ok(_) => self.failed = None,
                Err(error) => {
                    if self.failed.is_none() {
                        let base = &self.base;
                        let _ = self.notes.send(format!(
                            "MLflow at {base}: {error}; the training continues without it and will try again"
                        ));
                    }
                    self.failed = Some(Instant::now());
                }
            }
        }
    }

    fn end(&mut self, status: &str, files: &[PathBuf]) {
        let base = self.base.clone();
        let unsaid = |what: &str| format!("MLflow at {base}: {what}");
        let run = match self.send() {
            Ok(run) => run,
            Err(error) => {
                let left = self.pending.len();
                let _ = self.notes.send(unsaid(&format!(
                    "{error}; the training is finished, but {left} metrics were not sent"
                )));
                return;
            }
        };
        for file in files {
            if let Err(error) = self.upload(&run.artifacts, file) {
                let _ = self.notes.send(unsaid(&error.to_string()));
                break;
            }
        }
        let end = (now() * 1000.0) as u64;
        let body = json!({ "run_id": run.id, "status": status, "end_time": end });
        if let Err(error) = self.post("runs/update", &body) {
            let _ = self.notes.send(unsaid(&format!("{error}; the run is not marked as ended")));
        }
    }

    /// Sends everything that is pending; creates the run if there is none.
    fn send(&mut self) -> Result<Run, Refusal> {
        let mut run = match &self.run {
            Some(run) => run.clone(),
            None => self.begin()?,
        };
        self.run = Some(run.clone());
        if !run.described {
            for some in self.parameters.chunks(PARAMS) {
                let some: Vec<Value> =
                    some.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
                self.post("runs/log-batch", &json!({ "run_id": run.id, "params": some }))?;
            }
            run.described = true;
            self.run = Some(run.clone());
        }
        while !self.pending.is_empty() {
            let some = &self.pending[..self.pending.len().min(METRICS)];
            self.post("runs/log-batch", &json!({ "run_id": run.id, "metrics": some }))?;
            let sent = some.len();
            self.pending.drain(..sent);
        }
        Ok(run)
    }

    fn begin(&self) -> Result<Run, Refusal> {
        let known = self.run_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let known = match known {
            Some(id) => match self.get("runs/get", &[("run_id", id.trim())]) {
                Ok(answer) => Some(answer),
                // The run was deleted on the server.
                Err(Refusal::Refused { status: 404, .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let (answer, described) = match known {
            Some(answer) => {
                let id = text(&answer, "/run/info/run_id")?;
                self.post("runs/update", &json!({ "run_id": id, "status": "RUNNING" }))?;
                (answer, true)
            }
            None => (self.create()?, false),
        };
        let (id, artifacts) = (text(&answer, "/run/info/run_id")?, text(&answer, "/run/info/artifact_uri")?);
        // If the ID cannot be kept, a continued training becomes another run.
        let _ = self.run_file.as_ref().map(|file| std::fs::write(file, &id));
        Ok(Run { id, artifacts, described })
    }

    fn create(&self) -> Result<Value, Refusal> {
        let named = [("experiment_name", self.experiment.as_str())];
        let experiment = match self.get("experiments/get-by-name", &named) {
            Ok(answer) => text(&answer, "/experiment/experiment_id")?,
            Err(Refusal::Refused { status: 404, .. }) => {
                let made = self.post("experiments/create", &json!({ "name": self.experiment }))?;
                text(&made, "/experiment_id")?
            }
            Err(error) => return Err(error),
        };
        let start = (now() * 1000.0) as u64;
        let tags = json!([{ "key": "mlflow.source.name", "value": "ctpipe" }]);
        self.post(
            "runs/create",
            &json!({ "experiment_id": experiment, "run_name": self.name, "start_time": start, "tags": tags }),
        )
    }

    /// Puts a file among the run's artifacts: through the server if it serves them, by copying if
    /// they are in a folder of this machine.
    fn upload(&self, artifacts: &str, file: &Path) -> Result<(), Refusal> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let failed = |e: &dyn std::fmt::Display| Refusal::Unexpected(format!("{name} was not uploaded: {e}"));
        if let Some(path) = artifacts.strip_prefix("mlflow-artifacts:") {
            // Either mlflow-artifacts:/1/RUN/artifacts or
            // mlflow-artifacts://host:port/1/RUN/artifacts.
            let path = match path.strip_prefix("//") {
                Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
                None => path,
            };
            let url = format!("{}/api/2.0/mlflow-artifacts/artifacts{path}/model/{name}", self.base);
            let body = std::fs::File::open(file).map_err(|e| failed(&e))?;
            let length = body.metadata().map_err(|e| failed(&e))?.len();
            let request = agent(UPLOAD_TIMEOUT).put(&url).header("Content-Length", &length.to_string());
            answer(authorised(request).send(&body), &format!("the upload of {name}")).map(drop)
        } else if artifacts.starts_with('/') || artifacts.starts_with("file://") {
            let folder = Path::new(artifacts.trim_start_matches("file://")).join("model");
            let copied =
                std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(file, folder.join(&*name)));
            copied.map_err(|e| failed(&e)).map(drop)
        } else {
            Err(failed(&format!("the server stores artifacts at {artifacts} and does not serve them")))
        }
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value, Refusal> {
        let url = format!("{}/api/2.0/mlflow/{call}", self.base);
        let request = agent(TIMEOUT).post(url).header("Content-Type", "application/json");
        answer(authorised(request).send(body.to_string().as_bytes()), call)
    }

    fn get(&self, call: &str, query: &[(&str, &str)]) -> Result<Value, Refusal> {
        let url = format!("{}/api/2.0/mlflow/{call}", self.base);
        answer(authorised(agent(TIMEOUT).get(url).query_pairs(query.iter().copied())).call(), call)
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).tls_config(
            ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build(),
        );
    config.build().new_agent()
}

/// Adds the credentials that MLflow's own clients take from the environment: a secret does not
/// belong in a pipeline file, and does not change a result.
#[allow(clippy::disallowed_methods)]
fn authorised<B>(request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(token) = value("MLFLOW_TRACKING_TOKEN") {
        return request.header("Authorization", format!("Bearer {token}"));
    }
    match (value("MLFLOW_TRACKING_USERNAME"), value("MLFLOW_TRACKING_PASSWORD")) {
        (Some(user), password) => {
            let pair = format!("{user}:{}", password.unwrap_or_default());
            request.header("Authorization", format!("Basic {}", base64(pair.as_bytes())))
        }
        _ => request,
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().chain(&[0, 0]).take(3).fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place)) as usize % 64];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    call: &str,
) -> Result<Value, Refusal> {
    let mut response = response.map_err(|e| Refusal::Silent(e.to_string()))?;
    let status = response.status();
    let body = response.body_mut().read_to_string().map_err(|e| Refusal::Silent(e.to_string()))?;
    let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(parsed);
    }
    let why = parsed["message"].as_str().map_or_else(|| body.chars().take(200).collect(), str::to_owned);
    Err(Refusal::Refused { call: call.to_owned(), status: status.as_u16(), why })
}

fn text(value: &Value, pointer: &str) -> Result<String, Refusal> {
    let found = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| Refusal::Unexpected(format!("the answer has no {pointer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base64_is_the_rfcs() {
        let of = |text: &str| base64(text.as_bytes());
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(of);
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
