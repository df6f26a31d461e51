//! The operations of an instruction set on sixteen f32.

/// An instruction set, as a token: a value of an implementing type exists only where the processor
/// has the instructions, so its methods are safe to call.
///
/// Every function that takes a `Simd` is `#[inline(always)]` and is called from a function with
/// `#[target_feature]` (made by [`crate::isa::kernel`]). Otherwise it would be compiled without the
/// instructions.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen f32.
    type V: Copy;
    /// Sixteen indices into a table of sixteen.
    type I: Copy;
    /// Eight f64.
    type W: Copy;
    /// Whether 24 vectors and a few more fit in registers.
    const WIDE: bool;
    /// Number of rows of the tile that is one vector wide.
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
    /// Integers from 0 to 255 as bytes.
    fn narrow(self, v: Self::V, to: &mut [u8; 16]);
    /// Integers from 0 to 255 as indices, modulo sixteen.
    fn indices(self, v: Self::V) -> Self::I;
    /// `table[index]` in each lane.
    fn lookup(self, table: Self::V, index: Self::I) -> Self::V;

    fn load_wide(self, from: &[f64; 8]) -> Self::W;
    fn store_wide(self, v: Self::W, to: &mut [f64; 8]);
    fn splat_wide(self, x: f64) -> Self::W;
    /// `a b + c`, rounded once where the processor can (rounding twice gives the same for factors
    /// that were f32).
    fn fma_wide(self, a: Self::W, b: Self::W, c: Self::W) -> Self::W;
    fn div_wide(self, a: Self::W, b: Self::W) -> Self::W;
    fn sqrt_wide(self, a: Self::W) -> Self::W;
    /// The first eight and the last eight values, exactly.
    fn split(self, v: Self::V) -> [Self::W; 2];
    /// Both halves, rounded to the nearest.
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
