//! Optimiser steps besides Adam: momentum, and the length of a gradient.

use crate::parallel::each;

/// Number of values in a part.
const PART: usize = 1 << 16;

/// The constants of a step of `torch.optim.SGD` (dampening 0, no Nesterov).
#[derive(Debug, Clone, Copy)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Share of the previous step that continues.
    pub momentum: f32,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f32,
}

/// Updates values and their velocity by one step along `gradient`. The velocity before the first
/// step is zero.
pub fn sgd(step: Sgd, value: &mut [f32], velocity: &mut [f32], gradient: &[f32]) {
    assert!(value.len() == gradient.len() && velocity.len() == value.len());
    let parts = value.chunks_mut(PART).zip(velocity.chunks_mut(PART)).zip(gradient.chunks(PART)).collect();
    each(parts, |_, ((value, velocity), gradient): ((&mut [f32], &mut [f32]), &[f32])| {
        for ((value, velocity), gradient) in value.iter_mut().zip(velocity).zip(gradient) {
            *velocity = step.momentum * *velocity + (gradient + step.weight_decay * *value);
            *value -= step.lr * *velocity;
        }
    });
}

/// Sum of squares, in f64 and in an order that depends only on the length.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let of = |part: &[f32]| {
        // Eight sums side by side, so that they fill vectors.
        let mut sums = [0.0_f64; 8];
        let (eights, rest) = part.as_chunks::<8>();
        for eight in eights {
            for (sum, &value) in sums.iter_mut().zip(eight) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        let rest: f64 = rest.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        sums.iter().sum::<f64>() + rest
    };
    each(values.chunks(PART).collect(), |_, part: &[f32]| of(part)).iter().sum()
}
