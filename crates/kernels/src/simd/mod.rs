//! Sixteen f32 at a time, on every instruction set. Kernels are written once against [`Simd`]. The
//! sixteen lanes are the same everywhere, so AVX2, AVX-512 and NEON give the same bits.

#[cfg(target_arch = "aarch64")]
mod arm;
mod lanes;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(crate) use arm::Neon;
pub(crate) use lanes::Simd;
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};
