//! Stage search: chooses the best of several trained models by the validation set, and lists all of
//! them. Trains nothing and never looks at the test set. Its artifact can be used wherever a model
//! of train can.

mod criterion;
mod error;
mod rank;

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ctpipe_stage::parameters::choice;
use ctpipe_stage::{Level, MANIFEST, Manifest, Output, Param, Port, Stage, StageError, Task, parameters};
use ctpipe_tables::json::{self, Candidate, ModelFile, SearchFile};
use ctpipe_tables::{EpochRow, Table};
use serde_json::Value;

pub use criterion::By;
pub use error::SearchError;
pub use rank::{Losses, candidate, rank};

/// The stage.
pub struct Search;

const PORTS: &[Port] = &[Port::many("models", "artifacts of train: the models to choose from")];

parameters! {
    /// All parameters of the stage.
    by: By = By::ValAuc, choice(&["val_auc", "val_loss"]), "",
        "the validation figure to choose by, in the epoch that was kept: val_auc or val_loss; a tie is broken by the lower loss if all models were trained with the same loss";
}

const OUTPUTS: &[Output] = &[
    Output { path: ModelFile::WEIGHTS, doc: "the chosen model's weights" },
    Output { path: ModelFile::FILE, doc: "its architecture and training parameters" },
    Output { path: EpochRow::FILE, doc: "its epochs" },
    Output { path: SearchFile::FILE, doc: "all models with their validation figures, the best first" },
];

/// The files of a model.
const FILES: [&str; 3] = [ModelFile::WEIGHTS, ModelFile::FILE, EpochRow::FILE];

/// Parameters that define the loss function: losses of trainings that differ in them cannot be
/// compared.
const LOSS: [&str; 3] = ["loss", "class_weights", "label_smoothing"];
/// Further parameters of the focal loss.
const FOCAL: [&str; 2] = ["focal_loss_alpha", "focal_loss_gamma"];

/// What a model was trained on, as far as its manifest tells, or the file of the search that chose
/// it.
#[derive(Debug, Clone, Default)]
struct Learnt {
    split: Option<String>,
    volumes: Option<String>,
    init_from: Option<String>,
    loss: Option<Vec<Value>>,
}

impl Learnt {
    fn of(folder: &Path) -> Result<Learnt, StageError> {
        let Some(manifest) = manifest(folder)? else { return Ok(Learnt::default()) };
        let chosen = SearchFile::beside(folder).map_err(StageError::failed)?.unwrap_or_default();
        let (inputs, params) = (&manifest.key.inputs, &manifest.key.params);
        let is_focal = params.get("loss").and_then(Value::as_str) == Some("focal");
        let names = LOSS.iter().chain(FOCAL.iter().filter(|_| is_focal));
        let loss = names.map(|name| params.get(*name).cloned().unwrap_or_default()).collect();
        let from = |port: &str| inputs.get(port).or_else(|| chosen.learnt(port)).cloned();
        Ok(Learnt {
            split: from("split"),
            volumes: from("volumes"),
            init_from: from("init_from"),
            loss: params.contains_key("loss").then_some(loss),
        })
    }
}

impl Stage for Search {
    fn kind(&self) -> &'static str {
        "search"
    }
    fn version(&self) -> u32 {
        2
    }
    fn doc(&self) -> &'static str {
        "chooses the best of several models on the validation set, and lists all of them"
    }
    fn ports(&self) -> &'static [Port] {
        PORTS
    }
    fn params(&self) -> &'static [Param] {
        PARAMS
    }
    fn outputs(&self) -> &'static [Output] {
        OUTPUTS
    }
    /// It records the split of the chosen model, which stands in the manifest of that model.
    fn shows_lineage(&self) -> bool {
        true
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let models = task.inputs_of("models");
        let mut learnt = Vec::new();
        let mut candidates = Vec::new();
        for (label, folder) in &models {
            let history = EpochRow::read(folder).map_err(StageError::failed)?;
            candidates.push(candidate(label, &history));
            learnt.push((*label, Learnt::of(folder)?));
        }
        if let Some((first, second)) = that_differ(&learnt, |learnt| learnt.split.as_ref()) {
            return Err(StageError::failed(SearchError::OtherSplit { first, second }));
        }
        if let Some((first, second)) = that_differ(&learnt, |learnt| learnt.volumes.as_ref()) {
            return Err(StageError::failed(SearchError::OtherVolumes { first, second }));
        }
        let other_loss = that_differ(&learnt, |learnt| learnt.loss.as_ref());
        let losses = match (other_loss, config.by) {
            (Some((first, second)), By::ValLoss) => {
                return Err(StageError::failed(SearchError::OtherLoss { first, second }));
            }
            (Some(_), By::ValAuc) => Losses::OfDifferentKinds,
            (None, _) => Losses::Alike,
        };
        let candidates = rank(candidates, config.by, losses).map_err(StageError::failed)?;
        let Some(best) = candidates.first() else { return Ok(()) };
        task.log(Level::Info, sentence(best, models.len(), config.by));
        let chosen = models.iter().zip(&learnt).find(|((label, _), _)| *label == best.label);
        let mut file = SearchFile {
            schema_version: SearchFile::SCHEMA_VERSION,
            by: config.by.to_string(),
            chosen: best.label.clone(),
            ..SearchFile::default()
        };
        if let Some(((_, folder), (_, learnt))) = chosen {
            (file.split, file.volumes) = (learnt.split.clone(), learnt.volumes.clone());
            file.init_from.clone_from(&learnt.init_from);
            FILES.iter().try_for_each(|name| copy(&folder.join(name), &task.out().join(name)))?;
        }
        file.candidates = candidates;
        json::write(&file, &task.out().join(SearchFile::FILE)).map_err(StageError::failed)
    }
}

/// The manifest of a folder; `None` if ctpipe did not make it.
fn manifest(folder: &Path) -> Result<Option<Manifest>, StageError> {
    let there = folder.join(MANIFEST).exists();
    there.then(|| Manifest::read(folder)).transpose().map_err(StageError::failed)
}

/// The first two models that differ in a value, among those for which it is known.
fn that_differ<'a, T: PartialEq + 'a>(
    learnt: &'a [(&str, Learnt)],
    of: impl Fn(&'a Learnt) -> Option<&'a T>,
) -> Option<(String, String)> {
    let mut known = learnt.iter().filter_map(|(label, learnt)| Some((*label, of(learnt)?)));
    let (first, of_first) = known.next()?;
    let (second, _) = known.find(|(_, other)| *other != of_first)?;
    Some((first.to_owned(), second.to_owned()))
}

/// Copies the content only, because the original is read-only and the copy must not be.
fn copy(from: &Path, to: &Path) -> Result<(), StageError> {
    let copied = fs::metadata(from).and_then(|_| io::copy(&mut File::open(from)?, &mut File::create(to)?));
    copied
        .map(|_| ())
        .map_err(|e| StageError::failed(format!("cannot copy {} to {}: {e}", from.display(), to.display())))
}

fn sentence(best: &Candidate, models: usize, by: By) -> String {
    let said =
        |value: Option<f64>| value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.4}"));
    let (auc, loss, label) = (said(best.val_auc), said(best.val_loss), &best.label);
    format!("{label}: the best of {models} by {by} (AUC {auc}, loss {loss} on val)")
}
