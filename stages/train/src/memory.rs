//! How much memory a training needs, how much is free, and what would fit. Allocates nothing.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use ctpipe_network::{Config as Network, Device, OptimizerKind};

use crate::config::Config;
use crate::error::TrainError;

/// The memory of a training in bytes: a fixed amount, and an amount per volume of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Need {
    fixed: f64,
    per_volume: f64,
}

/// The share of an estimate that is certainly needed.
const TRUSTED: f64 = 0.9;
/// Memory of the program itself, in bytes.
const BASE: f64 = 150e6;

impl Need {
    /// The need on a CPU, as measured: see `benches/README.md`.
    pub(crate) fn of(config: &Config, network: &Network) -> Need {
        let weights = 4.0 * network.parameter_count() as f64;
        let memory = if config.optimizer == OptimizerKind::Sgd { 1.0 } else { 2.0 };
        let average = if config.ema_decay > 0.0 { 1.0 } else { 0.0 };
        let sum = if config.accumulate > 1 { 1.0 } else { 0.0 };
        // Copies of the weights: values, gradients, the optimiser's, the average, and the sum of
        // gradients; the best values; a checkpoint while it is written, with its largest tensor
        // also as bytes.
        let copies = (2.0 + memory + average + sum) + 1.0 + (2.0 + memory + average);
        let volume = 4.0 * network.voxels() as f64;
        let width = network.width as f64;
        let values = if Network::kernel_size_has_kernels(network.kernel_size) {
            (2.5 + 0.8 * width).max(12.0)
        } else {
            125.0 + 2.5 * width
        };
        Need { fixed: BASE + weights * copies, per_volume: volume * values }
    }

    fn bytes(&self, batch: usize) -> f64 {
        self.fixed + self.per_volume * batch as f64
    }
}

/// Checks the memory before a training on a CPU begins, because the system kills a process that
/// takes too much without a message. A GPU reports it itself: see [`guarded`].
///
/// # Errors
/// If a step would not fit. The error says what it needs, what is free, and what would fit.
pub(crate) fn check(config: &Config, network: &Network, device: Device) -> Result<(), TrainError> {
    let Some(free) = free(device).filter(|_| device == Device::Cpu) else { return Ok(()) };
    let need = Need::of(config, network);
    // An estimate that is only slightly too high is no reason to refuse.
    if need.bytes(config.batch_size) * TRUSTED <= free as f64 {
        return Ok(());
    }
    Err(TrainError::Memory(refusal(config, &need, free)))
}

fn refusal(config: &Config, need: &Need, free: u64) -> String {
    let batch = config.batch_size;
    let text = format!(
        "batch_size {batch} needs about {} of memory ({} for each volume and {} for the weights), but only {} are free",
        gigabytes(need.bytes(batch) as u64),
        gigabytes(need.per_volume as u64),
        gigabytes(need.fixed as u64),
        gigabytes(free)
    );
    match (1..batch).rev().find(|&smaller| need.bytes(smaller) <= free as f64) {
        Some(most) => {
            // The fewest batches that fit, all of one size.
            let parts = batch.div_ceil(most);
            let smaller = batch.div_ceil(parts);
            let accumulate = config.accumulate * parts;
            format!(
                "{text}; batch_size {smaller} with accumulate {accumulate} makes steps of {} volumes in {}",
                smaller * accumulate,
                gigabytes(need.bytes(smaller) as u64)
            )
        }
        None => {
            format!("{text}; not even one volume fits: use a smaller width, hidden_size or preprocess.size")
        }
    }
}

/// Runs work on the device. If a GPU runs out of memory, its library panics; that becomes an error.
pub(crate) fn guarded<T>(
    config: &Config,
    device: Device,
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
            "batch_size {} does not fit into the memory of {device} ({text}; {} are free); try batch_size {half} \
             with accumulate {}",
            config.batch_size,
            free(device).map_or_else(|| "an unknown amount".to_owned(), gigabytes),
            config.accumulate * config.batch_size.div_ceil(half)
        )))
    })
}

/// The free memory in bytes; `None` if the system does not tell.
pub(crate) fn free(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => [available(), control_group(), address_space()].into_iter().flatten().min(),
        Device::Cuda(index) => gpu(index),
    }
}

/// A field of a `/proc` file, in bytes.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn available() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable")
}

/// The memory that the control group of this process (of a Slurm job or a container) has left: the
/// smallest amount of this group and those above it.
fn control_group() -> Option<u64> {
    group_room(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The same for a hierarchy in `root`, in either version of cgroups.
fn group_room(root: &Path, own: &str) -> Option<u64> {
    let second = own.lines().find_map(|line| line.strip_prefix("0::"));
    let first = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(path)
    });
    let (root, path, names) = match (first, second) {
        (Some(path), _) => (
            root.join("memory"),
            path,
            ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "],
        ),
        (None, Some(path)) => (root.to_path_buf(), path, ["memory.max", "memory.current", "inactive_file "]),
        (None, None) => return None,
    };
    let number = |folder: &Path, name: &str| -> Option<u64> {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    let room = |folder: &Path| {
        let most = number(folder, names[0])?;
        // The page cache counts as used, but is freed on demand.
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix(names[2])?.parse::<u64>().ok());
        Some(most.saturating_sub(number(folder, names[1])?.saturating_sub(cache.unwrap_or(0))))
    };
    let folder = root.join(path.trim_start_matches('/'));
    folder.ancestors().take_while(|folder| folder.starts_with(&root)).filter_map(room).min()
}

/// The memory that `ulimit -v` leaves.
fn address_space() -> Option<u64> {
    let most = rustix::process::getrlimit(rustix::process::Resource::As).current?;
    Some(most.saturating_sub(field("/proc/self/status", "VmSize")?))
}

/// The free memory of a GPU, from NVIDIA's own program, which comes with the driver.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_said_with_the_accumulation_that_makes_the_same_step() {
        let config = Config { batch_size: 24, accumulate: 2, ..Config::default() };
        let need = Need { fixed: 2e9, per_volume: 0.5e9 };
        // 2 + 24 · 0.5 = 14. Nine volumes fit into 6.5, so three batches are needed:
        // 2 + 8 · 0.5 = 6.
        let text = refusal(&config, &need, 6_500_000_000);
        assert!(
            text.contains("batch_size 24 needs about 14.0 GB") && text.contains("6.5 GB are free"),
            "{text}"
        );
        assert!(
            text.contains("batch_size 8 with accumulate 6 makes steps of 48 volumes in 6.0 GB"),
            "{text}"
        );
        // 31 is prime: two batches of 16 are one volume more.
        let text =
            refusal(&Config { batch_size: 31, accumulate: 1, ..config.clone() }, &need, 12_000_000_000);
        assert!(text.contains("batch_size 16 with accumulate 2 makes steps of 32 volumes"), "{text}");
        let text = refusal(&config, &need, 2_400_000_000);
        assert!(text.contains("not even one volume fits") && text.contains("width"), "{text}");
    }

    /// `benches/README.md` has the measurements: the peak memory of a whole
    /// `ctpipe run --to train`.
    #[test]
    fn the_estimate_covers_what_was_measured_and_not_much_more() {
        for (width, batch_size, ema_decay, measured) in [(64, 8, 0.0, 3.33e9), (32, 32, 0.9, 2.74e9)] {
            let config = Config { width, batch_size, ema_decay, ..Config::default() };
            let need = Need::of(&config, &config.network(64)).bytes(batch_size);
            assert!((0.85..1.15).contains(&(need / measured)), "{width}: {need} against {measured}");
        }
    }

    /// The files as Linux lays them out: Documentation/admin-guide/cgroup-v1/memory.rst and
    /// cgroup-v2.rst.
    #[test]
    fn the_narrowest_control_group_counts_in_either_version() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("slurm/job/memory.max", "4000\n");
        put("slurm/job/memory.current", "1500\n");
        put("slurm/job/memory.stat", "anon 700\ninactive_file 500\n");
        put("slurm/memory.max", "max\n");
        put("slurm/memory.current", "9999\n");
        assert_eq!(group_room(root.path(), "0::/slurm/job\n"), Some(3000));
        put("memory/docker/x/memory.limit_in_bytes", "2000\n");
        put("memory/docker/x/memory.usage_in_bytes", "600\n");
        put("memory/docker/x/memory.stat", "total_inactive_file 100\n");
        let own = "12:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/\n";
        assert_eq!(group_room(root.path(), own), Some(1500));
        assert_eq!(group_room(root.path(), "1:name=systemd:/\n"), None);
    }

    #[test]
    fn a_device_without_memory_is_an_error_and_a_mistake_stays_a_panic() {
        let config = Config { batch_size: 9, ..Config::default() };
        let full = || std::panic::panic_any("CUDA_ERROR_OUT_OF_MEMORY".to_owned());
        let text =
            guarded::<()>(&config, Device::Cpu, full).map_err(|e| e.to_string()).err().unwrap_or_default();
        assert!(text.contains("try batch_size 5 with accumulate 2"), "{text}");
        let mistake =
            catch_unwind(|| guarded::<()>(&config, Device::Cpu, || std::panic::panic_any("an index")));
        assert!(mistake.is_err());
    }
}
