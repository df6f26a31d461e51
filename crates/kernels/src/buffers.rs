//! Memory that is reused, because touching fresh pages costs several times as much as rewriting old
//! ones.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A buffer that is not in use, and the step in which it was last used.
struct Free {
    values: Vec<f32>,
    used: u64,
}

struct Pool {
    free: Vec<Free>,
    step: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), step: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer of `len` values, with arbitrary content.
pub fn take(len: usize) -> Vec<f32> {
    let mut pool = pool();
    // The closest fit, but none that would waste half of itself.
    let best = (0..pool.free.len())
        .filter(|&i| {
            let capacity = pool.free[i].values.capacity();
            capacity >= len && capacity <= 2 * len.max(1024)
        })
        .min_by_key(|&i| pool.free[i].values.capacity());
    let found = best.map(|i| pool.free.swap_remove(i));
    drop(pool);
    if let Some(Free { mut values, .. }) = found {
        values.resize(len, 0.0);
        return values;
    }
    let values = vec![0.0; len];
    huge(&values);
    values
}

/// Returns a buffer to the pool.
pub fn give(values: Vec<f32>) {
    // The allocator itself keeps small buffers at hand.
    if values.capacity() >= 4096 {
        let mut pool = pool();
        let used = pool.step;
        pool.free.push(Free { values, used });
    }
}

/// Marks the end of a training step or of a batch of predictions. Buffers that were not used for
/// two steps in a row go back to the system, so the pool holds only what a step needs.
pub fn step() {
    let mut pool = pool();
    pool.step += 1;
    let now = pool.step;
    pool.free.retain(|free| free.used + 2 >= now);
}

/// Releases everything in the pool.
pub fn clear() {
    pool().free.clear();
}

/// Number of values in the pool, kept for the next [`take`].
pub fn kept() -> usize {
    pool().free.iter().map(|free| free.values.capacity()).sum()
}

/// Asks for pages of 2 MB where the system has them: fewer page faults and fewer TLB misses.
#[cfg(all(target_os = "linux", not(miri)))]
fn huge(buffer: &[f32]) {
    const PAGE: usize = 2 << 20;
    let start = (buffer.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (buffer.as_ptr() as usize + size_of_val(buffer)) / PAGE * PAGE;
    if end > start {
        // SAFETY: these are whole pages within a buffer that we own, and the advice changes no
        // content. A system that does not support it goes on without.
        let _ =
            unsafe { rustix::mm::madvise(start as *mut _, end - start, rustix::mm::Advice::LinuxHugepage) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn huge(_: &[f32]) {}

/// A buffer that returns itself to the pool.
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// Like [`take`].
    pub(crate) fn new(len: usize) -> Buffer {
        Buffer(take(len))
    }

    /// A buffer of zeros.
    pub(crate) fn zeroed(len: usize) -> Buffer {
        let mut buffer = take(len);
        buffer.fill(0.0);
        Buffer(buffer)
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}
