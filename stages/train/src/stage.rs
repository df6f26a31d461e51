//! The stage around the training: reads artifacts and writes the model. Decides nothing about the
//! training itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctpipe_network::{Config as Network, Device, Precision, Weights, instruction_set, why_no_gpu};
use ctpipe_stage::{Finding, Level, Output, Param, Params, Port, Stage, StageError, Task};
use ctpipe_tables::json::{self, LayerFile, ModelFile};
use ctpipe_tables::shards::Volumes;
use ctpipe_tables::{EpochRow, Part, SplitRow, Table};
use serde_json::Value;

use crate::config::{Config, NOT_IN_KEY, PARAMS};
use crate::data::{Dataset, FromShards, Sample};
use crate::epochs::train;
use crate::error::TrainError;
use crate::follow::Follower;
use crate::session::{Setting, Trained};

/// The stage.
pub struct Train;

const PORTS: &[Port] = &[
    Port::required("volumes", "the artifact of preprocess"),
    Port::required("split", "the artifact of split"),
    Port::optional(
        INIT_FROM,
        "weights to start from instead of random ones: a model.safetensors (ours or PyTorch's), or another \
         training",
    ),
];

const INIT_FROM: &str = "init_from";

/// Edge of a volume by preprocess's default.
const DEFAULT_SIZE: usize = 64;

const OUTPUTS: &[Output] = &[
    Output { path: ModelFile::WEIGHTS, doc: "the best weights, under PyTorch's names and shapes" },
    Output { path: ModelFile::FILE, doc: "the architecture and the training parameters" },
    Output { path: EpochRow::FILE, doc: "one row per epoch" },
];

impl Stage for Train {
    fn kind(&self) -> &'static str {
        "train"
    }
    fn version(&self) -> u32 {
        6
    }
    fn doc(&self) -> &'static str {
        "trains CNN3D on the training set, and chooses the epoch on the validation set"
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
        device_of(params).map_or(0, Device::gpus)
    }
    fn params_not_in_key(&self) -> &'static [&'static str] {
        NOT_IN_KEY
    }
    fn facts(&self, params: &Params) -> Result<BTreeMap<String, String>, String> {
        let device = device_of(params)?;
        let mut facts = device.facts(precision_of(params));
        if device == Device::Cpu && !Network::kernel_size_has_kernels(edge(params)) {
            // Burn's own operations add up in an order that depends on the processor.
            facts.insert("convolution".to_owned(), format!("composed, {}", instruction_set()));
        }
        Ok(facts)
    }
    fn check(&self, params: &Params) -> Result<(), String> {
        let edge = edge(params);
        if edge.is_multiple_of(2) {
            return Err(format!("kernel_size must be odd (1, 3, 5 or 7), found {edge}"));
        }
        if params.get("tracking").and_then(Value::as_str) == Some("mlflow") {
            check_uri(params.get("tracking_uri").and_then(Value::as_str).unwrap_or_default())?;
        }
        device_of(params).map(|_| ())
    }

    fn preflight(&self, params: &Params, inputs: &BTreeMap<String, PathBuf>) -> Vec<Finding> {
        let device = match device_of(params) {
            Ok(device) => device,
            Err(error) => return vec![Finding::error(error)],
        };
        let mut findings = vec![match device {
            Device::Cpu => Finding::info(format!(
                "device: cpu ({} kernels, {} threads)",
                instruction_set(),
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
            )),
            Device::Cuda(_) => Finding::info(format!("device: {device}, {}", precision_of(params).name())),
        }];
        let auto = params.get("device").and_then(Value::as_str).is_none_or(|name| name == "auto");
        if let Some(why) = why_no_gpu().filter(|_| auto) {
            findings.push(Finding::info(format!("device: no GPU, because {why}")));
        }
        if device.precision(precision_of(params)) != precision_of(params) {
            findings.push(Finding::info("precision: f32, the only one on a CPU"));
        }
        let edge = edge(params);
        if device == Device::Cpu && !Network::kernel_size_has_kernels(edge) {
            findings.push(Finding::warning(format!(
                "there are no CPU kernels for kernel_size {edge}: Burn's own operations are used, which are \
                 several times slower than the kernels for 3"
            )));
        }
        let set = |name: &str| params.get(name).and_then(Value::as_bool).unwrap_or_default();
        if set("freeze_norm") && !inputs.contains_key(INIT_FROM) {
            findings.push(Finding::warning(
                "freeze_norm without init_from: BatchNorm then keeps the initial statistics of a network with \
                 random weights",
            ));
        }
        // If the weights exist already, they are tried now and not after an hour of reading DICOM.
        if let Some(path) = inputs.get(INIT_FROM).filter(|path| path.exists())
            && let Ok(config) = serde_json::from_value::<Config>(params_value(params))
            && let Err(error) = start(path, &config, None)
        {
            findings.push(Finding::error(error));
        }
        findings
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let config: Config = task.params()?;
        let device = Device::resolve(&config.device).map_err(StageError::failed)?;
        let rows = SplitRow::read(task.input("split")?).map_err(StageError::failed)?;
        let volumes = Volumes::open(task.input("volumes")?).map_err(StageError::failed)?;
        let part = |part: Part| -> Vec<Sample> {
            let of_part = rows.iter().enumerate().filter(|(_, row)| row.split == part.as_str());
            of_part.map(|(volume, row)| Sample { volume, label: u8::from(row.label == 1) }).collect()
        };
        let (train_part, val_part) = (part(Part::Train), part(Part::Val));
        let series_uids = rows.iter().map(|row| row.series_uid.clone()).collect();
        let source = FromShards { volumes, series_uids };
        let data = Dataset { train: train_part, val: val_part, volumes: &source };
        let size = source.volumes.edge().map_err(StageError::failed)?;
        let start = task.optional_input(INIT_FROM).map(|path| start(path, &config, Some(size))).transpose();
        let start = start.map_err(StageError::failed)?;
        let checkpoints = match task.work() {
            Ok(work) => Some(work.to_path_buf()),
            Err(error) => {
                task.log(Level::Warning, format!("there will be no checkpoints: {error}"));
                None
            }
        };
        let setting = Setting { start, device, seed: task.seed(), checkpoints };
        let mut follower = Follower::new(task, &config, device);
        let trained = match train(&config, &data, &setting, &mut follower) {
            Ok(trained) => trained,
            Err(error) => {
                let (status, error) = match error {
                    TrainError::Stopped => ("KILLED", StageError::Interrupted),
                    other => ("FAILED", StageError::failed(other)),
                };
                follower.end(status, Vec::new());
                return Err(error);
            }
        };
        let written = write(task, &config, device, &trained);
        let out = |name: &str| task.out().join(name);
        let files = vec![out(ModelFile::WEIGHTS), out(ModelFile::FILE), out(EpochRow::FILE)];
        follower.end("FINISHED", if written.is_ok() { files } else { Vec::new() });
        written
    }
}

/// The weights to start from, for volumes of `size³` voxels or, if that is not known yet, of any
/// size. They bring their running statistics with them; Adam's count of steps starts at zero.
fn start(path: &Path, config: &Config, size: Option<usize>) -> Result<Weights, String> {
    let path = if path.is_dir() { path.join(ModelFile::WEIGHTS) } else { path.to_path_buf() };
    let failed = |what: &dyn std::fmt::Display| format!("cannot start from {}: {what}", path.display());
    let bytes = std::fs::read(&path).map_err(|e| failed(&e))?;
    let theirs = Weights::size_in(&bytes, &config.network(DEFAULT_SIZE));
    if let (Some(size), Some(theirs)) = (size, theirs)
        && size != theirs
    {
        return Err(failed(&format!(
            "its weights are for volumes of {theirs} x {theirs} x {theirs} voxels, but preprocess makes {size} x \
             {size} x {size}; set preprocess.size={theirs}, or use other weights"
        )));
    }
    let network = config.network(size.or(theirs).unwrap_or(DEFAULT_SIZE));
    Weights::from_safetensors(&bytes, &network).map_err(|e| failed(&e))
}

fn write(task: &Task<'_>, config: &Config, device: Device, trained: &Trained) -> Result<(), StageError> {
    let out = task.out();
    let bytes = trained.weights.to_safetensors().map_err(StageError::failed)?;
    let path = out.join(ModelFile::WEIGHTS);
    std::fs::write(&path, bytes)
        .map_err(|e| StageError::failed(format!("cannot write {}: {e}", path.display())))?;
    EpochRow::write(&trained.history, out).map_err(StageError::failed)?;
    let network = trained.weights.config();
    let mut training = serde_json::to_value(config).map_err(StageError::failed)?;
    if let Value::Object(fields) = &mut training {
        // How the work was done is not part of the result.
        fields.retain(|name, _| !NOT_IN_KEY.contains(&name.as_str()));
    }
    let model = ModelFile {
        arch: network.arch.name().to_owned(),
        parameters: network.parameter_count() as u64,
        layers: network
            .outline()
            .into_iter()
            .map(|layer| LayerFile {
                name: layer.name,
                output: layer.output,
                parameters: layer.parameters as u64,
            })
            .collect(),
        network: serde_json::to_value(network).map_err(StageError::failed)?,
        training,
        best_epoch: trained.best_epoch,
        epochs: trained.history.len() as u32,
        stopped_early: trained.stopped_early,
        class_weights: trained.class_weights,
        device: device.kind().to_owned(),
        notes: trained.notes.clone(),
    };
    json::write(&model, &out.join(ModelFile::FILE)).map_err(StageError::failed)
}

/// Checks that a text is the address of a server and holds no secret, because it is shown and kept
/// in many places.
fn check_uri(uri: &str) -> Result<(), String> {
    let Some((_, rest)) = uri.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))
    else {
        return Err(format!("tracking_uri must begin with http:// or https://, found \"{uri}\""));
    };
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        return Err("tracking_uri must not contain a user or password; set MLFLOW_TRACKING_USERNAME and \
                    MLFLOW_TRACKING_PASSWORD in the environment"
            .to_owned());
    }
    Ok(())
}

/// The edge of the convolution filters.
fn edge(params: &Params) -> usize {
    params.get("kernel_size").and_then(Value::as_u64).map_or(3, |edge| edge as usize)
}

fn params_value(params: &Params) -> Value {
    params.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The precision that the parameters set.
fn precision_of(params: &Params) -> Precision {
    params.get("precision").and_then(|name| serde_json::from_value(name.clone()).ok()).unwrap_or_default()
}

/// The device that the parameters set, which must exist.
fn device_of(params: &Params) -> Result<Device, String> {
    let name = params.get("device").and_then(Value::as_str).unwrap_or("auto");
    Device::resolve(name).map_err(|e| e.to_string())
}
