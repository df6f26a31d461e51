//! Stage evaluate: a model's predictions, the threshold chosen on val, metrics with intervals. Trains
//! nothing; the test part is looked at once, with what val decided.

mod metrics;
mod predict;

use std::collections::BTreeMap;

use ctpipe_engine::{Kind, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_network::{Device, Precision};
use ctpipe_tables::json::{self, MetricsFile, ModelFile};
use ctpipe_tables::{Part, PredictionRow, Table};
use serde::Deserialize;
use serde_json::Value;

pub use metrics::{Settings, choose_threshold, evaluate};

/// The stage.
pub struct Evaluate;

#[derive(Debug, Deserialize)]
struct Config {
    optimize_threshold: bool,
    threshold: f64,
    n_bootstrap: usize,
    confidence_level: f64,
    device: String,
}

const PORTS: &[Port] = &[
    Port::required("model", "what train made"),
    Port::required("volumes", "what preprocess made"),
    Port::required("split", "what split made"),
];

const PARAMS: &[Param] = &[
    Param {
        name: "optimize_threshold",
        kind: Kind::Bool { default: true },
        unit: "",
        doc: "choose the threshold on val, by F1; otherwise take `threshold`",
    },
    Param {
        name: "threshold",
        kind: Kind::Float { default: 0.5, min: 0.0, max: 1.0 },
        unit: "",
        doc: "probability at or above which a series is called pathological, where none is chosen on val",
    },
    Param {
        name: "n_bootstrap",
        kind: Kind::Int { default: 1000, min: 1, max: 1_000_000 },
        unit: "",
        doc: "replicates of the bootstrap; patients are resampled",
    },
    Param {
        name: "confidence_level",
        kind: Kind::Float { default: 0.95, min: 0.5, max: 0.9999 },
        unit: "",
        doc: "of every interval",
    },
    Param {
        name: "device",
        kind: Kind::Text { default: "auto" },
        unit: "",
        doc: "auto (a GPU that is there, otherwise the CPU), cpu, cuda or cuda:N",
    },
];

const OUTPUTS: &[Output] = &[
    Output { path: PredictionRow::FILE, doc: "a row a series: logits, probability, decision" },
    Output { path: MetricsFile::FILE, doc: "figures with intervals for train, val and test" },
];

impl Stage for Evaluate {
    fn kind(&self) -> &'static str {
        "evaluate"
    }
    fn version(&self) -> u32 {
        3
    }
    fn doc(&self) -> &'static str {
        "predicts every part, chooses the threshold on val and applies it unchanged to test"
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
        self.facts(params).map(|_| ())
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let device = Device::resolve(&config.device).map_err(StageError::failed)?;
        let model: ModelFile =
            json::read(&task.input("model")?.join(ModelFile::FILE)).map_err(StageError::failed)?;
        let mut predictions = predict::predict(task, &model, device)?;
        let settings = Settings {
            optimize_threshold: config.optimize_threshold,
            threshold: config.threshold,
            n_bootstrap: config.n_bootstrap,
            confidence_level: config.confidence_level,
            seed: task.seed(),
        };
        let metrics =
            evaluate(&mut predictions, &settings, predict::loss_of(&model)).map_err(StageError::failed)?;
        if let Some(note) = &metrics.threshold.note {
            task.log(Level::Warning, note.clone());
        }
        task.log(Level::Info, sentence(&metrics));
        PredictionRow::write(&predictions, task.out()).map_err(StageError::failed)?;
        json::write(&metrics, &task.out().join(MetricsFile::FILE)).map_err(StageError::failed)
    }
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
