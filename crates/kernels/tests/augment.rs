//! Compares changed volumes with scipy's (`fixtures/make_affine.py`), with definitions and with
//! statistics, on every instruction set.
#![allow(clippy::unwrap_used, missing_docs)]

use ctpipe_kernels::Isa;
use ctpipe_kernels::augment::{Change, Noise, mean, render};

fn volume(edge: usize) -> Vec<u16> {
    (0..edge.pow(3)).map(|i| (i * 7919 % 65536) as u16).collect()
}

fn rendered(isa: Isa, edge: usize, volume: &[u16], change: Change) -> Vec<f32> {
    let mut out = vec![f32::NAN; edge.pow(3)];
    render(isa, edge, &[volume], &[change], &mut out);
    out
}

#[test]
fn volumes_are_sampled_where_scipy_samples_them() {
    let text = include_str!("fixtures/affine.txt");
    let lines: Vec<Vec<f32>> =
        text.lines().map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect()).collect();
    assert_eq!(lines.len(), 12);
    for case in lines.chunks(2) {
        let [rows, expected] = case else { unreachable!("lines come in pairs") };
        let rows = [0, 4, 8].map(|from| [rows[from], rows[from + 1], rows[from + 2], rows[from + 3]]);
        for isa in Isa::available() {
            let change = Change { sampled_at: Some(rows), ..Change::NONE };
            let found = rendered(isa, 9, &volume(9), change);
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 5e-6, "{isa:?} {rows:?}: {worst}");
        }
    }
}

#[test]
fn nothing_changed_is_the_volume_and_a_mirror_image_is_exact() {
    let (edge, volume) = (10, volume(10));
    let scaled = |voxel: u16| f32::from(voxel) / 65535.0;
    for isa in Isa::available() {
        let same = rendered(isa, edge, &volume, Change::NONE);
        assert!(same.iter().zip(&volume).all(|(a, &b)| *a == scaled(b)));
        let rows = [[-1.0, 0.0, 0.0, 9.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let mirrored = rendered(isa, edge, &volume, Change { sampled_at: Some(rows), ..Change::NONE });
        for (row, from) in mirrored.chunks(edge).zip(volume.chunks(edge)) {
            assert!(row.iter().zip(from.iter().rev()).all(|(a, &b)| *a == scaled(b)));
        }
    }
}

#[test]
fn values_are_spread_lifted_and_cut_to_the_window() {
    let change = Change { gain: 1.5, offset: -0.125, ..Change::NONE };
    for isa in Isa::available() {
        let found = rendered(isa, 8, &volume(8), change);
        for (found, &voxel) in found.iter().zip(&volume(8)) {
            let expected = (f32::from(voxel) / 65535.0 * 1.5 - 0.125).clamp(0.0, 1.0);
            assert_eq!(*found, expected);
        }
    }
    // (0 + 65535 + 3 · 21845) / 5 / 65535.
    assert!((mean(&[0, 65535, 21845, 21845, 21845]) - 0.4).abs() < 1e-7);
}

/// Mean, variance, skewness and kurtosis of a sample of 262 144, and the largest distance of its
/// distribution function from the normal one (Kolmogorov and Smirnov: 1.63 / sqrt(n) at 1 %).
#[test]
fn noise_is_gaussian_and_the_same_for_the_same_key() {
    let (edge, deviation) = (64, 0.05);
    let grey = vec![32_768_u16; edge * edge * edge];
    let with = |key: [u32; 3]| {
        let noise = Some(Noise { deviation, key });
        rendered(Isa::portable(), edge, &grey, Change { noise, ..Change::NONE })
    };
    let mut sample: Vec<f64> = with([1, 2, 3])
        .iter()
        .map(|v| (f64::from(*v) - 32_768.0 / 65_535.0) / f64::from(deviation))
        .collect();
    let n = sample.len() as f64;
    let moment = |power: i32| sample.iter().map(|x| x.powi(power)).sum::<f64>() / n;
    // Six standard errors: 1/sqrt(n), sqrt(2/n), sqrt(15/n) and sqrt(96/n); the kurtosis is 3 -
    // 2/64 by construction.
    let error = |of: f64| 6.0 * (of / n).sqrt();
    assert!(moment(1).abs() < error(1.0), "{}", moment(1));
    assert!((moment(2) - 1.0).abs() < error(2.0), "{}", moment(2));
    assert!(moment(3).abs() < error(15.0), "{}", moment(3));
    assert!((moment(4) - 3.0 + 2.0 / 64.0).abs() < error(96.0), "{}", moment(4));
    // Neighbours are not correlated.
    let along = |step: usize| sample.windows(step + 1).map(|w| w[0] * w[step]).sum::<f64>() / n;
    for step in [1, edge, edge * edge] {
        assert!(along(step).abs() < error(1.0), "{step}: {}", along(step));
    }
    sample.sort_by(f64::total_cmp);
    let distance =
        sample.iter().enumerate().map(|(i, &x)| (normal(x) - (i as f64 + 0.5) / n).abs()).fold(0.0, f64::max);
    assert!(distance < 1.63 / n.sqrt(), "{distance}");
    assert_eq!(with([1, 2, 3]), with([1, 2, 3]));
    let other = with([1, 2, 4]);
    let both = with([1, 2, 3]).iter().zip(&other).map(|(a, b)| f64::from((a - 0.5) * (b - 0.5))).sum::<f64>();
    assert!((both / n / f64::from(deviation * deviation)).abs() < error(1.0));
}

/// The normal distribution function by Simpson's rule.
fn normal(x: f64) -> f64 {
    let steps = 200;
    let h = x / f64::from(steps);
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let inner: f64 = (1..steps).map(|i| density(f64::from(i) * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    0.5 + (density(0.0) + inner + density(x)) * h / 3.0
}

#[test]
fn the_bits_depend_neither_on_the_instruction_set_nor_on_the_threads() {
    let edge = 24;
    let volumes = [volume(edge), volume(edge).into_iter().rev().collect()];
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    let rows = [[0.97, 0.12, 0.05, -1.3], [-0.11, 0.98, 0.02, 0.7], [-0.06, -0.01, 1.01, 0.4]];
    let noise = Some(Noise { deviation: 0.07, key: [5, 6, 7] });
    let turned = Change { sampled_at: Some(rows), gain: 1.1, offset: -0.02, noise };
    let changes = [turned, Change { sampled_at: None, ..turned }];
    let run = |isa: Isa, threads: usize| {
        let mut out = vec![0.0; 2 * edge.pow(3)];
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| render(isa, edge, &volumes, &changes, &mut out));
        out
    };
    let first = run(Isa::portable(), 1);
    for isa in Isa::available() {
        assert!(run(isa, 1) == first && run(isa, 3) == first, "{isa:?}");
    }
}
