//! The measurements of `benches/gpu/run.sh` on a machine with an NVIDIA GPU: the GPU compared with
//! the CPU, and its speed.
//!
//! - `gpu compare [WIDTH BATCH plain|residual]` fails where a difference is larger than allowed.
//! - `gpu speed WIDTH BATCH STEPS f32|bf16 plain|residual [augment]`
//! - `gpu layers WIDTH BATCH f32|bf16 plain|residual [DEVICE]`
//! - `gpu strategies WIDTH BATCH f32|bf16 [PART OF A NAME]...` times every kernel at every product.
//!
//! Each of them ends with a line of JSON.
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
        ["compare"] => compare(&[(8, 8, "plain"), (8, 8, "residual"), (64, 8, "plain"), (64, 8, "residual")])?,
        ["compare", width, batch, form] => compare(&[(width.parse()?, batch.parse()?, form)])?,
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
        #[cfg(feature = "cuda")]
        ["strategies", width, batch, precision, rest @ ..] => {
            strategies(&config(width.parse()?, "plain"), batch.parse()?, named(precision)?, rest)?
        }
        _ => return Err("usage: gpu compare [WIDTH BATCH plain|residual] | speed WIDTH BATCH STEPS f32|bf16 plain|residual [augment] | layers WIDTH BATCH f32|bf16 plain|residual [DEVICE] | strategies WIDTH BATCH f32|bf16 [PART OF A NAME]...".into()),
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

/// Waves and noise; every second volume has a bright ball.
fn volumes(count: usize, voxels: usize) -> Vec<Vec<u16>> {
    let smooth = |seed: usize, i: usize| {
        let (x, y, z) = (i % 64, i / 64 % 64, i / 4096);
        let waves = (x * (seed + 3) * 97 + y * 331 + z * 173 + (i * 7919 + seed * 104_729) % 4001) % 40_000;
        let ball = [x, y, z].iter().map(|&v| v.abs_diff(24 + 2 * seed).pow(2)).sum::<usize>() < 200;
        waves + if seed % 2 == 1 && ball { 25_000 } else { 0 }
    };
    (0..count).map(|seed| (0..voxels).map(|i| smooth(seed, i) as u16).collect()).collect()
}

/// How much larger the difference between GPU and CPU may be than the change of the CPU's own
/// results when only its weights are rounded to the numbers that the GPU multiplies. On the GPU,
/// all factors of each product are rounded, forward and backward. The first limit is for the median
/// of all tensors, the second for the worst one, whose terms nearly cancel.
const TIMES: [f64; 2] = [5.0, 50.0];
/// A difference that is always allowed: sums in a different order.
const ALWAYS: f64 = 1e-4;

/// Bits of the numbers that tensor cores multiply: TF32 where f32 is requested.
fn bits(precision: Precision) -> u32 {
    match precision {
        Precision::F32 => 11,
        Precision::Bf16 => 8,
    }
}

fn rounded(weights: &Weights, precision: Precision) -> Option<Weights> {
    let lost = 24 - bits(precision);
    let round = |value: &f32| f32::from_bits((value.to_bits() + (1 << (lost - 1))) >> lost << lost);
    weights.with_named(weights.tracked(), |name| {
        let values = weights.get(name)?;
        let multiplied = ["conv.", "skip.", "fc"].iter().any(|start| name.starts_with(start));
        let multiplied = multiplied && name.ends_with("weight");
        Some(if multiplied { values.iter().map(round).collect() } else { values.to_vec() })
    })
}

fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let apart = length(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    apart / length(&mut expected.iter().map(|&x| f64::from(x))).max(1e-12)
}

/// Three steps from given weights, and the logits of the resulting weights.
struct Steps {
    seen: Seen,
    after: Weights,
    losses: Vec<f32>,
    answers: Vec<f32>,
}

impl Steps {
    /// The distance of each result from the other's: logits, losses and final logits, then
    /// gradients and weights by name.
    fn from(&self, right: &Steps) -> BTreeMap<String, f64> {
        let mut off = BTreeMap::from([
            ("logits".to_owned(), distance(&self.seen.logits, &right.seen.logits)),
            ("losses".to_owned(), distance(&self.losses, &right.losses)),
            ("answers after three steps".to_owned(), distance(&self.answers, &right.answers)),
        ]);
        for (name, expected) in &right.seen.gradients {
            // Before a BatchNorm, the gradient of a bias is zero, and what is left is rounding.
            if !(name.starts_with("conv.") && name.ends_with("bias")) {
                off.insert(format!("gradient of {name}"), distance(&self.seen.gradients[name], expected));
            }
        }
        for (name, expected) in right.after.named().filter(|(name, _)| name.ends_with("weight")) {
            let found = self.after.get(&name).unwrap_or_default();
            off.insert(format!("{name} after three steps"), distance(found, expected));
        }
        off
    }
}

fn compare(networks: &[(usize, usize, &str)]) -> Result<Value, Failure> {
    let (gpu, mut rows, mut wrong) = (Device::resolve("cuda")?, Vec::new(), Vec::new());
    for &(width, batch, form) in networks {
        let config = Config { dropout_rate: 0.0, ..config(width, form) };
        let weights = Weights::init(&config, 3);
        let volumes = volumes(batch, config.voxels());
        let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
        let labels: Vec<u8> = (0..batch).map(|i| (i % 2) as u8).collect();
        let noise = Some(Noise { deviation: 0.05, key: [1, 2, 3] });
        let rows_of = [[0.98, 0.17, 0.0, -4.0], [-0.17, 0.98, 0.0, 5.0], [0.0, 0.0, 1.0, 0.0]];
        let changes = vec![Change { sampled_at: Some(rows_of), gain: 1.1, offset: -0.05, noise }; batch];
        let loss = Loss { class_weights: [1.0, 1.5], ..Loss::default() };
        let steps = |weights: &Weights, device: Device, precision: Precision| -> Result<Steps, Failure> {
            let learning = Learning { precision, clip_norm: 1.0, ..Learning::default() };
            let mut trainer = Trainer::new(weights, learning, 3, device)?;
            trainer.keep(&volumes)?;
            let numbers: Vec<usize> = (0..batch).collect();
            let batch = Batch { voxels: Voxels::Kept(&numbers), labels: &labels, changes: &changes };
            let seen = trainer.step_seen(&batch, &loss, 1e-3)?;
            trainer.step(&batch, &loss, 1e-3)?;
            trainer.step(&batch, &loss, 1e-3)?;
            let (after, losses) = (trainer.weights(), trainer.losses());
            let answers = Network::new(&after, device)?.logits(Voxels::Host(&volumes))?.concat();
            Ok(Steps { seen, after, losses, answers })
        };
        let right = steps(&weights, Device::Cpu, Precision::F32)?;
        for precision in [Precision::F32, Precision::Bf16] {
            let rounded = rounded(&weights, precision).ok_or("weights of the same names")?;
            let own = steps(&rounded, Device::Cpu, Precision::F32)?.from(&right);
            let theirs = steps(&weights, gpu, precision)?.from(&right);
            // As a multiple of the CPU's own deviation.
            let times = |name: &str| theirs[name] / own[name].max(ALWAYS);
            let mut names: Vec<&String> = theirs.keys().collect();
            names.sort_by(|a, b| times(a).total_cmp(&times(b)));
            let (median, worst) = (times(names[names.len() / 2]), names[names.len() - 1]);
            let row = json!({
                "width": width, "batch": batch, "form": form, "precision": precision.name(),
                "median": median, "worst": worst, "off": theirs[worst], "times": times(worst),
                "all": theirs.iter().map(|(name, off)| (name.clone(), json!([off, own[name]]))).collect::<BTreeMap<_, _>>(),
            });
            eprintln!("{row}");
            // Written so that NaN also fails.
            if !(median <= TIMES[0] && times(worst) <= TIMES[1]) {
                wrong.push(format!(
                    "width {width}, {form}, {}: {worst} is off by {:.2e}, {:.1} times what rounding its weights moves the CPU (median {median:.1})",
                    precision.name(), theirs[worst], times(worst)
                ));
            }
            rows.push(row);
        }
    }
    if wrong.is_empty() { Ok(json!({ "compare": rows })) } else { Err(wrong.join("\n").into()) }
}

/// Times every kernel at every product, or only those whose names contain `part`, where it is
/// given.
#[cfg(feature = "cuda")]
fn strategies(config: &Config, batch: usize, precision: Precision, part: &[&str]) -> Result<Value, Failure> {
    let chosen = |name: &str| part.iter().all(|part| name.contains(part));
    let row = |trial: &ctpipe_network::Trial| match &trial.found {
        Ok((seconds, off)) => {
            json!({ "product": trial.product, "kernel": trial.kernel, "seconds": seconds, "off": off })
        }
        Err(why) => json!({ "product": trial.product, "kernel": trial.kernel, "why": why }),
    };
    let rows = std::cell::RefCell::new(Vec::new());
    ctpipe_network::trials(config, 0, precision, batch, &chosen, &|trial| {
        // Printed at once, because a kernel that reads out of bounds ends the process.
        eprintln!("{}", row(trial));
        rows.borrow_mut().push(row(trial));
    })?;
    Ok(json!({ "strategies": rows.into_inner() }))
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
    // The first steps compile and select kernels.
    for _ in 0..5 {
        trainer.step(&batch_of, &loss, 1e-4)?;
    }
    trainer.losses();
    // As in a training: the device is waited for only after many steps.
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..steps {
            trainer.step(&batch_of, &loss, 1e-4)?;
        }
        let losses = trainer.losses();
        if losses.iter().any(|loss| !loss.is_finite()) {
            return Err("the loss is not a number".into());
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
