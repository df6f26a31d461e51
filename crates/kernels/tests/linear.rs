//! Compares the linear layer and Adam with their definitions in f64, on every instruction set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic, missing_docs)]

mod numbers;

use ctpipe_kernels::adam::{Step, adam};
use ctpipe_kernels::{Isa, buffers, linear};
use numbers::numbers;

fn draw(seed: u64, len: usize) -> Vec<f32> {
    numbers(seed, len, -1.0, 1.0).into_iter().map(|v| v as f32).collect()
}

/// The largest error divided by the largest value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30_f64, |a, b| a.max(b.abs()));
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / largest
}

fn wide(values: &[f32], index: usize) -> f64 {
    f64::from(values[index])
}

#[test]
fn a_linear_layer_is_its_definition() {
    for (n, from, to) in [(1, 1, 1), (1, 16, 2), (3, 17, 5), (8, 1024, 9), (5, 3000, 13), (32, 40, 12)] {
        let (x, weight) = (draw(1, n * from), draw(2, to * from));
        let (bias, dy) = (draw(3, to), draw(4, n * to));
        let sum = |len: usize, product: &dyn Fn(usize) -> f64| (0..len).map(product).sum::<f64>();
        let y: Vec<f64> = (0..n * to)
            .map(|i| {
                let (sample, row) = (i / to, i % to);
                let product = |k: usize| wide(&x, sample * from + k) * wide(&weight, row * from + k);
                sum(from, &product) + wide(&bias, row)
            })
            .collect();
        let dx: Vec<f64> = (0..n * from)
            .map(|i| sum(to, &|row| wide(&dy, i / from * to + row) * wide(&weight, row * from + i % from)))
            .collect();
        let dw: Vec<f64> = (0..to * from)
            .map(|i| sum(n, &|s| wide(&dy, s * to + i / from) * wide(&x, s * from + i % from)))
            .collect();
        let db: Vec<f64> = (0..to).map(|row| sum(n, &|s| wide(&dy, s * to + row))).collect();
        let mut answers = Vec::new();
        for isa in Isa::available() {
            let found = linear::forward(isa, &x, &weight, &bias);
            assert!(error(&found, &y) < 1e-6, "{isa:?} {n} {from} {to}");
            let gradients = linear::backward(isa, &x, &weight, &dy, to);
            assert!(error(&gradients.input, &dx) < 1e-6, "{isa:?} {n} {from} {to}");
            assert!(error(&gradients.weight, &dw) < 1e-6, "{isa:?} {n} {from} {to}");
            assert!(error(&gradients.bias, &db) < 1e-7, "{isa:?} {n} {from} {to}");
            if isa.fuses() {
                answers.push([found, gradients.input, gradients.weight]);
            }
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the same bits: {n} {from} {to}");
    }
}

/// Kingma and Ba 2015, algorithm 1, in f64; to one unit in the last place of f32.
#[test]
fn a_step_of_adam_is_its_definition() {
    for len in [1, 15, 16, 100, 70_001] {
        let (value, gradient) = (draw(1, len), draw(2, len));
        let (first, second) = (draw(3, len), draw(4, len).iter().map(|v| v * v).collect::<Vec<f32>>());
        let step = Step {
            beta1: 0.9,
            beta2: 0.999,
            step_size: 0.01,
            correction: 0.3,
            epsilon: 1e-8,
            weight_decay: 0.1,
            shrink: 1.0,
        };
        let mut expected = [vec![0.0; len], vec![0.0; len], vec![0.0; len]];
        for i in 0..len {
            let g = wide(&gradient, i) + step.weight_decay * wide(&value, i);
            let m = step.beta1 * wide(&first, i) + (1.0 - step.beta1) * g;
            let v = step.beta2 * wide(&second, i) + (1.0 - step.beta2) * g * g;
            expected[0][i] =
                wide(&value, i) - step.step_size * m / (v.sqrt() / step.correction + step.epsilon);
            (expected[1][i], expected[2][i]) = (m, v);
        }
        for isa in Isa::available() {
            let (mut value, mut first, mut second) = (value.clone(), first.clone(), second.clone());
            adam(isa, step, &mut value, [&mut first, &mut second], &gradient);
            for (found, expected) in [value, first, second].iter().zip(&expected) {
                assert!(error(found, expected) < 6e-8, "{isa:?} {len}: {}", error(found, expected));
            }
        }
    }
}

/// A parameter whose gradient has been zero for a long time has moments that fade. They end at zero
/// and not among the denormal numbers, which some processors compute a hundred times slower.
#[test]
fn what_fades_is_flushed_to_zero() {
    if cfg!(miri) {
        return;
    }
    for isa in Isa::available() {
        let (mut value, mut first, mut second) = ([1.0_f32; 20], [1e-38_f32; 20], [1e-38_f32; 20]);
        let step = Step {
            beta1: 0.5,
            beta2: 0.5,
            step_size: 0.0,
            correction: 1.0,
            epsilon: 1e-8,
            weight_decay: 0.0,
            shrink: 1.0,
        };
        adam(isa, step, &mut value, [&mut first, &mut second], &[0.0; 20]);
        assert!(first.iter().chain(&second).all(|moment| *moment == 0.0), "{isa:?}: {first:?}");
        // Outside the kernels, denormal numbers are kept as usual.
        assert!(std::hint::black_box(1e-38_f32) * std::hint::black_box(0.5) > 0.0);
    }
}

#[test]
fn a_buffer_that_is_given_back_is_handed_out_again() {
    let mut buffer = buffers::take(1_000_003);
    buffer.fill(7.0);
    let place = buffer.as_ptr();
    buffers::give(buffer);
    let again = buffers::take(1_000_001);
    assert_eq!((again.as_ptr(), again.len()), (place, 1_000_001));
    // A request for half its size does not get it.
    buffers::give(again);
    let smaller = buffers::take(400_000);
    assert_ne!(smaller.as_ptr(), place);
    // What two steps did not use is released.
    let before = buffers::kept();
    (0..3).for_each(|_| buffers::step());
    assert!(before >= 1_000_001 && buffers::kept() == 0, "{before} {}", buffers::kept());
}
