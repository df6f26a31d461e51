//! Memory that is used again: fresh pages cost several times what rewriting old ones does.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Free buffers, to be handed out again; bounded, so that a change of sizes does not pile them up.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());
const MOST: usize = 64;

/// A buffer of `len` values, whatever they were before.
pub fn take(len: usize) -> Vec<f32> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    // The closest fit, and none that would waste half of itself.
    let best = (0..free.len())
        .filter(|&i| free[i].capacity() >= len && free[i].capacity() <= 2 * len.max(1024))
        .min_by_key(|&i| free[i].capacity());
    let found = best.map(|i| free.swap_remove(i));
    drop(free);
    if let Some(mut buffer) = found {
        buffer.resize(len, 0.0);
        return buffer;
    }
    let buffer = vec![0.0; len];
    huge(&buffer);
    buffer
}

/// Gives a buffer back.
pub fn give(buffer: Vec<f32>) {
    // Small ones the allocator keeps at hand itself.
    if buffer.capacity() < 4096 {
        return;
    }
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    free.push(buffer);
    if free.len() > MOST {
        // The oldest are those of sizes no longer asked for.
        free.remove(0);
    }
}

/// Lets go of everything kept.
pub fn clear() {
    FREE.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
