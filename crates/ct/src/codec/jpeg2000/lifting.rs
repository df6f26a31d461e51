//! The inverse wavelet transforms (ITU-T T.800, annex F) by lifting: 5/3 on integers, and 9/7.

/// One of the two transforms.
pub(super) trait Wavelet {
    /// The type of a coefficient.
    type Sample: Copy + Default + Send + Sync;
    /// Number of lifting steps. The first one changes the low-pass samples, and they alternate
    /// after that.
    const STEPS: usize;

    /// A sample after a step, computed from itself and its two neighbours.
    fn lift(step: usize, sample: Self::Sample, before: Self::Sample, after: Self::Sample) -> Self::Sample;
    /// Scales a sample before the first step.
    fn scale(sample: Self::Sample, high: bool) -> Self::Sample;
    /// A high-pass sample that is the only sample of its line.
    fn alone(sample: Self::Sample) -> Self::Sample;
}

/// The reversible 5/3 transform (section F.3.8.2.1.1).
pub(super) struct Whole;

impl Wavelet for Whole {
    type Sample = i32;
    const STEPS: usize = 2;

    #[inline]
    fn lift(step: usize, sample: i32, before: i32, after: i32) -> i32 {
        let sum = before.wrapping_add(after);
        if step == 0 { sample.wrapping_sub(sum.wrapping_add(2) >> 2) } else { sample.wrapping_add(sum >> 1) }
    }

    #[inline]
    fn scale(sample: i32, _: bool) -> i32 {
        sample
    }

    fn alone(sample: i32) -> i32 {
        sample / 2
    }
}

/// The irreversible 9/7 transform (section F.3.8.2.1.2).
pub(super) struct Real;

impl Wavelet for Real {
    type Sample = f32;
    const STEPS: usize = 4;

    #[inline]
    fn lift(step: usize, sample: f32, before: f32, after: f32) -> f32 {
        // Table F.4: delta, gamma, beta, alpha.
        const FACTORS: [f32; 4] = [0.443_506_85, 0.882_911_1, -0.052_980_12, -1.586_134_3];
        sample - FACTORS[step & 3] * (before + after)
    }

    #[inline]
    fn scale(sample: f32, high: bool) -> f32 {
        // K, and 1 / K as in OpenJPEG: it is off by 3e-5, but other programs' values are made with
        // it.
        const LOW: f32 = 1.230_174_1;
        const HIGH: f32 = 1.625_732_4 / 2.0;
        sample * if high { HIGH } else { LOW }
    }

    fn alone(sample: f32) -> f32 {
        sample / 2.0
    }
}

/// An image at some resolution, or a subband, at its position on its own grid.
#[derive(Debug, Clone, Default)]
pub(super) struct Plane<S> {
    pub(super) at: [u32; 2],
    pub(super) size: [usize; 2],
    pub(super) samples: Vec<S>,
}

/// Merges low-pass and high-pass samples into `line`; the low-pass samples come first where the
/// line begins at an even position.
fn synthesize_line<W: Wavelet>(
    low: &mut [W::Sample],
    high: &mut [W::Sample],
    odd: bool,
    line: &mut [W::Sample],
) {
    if line.len() == 1 {
        line[0] = if odd { W::alone(high[0]) } else { low[0] };
        return;
    }
    scale::<W>(low, false);
    scale::<W>(high, true);
    for step in 0..W::STEPS {
        // Where the high-pass samples come first, a low-pass sample follows the high-pass sample
        // with the same index.
        if step % 2 == 0 {
            lift_line::<W>(step, low, high, !odd);
        } else {
            lift_line::<W>(step, high, low, odd);
        }
    }
    let (even, odd) = if odd { (high, low) } else { (low, high) };
    for (to, &sample) in line.iter_mut().step_by(2).zip(even.iter()) {
        *to = sample;
    }
    for (to, &sample) in line.iter_mut().skip(1).step_by(2).zip(odd.iter()) {
        *to = sample;
    }
}

fn scale<W: Wavelet>(samples: &mut [W::Sample], high: bool) {
    for sample in samples {
        *sample = W::scale(*sample, high);
    }
}

/// Lifts each of `samples` by its two neighbours among the `others`. If the samples come `first` in
/// the line, these are the one with the same index and the one before it; otherwise they are the
/// one with the same index and the one after it. The signal is mirrored at both ends (section
/// F.3.7).
fn lift_line<W: Wavelet>(step: usize, samples: &mut [W::Sample], others: &[W::Sample], first: bool) {
    let last = others.len() - 1;
    let lead = usize::from(first).min(samples.len());
    let inner = last.min(samples.len() - lead);
    for ((sample, &before), &after) in samples[lead..][..inner].iter_mut().zip(others).zip(&others[1..]) {
        *sample = W::lift(step, *sample, before, after);
    }
    for index in (0..lead).chain(lead + inner..samples.len()) {
        let (before, after) = if first { (index.saturating_sub(1), index) } else { (index, index + 1) };
        samples[index] = W::lift(step, samples[index], others[before.min(last)], others[after.min(last)]);
    }
}

/// Combines four subbands into the next larger image, at the given position and size.
pub(super) fn synthesize<W: Wavelet>(
    at: [u32; 2],
    size: [usize; 2],
    [mut low_low, mut high_low, mut low_high, mut high_high]: [Plane<W::Sample>; 4],
) -> Plane<W::Sample> {
    let [width, height] = size;
    let mut samples = vec![W::Sample::default(); width * height];
    if samples.is_empty() {
        return Plane { at, size, samples };
    }
    let [odd_column, odd_row] = at.map(|start| start % 2 == 1);
    for (row, line) in samples.chunks_exact_mut(width).enumerate() {
        let is_low = (row % 2 == 1) == odd_row;
        let (low, high) =
            if is_low { (&mut low_low, &mut high_low) } else { (&mut low_high, &mut high_high) };
        synthesize_line::<W>(low.row(row / 2), high.row(row / 2), odd_column, line);
    }
    columns::<W>(width, height, odd_row, &mut samples);
    Plane { at, size, samples }
}

/// Transforms all columns at once, in place.
fn columns<W: Wavelet>(width: usize, height: usize, odd: bool, samples: &mut [W::Sample]) {
    if height == 1 {
        if odd {
            for sample in samples {
                *sample = W::alone(*sample);
            }
        }
        return;
    }
    for (row, line) in samples.chunks_exact_mut(width).enumerate() {
        scale::<W>(line, (row % 2 == 1) != odd);
    }
    for step in 0..W::STEPS {
        let first = usize::from(odd) ^ (step % 2);
        for row in (first..height).step_by(2) {
            let (above, from) = samples.split_at_mut(row * width);
            let (line, below) = from.split_at_mut(width);
            let above = above.len().checked_sub(width).map(|start| &above[start..]);
            let below = below.get(..width);
            let (Some(before), Some(after)) = (above.or(below), below.or(above)) else { continue };
            for ((sample, &before), &after) in line.iter_mut().zip(before).zip(after) {
                *sample = W::lift(step, *sample, before, after);
            }
        }
    }
}

impl<S> Plane<S> {
    fn row(&mut self, row: usize) -> &mut [S] {
        let width = self.size[0];
        &mut self.samples[row * width..][..width]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The forward 5/3 transform of a line by equations F-9 and F-10, mirrored at its ends.
    fn analyse(line: &[i32], odd: bool) -> (Vec<i32>, Vec<i32>) {
        let start = i32::from(odd);
        let length = i32::try_from(line.len()).unwrap();
        let at = |position: i32| {
            let mut index = position - start;
            if index < 0 {
                index = -index;
            }
            if index >= length {
                index = 2 * (length - 1) - index;
            }
            line[index as usize]
        };
        let high = |n: i32| at(n) - ((at(n - 1) + at(n + 1)) >> 1);
        let high_at = |n: i32| {
            let end = start + length - 1;
            high(if n < start {
                2 * start - n
            } else if n > end {
                2 * end - n
            } else {
                n
            })
        };
        let positions = start..start + length;
        let low = |n: i32| at(n) + ((high_at(n - 1) + high_at(n + 1) + 2) >> 2);
        (
            positions.clone().filter(|n| n % 2 == 0).map(low).collect(),
            positions.filter(|n| n % 2 == 1).map(high).collect(),
        )
    }

    #[test]
    fn lines_of_any_length_and_place_come_back() {
        for length in 2..40_usize {
            for odd in [false, true] {
                let line: Vec<i32> =
                    (0..length).map(|i| i32::try_from(i * i * 37 % 101).unwrap() - 50).collect();
                let (mut low, mut high) = analyse(&line, odd);
                let mut found = vec![0; length];
                synthesize_line::<Whole>(&mut low, &mut high, odd, &mut found);
                assert_eq!(found, line, "{length}, odd {odd}");
            }
        }
    }

    #[test]
    fn columns_are_what_lines_are() {
        for height in 1..12_usize {
            for odd in [false, true] {
                let lows = if odd { height / 2 } else { height.div_ceil(2) };
                let mut low: Vec<f32> = (0..lows).map(|i| (i * 17 % 7) as f32).collect();
                let mut high: Vec<f32> = (lows..height).map(|i| (i * 23 % 11) as f32).collect();
                let mut column = vec![0.0; height];
                for row in 0..height {
                    let is_low = (row % 2 == 1) == odd;
                    column[row] = if is_low { low[row / 2] } else { high[row / 2] };
                }
                columns::<Real>(1, height, odd, &mut column);
                let mut line = vec![0.0; height];
                synthesize_line::<Real>(&mut low, &mut high, odd, &mut line);
                assert_eq!(column, line, "{height}, odd {odd}");
            }
        }
    }
}
