//! Measures one training step or one inference; `make bench-train` compares the time with
//! PyTorch's.
//!
//! `cargo run --example speed -- train|infer WIDTH BATCH STEPS plain|residual [KERNEL_SIZE]` prints
//! one line of JSON.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use ctpipe_network::{
    Batch, Config, Device, Learning, Loss, LossKind, Network, Purpose, Stream, Trainer, Voxels, Weights,
    instruction_set,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, width, batch, steps, form, rest @ ..] = args.as_slice() else {
        return Err("usage: speed train|infer WIDTH BATCH STEPS plain|residual [KERNEL_SIZE]".into());
    };
    let kernel_size = rest.first().map_or(Ok(3), |edge| edge.parse())?;
    let (width, batch, steps) = (width.parse()?, batch.parse::<usize>()?, steps.parse::<usize>()?);
    let config = Config { width, kernel_size, residual: form == "residual", ..Config::default() };
    let weights = Weights::init(&config, 42);
    let mut random = Stream::new(42, Purpose::Sampler);
    let volumes: Vec<Vec<u16>> = (0..batch)
        .map(|_| (0..config.voxels()).map(|_| (random.unit() * 65535.0) as u16).collect())
        .collect();
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    let labels: Vec<u8> = (0..batch).map(|i| (i % 2) as u8).collect();
    let mut run: Box<dyn FnMut() -> Result<(), ctpipe_network::Error>> = match what.as_str() {
        "train" => {
            let learning = Learning { weight_decay: 0.0, ..Learning::default() };
            let mut trainer = Trainer::new(&weights, learning, 42, Device::Cpu)?;
            drop(weights);
            let loss = Loss { kind: LossKind::CrossEntropy, ..Loss::default() };
            Box::new(move || {
                trainer.step(&Batch::of(&volumes, &labels), &loss, 1e-4)?;
                trainer.losses();
                Ok(())
            })
        }
        "infer" => {
            let network = Network::new(&weights, Device::Cpu)?;
            drop(weights);
            Box::new(move || network.logits(Voxels::Host(&volumes)).map(drop))
        }
        other => return Err(format!("unknown measurement {other}").into()),
    };
    let mut seconds = Vec::new();
    for _ in 0..steps {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    // The first steps fill the caches and the buffer pool, here as in PyTorch.
    let mut seconds = seconds.split_off((steps / 4).max(1).min(steps - 1));
    seconds.sort_by(f64::total_cmp);
    let step = seconds[seconds.len() / 2];
    println!(
        "{}",
        serde_json::json!({
            "what": what, "width": width, "batch": batch, "form": form, "isa": instruction_set(),
            "seconds_per_volume": step / batch as f64, "peak_mb": peak_mb(),
        })
    );
    Ok(())
}

/// Peak memory of the process, in MB.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1024.0)
}
