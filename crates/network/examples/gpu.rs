//! What `benches/gpu/run.sh` runs on a machine with an NVIDIA GPU: the GPU against the CPU, and how fast it is.
//!
//! `gpu compare`, `gpu speed WIDTH BATCH STEPS f32|bf16 plain|residual [augment]` and
//! `gpu layers WIDTH BATCH f32|bf16 plain|residual [DEVICE]`; each ends with a line of JSON. `compare` fails where a difference is
//! larger than it may be.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::time::Instant;

use ctpipe_network::{
    Batch, Change, Config, Device, Learning, Loss, LossKind, Network, Noise, Precision, Seen, Trainer,
    Voxels, Weights, layers,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let found = match words.as_slice() {
        ["compare"] => compare()?,
        ["speed", width, batch, steps, precision, form, rest @ ..] => {
            let augment = rest == ["augment"];
            speed(&config(width.parse()?, form), batch.parse()?, steps.parse()?, named(precision)?, augment)?
        }
        ["layers", width, batch, precision, form, rest @ ..] => {
            let config = config(width.parse()?, form);
            let device = Device::resolve(rest.first().unwrap_or(&"cuda"))?;
            let found = layers(&config, device, named(precision)?, batch.parse()?, 10)?;
            let rows: Vec<Value> = found
                .iter()
                .map(|layer| json!({ "name": layer.name, "forward": layer.forward, "both": layer.both }))
                .collect();
            json!({ "layers": rows })
        }
        _ => return Err("usage: gpu compare | speed WIDTH BATCH STEPS f32|bf16 plain|residual [augment] | layers WIDTH BATCH f32|bf16 plain|residual [DEVICE]".into()),
    };
    println!("{found}");
    Ok(())
}

fn config(width: usize, form: &str) -> Config {
    Config { width, residual: form == "residual", ..Config::default() }
}

fn named(precision: &str) -> Result<Precision, Failure> {
    Ok(serde_json::from_value(precision.into())?)
}

fn volumes(count: usize, voxels: usize) -> Vec<Vec<u16>> {
    let smooth = |seed: usize, i: usize| {
        let (x, y, z) = (i % 64, i / 64 % 64, i / 4096);
        (x * (seed + 3) * 97 + y * 331 + z * 173 + (i * 7919 + seed * 104_729) % 4001) % 65_536
    };
    (0..count).map(|seed| (0..voxels).map(|i| smooth(seed, i) as u16).collect()).collect()
}

/// Differences beyond which something is wrong: lengths of differences over lengths of what is right.
struct Tolerance {
    logits: f64,
    gradients: f64,
    weights: f64,
}

/// Rounding in another order.
const F32: Tolerance = Tolerance { logits: 1e-3, gradients: 2e-2, weights: 2e-3 };
/// Products of numbers of eight bits: 2^-8 each, through six of them and back. Weights move by three steps of 1e-3.
const BF16: Tolerance = Tolerance { logits: 5e-2, gradients: 2e-1, weights: 2e-2 };

fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let apart = length(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    apart / length(&mut expected.iter().map(|&x| f64::from(x))).max(1e-12)
}

fn largest(pairs: &BTreeMap<String, f64>) -> (String, f64) {
    let all = pairs.iter().map(|(name, off)| (name.clone(), *off));
    all.fold((String::new(), 0.0), |most, pair| if pair.1 >= most.1 { pair } else { most })
}

fn compare() -> Result<Value, Failure> {
    let (gpu, mut rows, mut wrong) = (Device::resolve("cuda")?, Vec::new(), Vec::new());
    for (width, batch, form) in [(8, 4, "plain"), (8, 4, "residual"), (64, 2, "residual")] {
        let config = Config { dropout_rate: 0.0, ..config(width, form) };
        let weights = Weights::init(&config, 3);
        let volumes = volumes(batch, config.voxels());
        let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
        let labels: Vec<u8> = (0..batch).map(|i| (i % 2) as u8).collect();
        let noise = Some(Noise { deviation: 0.05, key: [1, 2, 3] });
        let rows_of = [[0.98, 0.17, 0.0, -4.0], [-0.17, 0.98, 0.0, 5.0], [0.0, 0.0, 1.0, 0.0]];
        let changes = vec![Change { sampled_at: Some(rows_of), gain: 1.1, offset: -0.05, noise }; batch];
        let loss = Loss { class_weights: [1.0, 1.5], ..Loss::default() };
        let steps = |device: Device, precision: Precision| -> Result<(Seen, Weights, Vec<f32>), Failure> {
            let learning = Learning { precision, clip_norm: 1.0, ..Learning::default() };
            let mut trainer = Trainer::new(&weights, learning, 3, device)?;
            trainer.keep(&volumes)?;
            let numbers: Vec<usize> = (0..batch).collect();
            let batch = Batch { voxels: Voxels::Kept(&numbers), labels: &labels, changes: &changes };
            let seen = trainer.step_seen(&batch, &loss, 1e-3)?;
            trainer.step(&batch, &loss, 1e-3)?;
            trainer.step(&batch, &loss, 1e-3)?;
            Ok((seen, trainer.weights(), trainer.losses()))
        };
        let (seen, after, losses) = steps(Device::Cpu, Precision::F32)?;
        let answers = Network::new(&after, Device::Cpu)?.logits(Voxels::Host(&volumes))?.concat();
        for (precision, most) in [(Precision::F32, F32), (Precision::Bf16, BF16)] {
            let (theirs, moved, their_losses) = steps(gpu, precision)?;
            let gradients: BTreeMap<String, f64> = seen
                .gradients
                .iter()
                // In front of a BatchNorm the gradient of a bias is zero, and what is there is rounding.
                .filter(|(name, _)| !(name.starts_with("conv.") && name.ends_with("bias")))
                .map(|(name, expected)| (name.clone(), distance(&theirs.gradients[name], expected)))
                .collect();
            let tensors: BTreeMap<String, f64> = after
                .named()
                .filter(|(name, _)| name.ends_with("weight"))
                .map(|(name, expected)| {
                    let found = moved.get(&name).unwrap_or_default();
                    let off = distance(found, expected);
                    (name, off)
                })
                .collect();
            let inference = Network::new(&after, gpu)?.logits(Voxels::Host(&volumes))?.concat();
            let row = json!({
                "width": width, "batch": batch, "form": form, "precision": precision.name(),
                "inference logits (f32)": distance(&inference, &answers),
                "logits": distance(&theirs.logits, &seen.logits),
                "losses": distance(&their_losses, &losses),
                "gradients": largest(&gradients), "weights after three steps": largest(&tensors),
            });
            eprintln!("{row}");
            let fits = distance(&inference, &answers) <= F32.logits
                && distance(&theirs.logits, &seen.logits) <= most.logits
                && largest(&gradients).1 <= most.gradients
                && largest(&tensors).1 <= most.weights;
            if !fits {
                wrong.push(row.to_string());
            }
            rows.push(row);
        }
    }
    if wrong.is_empty() { Ok(json!({ "compare": rows })) } else { Err(wrong.join("\n").into()) }
}

fn speed(
    config: &Config,
    batch: usize,
    steps: usize,
    precision: Precision,
    augment: bool,
) -> Result<Value, Failure> {
    let learning = Learning { precision, ..Learning::default() };
    let mut trainer = Trainer::new(&Weights::init(config, 42), learning, 42, Device::resolve("cuda")?)?;
    let volumes = volumes(batch, config.voxels());
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    trainer.keep(&volumes)?;
    let labels: Vec<u8> = (0..batch).map(|i| (i % 2) as u8).collect();
    let numbers: Vec<usize> = (0..batch).collect();
    let noise = Some(Noise { deviation: 0.05, key: [1, 2, 3] });
    let rows = [[0.98, 0.17, 0.0, -4.0], [-0.17, 0.98, 0.0, 5.0], [0.0, 0.0, 1.0, 0.0]];
    let change = Change { sampled_at: Some(rows), gain: 1.1, offset: -0.05, noise };
    let changes = if augment { vec![change; batch] } else { Vec::new() };
    let batch_of = Batch { voxels: Voxels::Kept(&numbers), labels: &labels, changes: &changes };
    let loss = Loss { kind: LossKind::CrossEntropy, ..Loss::default() };
    // Kernels are compiled and chosen.
    for _ in 0..5 {
        trainer.step(&batch_of, &loss, 1e-4)?;
    }
    trainer.losses();
    // As in a training: the device is waited for at the end of many steps.
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..steps {
            trainer.step(&batch_of, &loss, 1e-4)?;
        }
        let losses = trainer.losses();
        if losses.iter().any(|loss| !loss.is_finite()) {
            return Err("the loss is no number".into());
        }
        seconds.push(start.elapsed().as_secs_f64() / steps as f64);
    }
    seconds.sort_by(f64::total_cmp);
    let step = seconds[seconds.len() / 2];
    Ok(json!({
        "width": config.width, "batch": batch, "form": if config.residual { "residual" } else { "plain" },
        "precision": precision.name(), "augment": augment,
        "microseconds_per_volume": step / batch as f64 * 1e6, "volumes_per_second": batch as f64 / step,
    }))
}
