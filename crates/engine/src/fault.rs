//! Places where a test may end the process, or let the disk be full: before and after every step that
//! changes something on disk, and in the middle of those that take time. Knows nothing of what is done there.
//!
//! In debug builds, `CTPIPE_FAULT=12` kills the process at its 12th such place, as `kill -9` does, and
//! `CTPIPE_FAULT=12:full` or `12:readonly` lets that and all that follow fail as a full disk or one that is
//! mounted read-only. In other builds the places are empty.

use std::io;

/// A place where something may go wrong.
#[cfg(not(fault_points))]
#[allow(clippy::unnecessary_wraps, clippy::missing_const_for_fn)]
pub(crate) fn point() -> io::Result<()> {
    Ok(())
}

/// A place where something may go wrong.
#[cfg(fault_points)]
#[allow(clippy::disallowed_methods)] // an order of the tests, absent from what is used
pub(crate) fn point() -> io::Result<()> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static ORDER: OnceLock<Option<(u64, Fault)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let order = ORDER.get_or_init(|| parse(&std::env::var("CTPIPE_FAULT").ok()?));
    let Some((number, fault)) = order else {
        return Ok(());
    };
    let here = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    match fault {
        Fault::Kill if here == *number => {
            let _ = kill_process(getpid(), Signal::KILL);
            Ok(())
        }
        Fault::Errno(errno) if here >= *number => Err((*errno).into()),
        _ => Ok(()),
    }
}

#[cfg(fault_points)]
enum Fault {
    Kill,
    Errno(rustix::io::Errno),
}

#[cfg(fault_points)]
fn parse(text: &str) -> Option<(u64, Fault)> {
    let (number, fault) = match text.split_once(':') {
        None => (text, Fault::Kill),
        Some((number, "full")) => (number, Fault::Errno(rustix::io::Errno::NOSPC)),
        Some((number, "readonly")) => (number, Fault::Errno(rustix::io::Errno::ROFS)),
        Some(_) => return None,
    };
    Some((number.parse().ok()?, fault))
}
