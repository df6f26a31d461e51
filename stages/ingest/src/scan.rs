//! Finds the files and reads their headers, telling how far it is. Judges nothing.

use ctpipe_ct::{Found, discover};
use ctpipe_engine::{StageError, Task};

/// Progress is told once for so many files.
const TELL_EVERY: u64 = 64;

/// Every file below the DICOM folder in the order of their paths.
pub(crate) fn scan(task: &Task<'_>) -> Result<Vec<Found>, StageError> {
    discover(task.input("dicom")?, &|done, total| {
        task.check_stop()?;
        if done.is_multiple_of(TELL_EVERY) || done == total {
            task.progress(done, total, "files", "");
        }
        Ok(())
    })
}
