//! Stage evaluate: a model's predictions, the threshold chosen on the validation set, and metrics
//! with intervals. Trains nothing. The test set is evaluated once, with the choices made on the
//! validation set.

mod baseline;
mod calibration;
mod columns;
mod config;
mod metrics;
mod predict;
mod saliency;
mod subgroups;

use std::collections::BTreeMap;

use ctpipe_network::{Device, Network, Precision};
use ctpipe_stage::{Level, MANIFEST, Manifest, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, MetricsFile, ModelFile, OTHER_SPLIT, SaliencyFile, SearchFile, TestedFold};
use ctpipe_tables::{Note, Part, PredictionRow, SaliencyRow, SeriesRow, SplitRow, Table};
use serde_json::Value;

use baseline::Baseline;
use config::PARAMS;
pub use config::{CalibrateBy, Config, Resampling, ThresholdBy};

pub use metrics::{choose_threshold, evaluate};
pub use subgroups::subgroups;

/// The stage.
pub struct Evaluate;

const PORTS: &[Port] = &[
    Port::required("model", "the artifact of train or search"),
    Port::required("volumes", "the artifact of preprocess"),
    Port::required("split", "the artifact of split"),
    Port::optional(
        "series",
        "the artifact of ingest, with sex, age, scanner and slice thickness for subgroups",
    ),
    Port::optional("baseline", "an earlier artifact of evaluate, to compare with"),
];

const OUTPUTS: &[Output] = &[
    Output { path: PredictionRow::FILE, doc: "one row per series: logits, probability, decision" },
    Output {
        path: MetricsFile::FILE,
        doc: "figures with intervals for the training, validation and test sets",
    },
    Output {
        path: SaliencyRow::FILE,
        doc: "what changed the model's answer: maps of some series, and over the test set",
    },
    Output { path: SaliencyFile::FILE, doc: "how the maps were made" },
];

impl Stage for Evaluate {
    fn kind(&self) -> &'static str {
        "evaluate"
    }
    fn version(&self) -> u32 {
        6
    }
    fn doc(&self) -> &'static str {
        "predicts every set, chooses the threshold on the validation set and applies it unchanged to the test set"
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
    fn seeded(&self) -> bool {
        true
    }
    fn judges(&self) -> Option<&'static str> {
        Some("model")
    }

    fn key_metrics(&self) -> &'static [&'static str] {
        &[
            "test.auc.value",
            "test.auc.ci_low",
            "test.auc.ci_high",
            "test.sensitivity.value",
            "test.specificity.value",
            "threshold.value",
        ]
    }

    fn gpus(&self, params: &Params) -> u32 {
        let name = params.get("device").and_then(Value::as_str).unwrap_or("auto");
        Device::resolve(name).map_or(0, Device::gpus)
    }
    fn params_not_in_key(&self) -> &'static [&'static str] {
        &["device"]
    }
    fn facts(&self, params: &Params) -> Result<BTreeMap<String, String>, String> {
        let name = params.get("device").and_then(Value::as_str).unwrap_or("auto");
        Device::resolve(name).map(|device| device.facts(Precision::F32)).map_err(|e| e.to_string())
    }

    fn check(&self, params: &Params) -> Result<(), String> {
        let cost = |name: &str| params.get(name).and_then(Value::as_f64);
        if params.get("threshold_by").and_then(Value::as_str) == Some("cost")
            && cost("cost_false_positive") == Some(0.0)
            && cost("cost_false_negative") == Some(0.0)
        {
            return Err(
                "threshold_by cost needs cost_false_positive or cost_false_negative above 0".to_owned()
            );
        }
        self.facts(params).map(|_| ())
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let device = Device::resolve(&config.device).map_err(StageError::failed)?;
        let model: ModelFile =
            json::read(&task.input("model")?.join(ModelFile::FILE)).map_err(StageError::failed)?;
        let doubts = what_it_may_know(task)?;
        for doubt in &doubts {
            task.log(Level::Warning, doubt.text.clone());
        }
        let weights = predict::load(task, &model, device)?;
        let network = Network::new(&weights, device).map_err(StageError::failed)?;
        let mut predictions = predict::predict(task, &network)?;
        let by = (&config, task.seed());
        let mut metrics = evaluate(&mut predictions, &config, task.seed(), predict::loss_of(&model))
            .map_err(StageError::failed)?;
        metrics.doubts = doubts;
        metrics.cross_validation =
            tested_fold(&SplitRow::read(task.input("split")?).map_err(StageError::failed)?);
        let threshold = metrics.threshold.value;
        if let Some(folder) = task.optional_input("series") {
            let series = SeriesRow::read(folder).map_err(StageError::failed)?;
            metrics.subgroups =
                subgroups(&predictions, &series, &metrics.test, threshold, by).map_err(StageError::failed)?;
        }
        if let Some(folder) = task.optional_input("baseline") {
            let baseline = Baseline::read(folder)?;
            let comparison = baseline.compare(&predictions, threshold, by).map_err(StageError::failed)?;
            for note in &comparison.notes {
                task.log(Level::Warning, format!("baseline: {}", note.text));
            }
            metrics.comparison = Some(comparison);
        }
        if let Some(note) = &metrics.threshold.note {
            task.log(Level::Warning, note.text.clone());
        }
        task.log(Level::Info, sentence(&metrics));
        let how = saliency::Settings {
            cases: config.saliency_cases,
            smooth_grad_samples: config.smooth_grad_samples,
            smooth_grad_noise: config.smooth_grad_noise,
            occlusion_window: config.occlusion_window,
            seed: task.seed(),
        };
        let (maps, made) = saliency::explain(
            task,
            (&weights, &network, device),
            &predictions,
            metrics.threshold.value,
            &how,
        )?;
        PredictionRow::write(&predictions, task.out()).map_err(StageError::failed)?;
        SaliencyRow::write(&maps, task.out()).map_err(StageError::failed)?;
        json::write(&made, &task.out().join(SaliencyFile::FILE)).map_err(StageError::failed)?;
        json::write(&metrics, &task.out().join(MetricsFile::FILE)).map_err(StageError::failed)
    }
}

/// The fold of a cross-validation that is the test set; `None` if the split has no folds.
fn tested_fold(split: &[SplitRow]) -> Option<TestedFold> {
    let k_folds = split.iter().map(|row| row.fold).max()?.checked_add(1).filter(|&k_folds| k_folds > 1)?;
    let fold = split.iter().find(|row| row.split == Part::Test.as_str())?.fold;
    Some(TestedFold { fold, k_folds })
}

/// Notes for the user if the model may have seen the test set: if it was trained on another split
/// or other volumes than those that it is evaluated on, or started from weights whose training data
/// are not known here.
fn what_it_may_know(task: &Task<'_>) -> Result<Vec<Note>, StageError> {
    let manifest = |port: &str| -> Result<Option<Manifest>, StageError> {
        let folder = task.input(port)?;
        let there = folder.join(MANIFEST).exists();
        there.then(|| Manifest::read(folder)).transpose().map_err(StageError::failed)
    };
    let Some(model) = manifest("model")? else { return Ok(Vec::new()) };
    // A search trains nothing itself: its file says which inputs the chosen model was trained on.
    let chosen = SearchFile::beside(task.input("model")?).map_err(StageError::failed)?.unwrap_or_default();
    let learnt = |port: &str| model.key.inputs.get(port).or_else(|| chosen.learnt(port));
    let another = |port: &str| -> Result<bool, StageError> {
        let here = manifest(port)?.map(|manifest| manifest.content);
        Ok(learnt(port).zip(here).is_some_and(|(learnt, here)| *learnt != here))
    };
    let mut said = Vec::new();
    let mut doubt = |code: &str, text: &str| said.push(Note::new(code, text, []));
    if another("split")? {
        doubt(
            OTHER_SPLIT,
            "the model has learnt from another split than this one: it may know patients of the test part",
        );
    }
    if another("volumes")? {
        doubt(
            "other_volumes",
            "the model has learnt from other volumes than these: they were prepared in another way, or are of other series",
        );
    }
    if learnt("init_from").is_some() {
        doubt(
            "init_from",
            "the model began with earlier weights (init_from): what those had learnt from may be in the test part",
        );
    }
    Ok(said)
}

fn sentence(metrics: &MetricsFile) -> String {
    let auc = |part: Part| {
        let figure = &metrics.part(part).auc;
        match (figure.value, figure.ci_low, figure.ci_high) {
            (Some(value), Some(low), Some(high)) => format!("{part} {value:.3} ({low:.3} to {high:.3})"),
            (Some(value), ..) => format!("{part} {value:.3}"),
            _ => format!("{part} undefined"),
        }
    };
    format!(
        "AUC {}; threshold {:.4} ({})",
        Part::ALL.map(auc).join(", "),
        metrics.threshold.value,
        metrics.threshold.source
    )
}
