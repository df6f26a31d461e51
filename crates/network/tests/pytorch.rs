//! Compares three training steps with PyTorch in f64, number by number (the fixtures come from
//! `fixtures/make_torch.py`).
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use ctpipe_network::{
    Batch, Config, Device, Learning, Loss, LossKind, Network, OptimizerKind, Trainer, Voxels, Weights,
};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const LABELS: [u8; 3] = [0, 1, 1];

fn volumes(size: usize) -> Vec<Vec<u16>> {
    (0..3).map(|b| (0..size.pow(3)).map(|i| ((i * 7919 * (b + 3)) % 65536) as u16).collect()).collect()
}

/// Adam as in the reference: every tensor decays.
fn decaying(weight_decay: f64) -> Learning {
    Learning { weight_decay, decay_all: true, ..Learning::default() }
}

/// The tensors `prefix.*` of a fixture as a `.safetensors` file of their own.
fn file_of(fixture: &SafeTensors<'_>, prefix: &str) -> Vec<u8> {
    let tensors = fixture.tensors();
    let views: BTreeMap<String, &TensorView<'_>> = tensors
        .iter()
        .filter_map(|(name, view)| Some((name.strip_prefix(prefix)?.to_owned(), view)))
        .collect();
    let views = views.into_iter().map(|(name, view)| {
        (name, TensorView::new(view.dtype(), view.shape().to_vec(), view.data()).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn numbers(fixture: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = fixture.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F32);
    view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The largest error divided by the largest value.
fn error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, |a, b| a.max(b.abs()));
    largest(&mut found.iter().zip(expected).map(|(a, b)| a - b))
        / largest(&mut expected.iter().copied()).max(1e-30)
}

fn check(bytes: &[u8], size: usize, residual: bool, kind: LossKind) {
    let fixture = SafeTensors::deserialize(bytes).unwrap();
    let config = Config { size, width: 1, residual, hidden_size: 4, dropout_rate: 0.0, ..Config::default() };
    let before = Weights::from_safetensors(&file_of(&fixture, "before."), &config).unwrap();
    let mut trainer = Trainer::new(&before, decaying(1e-2), 0, Device::Cpu).unwrap();
    let volumes = volumes(size);
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    let loss = Loss { kind, class_weights: [1.5, 0.75], ..Loss::default() };
    for _ in 0..3 {
        trainer.step(&Batch::of(&volumes, &LABELS), &loss, 1e-3).unwrap();
    }
    let losses = trainer.losses();
    assert!(error(&losses, &numbers(&fixture, "losses")) < 2e-4, "{losses:?}");
    let after = trainer.weights();
    for name in fixture.names() {
        let Some(tensor) = name.strip_prefix("after.").filter(|n| !n.ends_with("num_batches_tracked")) else {
            continue;
        };
        // Before a BatchNorm, the true gradient of a bias is zero, and Adam turns the rounding
        // error of either side into a whole step.
        let tolerance = if tensor.starts_with("conv.") && tensor.ends_with("bias") { 0.1 } else { 2e-3 };
        let found = error(after.get(tensor).unwrap(), &numbers(&fixture, name));
        assert!(found < tolerance, "{tensor}: {found}");
    }
    let logits: Vec<f32> =
        Network::new(&after, Device::Cpu).unwrap().logits(Voxels::Host(&volumes)).unwrap().concat();
    assert!(error(&logits, &numbers(&fixture, "logits")) < 5e-3, "{logits:?}");
    assert_eq!(
        trainer.logits(Voxels::Host(&volumes)).unwrap().concat(),
        logits,
        "training and inference give the same logits"
    );
    // PyTorch would load the file that we write: it has the same names, shapes and types.
    let written = after.to_safetensors().unwrap();
    let written = SafeTensors::deserialize(&written).unwrap();
    let shapes = |file: &SafeTensors<'_>, prefix: &str| -> BTreeMap<String, String> {
        file.tensors()
            .into_iter()
            .filter_map(|(n, v)| {
                Some((n.strip_prefix(prefix)?.to_owned(), format!("{:?} {:?}", v.dtype(), v.shape())))
            })
            .collect()
    };
    assert_eq!(shapes(&written, ""), shapes(&fixture, "after."));
}

#[test]
fn three_steps_with_residuals_and_focal_loss_are_pytorchs() {
    check(include_bytes!("fixtures/torch_residual_focal.safetensors"), 64, true, LossKind::Focal);
}

#[test]
fn three_steps_without_residuals_and_with_cross_entropy_are_pytorchs() {
    let fixture = include_bytes!("fixtures/torch_plain_cross_entropy.safetensors");
    check(fixture, 64, false, LossKind::CrossEntropy);
}

#[test]
fn three_steps_on_volumes_of_another_size_are_pytorchs() {
    check(include_bytes!("fixtures/torch_volumes_of_24.safetensors"), 24, true, LossKind::CrossEntropy);
}

/// Each optimiser with decay of only the weights or of everything, clipping, and label smoothing.
#[test]
fn three_steps_of_each_optimiser_are_pytorchs() {
    let bytes = include_bytes!("fixtures/torch_optimizers.safetensors");
    let fixture = SafeTensors::deserialize(bytes).unwrap();
    let config = Config { size: 16, width: 1, hidden_size: 4, dropout_rate: 0.0, ..Config::default() };
    let before = Weights::from_safetensors(&file_of(&fixture, "before."), &config).unwrap();
    let volumes = volumes(16);
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    let loss = Loss { kind: LossKind::CrossEntropy, class_weights: [1.5, 0.75], ..Loss::default() };
    let none = Learning { weight_decay: 0.0, ..Learning::default() };
    let tenth = Learning { weight_decay: 0.1, ..none };
    let cases = [
        ("adam_weights", tenth, loss, 1e-3),
        (
            "adamw_weights",
            Learning { optimizer: OptimizerKind::AdamW, weight_decay: 10.0, ..none },
            loss,
            1e-3,
        ),
        (
            "adamw_all",
            Learning { optimizer: OptimizerKind::AdamW, weight_decay: 10.0, decay_all: true, ..none },
            loss,
            1e-3,
        ),
        ("sgd_weights", Learning { optimizer: OptimizerKind::Sgd, ..tenth }, loss, 1e-2),
        ("sgd_clipped", Learning { optimizer: OptimizerKind::Sgd, clip_norm: 0.05, ..none }, loss, 1e-2),
        ("adam_smoothed", none, Loss { label_smoothing: 0.2, ..loss }, 1e-3),
    ];
    for (case, learning, loss, lr) in cases {
        let mut trainer = Trainer::new(&before, learning, 0, Device::Cpu).unwrap();
        for _ in 0..3 {
            trainer.step(&Batch::of(&volumes, &LABELS), &loss, lr).unwrap();
        }
        let losses = error(&trainer.losses(), &numbers(&fixture, &format!("{case}/losses")));
        assert!(losses < 1e-4, "{case}: losses off by {losses}");
        let after = trainer.weights();
        for name in fixture.names() {
            let Some(tensor) = name.strip_prefix(&format!("{case}/after.")) else { continue };
            // A bias before a BatchNorm has no gradient: Adam turns the rounding error of either
            // side into a step.
            let noise = tensor.starts_with("conv.") && tensor.ends_with("bias") && case.starts_with("adam");
            if tensor.ends_with("num_batches_tracked") || noise {
                continue;
            }
            let found = error(after.get(tensor).unwrap(), &numbers(&fixture, name));
            assert!(found < 2e-3, "{case}: {tensor} off by {found}");
        }
    }
}

#[test]
fn the_size_of_the_volumes_is_seen_in_the_weights() {
    let config = Config { width: 1, hidden_size: 4, ..Config::default() };
    let fixture =
        SafeTensors::deserialize(include_bytes!("fixtures/torch_volumes_of_24.safetensors")).unwrap();
    assert_eq!(Weights::size_in(&file_of(&fixture, "before."), &config), Some(24));
    assert_eq!(Weights::size_in(b"no weights", &config), None);
}

#[test]
fn a_volume_of_another_size_is_refused_with_both_sizes() {
    let config = Config { size: 16, width: 1, hidden_size: 4, ..Config::default() };
    let network = Network::new(&Weights::init(&config, 3), Device::Cpu).unwrap();
    let error = network.logits(Voxels::Host(&[&[0; 1000]])).unwrap_err().to_string();
    assert!(error.contains("1000 voxels") && error.contains("16 x 16 x 16 = 4096"), "{error}");
    let config = Config { size: 20, ..config };
    let error = Network::new(&Weights::init(&config, 3), Device::Cpu).err().map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.contains("20 x 20 x 20") && e.contains("multiple of 8")));
}

#[test]
fn the_loss_on_the_host_is_the_loss_of_the_step() {
    let config = Config { width: 1, hidden_size: 4, dropout_rate: 0.0, ..Config::default() };
    let volumes = volumes(config.size);
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    for kind in [LossKind::Focal, LossKind::CrossEntropy] {
        let loss = Loss { kind, alpha: 0.6, gamma: 1.5, class_weights: [1.0, 2.0], ..Loss::default() };
        // -ln(1/2) for logits 0 and 0, by hand: focal (0.4·1 + 2·0.6·2)/3 · 0.5^1.5 · ln 2.
        let by_hand = match kind {
            LossKind::Focal => (0.4 + 2.0 * 0.6 * 2.0) / 3.0 * 0.5_f64.powf(1.5) * 2_f64.ln(),
            LossKind::CrossEntropy => 2_f64.ln(),
        };
        assert!((loss.on_host(&[[0.0; 2]; 3], &LABELS) - by_hand).abs() < 1e-6);
        let mut trainer = Trainer::new(&Weights::init(&config, 3), decaying(0.0), 0, Device::Cpu).unwrap();
        trainer.step(&Batch::of(&volumes, &LABELS), &loss, 0.0).unwrap();
        assert!(trainer.losses()[0].is_finite());
    }
}
