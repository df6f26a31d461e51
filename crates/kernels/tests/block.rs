//! Compares the fused block with its definition, written out in f64 below, on every instruction set
//! of this machine; and compares the definition with finite differences.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic, missing_docs)]

mod definition;
mod numbers;

use ctpipe_kernels::block::{Forward, Gradients, backward, forward};
use ctpipe_kernels::{Block, Extent, Isa, Keep, Layout, Statistics, Volumes, pitch};
use definition::{Definition, Gradient};
use numbers::numbers;

/// The largest error divided by the largest value.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-30_f64, |a, b| a.max(b.abs()));
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / largest
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// The numbers of a case, which f32 represents exactly on both sides.
struct Case {
    definition: Definition,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    skip: Option<[Vec<f32>; 2]>,
    running: [Vec<f32>; 2],
    dz: Vec<f32>,
}

impl Case {
    fn new(n: usize, size: [usize; 3], from: usize, to: usize, residual: bool, batch: bool) -> Case {
        let voxels: usize = size.iter().product();
        let pooled: usize = size.iter().map(|edge| edge / 2).product();
        let mut seed = 1;
        let mut draw = |len: usize, low: f64, high: f64| {
            seed += 1;
            narrow(&numbers(seed, len, low, high))
        };
        let x = draw(n * from * voxels, 0.0, 1.0);
        let weight = draw(to * from * 27, -0.3, 0.3);
        let bias = draw(to, -0.5, 0.5);
        let gamma = draw(to, 0.5, 1.5);
        let beta = draw(to, -0.5, 0.5);
        let skip = residual.then(|| [draw(to * from, -1.0, 1.0), draw(to, -0.5, 0.5)]);
        let running = [draw(to, -0.5, 0.5), draw(to, 0.5, 2.0)];
        let dz = draw(n * to * pooled, -1.0, 1.0);
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let definition = Definition {
            n,
            size,
            from,
            to,
            x: wide(&x),
            weight: wide(&weight),
            bias: wide(&bias),
            gamma: wide(&gamma),
            beta: wide(&beta),
            skip: skip.as_ref().map(|[a, b]| [wide(a), wide(b)]),
            running: (!batch).then(|| [wide(&running[0]), wide(&running[1])]),
        };
        Case { definition, x, weight, bias, gamma, beta, skip, running, dz }
    }

    fn block(&self) -> Block<'_> {
        Block {
            from: self.definition.from,
            to: self.definition.to,
            weight: &self.weight,
            bias: &self.bias,
            gamma: &self.gamma,
            beta: &self.beta,
            skip: self.skip.as_ref().map(|[a, b]| [a.as_slice(), b.as_slice()]),
        }
    }

    fn extent(&self) -> Extent {
        Extent { n: self.definition.n, size: self.definition.size }
    }

    fn statistics(&self) -> Statistics<'_> {
        match self.definition.running {
            Some(_) => Statistics::Running([&self.running[0], &self.running[1]]),
            None => Statistics::Batch,
        }
    }

    fn forward(&self, isa: Isa, keep: Keep) -> Forward {
        let x = Volumes { values: &self.x, layout: Layout::ChannelsFirst };
        forward(isa, self.extent(), x, &self.block(), self.statistics(), keep, Layout::ChannelsFirst)
    }

    fn backward(&self, isa: Isa, keep: Keep) -> (Forward, Gradients) {
        let mut found = self.forward(isa, keep);
        let x = Volumes { values: &self.x, layout: Layout::ChannelsFirst };
        let dz = Volumes { values: &self.dz, layout: Layout::ChannelsFirst };
        let saved = std::mem::replace(&mut found.saved, self.forward(isa, Keep::Nothing).saved);
        let gradients = backward(isa, saved, x, &self.block(), dz);
        (found, gradients)
    }

    fn wide_dz(&self) -> Vec<f64> {
        self.dz.iter().map(|v| f64::from(*v)).collect()
    }
}

/// Channels-last values in the order of the definition.
fn channels_first(values: &[f32], extent: Extent, channels: usize) -> Vec<f32> {
    let (voxels, pitch) = (extent.voxels(), pitch(channels));
    (0..extent.n * channels * voxels)
        .map(|i| values[(i / (channels * voxels) * voxels + i % voxels) * pitch + i / voxels % channels])
        .collect()
}

fn cases() -> Vec<Case> {
    let shapes = [
        // batch, size, channels in and out
        (1, [2, 2, 2], 1, 1),
        (2, [4, 4, 4], 1, 3),
        (3, [5, 7, 6], 1, 17),
        (2, [8, 6, 10], 1, 48),
        (1, [2, 3, 5], 2, 3),
        (2, [6, 4, 8], 3, 20),
        (3, [5, 5, 7], 16, 32),
        (1, [9, 8, 3], 17, 70),
        (2, [4, 6, 4], 70, 64),
        (17, [2, 2, 4], 5, 8),
        // Long parts with many tiles, so that slices are processed one and three at a time.
        (16, [7, 34, 33], 2, 3),
        (16, [12, 18, 18], 3, 20),
    ];
    // An interpreter has time only for the small ones.
    let shapes = if cfg!(miri) { &shapes[..5] } else { &shapes[..] };
    let mut cases = Vec::new();
    for &(n, size, from, to) in shapes {
        for residual in [false, true] {
            for batch in [false, true] {
                cases.push(Case::new(n, size, from, to, residual, batch));
            }
        }
    }
    cases
}

fn name(case: &Case) -> String {
    let d = &case.definition;
    let (residual, batch) = (d.skip.is_some(), d.running.is_none());
    format!("{} x {:?}, {} to {}, residual {residual}, batch {batch}", d.n, d.size, d.from, d.to)
}

#[test]
fn forward_is_the_definition() {
    for case in cases() {
        let expected = case.definition.forward();
        for isa in Isa::available() {
            for keep in [Keep::Nothing, Keep::Weights, Keep::Input] {
                let found = case.forward(isa, keep);
                let name = format!("{isa:?} {keep:?}: {}", name(&case));
                assert!(error(&found.output, &expected.output) < 5e-6, "{name}");
                assert_eq!(found.batch.is_some(), expected.batch.is_some(), "{name}");
                if let (Some(found), Some(expected)) = (&found.batch, &expected.batch) {
                    assert!(error(&found[0], &expected[0]) < 1e-6, "{name}: means");
                    assert!(error(&found[1], &expected[1]) < 2e-6, "{name}: variances");
                }
            }
        }
    }
}

fn compare(name: &str, found: &Gradients, expected: &Gradient, bias_vanishes: bool) {
    let close = |what: &str, found: &[f32], expected: &[f64], tolerance: f64| {
        let error = error(found, expected);
        assert!(error < tolerance, "{name}: {what} off by {error}");
    };
    close("weight", &found.weight, &expected.weight, 2e-5);
    close("gamma", &found.gamma, &expected.gamma, 2e-5);
    close("beta", &found.beta, &expected.beta, 2e-6);
    if bias_vanishes {
        assert!(found.bias.iter().all(|b| *b == 0.0), "{name}: a bias before BatchNorm has no gradient");
    } else {
        close("bias", &found.bias, &expected.bias, 2e-6);
    }
    if let (Some(found), Some(expected)) = (&found.skip, &expected.skip) {
        close("projection", &found[0], &expected[0], 5e-6);
        close("projection's bias", &found[1], &expected[1], 2e-6);
    }
}

#[test]
fn backward_is_the_definition() {
    for case in cases() {
        let expected = case.definition.backward(&case.wide_dz());
        for isa in Isa::available() {
            for keep in [Keep::Weights, Keep::Input] {
                let (_, found) = case.backward(isa, keep);
                let name = format!("{isa:?} {keep:?}: {}", name(&case));
                compare(&name, &found, &expected, case.definition.running.is_none());
                assert_eq!(found.input.is_some(), keep == Keep::Input, "{name}");
                if let Some(input) = &found.input {
                    let input = channels_first(input, case.extent(), case.definition.from);
                    let error = error(&input, &expected.input);
                    assert!(error < 2e-5, "{name}: input off by {error}");
                }
            }
        }
    }
}

/// Central differences of `Σ dz output` in f64, along one direction for each group of numbers.
#[test]
fn the_definition_agrees_with_finite_differences() {
    for (size, from, to) in [([4, 3, 5], 2, 3), ([2, 2, 2], 1, 2), ([5, 4, 4], 3, 2)] {
        for residual in [false, true] {
            for batch in [false, true] {
                let case = Case::new(2, size, from, to, residual, batch);
                let dz = case.wide_dz();
                let gradient = case.definition.backward(&dz);
                type Field = fn(&mut Definition) -> Option<&mut Vec<f64>>;
                let fields: [(&str, Field, Option<&Vec<f64>>); 7] = [
                    ("x", |d| Some(&mut d.x), Some(&gradient.input)),
                    ("weight", |d| Some(&mut d.weight), Some(&gradient.weight)),
                    ("bias", |d| Some(&mut d.bias), Some(&gradient.bias)),
                    ("gamma", |d| Some(&mut d.gamma), Some(&gradient.gamma)),
                    ("beta", |d| Some(&mut d.beta), Some(&gradient.beta)),
                    ("projection", |d| Some(&mut d.skip.as_mut()?[0]), gradient.skip.as_ref().map(|s| &s[0])),
                    ("its bias", |d| Some(&mut d.skip.as_mut()?[1]), gradient.skip.as_ref().map(|s| &s[1])),
                ];
                for (what, field, gradient) in fields {
                    let Some(gradient) = gradient else { continue };
                    let direction = numbers(99, gradient.len(), -1.0, 1.0);
                    let along: f64 = gradient.iter().zip(&direction).map(|(a, b)| a * b).sum();
                    let value = |step: f64| {
                        let mut moved = case.definition.clone();
                        for (value, d) in field(&mut moved).unwrap().iter_mut().zip(&direction) {
                            *value += step * d;
                        }
                        moved.forward().output.iter().zip(&dz).map(|(a, b)| a * b).sum::<f64>()
                    };
                    let h = 1e-6;
                    let measured = (value(h) - value(-h)) / (2.0 * h);
                    let tolerance = 1e-6 * (1.0 + along.abs());
                    assert!((along - measured).abs() < tolerance, "{what} of {size:?}: {along} {measured}");
                }
            }
        }
    }
}

/// The fused operation itself, in f32 and therefore with a wide step: a kink of ReLU or pool costs
/// a little.
#[test]
fn the_fused_operation_agrees_with_its_own_finite_differences() {
    for isa in Isa::available() {
        for (n, size, from) in [(1, [7, 5, 6], 1), (1, [5, 6, 7], 3), (2, [4, 4, 4], 2)] {
            let case = Case::new(n, size, from, 4, true, true);
            let (_, gradients) = case.backward(isa, Keep::Weights);
            let direction = narrow(&numbers(7, gradients.weight.len(), -1.0, 1.0));
            let along: f64 =
                gradients.weight.iter().zip(&direction).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let value = |step: f32| {
                let mut moved = Case::new(n, size, from, 4, true, true);
                for (weight, d) in moved.weight.iter_mut().zip(&direction) {
                    *weight += step * d;
                }
                let output = moved.forward(isa, Keep::Nothing).output;
                output.iter().zip(&case.dz).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            let h = 1e-3;
            let measured = (value(h) - value(-h)) / (2.0 * f64::from(h));
            assert!((along - measured).abs() < 0.02 * (1.0 + along.abs()), "{isa:?}: {along} {measured}");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn everything(case: &Case, isa: Isa) -> Vec<Vec<u32>> {
    let (found, gradients) = case.backward(isa, Keep::Input);
    let mut all = vec![bits(&found.output), bits(&gradients.weight), bits(&gradients.gamma)];
    all.extend(gradients.input.iter().map(|v| bits(v)));
    all.extend(gradients.skip.iter().flatten().map(|v| bits(v)));
    let (_, gradients) = case.backward(isa, Keep::Weights);
    all.push(bits(&gradients.weight));
    all
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    for (n, size, from, to) in [(3, [6, 7, 8], 16, 20), (2, [8, 8, 8], 1, 16), (17, [4, 4, 4], 2, 3)] {
        let case = Case::new(n, size, from, to, true, true);
        for isa in Isa::available() {
            let with = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| everything(&case, isa))
            };
            let one = with(1);
            assert!(one == with(2) && one == with(4) && one == with(7), "{isa:?}: {}", name(&case));
        }
    }
}

/// A fused multiply-add rounds the same everywhere, and the sums have one order.
#[test]
fn the_bits_are_the_same_on_every_instruction_set_that_fuses() {
    let fused: Vec<Isa> = Isa::available().into_iter().filter(|isa| isa.name() != "portable").collect();
    for case in cases() {
        let all: Vec<_> = fused.iter().map(|isa| everything(&case, *isa)).collect();
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{}", name(&case));
    }
}

/// A channel whose BatchNorm weight is zero has no normalised value that can be recovered from its
/// output.
#[test]
fn a_gamma_of_zero_still_learns() {
    for from in [1, 2] {
        let mut case = Case::new(2, [4, 4, 4], from, 3, false, true);
        case.gamma[1] = 0.0;
        case.definition.gamma[1] = 0.0;
        // Above zero, so that the ReLU lets the gradient through; all eight voxels are equal there.
        case.beta[1] = 0.25;
        case.definition.beta[1] = 0.25;
        let expected = case.definition.backward(&case.wide_dz());
        for isa in Isa::available() {
            let (_, found) = case.backward(isa, Keep::Weights);
            assert!(expected.gamma[1].abs() > 1e-3 && error(&found.gamma, &expected.gamma) < 2e-5, "{isa:?}");
        }
    }
}

#[test]
fn a_number_that_is_not_one_reaches_the_output() {
    for from in [1, 2] {
        for isa in Isa::available() {
            let mut case = Case::new(1, [4, 4, 4], from, 2, true, true);
            case.weight[3] = f32::NAN;
            assert!(case.forward(isa, Keep::Weights).output.iter().any(|v| v.is_nan()), "{isa:?}");
        }
    }
}

/// The layouts of input and output do not change the values.
#[test]
fn layouts_are_only_layouts() {
    let case = Case::new(2, [4, 6, 4], 3, 5, true, true);
    let isa = Isa::available()[0];
    let first = case.forward(isa, Keep::Nothing).output;
    let voxels = case.extent().voxels();
    let mut last = vec![0.0; case.extent().len(3, Layout::ChannelsLast)];
    for n in 0..2 {
        for c in 0..3 {
            for v in 0..voxels {
                last[(n * voxels + v) * 16 + c] = case.x[(n * 3 + c) * voxels + v];
            }
        }
    }
    let x = Volumes { values: &last, layout: Layout::ChannelsLast };
    let statistics = case.statistics();
    let found =
        forward(isa, case.extent(), x, &case.block(), statistics, Keep::Nothing, Layout::ChannelsLast);
    assert_eq!(channels_first(&found.output, case.extent().pooled(), 5), first);
}
