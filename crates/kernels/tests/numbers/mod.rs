//! Numbers to test with.

/// `len` numbers between two bounds that look random and are the same everywhere.
pub(crate) fn numbers(seed: u64, len: usize, low: f64, high: f64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            low + (high - low) * ((state >> 11) as f64 / (1_u64 << 53) as f64)
        })
        .collect()
}
