//! Reads the headers of files and reports progress. Judges nothing.

use ctpipe_ct::{Found, Listing};
use ctpipe_stage::{StageError, Task};

/// Progress is reported once per this many files.
const TELL_EVERY: u64 = 64;

/// Reads the files of the listing, in its order.
pub(crate) fn scan(task: &Task<'_>, listing: &Listing) -> Result<Vec<Found>, StageError> {
    listing.read(&|done, total| {
        task.check_stop()?;
        if done.is_multiple_of(TELL_EVERY) || done == total {
            task.progress(done, total, "files", "");
        }
        Ok(())
    })
}
