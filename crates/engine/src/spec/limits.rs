//! The resources of a stage and the number of attempts. They do not change its result, so they are
//! in no key.

use std::time::Duration;

use crate::sys::amount::amount;

/// From `timeout:`, `retries:`, `cpus:`, `gpus:` and `memory:`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most time that one attempt may take.
    pub timeout: Option<Duration>,
    /// Attempts after the first one fails.
    pub retries: u32,
    /// The number of threads that it uses.
    pub cpus: Option<u32>,
    /// The number of GPUs that it uses.
    pub gpus: Option<u32>,
    /// Bytes of memory that it uses.
    pub memory: Option<u64>,
}

/// What a stage uses of the machine while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) cpus: u32,
    pub(crate) gpus: u32,
    pub(crate) memory: u64,
}

/// The most retries; more are a mistake, because the waits between them grow to a minute each.
pub(crate) const MOST_RETRIES: u64 = 100;
/// The wait before the second attempt; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl Limits {
    /// The wait before attempt `number`, where 1 is the first retry.
    pub(crate) fn wait_before(number: u32) -> Duration {
        FIRST_WAIT.saturating_mul(1 << number.saturating_sub(1).min(16)).min(LONGEST_WAIT)
    }

    /// Reads `retries:`.
    pub(crate) fn retries(number: Option<u64>) -> Result<u32, String> {
        match number {
            Some(number @ 0..=MOST_RETRIES) => Ok(number as u32),
            _ => Err(format!("retries must be a whole number from 0 to {MOST_RETRIES}")),
        }
    }

    /// Reads `cpus:` or `gpus:`.
    pub(crate) fn count(what: &str, least: u32, number: Option<u64>) -> Result<u32, String> {
        let number = number.and_then(|number| u32::try_from(number).ok());
        let wrong = || format!("{what} must be a whole number from {least}");
        number.filter(|number| *number >= least).ok_or_else(wrong)
    }

    /// Reads `memory:`, a number and a unit.
    pub(crate) fn memory(text: &str) -> Result<u64, String> {
        amount(text, &[("MB", 1_000_000), ("GB", 1_000_000_000)])
            .ok_or_else(|| "memory must be an amount such as 800MB or 16GB".to_owned())
    }

    /// Reads `timeout:`, a number and a unit.
    pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
        let seconds = amount(text, &[("s", 1), ("m", 60), ("h", 3600)]);
        // A year is as good as forever, and no clock overflows.
        let time = seconds.map(|seconds| Duration::from_secs(seconds.min(31_536_000)));
        time.ok_or_else(|| "timeout must be a time such as 90s, 15m or 2h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::amount::in_words;

    #[test]
    fn times_are_a_number_and_a_unit() {
        let read = |text: &str| Limits::timeout(text).ok().map(|time| time.as_secs());
        assert_eq!(["90s", "15m", "2 h"].map(read), [Some(90), Some(900), Some(7200)]);
        assert_eq!(["", "90", "s", "0s", "-1s", "1.5h", "2d", "99999999999999999999s"].map(read), [None; 8]);
        for text in ["90s", "15m", "2h"] {
            assert_eq!(Limits::timeout(text).map(in_words).as_deref(), Ok(text));
        }
    }

    #[test]
    fn memory_is_a_number_and_a_unit() {
        let read = |text: &str| Limits::memory(text).ok();
        assert_eq!(["800MB", "16 GB"].map(read), [Some(800_000_000), Some(16_000_000_000)]);
        assert_eq!(["", "16", "0GB", "1.5GB", "1TB", "99999999999999999GB"].map(read), [None; 6]);
    }

    #[test]
    fn waits_double_up_to_a_minute() {
        let waits = [1, 2, 3, 6, 7, 8, 100].map(|number| Limits::wait_before(number).as_secs());
        assert_eq!(waits, [1, 2, 4, 32, 60, 60, 60]);
    }
}
