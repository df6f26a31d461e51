//! The matrix product that does all heavy work: a tile of results stays in registers while its
//! operands stream past.

use crate::isa::kernel;
use crate::simd::Simd;

/// `C[i][j] (+)= Σ_taps Σ_k A[tap + i a_m + k a_k] B[tap + k b_k + j]`, summed in that order.
///
/// `i` runs over `m`, `k` over `k`, and `j` over `16 n` columns. A tap is a pair of offsets into
/// `a` and `b`; several taps form one longer sum from pieces that lie apart.
pub(crate) struct Gemm<'a> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) taps: &'a [(usize, usize)],
    pub(crate) a: &'a [f32],
    pub(crate) a_m: usize,
    pub(crate) a_k: usize,
    pub(crate) b: &'a [f32],
    pub(crate) b_k: usize,
    pub(crate) c: &'a mut [f32],
    pub(crate) c_m: usize,
    /// Adds to the content of `c` instead of overwriting it.
    pub(crate) accumulate: bool,
}

kernel! {
    /// Computes the product. Panics when an index would leave its slice.
    pub(crate) fn gemm(product: Gemm<'_>) = gemm_on
}

#[inline(always)]
#[allow(clippy::needless_pass_by_value)] // it borrows a part of C, which it writes
fn gemm_on<S: Simd>(s: S, g: Gemm<'_>) {
    if g.m == 0 || g.n == 0 {
        return;
    }
    assert!(g.k > 0 && !g.taps.is_empty(), "an empty sum");
    for &(a, b) in g.taps {
        assert!(a + (g.m - 1) * g.a_m + (g.k - 1) * g.a_k < g.a.len(), "A is too short");
        assert!(b + (g.k - 1) * g.b_k + 16 * g.n <= g.b.len(), "B is too short");
    }
    assert!((g.m - 1) * g.c_m + 16 * g.n <= g.c.len(), "C is too short");
    let (a, b, c) = (g.a.as_ptr(), g.b.as_ptr(), g.c.as_mut_ptr());
    let mut column = 0;
    while column < g.n {
        let left = g.n - column;
        let width = if S::WIDE { if left >= 4 { 4 } else { left.min(2) } } else { 1 };
        let most = if width == 4 { 6 } else { S::ROWS };
        // Even tiles: 32 rows are 6 6 5 5 5 5, not 6 6 6 6 6 2.
        let tiles = g.m.div_ceil(most);
        let mut row = 0;
        for tile in 0..tiles {
            let rows = g.m / tiles + usize::from(tile < g.m % tiles);
            let sum = Sum { taps: g.taps, k: g.k, a_m: g.a_m, a_k: g.a_k, b_k: g.b_k, c_m: g.c_m };
            // SAFETY: the assertions above bound every index that `m`, `n`, `k` and the taps reach;
            // this tile stays within `row + rows <= m` and `column + width <= n`.
            unsafe {
                let a = a.add(row * g.a_m);
                let b = b.add(16 * column);
                let c = c.add(row * g.c_m + 16 * column);
                match width {
                    4 => rows_of_4(s, rows, &sum, a, b, c, g.accumulate),
                    2 => rows_of_2(s, rows, &sum, a, b, c, g.accumulate),
                    _ => rows_of_1(s, rows, &sum, a, b, c, g.accumulate),
                }
            }
            row += rows;
        }
        column += width;
    }
}

#[derive(Clone, Copy)]
struct Sum<'a> {
    taps: &'a [(usize, usize)],
    k: usize,
    a_m: usize,
    a_k: usize,
    b_k: usize,
    c_m: usize,
}

macro_rules! by_rows {
    ($name:ident, $n:literal, $($m:literal)*) => {
        /// # Safety
        /// As for [`tile`]; `rows` is at most the largest height listed.
        #[inline(always)]
        unsafe fn $name<S: Simd>(
            s: S, rows: usize, sum: &Sum<'_>, a: *const f32, b: *const f32, c: *mut f32, accumulate: bool,
        ) {
            match rows {
                // SAFETY: the caller's promise is passed on.
                $($m => unsafe { tile::<S, $m, $n>(s, sum, a, b, c, accumulate) },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        }
    };
}
by_rows!(rows_of_4, 4, 1 2 3 4 5 6);
by_rows!(rows_of_2, 2, 1 2 3 4 5 6 7 8 9 10 11 12);
by_rows!(rows_of_1, 1, 1 2 3 4 5 6 7 8 9 10 11 12);

/// Computes `M` rows and `N` vectors of C. All indices are constants, so that everything stays in
/// registers.
///
/// # Safety
/// For each tap, `a + tap.0 + (M - 1) a_m + (k - 1) a_k` is readable, `b + tap.1 + (k - 1) b_k` is
/// readable for `16 N` values, and `c + (M - 1) c_m` is writable for `16 N` values. Nothing else
/// refers to that part of C.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const N: usize>(
    s: S,
    sum: &Sum<'_>,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    accumulate: bool,
) {
    // SAFETY: the caller promises everything that is used here.
    unsafe {
        let mut acc = [[s.zero(); N]; M];
        for &(a_tap, b_tap) in sum.taps {
            let mut a = a.add(a_tap);
            let mut b = b.add(b_tap);
            for _ in 0..sum.k {
                let mut columns = [s.zero(); N];
                for j in 0..N {
                    columns[j] = s.load(&*b.add(16 * j).cast());
                }
                for i in 0..M {
                    let row = s.splat(*a.add(i * sum.a_m));
                    for j in 0..N {
                        acc[i][j] = s.fma(row, columns[j], acc[i][j]);
                    }
                }
                // The last step may move the pointer out of the slice, but nothing is read there.
                a = a.wrapping_add(sum.a_k);
                b = b.wrapping_add(sum.b_k);
            }
        }
        for i in 0..M {
            for j in 0..N {
                let to: &mut [f32; 16] = &mut *c.add(i * sum.c_m + 16 * j).cast();
                let old = if accumulate { s.load(to) } else { s.zero() };
                let new = if accumulate { s.add(old, acc[i][j]) } else { acc[i][j] };
                s.store(new, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// With integers, every order of the sum gives the same result: compared with the definition.
    #[test]
    fn every_tile_is_the_definition() {
        for isa in Isa::available() {
            for (m, n, k) in [(1, 1, 1), (7, 4, 5), (13, 3, 4), (32, 2, 3), (6, 7, 2), (12, 1, 9)] {
                let (a_m, a_k, b_k, c_m) = (k + 2, 1, 16 * n + 16, 16 * n + 3);
                let taps = [(0, 0), (1, 5)];
                let a: Vec<f32> = (0..m * a_m + 8).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
                let b: Vec<f32> = (0..k * b_k + 16).map(|i| ((i * 5) % 13) as f32 - 6.0).collect();
                for accumulate in [false, true] {
                    let mut c: Vec<f32> = (0..m * c_m + 16 * n).map(|i| (i % 3) as f32).collect();
                    let before = c.clone();
                    let taps_ref = &taps;
                    gemm(
                        isa,
                        Gemm {
                            m,
                            n,
                            k,
                            taps: taps_ref,
                            a: &a,
                            a_m,
                            a_k,
                            b: &b,
                            b_k,
                            c: &mut c,
                            c_m,
                            accumulate,
                        },
                    );
                    let mut expected = before.clone();
                    for i in 0..m {
                        for j in 0..16 * n {
                            let product: f32 = taps
                                .iter()
                                .flat_map(|tap| (0..k).map(move |k| (tap, k)))
                                .map(|(tap, k)| a[tap.0 + i * a_m + k * a_k] * b[tap.1 + k * b_k + j])
                                .sum();
                            let old = if accumulate { before[i * c_m + j] } else { 0.0 };
                            expected[i * c_m + j] = old + product;
                        }
                    }
                    assert_eq!(c, expected, "{isa:?} {m} {n} {k} {accumulate}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "B is too short")]
    fn an_operand_that_is_too_short_is_refused() {
        let (a, b, mut c) = ([0.0; 4], [0.0; 31], [0.0; 16]);
        let isa = Isa::available()[0];
        let product = Gemm {
            m: 1,
            n: 1,
            k: 2,
            taps: &[(0, 0)],
            a: &a,
            a_m: 1,
            a_k: 1,
            b: &b,
            b_k: 16,
            c: &mut c,
            c_m: 16,
            accumulate: false,
        };
        gemm(isa, product);
    }
}
