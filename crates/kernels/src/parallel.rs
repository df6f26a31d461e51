//! Runs work in parts that do not depend on the number of threads.

use rayon::prelude::*;

/// Flushes denormal numbers to zero while it lives. Otherwise a network whose gradients fade would
/// compute many times slower on some processors.
struct Flush(#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))] u64);

#[cfg(all(target_arch = "x86_64", not(miri)))]
impl Flush {
    fn begin() -> Flush {
        let mut old = 0_u32;
        // SAFETY: this reads the control register into a variable.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut old, options(nostack)) };
        // Flush to zero (bit 15) and denormals are zero (bit 6).
        Flush::set(old | 0x8040);
        Flush(u64::from(old))
    }

    fn set(value: u32) {
        // SAFETY: the value was read from the register, with or without the two bits; rounding and
        // the exception masks stay as they were. Rust assumes that the register never changes, so
        // this goes beyond what the language promises. Only the work itself runs while the register
        // differs, and it is behind a call that is not inlined (`apart`), so that no other
        // arithmetic can be moved in between or folded for the other setting.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, readonly)) };
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
impl Drop for Flush {
    fn drop(&mut self) {
        Flush::set(self.0 as u32);
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
impl Flush {
    fn begin() -> Flush {
        let old: u64;
        // SAFETY: this reads the control register.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) old, options(nomem, nostack)) };
        Flush::set(old | 1 << 24);
        Flush(old)
    }

    fn set(value: u64) {
        // SAFETY: the value was read from the register, with or without the flush bit.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack)) };
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
impl Drop for Flush {
    fn drop(&mut self) {
        Flush::set(self.0);
    }
}

#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
impl Flush {
    fn begin() -> Flush {
        Flush(0)
    }
}

/// Runs `work(index, part)` for each part on rayon's threads; results are in the order of the
/// parts.
pub(crate) fn each<P: Send, R: Send>(parts: Vec<P>, work: impl Fn(usize, P) -> R + Sync) -> Vec<R> {
    parts
        .into_par_iter()
        .enumerate()
        .with_max_len(1)
        .map(|(index, part)| {
            let _flush = Flush::begin();
            apart(&work, index, part)
        })
        .collect()
}

/// The work, in a function of its own: see [`Flush`].
#[inline(never)]
fn apart<P, R>(work: &impl Fn(usize, P) -> R, index: usize, part: P) -> R {
    work(index, part)
}

/// Cuts a slice into consecutive pieces of these lengths, which must fill it.
pub(crate) fn cut<T>(mut data: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let pieces = lengths
        .map(|length| {
            let (piece, rest) = std::mem::take(&mut data).split_at_mut(length);
            data = rest;
            piece
        })
        .collect();
    assert!(data.is_empty(), "the pieces do not fill the slice");
    pieces
}

/// Consecutive ranges that share `0..total` evenly among at most `parts`.
pub(crate) fn ranges(total: usize, parts: usize) -> Vec<std::ops::Range<usize>> {
    let parts = parts.clamp(1, total.max(1));
    (0..parts).map(|part| total * part / parts..total * (part + 1) / parts).collect()
}
