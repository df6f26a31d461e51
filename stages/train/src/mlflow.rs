//! Tells an MLflow server of a training, from a thread of its own, by its REST interface. A server that is slow, down or
//! refuses costs the training nothing: what could not be sent is tried again with what comes next.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;
use crate::tensorboard::now;

/// Longest that one request may take; a model's upload may take longer.
const TIMEOUT: Duration = Duration::from_secs(10);
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(10);
/// Longest that the end of a training waits for a server that does not answer.
const LAST_TRY: Duration = Duration::from_secs(30);
/// Metrics of one request, and parameters (MLflow's own limits).
const METRICS: usize = 1000;
const PARAMS: usize = 100;
/// Where the run's name is kept, so that a training that goes on is the same run.
const RUN_FILE: &str = "mlflow-run";

/// One number at a step.
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
    /// Begins a run with the configuration as its parameters, or goes on with the one that `work` remembers.
    pub(crate) fn begin(config: &Config, name: String, work: &Path) -> Tracker {
        let (sender, messages) = channel();
        let (noted, notes) = channel();
        let (finished, done) = channel();
        let server = Server {
            base: config.tracking_uri.trim_end_matches('/').to_owned(),
            experiment: config.tracking_experiment.clone(),
            name,
            parameters: parameters(config),
            run_file: work.join(RUN_FILE),
            run: None,
            pending: Vec::new(),
            notes: noted,
            told: false,
        };
        let worker = std::thread::spawn(move || {
            server.serve(&messages);
            let _ = finished.send(());
        });
        Tracker { sender, notes, worker: Some(worker), done }
    }

    pub(crate) fn metrics(&self, metrics: Vec<Metric>) {
        let _ = self.sender.send(Message::Metrics(metrics));
    }

    /// What went wrong since this was asked last.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.try_iter().collect()
    }

    /// Ends the run with MLflow's word for how, and hands over files; what is left unsaid is told.
    pub(crate) fn end(mut self, status: &'static str, files: Vec<PathBuf>) -> Vec<String> {
        let longest = if files.is_empty() { LAST_TRY } else { LAST_TRY + UPLOAD_TIMEOUT };
        let _ = self.sender.send(Message::End { status, files });
        match self.done.recv_timeout(longest) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                let _ = self.worker.take().map(JoinHandle::join);
            }
            // Its thread ends with the process.
            Err(RecvTimeoutError::Timeout) => {}
        }
        self.notes()
    }
}

/// The parameters as MLflow takes them: texts of at most 6000 characters.
fn parameters(config: &Config) -> Vec<Value> {
    let config = serde_json::to_value(config).unwrap_or_default();
    let fields = config.as_object().cloned().unwrap_or_default();
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let ours = fields.into_iter().filter(|(name, _)| !name.starts_with("tracking"));
    ours.map(|(key, value)| json!({ "key": key, "value": text(value) })).collect()
}

struct Server {
    base: String,
    experiment: String,
    name: String,
    parameters: Vec<Value>,
    run_file: PathBuf,
    /// Its id and where its files go, once the server has made it.
    run: Option<(String, String)>,
    /// Not sent yet.
    pending: Vec<Metric>,
    notes: Sender<String>,
    /// Has it been said that the server does not answer?
    told: bool,
}

impl Server {
    fn serve(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            match message {
                Message::Metrics(metrics) => {
                    self.pending.extend(metrics);
                    let sent = self.send();
                    self.tell(sent);
                }
                Message::End { status, files } => {
                    let started = Instant::now();
                    let mut sent = self.finish(status, &files);
                    while sent.is_err() && started.elapsed() < LAST_TRY / 2 {
                        std::thread::sleep(Duration::from_secs(1));
                        sent = self.finish(status, &files);
                    }
                    self.told = false;
                    self.tell(sent);
                    return;
                }
            }
        }
    }

    /// Says once that something did not go through.
    fn tell(&mut self, sent: Result<(), String>) {
        match sent {
            Ok(()) => self.told = false,
            Err(error) if !self.told => {
                self.told = true;
                let count = self.pending.len();
                let _ = self.notes.send(format!(
                    "MLflow at {}: {error}; the training goes on without it ({count} metrics are not sent yet)",
                    self.base
                ));
            }
            Err(_) => {}
        }
    }

    fn finish(&mut self, status: &str, files: &[PathBuf]) -> Result<(), String> {
        self.send()?;
        let (run, artifacts) = self.run.clone().ok_or("there is no run")?;
        for file in files {
            self.upload(&artifacts, file)?;
        }
        let end = (now() * 1000.0) as u64;
        self.post("runs/update", &json!({ "run_id": run, "status": status, "end_time": end })).map(drop)
    }

    /// Sends what there is to send; the run is made where there is none.
    fn send(&mut self) -> Result<(), String> {
        let (run, _) = match &self.run {
            Some(run) => run.clone(),
            None => self.begin()?,
        };
        while !self.pending.is_empty() {
            let some = &self.pending[..self.pending.len().min(METRICS)];
            self.post("runs/log-batch", &json!({ "run_id": run, "metrics": some }))?;
            let sent = some.len();
            self.pending.drain(..sent);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(String, String), String> {
        let known = std::fs::read_to_string(&self.run_file).ok();
        let known = known.and_then(|id| self.get("runs/get", &[("run_id", id.trim())]).ok());
        let run = match known {
            Some(answer) => {
                let id = text(&answer, "/run/info/run_id")?;
                self.post("runs/update", &json!({ "run_id": id, "status": "RUNNING" }))?;
                answer
            }
            None => self.create()?,
        };
        let (id, artifacts) = (text(&run, "/run/info/run_id")?, text(&run, "/run/info/artifact_uri")?);
        // Where it cannot be kept, a training that goes on is another run.
        let _ = std::fs::write(&self.run_file, &id);
        self.run = Some((id.clone(), artifacts.clone()));
        Ok((id, artifacts))
    }

    fn create(&mut self) -> Result<Value, String> {
        let named = [("experiment_name", self.experiment.as_str())];
        let experiment = match self.get("experiments/get-by-name", &named) {
            Ok(answer) => text(&answer, "/experiment/experiment_id")?,
            Err(error) if error.contains("404") => {
                let made = self.post("experiments/create", &json!({ "name": self.experiment }))?;
                text(&made, "/experiment_id")?
            }
            Err(error) => return Err(error),
        };
        let start = (now() * 1000.0) as u64;
        let tags = json!([{ "key": "mlflow.source.name", "value": "ctpipe" }]);
        let run = self.post(
            "runs/create",
            &json!({ "experiment_id": experiment, "run_name": self.name, "start_time": start, "tags": tags }),
        )?;
        let id = text(&run, "/run/info/run_id")?;
        for some in self.parameters.chunks(PARAMS) {
            self.post("runs/log-batch", &json!({ "run_id": id, "params": some }))?;
        }
        Ok(run)
    }

    /// Puts a file among the run's artifacts: through the server where it serves them, by copying where they are a
    /// folder of this machine.
    fn upload(&self, artifacts: &str, file: &Path) -> Result<(), String> {
        let name = file.file_name().and_then(|name| name.to_str()).ok_or("a file without a name")?;
        let failed = |e: &dyn std::fmt::Display| format!("cannot hand over {name}: {e}");
        if let Some(path) = artifacts.strip_prefix("mlflow-artifacts:") {
            // mlflow-artifacts:/1/RUN/artifacts, or with //host:port before that.
            let path = path
                .trim_start_matches("//")
                .find('/')
                .map_or(path, |at| &path.trim_start_matches("//")[at..]);
            let url = format!("{}/api/2.0/mlflow-artifacts/artifacts{path}/model/{name}", self.base);
            let body = std::fs::File::open(file).map_err(|e| failed(&e))?;
            let length = body.metadata().map_err(|e| failed(&e))?.len();
            let request = agent(UPLOAD_TIMEOUT).put(&url).header("Content-Length", &length.to_string());
            authorised(request).send(&body).map_err(|e| failed(&e)).map(drop)
        } else if artifacts.starts_with('/') || artifacts.starts_with("file://") {
            let folder = Path::new(artifacts.trim_start_matches("file://")).join("model");
            let copied =
                std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(file, folder.join(name)));
            copied.map_err(|e| failed(&e)).map(drop)
        } else {
            Err(format!(
                "{name} is not handed over: the server keeps artifacts at {artifacts} and does not serve them"
            ))
        }
    }

    fn url(&self, call: &str) -> String {
        format!("{}/api/2.0/mlflow/{call}", self.base)
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value, String> {
        let request = agent(TIMEOUT).post(self.url(call)).header("Content-Type", "application/json");
        answer(authorised(request).send(body.to_string().as_bytes()), call)
    }

    fn get(&self, call: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let request = agent(TIMEOUT).get(self.url(call)).query_pairs(query.iter().copied());
        answer(authorised(request).call(), call)
    }
}

fn agent(timeout: Duration) -> ureq::Agent {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).tls_config(
            ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build(),
        );
    config.build().new_agent()
}

/// With the credentials that MLflow's own clients take from the environment: a secret has no place in a pipeline
/// file, and changes nothing about a result.
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
) -> Result<Value, String> {
    let mut response = response.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = response.body_mut().read_to_string().map_err(|e| e.to_string())?;
    let parsed: Value = serde_json::from_str(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(parsed);
    }
    let why = parsed["message"].as_str().map_or_else(|| body.chars().take(200).collect(), str::to_owned);
    Err(format!("{call} was answered with {status}: {why}"))
}

fn text(value: &Value, pointer: &str) -> Result<String, String> {
    let found = value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| format!("its answer has no {pointer}"))
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
