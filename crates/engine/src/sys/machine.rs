//! Reads from Linux the resources of the machine and the memory that a stage uses.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of running stages, and the number ever started.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// A measurement of one stage's memory. The system counts for the whole process, so the result is
/// usable only if no other stage ran at the same time.
pub(crate) struct Measurement {
    alone: bool,
    begun: usize,
}

impl Measurement {
    /// Starts a measurement. If the system does not allow a reset, the reading is the peak since
    /// the process began, which is never too low.
    pub(crate) fn start() -> Measurement {
        let alone = AT_WORK.fetch_add(1, Ordering::SeqCst) == 0;
        let begun = BEGUN.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = fs::write("/proc/self/clear_refs", "5");
        Measurement { alone, begun }
    }

    /// The peak resident memory in bytes since the start; `None` if it is unknown.
    pub(crate) fn peak(&self) -> Option<u64> {
        if !self.alone || BEGUN.load(Ordering::SeqCst) != self.begun {
            return None;
        }
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The memory of the machine in bytes; unlimited if the system does not report it.
pub(crate) fn memory() -> u64 {
    let line = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = line.strip_prefix("MemTotal:").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.map_or(u64::MAX, |kib: u64| kib.saturating_mul(1024))
}

/// The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them. If none is found, one
/// is assumed, because there may be one of another make.
#[allow(clippy::disallowed_methods)] // decides where work runs, not its result
pub(crate) fn gpus() -> Vec<String> {
    if let Ok(given) = std::env::var("CUDA_VISIBLE_DEVICES") {
        return given.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    let devices = fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count);
    (0..devices.max(1)).map(|number| number.to_string()).collect()
}
