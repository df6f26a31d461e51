#[allow(clippy::wildcard_imports)] // sixty of them
use std::arch::x86_64::*;

use super::lanes::Simd;

/// AVX2 with FMA: two registers of eight values.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// Whether this processor supports it; the standard library checks once.
    pub(crate) fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// AVX-512 F: one register of sixteen values.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// Whether this processor supports it; the standard library checks once.
    pub(crate) fn detect() -> Option<Avx512> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        all.then_some(Avx512(()))
    }
}

/// An expression of intrinsics. Every use is in a method of a token.
macro_rules! on {
    ($e:expr) => {
        // SAFETY: the token `self` exists only where `detect` found the instructions. Pointers come
        // from references to arrays of the length that is read or written.
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
    // The instruction uses the lowest four bits of an index.
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
        both!(|I| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().add(8 * I).cast()))))
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
    // The instruction uses the lowest three bits of an index. The fourth bit, moved to the sign,
    // selects the half of the table.
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
