//! Fault points, where a test may end the process or simulate a full disk. They are before and
//! after every step that changes the disk, and within the steps that take time.
//!
//! The cargo feature `fault-points`, which tests switch on, enables them. `CTPIPE_FAULT=12` then
//! kills the process at its 12th fault point, as `kill -9` does. `CTPIPE_FAULT=12:full` or
//! `12:readonly` makes that point and all later ones fail like a full disk or one that is mounted
//! read-only. Without the feature, as in released builds, the points do nothing.

use std::io;

/// A fault point, without effect.
#[cfg(not(feature = "fault-points"))]
#[allow(clippy::unnecessary_wraps, clippy::missing_const_for_fn)]
pub(crate) fn point() -> io::Result<()> {
    Ok(())
}

/// A fault point.
#[cfg(feature = "fault-points")]
#[allow(clippy::disallowed_methods)] // set by tests; absent from released builds
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

#[cfg(feature = "fault-points")]
enum Fault {
    Kill,
    Errno(rustix::io::Errno),
}

#[cfg(feature = "fault-points")]
fn parse(text: &str) -> Option<(u64, Fault)> {
    let (number, fault) = match text.split_once(':') {
        None => (text, Fault::Kill),
        Some((number, "full")) => (number, Fault::Errno(rustix::io::Errno::NOSPC)),
        Some((number, "readonly")) => (number, Fault::Errno(rustix::io::Errno::ROFS)),
        Some(_) => return None,
    };
    Some((number.parse().ok()?, fault))
}
