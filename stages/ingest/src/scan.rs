//! Reads the headers of files, telling how far it is. Judges nothing.

use ctpipe_ct::{Found, Listing};
use ctpipe_engine::{StageError, Task};

/// Progress is told once for so many files.
const TELL_EVERY: u64 = 64;

/// Those of the listing, in its order.
pub(crate) fn scan(task: &Task<'_>, listing: &Listing) -> Result<Vec<Found>, StageError> {
    listing.read(&|done, total| {
        task.check_stop()?;
        if done.is_multiple_of(TELL_EVERY) || done == total {
            task.progress(done, total, "files", "");
        }
        Ok(())
    })
}
