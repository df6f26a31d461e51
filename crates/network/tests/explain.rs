//! Compares the gradient of the input with differences of the output, and Grad-CAM with its
//! definition.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use ctpipe_network::{Arch, Config, Device, Explainer, Network, Voxels, Weights};

const SIZE: usize = 16;

fn config(arch: Arch) -> Config {
    Config { arch, size: SIZE, width: 3, hidden_size: 7, ..Config::default() }
}

/// Numbers that look random, in 0..1.
fn values(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    (0..n).map(|_| next()).collect()
}

fn answers(network: &Network, values: &[f32]) -> Vec<f64> {
    let logits = network.logits(Voxels::Scaled(values)).unwrap();
    logits.iter().map(|[normal, pathology]| f64::from(*pathology) - f64::from(*normal)).collect()
}

#[test]
fn the_gradient_is_the_slope_of_the_answer() {
    for arch in [Arch::Cnn3d, Arch::Cnn3dGap] {
        let weights = Weights::init(&config(arch), 5);
        let network = Network::new(&weights, Device::Cpu).unwrap();
        let explainer = Explainer::new(&weights, Device::Cpu).unwrap();
        let voxels = SIZE.pow(3);
        // Two volumes at once: neither may affect the other.
        let volumes = values(1, 2 * voxels);
        let gradients = explainer.gradients(&volumes).unwrap();
        assert_eq!(gradients.len(), volumes.len());
        for (volume, gradient) in volumes.chunks(voxels).zip(gradients.chunks(voxels)) {
            // Along the gradient, the slope is the length of the gradient. The output has kinks, so
            // the step is short.
            let length = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!(length > 1e-4, "{length}");
            let step = 2e-2 / length;
            let moved = |by: f64| -> Vec<f32> {
                volume
                    .iter()
                    .zip(gradient)
                    .map(|(v, g)| (f64::from(*v) + by * step * f64::from(*g)) as f32)
                    .collect()
            };
            let ahead = answers(&network, &moved(0.5))[0];
            let behind = answers(&network, &moved(-0.5))[0];
            let slope = (ahead - behind) / (step * length);
            assert!((slope / length - 1.0).abs() < 0.03, "{arch:?}: {slope} for {length}");
        }
    }
}

#[test]
fn grad_cam_is_a_map_of_what_speaks_for_pathology_on_the_volumes_own_grid() {
    let weights = Weights::init(&config(Arch::Cnn3d), 5);
    let explainer = Explainer::new(&weights, Device::Cpu).unwrap();
    let voxels = SIZE.pow(3);
    let volumes = values(3, 2 * voxels);
    let maps = explainer.grad_cam(&volumes).unwrap();
    assert_eq!(maps.len(), volumes.len());
    assert!(maps.iter().all(|&value| value >= 0.0) && maps.iter().any(|&value| value > 0.0));
    // One volume after the other gives the same as both at once.
    let apart: Vec<f32> =
        volumes.chunks(voxels).flat_map(|volume| explainer.grad_cam(volume).unwrap()).collect();
    assert_eq!(maps, apart);
}

#[test]
fn with_other_weights_it_is_another_gradient() {
    let volume = values(7, SIZE.pow(3));
    let of = |seed: u64| {
        let weights = Weights::init(&config(Arch::Cnn3d), seed);
        Explainer::new(&weights, Device::Cpu).unwrap().gradients(&volume).unwrap()
    };
    let (a, b) = (of(1), of(2));
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let cosine = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
    assert!(cosine.abs() < 0.5, "{cosine}");
}

#[test]
fn a_volume_of_another_size_is_refused() {
    let weights = Weights::init(&config(Arch::Cnn3d), 5);
    let explainer = Explainer::new(&weights, Device::Cpu).unwrap();
    let error = explainer.gradients(&[0.0; 100]).unwrap_err().to_string();
    assert!(error.contains("16"), "{error}");
}
