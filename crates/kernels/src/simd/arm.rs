#[allow(clippy::wildcard_imports)] // forty of them
use std::arch::aarch64::*;

use super::lanes::Simd;

/// NEON, which every 64-bit ARM processor has: four registers of four values.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// Whether this processor supports it.
    pub(crate) fn detect() -> Option<Neon> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
    }
}

/// An expression of intrinsics, four times.
macro_rules! four {
    (|$i:ident| $e:expr) => {{
        // SAFETY: the token `self` exists only where `detect` found NEON. Pointers come from
        // references to arrays of the length that is read or written.
        unsafe {
            [
                {
                    const $i: usize = 0;
                    $e
                },
                {
                    const $i: usize = 1;
                    $e
                },
                {
                    const $i: usize = 2;
                    $e
                },
                {
                    const $i: usize = 3;
                    $e
                },
            ]
        }
    }};
}

type Four = [float32x4_t; 4];

impl Simd for Neon {
    type V = Four;
    type I = [u8; 16];
    type W = [float64x2_t; 4];
    const WIDE: bool = false;
    const ROWS: usize = 6;

    #[inline(always)]
    fn splat(self, x: f32) -> Four {
        four!(|I| {
            let _ = I;
            vdupq_n_f32(x)
        })
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> Four {
        four!(|I| vld1q_f32(from.as_ptr().add(4 * I)))
    }
    #[inline(always)]
    fn store(self, v: Four, to: &mut [f32; 16]) {
        four!(|I| vst1q_f32(to.as_mut_ptr().add(4 * I), v[I]));
    }
    #[inline(always)]
    fn add(self, a: Four, b: Four) -> Four {
        four!(|I| vaddq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn sub(self, a: Four, b: Four) -> Four {
        four!(|I| vsubq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn mul(self, a: Four, b: Four) -> Four {
        four!(|I| vmulq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn fma(self, a: Four, b: Four, c: Four) -> Four {
        four!(|I| vfmaq_f32(c[I], a[I], b[I]))
    }
    #[inline(always)]
    fn select_gt(self, a: Four, b: Four, x: Four, y: Four) -> Four {
        four!(|I| vbslq_f32(vcgtq_f32(a[I], b[I]), x[I], y[I]))
    }
    #[inline(always)]
    fn select_eq(self, a: Four, b: Four, x: Four, y: Four) -> Four {
        four!(|I| vbslq_f32(vceqq_f32(a[I], b[I]), x[I], y[I]))
    }
    #[inline(always)]
    fn widen(self, from: &[u8; 16]) -> Four {
        let mut numbers = [0.0; 16];
        for (number, &byte) in numbers.iter_mut().zip(from) {
            *number = f32::from(byte);
        }
        self.load(&numbers)
    }
    #[inline(always)]
    fn narrow(self, v: Four, to: &mut [u8; 16]) {
        let mut numbers = [0.0; 16];
        self.store(v, &mut numbers);
        for (to, number) in to.iter_mut().zip(numbers) {
            *to = number as u8;
        }
    }
    #[inline(always)]
    fn indices(self, v: Four) -> [u8; 16] {
        let mut indices = [0; 16];
        self.narrow(v, &mut indices);
        indices.map(|index| index & 15)
    }
    #[inline(always)]
    fn lookup(self, table: Four, index: [u8; 16]) -> Four {
        let mut values = [0.0; 16];
        self.store(table, &mut values);
        let mut found = [0.0; 16];
        for (found, index) in found.iter_mut().zip(index) {
            *found = values[index as usize];
        }
        self.load(&found)
    }
    #[inline(always)]
    fn load_wide(self, from: &[f64; 8]) -> [float64x2_t; 4] {
        four!(|I| vld1q_f64(from.as_ptr().add(2 * I)))
    }
    #[inline(always)]
    fn store_wide(self, v: [float64x2_t; 4], to: &mut [f64; 8]) {
        four!(|I| vst1q_f64(to.as_mut_ptr().add(2 * I), v[I]));
    }
    #[inline(always)]
    fn splat_wide(self, x: f64) -> [float64x2_t; 4] {
        four!(|I| {
            let _ = I;
            vdupq_n_f64(x)
        })
    }
    #[inline(always)]
    fn fma_wide(self, a: [float64x2_t; 4], b: [float64x2_t; 4], c: [float64x2_t; 4]) -> [float64x2_t; 4] {
        four!(|I| vfmaq_f64(c[I], a[I], b[I]))
    }
    #[inline(always)]
    fn div_wide(self, a: [float64x2_t; 4], b: [float64x2_t; 4]) -> [float64x2_t; 4] {
        four!(|I| vdivq_f64(a[I], b[I]))
    }
    #[inline(always)]
    fn sqrt_wide(self, a: [float64x2_t; 4]) -> [float64x2_t; 4] {
        four!(|I| vsqrtq_f64(a[I]))
    }
    #[inline(always)]
    fn split(self, v: Four) -> [[float64x2_t; 4]; 2] {
        let [a, b, c, d] = four!(|I| [vcvt_f64_f32(vget_low_f32(v[I])), vcvt_high_f64_f32(v[I])]);
        [[a[0], a[1], b[0], b[1]], [c[0], c[1], d[0], d[1]]]
    }
    #[inline(always)]
    fn join(self, v: [[float64x2_t; 4]; 2]) -> Four {
        four!(|I| vcvt_high_f32_f64(vcvt_f32_f64(v[I / 2][I % 2 * 2]), v[I / 2][I % 2 * 2 + 1]))
    }
}
