//! Computes content digests of files and folders, and caches them so that unchanged files are not
//! read again.

mod stat_cache;
mod walk;

pub use stat_cache::StatCache;
pub use walk::tree_of;
pub(crate) use walk::{list, still_holds, tree_by};
