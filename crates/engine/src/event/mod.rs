//! The events of a run as plain data: decisions and their reasons, progress, verdicts of gates,
//! differences from the lock.

mod judged;
mod lock_difference;
mod reason;
mod recorded;
mod released;
mod state;
mod stream;

pub use judged::Judged;
pub use lock_difference::{LockDifference, LockedFact};
pub use reason::Reason;
pub use recorded::RecordedEvent;
pub use released::Released;
pub use state::{State, describe};
pub(crate) use stream::Heard;
pub use stream::{Event, Observer, Outcome};
