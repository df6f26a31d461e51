//! Memory that is used again: fresh pages cost several times what rewriting old ones does.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A buffer that nobody uses, and the step in which it was last used.
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

/// A buffer of `len` values, whatever they were before.
pub fn take(len: usize) -> Vec<f32> {
    let mut pool = pool();
    // The closest fit, and none that would waste half of itself.
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

/// Gives a buffer back.
pub fn give(values: Vec<f32>) {
    // Small ones the allocator keeps at hand itself.
    if values.capacity() >= 4096 {
        let mut pool = pool();
        let used = pool.step;
        pool.free.push(Free { values, used });
    }
}

/// Says that a step of training, or a batch of answers, is over. What two of them in a row had no use
/// for goes back to the system: the pool holds what a step needs, and no more.
pub fn step() {
    let mut pool = pool();
    pool.step += 1;
    let now = pool.step;
    pool.free.retain(|free| free.used + 2 >= now);
}

/// Lets go of everything kept.
pub fn clear() {
    pool().free.clear();
}

/// Values kept for the next [`take`].
pub fn kept() -> usize {
    pool().free.iter().map(|free| free.values.capacity()).sum()
}

/// Asks for pages of 2 MB where the system has them: fewer faults and fewer misses of the TLB.
#[cfg(all(target_os = "linux", not(miri)))]
fn huge(buffer: &[f32]) {
    const PAGE: usize = 2 << 20;
    let start = (buffer.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (buffer.as_ptr() as usize + size_of_val(buffer)) / PAGE * PAGE;
    if end > start {
        // SAFETY: whole pages within a buffer that we own; the advice changes no content. A system
        // that does not take it goes on without.
        let _ =
            unsafe { rustix::mm::madvise(start as *mut _, end - start, rustix::mm::Advice::LinuxHugepage) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn huge(_: &[f32]) {}

/// A buffer that goes back by itself.
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// As [`take`].
    pub(crate) fn new(len: usize) -> Buffer {
        Buffer(take(len))
    }

    /// All zero.
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
