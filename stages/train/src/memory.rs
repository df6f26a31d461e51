//! What a training takes of memory, what there is, and what would fit. Allocates nothing.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ctpipe_network::{Config as Network, Device, OptimizerKind};

use crate::config::Config;
use crate::error::TrainError;

/// Bytes of a training: those that every batch takes, and those of each volume in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Need {
    fixed: f64,
    per_volume: f64,
}

/// What the program and the threads' own buffers take anyway.
const BASE: f64 = 60e6;
/// Values of a volume at each channel of the first block, in voxels of its input: measured on the kernels (their buffers
/// for two volumes and more in flight included) and rounded up; see `benches/README.md`.
const KERNELS: f64 = 0.0;
/// The same where a block is composed of a tensor library's operations, each of which keeps its result.
const COMPOSED: f64 = 0.0;

impl Need {
    pub(crate) fn of(config: &Config, network: &Network, device: Device) -> Need {
        let values = 4.0 * network.parameter_count() as f64;
        let memory = if config.optimizer == OptimizerKind::Sgd { 1.0 } else { 2.0 };
        let average = if config.ema_decay > 0.0 { 1.0 } else { 0.0 };
        let sum = if config.accumulate > 1 { 1.0 } else { 0.0 };
        let on_device = values * (2.0 + memory + average + sum);
        // The best weights, and a checkpoint while it is written.
        let on_host = values * (2.0 + memory + average);
        let kernels = device == Device::Cpu && Network::kernel_size_has_kernels(network.kernel_size);
        let factor = if kernels { KERNELS } else { COMPOSED };
        let volume = 4.0 * network.voxels() as f64;
        let per_volume = volume * (4.0 + factor * network.width as f64);
        let fixed = if device == Device::Cpu { BASE + on_device + on_host } else { BASE + on_device };
        Need { fixed, per_volume }
    }

    fn bytes(&self, batch: usize) -> f64 {
        self.fixed + self.per_volume * batch as f64
    }
}

/// # Errors
/// When a step would not fit: what it needs, what there is, and what would fit.
pub(crate) fn check(config: &Config, network: &Network, device: Device) -> Result<(), TrainError> {
    let Some(free) = free(device) else { return Ok(()) };
    let need = Need::of(config, network, device);
    if need.bytes(config.batch_size) <= free as f64 {
        return Ok(());
    }
    Err(TrainError::Memory(refusal(config, &need, free, device)))
}

fn refusal(config: &Config, need: &Need, free: u64, device: Device) -> String {
    let batch = config.batch_size;
    let text = format!(
        "batch_size {batch} needs about {} of memory ({} for each volume and {} for the weights), and {} are free on \
         {device}",
        gigabytes(need.bytes(batch) as u64),
        gigabytes(need.per_volume as u64),
        gigabytes(need.fixed as u64),
        gigabytes(free)
    );
    // An equal step is one of batches that divide it.
    let fits = |smaller: &usize| batch.is_multiple_of(*smaller) && need.bytes(*smaller) <= free as f64;
    match (1..batch).rev().find(fits) {
        Some(smaller) => format!(
            "{text}; batch_size {smaller} with accumulate {} makes steps of as many volumes in {}",
            config.accumulate * (batch / smaller),
            gigabytes(need.bytes(smaller) as u64)
        ),
        None => {
            format!("{text}; not even one volume fits: take a smaller width, hidden_size or preprocess.size")
        }
    }
}

/// Runs something on the device; a GPU that has no more memory, which its library ends in a panic, is an error.
pub(crate) fn guarded<T>(
    config: &Config,
    work: impl FnOnce() -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let lower = text.to_lowercase();
        if !["out of memory", "outofmemory", "out_of_memory", "memory alloc"].iter().any(|sign| lower.contains(sign)) {
            resume_unwind(panic);
        }
        let half = config.batch_size.div_ceil(2);
        Err(TrainError::Memory(format!(
            "batch_size {} does not fit into the device's memory ({text}); try batch_size {half} with accumulate {}",
            config.batch_size,
            config.accumulate * config.batch_size.div_ceil(half)
        )))
    })
}

/// Bytes that are free; `None` where the system does not tell.
pub(crate) fn free(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => [available(), control_group(), address_space()].into_iter().flatten().min(),
        Device::Cuda(index) => gpu(index),
    }
}

/// A field of a `/proc` file in bytes.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable")
}

/// What the control group of this process (a Slurm job's, a container's) has left: the narrowest of it and those
/// above it.
fn control_group() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    let folder = root.join(path.trim_start_matches('/'));
    let number = |folder: &std::path::Path, name: &str| -> Option<u64> {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    let room = |folder: &std::path::Path| {
        let most = number(folder, "memory.max")?;
        // The page cache counts, and gives way.
        let cache = fs::read_to_string(folder.join("memory.stat")).ok().and_then(|stat| {
            stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.parse::<u64>().ok()
        });
        Some(most.saturating_sub(number(folder, "memory.current")?.saturating_sub(cache.unwrap_or(0))))
    };
    folder.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(room).min()
}

/// What `ulimit -v` leaves.
fn address_space() -> Option<u64> {
    let most = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    Some(most.saturating_sub(field("/proc/self/status", "VmSize")?))
}

/// As NVIDIA's own program tells it, which comes with the driver.
fn gpu(index: usize) -> Option<u64> {
    let query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", &index.to_string()];
    let said = std::process::Command::new("nvidia-smi").args(query).output().ok()?;
    let mib: u64 = String::from_utf8(said.stdout).ok()?.trim().parse().ok()?;
    Some(mib << 20)
}

pub(crate) fn gigabytes(bytes: u64) -> String {
    if bytes < 100_000_000 {
        format!("{:.3} GB", bytes as f64 / 1e9)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}
