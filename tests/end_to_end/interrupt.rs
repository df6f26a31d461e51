//! Signals: finished work is kept, and the next run needs no repair.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::{STAGES, Sandbox};

/// Starts a run and sends it a signal once the stage has begun. Returns the exit code, `None` if it
/// was killed.
fn interrupted(sandbox: &Sandbox, stage: &str, signal: &str) -> Option<i32> {
    let mut child = sandbox
        .command(&["run", "--set", "train.epochs=1000", "--set", "train.early_stopping_patience=1000"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let made = sandbox.path("artifacts/tmp");
    let begun = || {
        std::fs::read_dir(&made).is_ok_and(|entries| {
            entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with(stage))
        })
    };
    let started = Instant::now();
    while !begun() && started.elapsed() < Duration::from_mins(2) {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before {stage} began");
        sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    child.wait().expect("a child").code()
}

#[test]
fn one_interrupt_ends_cleanly_with_130_and_keeps_what_was_finished() {
    let sandbox = Sandbox::new();
    assert_eq!(interrupted(&sandbox, "train", "-INT"), Some(130));
    assert!(sandbox.path("artifacts/split").exists());
    assert!(!sandbox.path("artifacts/train").exists());
    assert_eq!(sandbox.run().ran(), ["evaluate", "report", "train"]);
}

#[test]
fn a_kill_leaves_nothing_half_made_and_the_next_run_ends_as_an_undisturbed_one() {
    let (killed, undisturbed) = (Sandbox::new(), Sandbox::new());
    undisturbed.run();
    for stage in ["preprocess", "train"] {
        assert_eq!(interrupted(&killed, stage, "-KILL"), None);
    }
    killed.run();
    assert_eq!(killed.contents(), undisturbed.contents());
    assert_eq!(std::fs::read_dir(killed.path("artifacts/tmp")).map_or(0, Iterator::count), 0);
    assert_eq!(killed.contents().len(), STAGES.len());
}
