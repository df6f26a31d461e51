//! Executes a stage, for a run and for an audit alike.

use std::error::Error as StdError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use ctpipe_stage::{Account, Assignment, Stage, StageError, Task};

/// Why a stage has no result.
pub(crate) enum Failure {
    /// The user asked to stop.
    Interrupted,
    /// It took longer than its timeout.
    Late,
    /// It failed.
    Failed(Box<dyn StdError + Send + Sync>),
}

/// Runs a stage on an assignment and returns its account of its work.
pub(crate) fn execute(stage: &dyn Stage, assignment: Assignment<'_>) -> Result<Account, Failure> {
    let stop = assignment.stop;
    let task = Task::new(assignment);
    // A panic is a bug in a stage; it must cost that stage and not the record of the run.
    let result = catch_unwind(AssertUnwindSafe(|| stage.run(&task))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(StageError::Failed(format!("a mistake in ctpipe: {text}; please report it").into()))
    });
    match result {
        Ok(()) => Ok(task.into_account()),
        Err(StageError::Interrupted) if task.is_late() && !stop.load(Ordering::Relaxed) => Err(Failure::Late),
        Err(StageError::Interrupted) => Err(Failure::Interrupted),
        Err(StageError::Failed(source)) => Err(Failure::Failed(source)),
    }
}
