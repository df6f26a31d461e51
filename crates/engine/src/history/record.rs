//! The records of runs, `artifacts/runs/<id>/run.json`. The recorder writes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ctpipe_stage::{Key, Maker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::event::{Event, Judged, Outcome, RecordedEvent};
use crate::graph::{Node, Pipeline, Source};
use crate::metrics::{self, Found};
use crate::store::{Artifact, Store};

/// The record's file name in a run's folder.
pub(crate) const RECORD: &str = "run.json";
/// Raised when an older ctpipe could misread a record written now.
const FORMAT: u32 = 1;
/// If a stage names no key metrics and has at most this many, all of its metrics are key metrics.
const FEW: usize = 8;

/// What a run used or made for one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageRecord {
    /// The stage's name in the pipeline.
    pub stage: String,
    /// The outcome of the stage.
    pub outcome: Outcome,
    /// BLAKE3 of the key.
    pub key_hash: String,
    /// The digest of its artifact's content.
    pub content: String,
    /// The key itself, because the record outlives the artifact.
    pub key: Key,
    /// Each port and the stage whose output it reads.
    pub reads: BTreeMap<String, String>,
    /// The key metrics; `None` where one is undefined.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Option<f64>>,
}

impl StageRecord {
    pub(crate) fn new(
        pipeline: &Pipeline,
        node: &Node,
        outcome: Outcome,
        artifact: &Artifact,
    ) -> StageRecord {
        let manifest = &artifact.manifest;
        let reads = node.inputs.iter().filter_map(|(port, source)| match source {
            Source::Stage(index) => Some((port.clone(), pipeline.nodes[*index].name.clone())),
            Source::Path { .. } => None,
        });
        StageRecord {
            stage: node.name.clone(),
            outcome,
            key_hash: manifest.key_hash.clone(),
            content: manifest.content.clone(),
            key: manifest.key.clone(),
            reads: reads.collect(),
            metrics: key_metrics(node, &artifact.path),
        }
    }
}

fn key_metrics(node: &Node, artifact: &Path) -> BTreeMap<String, Option<f64>> {
    let Some(metrics) = metrics::read(artifact) else { return BTreeMap::new() };
    let named = node.stage.key_metrics();
    if named.is_empty() {
        let all = metrics::numbers(&metrics);
        return if all.len() <= FEW {
            all.into_iter().map(|(name, number)| (name, Some(number))).collect()
        } else {
            BTreeMap::new()
        };
    }
    let found = named.iter().filter_map(|name| match metrics::lookup(&metrics, name) {
        Found::Number(number) => Some(((*name).to_owned(), Some(number))),
        Found::Null(_) | Found::Empty(_) => Some(((*name).to_owned(), None)),
        Found::Other(_) | Found::Missing(_) => None,
    });
    found.collect()
}

/// The content of `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// The version of this record's format; 0 in records from before formats had versions.
    #[serde(default)]
    pub format: u32,
    /// Its name under `artifacts/runs/`.
    pub run: String,
    /// The previous run, whatever its outcome; `None` for the first run and in a record of an
    /// earlier ctpipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The time at which it began, UTC.
    pub started: String,
    /// Its duration, in seconds.
    pub seconds: f64,
    /// The exit code of the process.
    pub exit_code: u8,
    /// Who ran it.
    pub maker: Maker,
    /// What it used and made for each stage, in the pipeline's order, fresh stages included; `None`
    /// in a record of an earlier ctpipe.
    #[serde(default)]
    pub stages: Option<Vec<StageRecord>>,
    /// All events except progress.
    pub events: Vec<RecordedEvent>,
    /// BLAKE3 of this record with an empty checksum; empty in a record of an earlier ctpipe.
    #[serde(default)]
    pub checksum: String,
}

impl RunRecord {
    pub(crate) fn sealed(mut self) -> RunRecord {
        self.format = FORMAT;
        self.checksum = String::new();
        self.checksum = self.sum();
        self
    }

    fn sum(&self) -> String {
        let unsigned = RunRecord { checksum: String::new(), ..self.clone() };
        blake3::hash(&serde_json::to_vec(&unsigned).unwrap_or_default()).to_hex().to_string()
    }

    /// The events that this program knows.
    pub fn known_events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter().filter_map(RecordedEvent::known)
    }

    /// The verdicts of the gates.
    pub fn gates(&self) -> Vec<Judged> {
        let judged = self.known_events().filter_map(|event| match event {
            Event::GateJudged { judged } => Some(judged.clone()),
            _ => None,
        });
        judged.collect()
    }

    /// Whether the record is unchanged since it was written. Records of an earlier ctpipe have no
    /// checksum and count as unchanged.
    pub fn is_whole(&self) -> bool {
        (self.format == 0 && self.checksum.is_empty()) || self.checksum == self.sum()
    }

    /// Whether its file holds the bytes that were written. Records of an earlier ctpipe are not
    /// checked.
    pub(crate) fn is_as_written(&self, store: &Store) -> bool {
        let bytes = fs::read(store.layout.run(&self.run).join(RECORD)).unwrap_or_default();
        self.is_whole() && (self.format == 0 || bytes == self.to_json())
    }

    /// Reads the record of the run `id` for callers that act on its content.
    ///
    /// # Errors
    /// The errors of [`RunRecord::read`], and when the record was altered.
    pub(crate) fn read_whole(store: &Store, id: &str) -> Result<RunRecord> {
        let record = RunRecord::read(store, id)?;
        if record.is_as_written(store) {
            return Ok(record);
        }
        let path = store.layout.run(id).join(RECORD);
        let problem = "it was altered after it was written, and may name artifacts that the run did not use";
        Err(Error::Manifest { path, problem: problem.to_owned() })
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Whether this program wrote the record and only its format number differs. That points to a
    /// flipped bit rather than to a later ctpipe.
    fn has_been_known(value: &Value) -> bool {
        let record: Option<RunRecord> = serde_json::from_value(value.clone()).ok();
        record.is_some_and(|record| RunRecord { format: FORMAT, ..record }.is_whole())
    }

    /// Reads the record of the run `id`.
    ///
    /// # Errors
    /// When there is no record, it cannot be parsed, or a later ctpipe wrote it.
    pub fn read(store: &Store, id: &str) -> Result<RunRecord> {
        let path = store.layout.run(id).join(RECORD);
        let bytes = fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::Usage(format!("run {id} has no record: it is in progress, or it was killed"))
            }
            _ => Error::io("cannot read", &path, e),
        })?;
        let altered = |problem: String| Error::Manifest { path: path.clone(), problem };
        let complain = |e: serde_json::Error| altered(format!("not the record of a run: {e}"));
        let value: Value = serde_json::from_slice(&bytes).map_err(complain)?;
        let format = value.get("format").and_then(Value::as_u64).unwrap_or(0);
        if format > u64::from(FORMAT) && !RunRecord::has_been_known(&value) {
            let found = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(Error::Later { path, found, known: FORMAT });
        }
        let record: RunRecord = serde_json::from_value(value).map_err(complain)?;
        if record.run == id {
            Ok(record)
        } else {
            Err(altered(format!("it is the record of run {}; restore the right one", record.run)))
        }
    }

    /// The stages of the run, where the record has them.
    ///
    /// # Errors
    /// When an earlier ctpipe wrote the record, because it then has no stages.
    pub fn known_stages(&self) -> Result<&[StageRecord]> {
        self.stages.as_deref().ok_or_else(|| {
            Error::Usage(format!(
                "run {} was recorded by an earlier ctpipe, which did not record the results of stages; run again to record them",
                self.run
            ))
        })
    }

    /// The stages whose results no other stage of the run read, with the digests of their content.
    pub fn results(&self) -> BTreeMap<&str, &str> {
        let stages = self.stages.as_deref().unwrap_or_default();
        let read = |name: &str| stages.iter().any(|other| other.reads.values().any(|stage| stage == name));
        let last = stages.iter().filter(|stage| !read(&stage.stage));
        last.map(|stage| (stage.stage.as_str(), stage.content.as_str())).collect()
    }

    /// The stages that did some work, and how long each took, in seconds.
    pub fn ran(&self) -> Vec<(&str, f64)> {
        let worked = self.known_events().filter_map(|event| match event {
            Event::StageFinished { stage, outcome, seconds, .. } if *outcome != Outcome::Restored => {
                Some((stage.as_str(), *seconds))
            }
            _ => None,
        });
        worked.collect()
    }

    /// The stages that failed, with their errors.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        let failed = self.known_events().filter_map(|event| match event {
            Event::StageFailed { stage, error } => Some((stage.as_str(), error.as_str())),
            _ => None,
        });
        failed.collect()
    }
}
