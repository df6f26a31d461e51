//! Reads all inputs of the report into one struct. Judges nothing and draws nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ctpipe_stage::{MANIFEST, Manifest, StageError, Task};
use ctpipe_tables::json::{
    self, FoldsFile, IngestSummary, MetricsFile, ModelFile, SaliencyFile, SearchFile, SplitSummary,
};
use ctpipe_tables::shards::Volumes;
use ctpipe_tables::{EpochRow, PredictionRow, SaliencyRow, SeriesRow, SplitRow, Table, VolumeRow};

use crate::error::Result;
use crate::error::failed;

/// All inputs of the report except the voxels.
#[derive(Default)]
pub(crate) struct Inputs {
    pub(crate) ingest: IngestSummary,
    pub(crate) series: Vec<SeriesRow>,
    pub(crate) volumes: Vec<VolumeRow>,
    pub(crate) shards: Option<Volumes>,
    pub(crate) split: SplitSummary,
    pub(crate) split_rows: Vec<SplitRow>,
    pub(crate) model: ModelFile,
    pub(crate) history: Vec<EpochRow>,
    pub(crate) metrics: MetricsFile,
    pub(crate) predictions: Vec<PredictionRow>,
    pub(crate) saliency: Vec<SaliencyRow>,
    pub(crate) saliency_file: SaliencyFile,
    pub(crate) folds: Option<FoldsFile>,
    pub(crate) search: Option<SearchFile>,
    /// The search that chose the model, if the model comes from a search.
    pub(crate) chosen: Option<SearchFile>,
    pub(crate) artifacts: Vec<Artifact>,
}

/// What is known about the patients that a network learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// It learnt from the training set of the split that it is evaluated on.
    FromThisSplit,
    /// So it did, but it started from the weights of another training.
    WithEarlierWeights,
    /// Model, split and metrics do not belong together.
    Elsewhere,
    /// An input has no manifest, so this is unknown.
    Untold,
}

/// What made an input.
pub(crate) struct Artifact {
    pub(crate) port: &'static str,
    /// `None` if the input is a folder that ctpipe did not make.
    pub(crate) manifest: Option<Manifest>,
}

impl Inputs {
    /// Reads the inputs of a task, which are wired to the ports of [`crate::Report`].
    pub(crate) fn read(task: &Task<'_>) -> std::result::Result<Inputs, StageError> {
        let folders = PORTS.map(|port| task.input(port));
        let [series, volumes, split, model, metrics] = folders;
        let (series, volumes, split, model, metrics) = (series?, volumes?, split?, model?, metrics?);
        let read = || -> Result<Inputs> {
            let mut artifacts = Vec::new();
            for (port, folder) in PORTS.into_iter().zip([series, volumes, split, model, metrics]) {
                let there = folder.join(MANIFEST).exists();
                let manifest = if there { Some(Manifest::read(folder)?) } else { None };
                artifacts.push(Artifact { port, manifest });
            }
            for port in ["folds", "search"] {
                let Some(folder) = task.optional_input(port) else { continue };
                let there = folder.join(MANIFEST).exists();
                let manifest = if there { Some(Manifest::read(folder)?) } else { None };
                // The same search may also be wired as the model.
                let known = |artifact: &Artifact| match (&artifact.manifest, &manifest) {
                    (Some(known), Some(manifest)) => known.key_hash == manifest.key_hash,
                    _ => false,
                };
                if !artifacts.iter().any(known) {
                    artifacts.push(Artifact { port, manifest });
                }
            }
            Ok(Inputs {
                ingest: json::read(&series.join(IngestSummary::FILE))?,
                series: SeriesRow::read(series)?,
                volumes: VolumeRow::read(volumes)?,
                shards: Some(Volumes::open(volumes)?),
                split: json::read(&split.join(SplitSummary::FILE))?,
                split_rows: SplitRow::read(split)?,
                model: json::read(&model.join(ModelFile::FILE))?,
                history: EpochRow::read(model)?,
                metrics: json::read(&metrics.join(MetricsFile::FILE))?,
                predictions: PredictionRow::read(metrics)?,
                saliency: read_if_there(metrics, SaliencyRow::FILE, || SaliencyRow::read(metrics))?,
                saliency_file: read_if_there(metrics, SaliencyFile::FILE, || {
                    json::read(&metrics.join(SaliencyFile::FILE))
                })?,
                folds: (task.optional_input("folds"))
                    .map(|folder| json::read(&folder.join(FoldsFile::FILE)))
                    .transpose()?,
                search: (task.optional_input("search"))
                    .map(|folder| json::read(&folder.join(SearchFile::FILE)))
                    .transpose()?,
                chosen: SearchFile::beside(model)?,
                artifacts,
            })
        };
        read().map_err(failed)
    }

    /// The epoch whose weights were kept.
    pub(crate) fn best_epoch(&self) -> Option<&EpochRow> {
        self.history.iter().find(|row| row.best)
    }

    /// What the manifests say about the patients that the network learnt from.
    pub(crate) fn learnt_from(&self) -> Learnt {
        let manifest =
            |port: &str| self.artifacts.iter().find(|artifact| artifact.port == port)?.manifest.as_ref();
        let read = |reader: &str, port: &str| -> Option<bool> {
            Some(*manifest(reader)?.key.inputs.get(port)? == manifest(port)?.content)
        };
        // A search trains nothing itself: its file says which inputs the chosen model was trained
        // on.
        let learnt = |port: &str| {
            manifest("model")?.key.inputs.get(port).or_else(|| self.chosen.as_ref()?.learnt(port))
        };
        let split = learnt("split").zip(manifest("split")).map(|(learnt, split)| *learnt == split.content);
        let all = [split, read("metrics", "split"), read("metrics", "model")];
        if all.contains(&Some(false)) {
            Learnt::Elsewhere
        } else if all.contains(&None) {
            Learnt::Untold
        } else if learnt("init_from").is_some() {
            Learnt::WithEarlierWeights
        } else {
            Learnt::FromThisSplit
        }
    }

    /// The voxels of a series.
    pub(crate) fn voxels(&self, series_uid: &str) -> Result<Vec<u16>> {
        let read = self.shards.as_ref().map(|shards| shards.read(&[series_uid])).transpose()?;
        Ok(read.unwrap_or_default().concat())
    }

    /// Number of series that evaluate made maps for.
    pub(crate) fn explained(&self) -> usize {
        let uids: BTreeSet<&str> = self.saliency.iter().map(|row| row.series_uid.as_str()).collect();
        uids.iter().filter(|uid| !uid.is_empty()).count()
    }

    /// Number of patients that are in more than one set. There must be none.
    pub(crate) fn patients_in_several_parts(&self) -> usize {
        let mut parts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for row in &self.split_rows {
            parts.entry(&row.patient_key).or_default().insert(&row.split);
        }
        parts.values().filter(|parts| parts.len() > 1).count()
    }
}

/// Reads a file that artifacts of earlier versions of evaluate lack; the default if it is missing.
fn read_if_there<T: Default>(
    folder: &Path,
    file: &str,
    read: impl FnOnce() -> ctpipe_tables::Result<T>,
) -> ctpipe_tables::Result<T> {
    if folder.join(file).exists() { read() } else { Ok(T::default()) }
}

/// The ports, in the order of the pipeline.
const PORTS: [&str; 5] = ["series", "volumes", "split", "model", "metrics"];
