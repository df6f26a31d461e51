//! One step of Adam (Kingma and Ba 2015) in a single pass: it reads four numbers and writes three
//! for each value.

use crate::Isa;
use crate::isa::kernel;
use crate::layout::LANES;
use crate::parallel::each;
use crate::simd::Simd;

/// Number of values in a part.
const PART: usize = 1 << 16;

/// The constants of a step of Adam, as `torch.optim.Adam` computes it. They are f64, because
/// `1 - 0.999` in f32 is off by 5e-5.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Learning rate divided by `1 - beta1^t`.
    pub step_size: f64,
    /// `sqrt(1 - beta2^t)`.
    pub correction: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
    /// Factor that values are multiplied by first: 1, or less for weight decay apart from the
    /// gradient (AdamW).
    pub shrink: f64,
}

/// Updates values and their two moments by one step along `gradient`.
pub fn adam(isa: Isa, step: Step, value: &mut [f32], moments: [&mut [f32]; 2], gradient: &[f32]) {
    let [first, second] = moments;
    assert!(value.len() == gradient.len() && first.len() == value.len() && second.len() == value.len());
    let parts = value
        .chunks_mut(PART)
        .zip(first.chunks_mut(PART).zip(second.chunks_mut(PART)))
        .zip(gradient.chunks(PART))
        .collect();
    each(parts, |_, ((value, (first, second)), gradient)| {
        part(isa, step, value, first, second, gradient);
    });
}

kernel! {
    fn part(step: Step, value: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) = part_on
}

/// The constants of a step, as vectors.
#[derive(Clone, Copy)]
struct Constants<W> {
    keep1: W,
    take1: W,
    keep2: W,
    take2: W,
    size: W,
    epsilon: W,
    decay: W,
    shrink: W,
}

/// Computes in f64 between the load and the store: the pass waits for memory anyway, and a dozen
/// roundings in f32 would cost the last digit.
#[inline(always)]
fn update<S: Simd>(
    s: S,
    by: Constants<S::W>,
    value: &mut [f32; 16],
    first: &mut [f32; 16],
    second: &mut [f32; 16],
    gradient: &[f32; 16],
) {
    let zero = s.splat_wide(0.0);
    let old = s.split(s.load(value));
    let kept = old.map(|old| s.fma_wide(by.shrink, old, zero));
    let gradient = s.split(s.load(gradient));
    let mut m = s.split(s.load(first));
    let mut v = s.split(s.load(second));
    let mut new = kept;
    for half in 0..2 {
        let g = s.fma_wide(by.decay, old[half], gradient[half]);
        m[half] = s.fma_wide(by.take1, g, s.fma_wide(by.keep1, m[half], zero));
        let square = s.fma_wide(g, g, zero);
        v[half] = s.fma_wide(by.take2, square, s.fma_wide(by.keep2, v[half], zero));
        // m / (sqrt(v) / correction + epsilon), with one division.
        let denominator = s.fma_wide(s.sqrt_wide(v[half]), s.splat_wide(1.0), by.epsilon);
        new[half] = s.fma_wide(by.size, s.div_wide(m[half], denominator), kept[half]);
    }
    s.store(s.join(m), first);
    s.store(s.join(v), second);
    s.store(s.join(new), value);
}

#[inline(always)]
fn part_on<S: Simd>(
    s: S,
    step: Step,
    value: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradient: &[f32],
) {
    let by = Constants {
        keep1: s.splat_wide(step.beta1),
        take1: s.splat_wide(1.0 - step.beta1),
        keep2: s.splat_wide(step.beta2),
        take2: s.splat_wide(1.0 - step.beta2),
        size: s.splat_wide(-step.step_size * step.correction),
        epsilon: s.splat_wide(step.epsilon * step.correction),
        decay: s.splat_wide(step.weight_decay),
        shrink: s.splat_wide(step.shrink),
    };
    let (values, value) = value.as_chunks_mut::<LANES>();
    let (firsts, first) = first.as_chunks_mut::<LANES>();
    let (seconds, second) = second.as_chunks_mut::<LANES>();
    let (gradients, gradient) = gradient.as_chunks::<LANES>();
    for (((value, first), second), gradient) in values.iter_mut().zip(firsts).zip(seconds).zip(gradients) {
        update(s, by, value, first, second, gradient);
    }
    // The remaining values, padded to a vector.
    let rest = value.len();
    let mut last = [[0.0; LANES]; 3];
    let mut last_gradient = [0.0; LANES];
    for (to, from) in last.iter_mut().zip([&*value, &*first, &*second]) {
        to[..rest].copy_from_slice(from);
    }
    last_gradient[..rest].copy_from_slice(gradient);
    let [v, m, w] = &mut last;
    update(s, by, v, m, w, &last_gradient);
    for (to, from) in [value, first, second].into_iter().zip(&last) {
        to.copy_from_slice(&from[..rest]);
    }
}
