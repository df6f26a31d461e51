//! The records of runs, `artifacts/runs/<id>/run.json`: written by the recorder, read by whoever asks what was.
//! Knows neither how a run is done nor what its artifacts hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::event::Outcome;
use crate::gates::Judged;
use crate::graph::{Node, Pipeline, Source};
use crate::key::Key;
use crate::manifest::Maker;
use crate::metrics_file::{self, Found};
use crate::store::{Artifact, Store};
use crate::suggest::did_you_mean;
use crate::tags;

/// The record's file name in a run's folder.
pub(crate) const RECORD: &str = "run.json";
/// Beside the runs: a link to the last one that ended.
pub(crate) const LATEST: &str = "latest";
/// Raised when a record written now could be misread by an older ctpipe.
const FORMAT: u32 = 1;
/// A stage that names no key metrics has all of them as such when they are no more than this.
const FEW: usize = 8;

/// What a run used or made of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage's name in the pipeline.
    pub stage: String,
    /// What became of it.
    pub outcome: Outcome,
    /// BLAKE3 of the key.
    pub key_hash: String,
    /// Digest of what its artifact holds.
    pub content: String,
    /// The key itself: the record outlives the artifact.
    pub key: Key,
    /// Port to the stage that is read there.
    pub reads: BTreeMap<String, String>,
    /// The metrics that a reader of the history wants to see; `None` where one is undefined.
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
    let Some(metrics) = metrics_file::read(artifact) else { return BTreeMap::new() };
    let named = node.stage.key_metrics();
    if named.is_empty() {
        let all = metrics_file::numbers(&metrics);
        return if all.len() <= FEW {
            all.into_iter().map(|(name, number)| (name, Some(number))).collect()
        } else {
            BTreeMap::new()
        };
    }
    let found = named.iter().filter_map(|name| match metrics_file::lookup(&metrics, name) {
        Found::Number(number) => Some(((*name).to_owned(), Some(number))),
        Found::Null(_) | Found::Empty(_) => Some(((*name).to_owned(), None)),
        Found::Other(_) | Found::Missing(_) => None,
    });
    found.collect()
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this record's form; 0 before it had one.
    #[serde(default)]
    pub format: u32,
    /// Its name under `artifacts/runs/`.
    pub run: String,
    /// The run before it, whatever became of that; `None` in a record of an earlier ctpipe, and of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// When it began, UTC.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// What the process ended with.
    pub exit_code: u8,
    /// Who ran it.
    pub maker: Maker,
    /// In the pipeline's order what it used and made, also of stages that were fresh; `None` in a record of an
    /// earlier ctpipe.
    #[serde(default)]
    pub stages: Option<Vec<StageRecord>>,
    /// Everything that happened but progress.
    pub events: Vec<Value>,
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

    /// What the gates said.
    pub fn gates(&self) -> Vec<Judged> {
        let judged = self.events.iter().filter(|event| event["event"] == "gate_judged");
        judged.filter_map(|event| serde_json::from_value(event.clone()).ok()).collect()
    }

    /// Is it as it was written? Records of an earlier ctpipe do not tell.
    pub fn is_whole(&self) -> bool {
        (self.format == 0 && self.checksum.is_empty()) || self.checksum == self.sum()
    }

    /// Are the bytes in its file those that were written? Those of an earlier ctpipe are taken as they are.
    pub(crate) fn is_as_written(&self, store: &Store) -> bool {
        let bytes = fs::read(runs(store).join(&self.run).join(RECORD)).unwrap_or_default();
        self.is_whole() && (self.format == 0 || bytes == self.to_json())
    }

    /// Reads the record of the run `id`, for those who act on what it says.
    ///
    /// # Errors
    /// As [`RunRecord::read`], and when it was altered.
    pub(crate) fn read_whole(store: &Store, id: &str) -> Result<RunRecord> {
        let record = RunRecord::read(store, id)?;
        if record.is_as_written(store) {
            return Ok(record);
        }
        let path = runs(store).join(id).join(RECORD);
        let problem = "it was altered after it was written, and may name other artifacts than the run had";
        Err(Error::Manifest { path, problem: problem.to_owned() })
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Is it one of this program's, but for the number of its form: a bit that flipped rather than a later ctpipe?
    fn has_been_known(value: &Value) -> bool {
        let record: Option<RunRecord> = serde_json::from_value(value.clone()).ok();
        record.is_some_and(|record| RunRecord { format: FORMAT, ..record }.is_whole())
    }

    /// Reads the record of the run `id`.
    ///
    /// # Errors
    /// When there is none, it cannot be understood, or a later ctpipe wrote it.
    pub fn read(store: &Store, id: &str) -> Result<RunRecord> {
        let path = runs(store).join(id).join(RECORD);
        let bytes = fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::Usage(format!("run {id} has no record: it is under way, or was killed before its end"))
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
            Err(altered(format!(
                "it is the record of the run {}; restore the one that belongs here",
                record.run
            )))
        }
    }

    /// The stages, where the record has them.
    ///
    /// # Errors
    /// A record of an earlier ctpipe has none.
    pub fn known_stages(&self) -> Result<&[StageRecord]> {
        self.stages.as_deref().ok_or_else(|| {
            Error::Usage(format!(
                "run {} was recorded by an earlier ctpipe, which did not keep what each stage came to; \
                 run again to have it on record",
                self.run
            ))
        })
    }

    /// The stages whose results no other stage of the run read, with what they came to.
    pub fn results(&self) -> BTreeMap<&str, &str> {
        let stages = self.stages.as_deref().unwrap_or_default();
        let read = |name: &str| stages.iter().any(|other| other.reads.values().any(|stage| stage == name));
        let last = stages.iter().filter(|stage| !read(&stage.stage));
        last.map(|stage| (stage.stage.as_str(), stage.content.as_str())).collect()
    }

    /// The stages that did something, and how long each took.
    pub fn ran(&self) -> Vec<(&str, f64)> {
        let finished = self.events.iter().filter(|event| event["event"] == "stage_finished");
        let worked = finished.filter(|event| event["outcome"] != "restored");
        worked.filter_map(|event| Some((event["stage"].as_str()?, event["seconds"].as_f64()?))).collect()
    }

    /// The errors of stages that did not succeed.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        let failed = self.events.iter().filter(|event| event["event"] == "stage_failed");
        failed.filter_map(|event| Some((event["stage"].as_str()?, event["error"].as_str()?))).collect()
    }
}

/// Where the runs are.
pub(crate) fn runs(store: &Store) -> PathBuf {
    store.root().join("runs")
}

/// The names of all runs, the oldest first.
pub fn ids(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(runs(store)).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut ids: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.retain(|id| is_id(id));
    ids.sort_by_key(|id| order(id));
    ids
}

/// A name for a run that begins now: after all of the same second, of which `gc` may have collected some.
pub(crate) fn next_id(store: &Store, ids: &[String], stamp: &str) -> String {
    let latest = fs::read_link(runs(store).join(LATEST)).ok();
    let latest = latest.and_then(|target| target.to_str().map(str::to_owned));
    let taken = ids.iter().chain(&latest).map(|id| order(id));
    let last = taken.filter(|(second, _)| second == stamp).map(|(_, number)| number).max();
    last.map_or_else(|| stamp.to_owned(), |number| format!("{stamp}-{}", number.saturating_add(1)))
}

/// The second in which a run began, and its number among those.
fn order(id: &str) -> (String, u32) {
    let (stamp, number) = id.split_once('-').unwrap_or((id, "1"));
    (stamp.to_owned(), number.parse().unwrap_or(u32::MAX))
}

/// `20261125T104832Z`, or `20261125T104832Z-2` for the second run of a second.
pub(crate) fn is_id(name: &str) -> bool {
    let (stamp, number) = name.split_once('-').unwrap_or((name, "1"));
    let shape = |(at, byte): (usize, u8)| match at {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    stamp.len() == 16 && stamp.bytes().enumerate().all(shape) && number.parse::<u32>().is_ok()
}

/// The run that is meant by a name: a run's own, `latest`, a tag, or the beginning of one run's name.
///
/// # Errors
/// When there is none or there are several; the nearest known name is suggested.
pub fn resolve(store: &Store, name: &str) -> Result<String> {
    let ids = ids(store);
    if name == LATEST {
        let link = fs::read_link(runs(store).join(LATEST)).ok();
        let pointed = link.and_then(|target| target.to_str().map(str::to_owned));
        let found = pointed.filter(|id| ids.contains(id)).or_else(|| ids.last().cloned());
        return found.ok_or_else(|| Error::Usage("there is no run yet: \"ctpipe run\" makes one".to_owned()));
    }
    if ids.iter().any(|id| id == name) {
        return Ok(name.to_owned());
    }
    // A damaged tag is in nobody's way but its own.
    let tags = tags::list_whole(store);
    if let Some(id) = tags.get(name) {
        return if ids.contains(id) {
            Ok(id.clone())
        } else {
            Err(Error::Usage(format!("the tag {name} is on run {id}, whose record is gone")))
        };
    }
    let begin: Vec<&String> = ids.iter().filter(|id| !name.is_empty() && id.starts_with(name)).collect();
    match begin[..] {
        [one] => Ok(one.clone()),
        [] => {
            let known = ids.iter().chain(tags.keys()).map(String::as_str).chain([LATEST]);
            let hint = did_you_mean(name, known);
            Err(Error::Usage(format!(
                "there is no run or tag \"{name}\"{hint}; \"ctpipe history\" lists the runs, \"ctpipe tag\" the tags"
            )))
        }
        _ => {
            let some: Vec<&str> = begin.iter().take(5).map(|id| id.as_str()).collect();
            Err(Error::Usage(format!(
                "\"{name}\" begins the names of {} runs: {}{}; give more of it",
                begin.len(),
                some.join(", "),
                if begin.len() > some.len() { ", ..." } else { "" }
            )))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn runs_are_in_the_order_in_which_they_began() {
        let mut ids = ["20260102T000000Z-10", "20260102T000000Z", "20260101T235959Z", "20260102T000000Z-9"];
        ids.sort_by_key(|id| order(id));
        assert_eq!(
            ids,
            ["20260101T235959Z", "20260102T000000Z", "20260102T000000Z-9", "20260102T000000Z-10"]
        );
    }

    #[test]
    fn a_name_is_not_given_twice_within_a_second_whatever_was_collected() {
        let place = tempfile::tempdir().unwrap();
        let store = Store::new(place.path());
        let stamp = "20260102T000000Z";
        let next = || next_id(&store, &ids(&store), stamp);
        assert_eq!(next(), stamp);
        for id in ["20260101T235959Z-7", "20260102T000000Z-2", "20260102T000000Z-10"] {
            fs::create_dir_all(runs(&store).join(id)).unwrap();
        }
        assert_eq!(next(), "20260102T000000Z-11");
        files::point(&runs(&store).join(LATEST), Path::new("20260102T000000Z-12"), place.path()).unwrap();
        assert_eq!(next(), "20260102T000000Z-13");
    }

    #[test]
    fn only_a_time_is_the_name_of_a_run() {
        assert!(["20260102T000000Z", "20260102T000000Z-2"].iter().all(|id| is_id(id)));
        assert!(
            !["", "latest", "20260102", "../20260102T000000Z", "20260102T000000Z-", "20260102T000000Z/.."]
                .iter()
                .any(|id| is_id(id))
        );
    }
}
