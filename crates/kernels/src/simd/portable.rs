use super::lanes::Simd;

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
    // Rounded twice: without the instruction, `mul_add` is a call into the C library for each
    // number.
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
