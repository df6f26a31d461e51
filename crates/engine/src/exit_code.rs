//! The exit codes of the process. Scripts and timers rely on them, so a number never changes its
//! meaning.

/// Done, or nothing had to be done.
pub const DONE: u8 = 0;
/// A stage failed.
pub const STAGE_FAILED: u8 = 1;
/// The command or the configuration cannot be used; nothing was started.
pub const USAGE: u8 = 2;
/// Something is stale.
pub const STALE: u8 = 3;
/// Something does not match.
pub const MISMATCH: u8 = 4;
/// A quality gate failed.
pub const GATE_FAILED: u8 = 5;
/// Another run holds the lock.
pub const LOCKED: u8 = 75;
/// The user stopped it.
pub const INTERRUPTED: u8 = 130;

/// Every exit code with its meaning.
pub const ALL: [(u8, &str); 8] = [
    (DONE, "done, or fresh"),
    (STAGE_FAILED, "a stage failed"),
    (USAGE, "usage or configuration; nothing was started"),
    (STALE, "something is stale (status, run --dry-run)"),
    (
        MISMATCH,
        "something does not match (audit, run --locked), or a lock, a manifest or a record was altered",
    ),
    (GATE_FAILED, "a quality gate failed"),
    (LOCKED, "another run holds the lock"),
    (INTERRUPTED, "interrupted; what was finished is kept"),
];
