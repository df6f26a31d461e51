//! Sixteen f32 at a time, on every instruction set. Kernels are written once against [`Simd`];
//! the sixteen lanes are the same everywhere, so AVX2, AVX-512 and NEON give the same bits.

/// An instruction set, as a token: a value of an implementing type exists only where the processor
/// has the instructions, so that its methods are safe to call.
///
/// Everything that takes a `Simd` is `#[inline(always)]`, down from a function with
/// `#[target_feature]` (made by [`crate::isa::kernel`]); otherwise it would be compiled without the
/// instructions.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen f32.
    type V: Copy;
    /// Sixteen indices into a table of sixteen.
    type I: Copy;
    /// Eight f64.
    type W: Copy;
    /// Whether 24 vectors and a few more stay in registers.
    const WIDE: bool;
    /// Rows of the tile that is one vector wide.
    const ROWS: usize;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, from: &[f32; 16]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; 16]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a b + c`, rounded once where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `x` where `a > b`, otherwise (and where either is NaN) `y`.
    fn select_gt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// `x` where `a == b`, otherwise `y`.
    fn select_eq(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// Sixteen bytes as numbers.
    fn widen(self, from: &[u8; 16]) -> Self::V;
    /// Whole numbers of 0 to 255 as bytes.
    fn narrow(self, v: Self::V, to: &mut [u8; 16]);
    /// Whole numbers of 0 to 255 as indices, modulo sixteen.
    fn indices(self, v: Self::V) -> Self::I;
    /// `table[index]` in each lane.
    fn lookup(self, table: Self::V, index: Self::I) -> Self::V;

    fn load_wide(self, from: &[f64; 8]) -> Self::W;
    fn store_wide(self, v: Self::W, to: &mut [f64; 8]);
    fn splat_wide(self, x: f64) -> Self::W;
    /// `a b + c`, rounded once where the processor can (twice is the same for factors that were f32).
    fn fma_wide(self, a: Self::W, b: Self::W, c: Self::W) -> Self::W;
    fn div_wide(self, a: Self::W, b: Self::W) -> Self::W;
    fn sqrt_wide(self, a: Self::W) -> Self::W;
    /// The first eight and the last eight, exactly.
    fn split(self, v: Self::V) -> [Self::W; 2];
    /// Both eights, rounded to the nearest.
    fn join(self, v: [Self::W; 2]) -> Self::V;

    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The sum over the lanes, in a fixed order.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let mut a = [0.0; 16];
        self.store(v, &mut a);
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                a[i] += a[i + width];
            }
            width /= 2;
        }
        a[0]
    }
}

/// Plain Rust, on any processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

macro_rules! lanes {
    (|$i:ident| $e:expr) => {{
        let mut r = [0.0_f32; 16];
        let mut $i = 0;
        while $i < 16 {
            r[$i] = $e;
            $i += 1;
        }
        r
    }};
}

impl Simd for Portable {
    type V = [f32; 16];
    type I = [u8; 16];
    type W = [f64; 8];
    const WIDE: bool = false;
    const ROWS: usize = 3;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 16] {
        [x; 16]
    }
    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> [f32; 16] {
        *from
    }
    #[inline(always)]
    fn store(self, v: [f32; 16], to: &mut [f32; 16]) {
        *to = v;
    }
    #[inline(always)]
    fn add(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        lanes!(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        lanes!(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        lanes!(|i| a[i] * b[i])
    }
    // Rounded twice: without the instruction, `mul_add` is a call into the C library for each number.
    #[inline(always)]
    fn fma(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        lanes!(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn select_gt(self, a: [f32; 16], b: [f32; 16], x: [f32; 16], y: [f32; 16]) -> [f32; 16] {
        lanes!(|i| if a[i] > b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn select_eq(self, a: [f32; 16], b: [f32; 16], x: [f32; 16], y: [f32; 16]) -> [f32; 16] {
        lanes!(|i| if a[i] == b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn widen(self, from: &[u8; 16]) -> [f32; 16] {
        lanes!(|i| f32::from(from[i]))
    }
    #[inline(always)]
    fn narrow(self, v: [f32; 16], to: &mut [u8; 16]) {
        for (to, v) in to.iter_mut().zip(v) {
            *to = v as u8;
        }
    }
    #[inline(always)]
    fn indices(self, v: [f32; 16]) -> [u8; 16] {
        v.map(|v| v as u8 & 15)
    }
    #[inline(always)]
    fn lookup(self, table: [f32; 16], index: [u8; 16]) -> [f32; 16] {
        lanes!(|i| table[index[i] as usize])
    }
    #[inline(always)]
    fn load_wide(self, from: &[f64; 8]) -> [f64; 8] {
        *from
    }
    #[inline(always)]
    fn store_wide(self, v: [f64; 8], to: &mut [f64; 8]) {
        *to = v;
    }
    #[inline(always)]
    fn splat_wide(self, x: f64) -> [f64; 8] {
        [x; 8]
    }
    #[inline(always)]
    fn fma_wide(self, a: [f64; 8], b: [f64; 8], c: [f64; 8]) -> [f64; 8] {
        let mut r = c;
        for i in 0..8 {
            r[i] += a[i] * b[i];
        }
        r
    }
    #[inline(always)]
    fn div_wide(self, a: [f64; 8], b: [f64; 8]) -> [f64; 8] {
        let mut r = a;
        for i in 0..8 {
            r[i] /= b[i];
        }
        r
    }
    #[inline(always)]
    fn sqrt_wide(self, a: [f64; 8]) -> [f64; 8] {
        let mut r = a;
        for r in &mut r {
            *r = r.sqrt();
        }
        r
    }
    #[inline(always)]
    fn split(self, v: [f32; 16]) -> [[f64; 8]; 2] {
        let mut r = [[0.0; 8]; 2];
        for i in 0..16 {
            r[i / 8][i % 8] = f64::from(v[i]);
        }
        r
    }
    #[inline(always)]
    fn join(self, v: [[f64; 8]; 2]) -> [f32; 16] {
        lanes!(|i| v[i / 8][i % 8] as f32)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports)] // sixty of them
    use std::arch::x86_64::*;

    use super::Simd;

    /// AVX2 with FMA: two registers of eight.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        /// Whether this processor has it; asked once by the standard library.
        pub(crate) fn detect() -> Option<Avx2> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
        }
    }

    /// AVX-512 F, one register of sixteen.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(());

    impl Avx512 {
        /// Whether this processor has it; asked once by the standard library.
        pub(crate) fn detect() -> Option<Avx512> {
            let all = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma");
            all.then_some(Avx512(()))
        }
    }

    /// An expression of intrinsics. Every use is in a method on a token.
    macro_rules! on {
        ($e:expr) => {
            // SAFETY: the token `self` exists only where `detect` found the instructions; pointers
            // come from references to arrays of the length that is read or written.
            unsafe { $e }
        };
    }

    impl Simd for Avx512 {
        type V = __m512;
        type I = __m512i;
        type W = __m512d;
        const WIDE: bool = true;
        const ROWS: usize = 12;

        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            on!(_mm512_set1_ps(x))
        }
        #[inline(always)]
        fn load(self, from: &[f32; 16]) -> __m512 {
            on!(_mm512_loadu_ps(from.as_ptr()))
        }
        #[inline(always)]
        fn store(self, v: __m512, to: &mut [f32; 16]) {
            on!(_mm512_storeu_ps(to.as_mut_ptr(), v));
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            on!(_mm512_add_ps(a, b))
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            on!(_mm512_sub_ps(a, b))
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            on!(_mm512_mul_ps(a, b))
        }
        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            on!(_mm512_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        fn select_gt(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            on!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), y, x))
        }
        #[inline(always)]
        fn select_eq(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
            on!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), y, x))
        }
        #[inline(always)]
        fn widen(self, from: &[u8; 16]) -> __m512 {
            on!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast()))))
        }
        #[inline(always)]
        fn narrow(self, v: __m512, to: &mut [u8; 16]) {
            on!(_mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(v))));
        }
        #[inline(always)]
        fn indices(self, v: __m512) -> __m512i {
            on!(_mm512_cvttps_epi32(v))
        }
        // The instruction looks at the lowest four bits of an index.
        #[inline(always)]
        fn lookup(self, table: __m512, index: __m512i) -> __m512 {
            on!(_mm512_permutexvar_ps(index, table))
        }
        #[inline(always)]
        fn load_wide(self, from: &[f64; 8]) -> __m512d {
            on!(_mm512_loadu_pd(from.as_ptr()))
        }
        #[inline(always)]
        fn store_wide(self, v: __m512d, to: &mut [f64; 8]) {
            on!(_mm512_storeu_pd(to.as_mut_ptr(), v));
        }
        #[inline(always)]
        fn splat_wide(self, x: f64) -> __m512d {
            on!(_mm512_set1_pd(x))
        }
        #[inline(always)]
        fn fma_wide(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
            on!(_mm512_fmadd_pd(a, b, c))
        }
        #[inline(always)]
        fn div_wide(self, a: __m512d, b: __m512d) -> __m512d {
            on!(_mm512_div_pd(a, b))
        }
        #[inline(always)]
        fn sqrt_wide(self, a: __m512d) -> __m512d {
            on!(_mm512_sqrt_pd(a))
        }
        #[inline(always)]
        fn split(self, v: __m512) -> [__m512d; 2] {
            on!([
                _mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)))),
            ])
        }
        #[inline(always)]
        fn join(self, v: [__m512d; 2]) -> __m512 {
            on!(_mm512_castpd_ps(_mm512_insertf64x4::<1>(
                _mm512_castpd256_pd512(_mm256_castps_pd(_mm512_cvtpd_ps(v[0]))),
                _mm256_castps_pd(_mm512_cvtpd_ps(v[1])),
            )))
        }
    }

    macro_rules! both {
        (|$i:ident| $e:expr) => {
            [
                {
                    const $i: usize = 0;
                    on!($e)
                },
                {
                    const $i: usize = 1;
                    on!($e)
                },
            ]
        };
    }

    type Pair = [__m256; 2];

    impl Simd for Avx2 {
        type V = Pair;
        type I = [__m256i; 2];
        type W = [__m256d; 2];
        const WIDE: bool = false;
        const ROWS: usize = 6;

        #[inline(always)]
        fn splat(self, x: f32) -> Pair {
            [on!(_mm256_set1_ps(x)); 2]
        }
        #[inline(always)]
        fn load(self, from: &[f32; 16]) -> Pair {
            both!(|I| _mm256_loadu_ps(from.as_ptr().add(8 * I)))
        }
        #[inline(always)]
        fn store(self, v: Pair, to: &mut [f32; 16]) {
            both!(|I| _mm256_storeu_ps(to.as_mut_ptr().add(8 * I), v[I]));
        }
        #[inline(always)]
        fn add(self, a: Pair, b: Pair) -> Pair {
            both!(|I| _mm256_add_ps(a[I], b[I]))
        }
        #[inline(always)]
        fn sub(self, a: Pair, b: Pair) -> Pair {
            both!(|I| _mm256_sub_ps(a[I], b[I]))
        }
        #[inline(always)]
        fn mul(self, a: Pair, b: Pair) -> Pair {
            both!(|I| _mm256_mul_ps(a[I], b[I]))
        }
        #[inline(always)]
        fn fma(self, a: Pair, b: Pair, c: Pair) -> Pair {
            both!(|I| _mm256_fmadd_ps(a[I], b[I], c[I]))
        }
        #[inline(always)]
        fn select_gt(self, a: Pair, b: Pair, x: Pair, y: Pair) -> Pair {
            both!(|I| _mm256_blendv_ps(y[I], x[I], _mm256_cmp_ps::<_CMP_GT_OQ>(a[I], b[I])))
        }
        #[inline(always)]
        fn select_eq(self, a: Pair, b: Pair, x: Pair, y: Pair) -> Pair {
            both!(|I| _mm256_blendv_ps(y[I], x[I], _mm256_cmp_ps::<_CMP_EQ_OQ>(a[I], b[I])))
        }
        #[inline(always)]
        fn widen(self, from: &[u8; 16]) -> Pair {
            both!(|I| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(
                from.as_ptr().add(8 * I).cast()
            ))))
        }
        #[inline(always)]
        fn narrow(self, v: Pair, to: &mut [u8; 16]) {
            let mut numbers = [0.0; 16];
            self.store(v, &mut numbers);
            for (to, number) in to.iter_mut().zip(numbers) {
                *to = number as u8;
            }
        }
        #[inline(always)]
        fn indices(self, v: Pair) -> [__m256i; 2] {
            both!(|I| _mm256_cvttps_epi32(v[I]))
        }
        // The instruction looks at the lowest three bits of an index; the fourth, moved to the sign,
        // picks the half of the table.
        #[inline(always)]
        fn lookup(self, table: Pair, index: [__m256i; 2]) -> Pair {
            both!(|I| _mm256_blendv_ps(
                _mm256_permutevar8x32_ps(table[0], index[I]),
                _mm256_permutevar8x32_ps(table[1], index[I]),
                _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index[I])),
            ))
        }
        #[inline(always)]
        fn load_wide(self, from: &[f64; 8]) -> [__m256d; 2] {
            both!(|I| _mm256_loadu_pd(from.as_ptr().add(4 * I)))
        }
        #[inline(always)]
        fn store_wide(self, v: [__m256d; 2], to: &mut [f64; 8]) {
            both!(|I| _mm256_storeu_pd(to.as_mut_ptr().add(4 * I), v[I]));
        }
        #[inline(always)]
        fn splat_wide(self, x: f64) -> [__m256d; 2] {
            [on!(_mm256_set1_pd(x)); 2]
        }
        #[inline(always)]
        fn fma_wide(self, a: [__m256d; 2], b: [__m256d; 2], c: [__m256d; 2]) -> [__m256d; 2] {
            both!(|I| _mm256_fmadd_pd(a[I], b[I], c[I]))
        }
        #[inline(always)]
        fn div_wide(self, a: [__m256d; 2], b: [__m256d; 2]) -> [__m256d; 2] {
            both!(|I| _mm256_div_pd(a[I], b[I]))
        }
        #[inline(always)]
        fn sqrt_wide(self, a: [__m256d; 2]) -> [__m256d; 2] {
            both!(|I| _mm256_sqrt_pd(a[I]))
        }
        #[inline(always)]
        fn split(self, v: Pair) -> [[__m256d; 2]; 2] {
            both!(|I| [
                _mm256_cvtps_pd(_mm256_castps256_ps128(v[I])),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v[I])),
            ])
        }
        #[inline(always)]
        fn join(self, v: [[__m256d; 2]; 2]) -> Pair {
            both!(|I| _mm256_set_m128(_mm256_cvtpd_ps(v[I][1]), _mm256_cvtpd_ps(v[I][0])))
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) use arm::Neon;

#[cfg(target_arch = "aarch64")]
mod arm {
    #[allow(clippy::wildcard_imports)] // forty of them
    use std::arch::aarch64::*;

    use super::Simd;

    /// NEON, which every 64-bit ARM has: four registers of four.
    #[derive(Clone, Copy)]
    pub(crate) struct Neon(());

    impl Neon {
        /// Whether this processor has it.
        pub(crate) fn detect() -> Option<Neon> {
            std::arch::is_aarch64_feature_detected!("neon").then_some(Neon(()))
        }
    }

    /// Four times an expression of intrinsics.
    macro_rules! four {
        (|$i:ident| $e:expr) => {{
            // SAFETY: the token `self` exists only where `detect` found NEON; pointers come from
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
}
