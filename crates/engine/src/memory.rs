//! Peak memory of this process, as Linux tells it. Knows nothing of stages.

use std::fs;

/// Starts a new measurement. Where the system does not allow it, the next reading is the peak
/// since the process began, which is never too low.
pub(crate) fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Peak resident memory in bytes since [`reset_peak`].
pub(crate) fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Bytes of memory that the machine has; as much as one likes where the system does not tell.
pub(crate) fn of_the_machine() -> u64 {
    let line = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = line.strip_prefix("MemTotal:").and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.map_or(u64::MAX, |kib: u64| kib.saturating_mul(1024))
}
