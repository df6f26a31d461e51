//! Every parameter changes what is computed, and only when it applies.
#![allow(clippy::unwrap_used, missing_docs)]

use ctpipe_train::{Config, Dataset, InMemory, PARAMS, Sample, Setting, Trained, train};
use serde_json::{Value, json};

/// A training in which everything takes part: three steps per epoch; the last epoch is the best
/// unless a change makes it otherwise.
fn base() -> Value {
    json!({
        "width": 2, "hidden_size": 6, "batch_size": 4, "epochs": 4, "lr": 1e-3, "dropout_rate": 0.2,
        "rotate_any_probability": 0.5, "scale_probability": 0.5, "shift_probability": 0.5, "contrast_probability": 0.5,
        "ema_decay": 0.5, "clip_norm": 0.5, "device": "cpu",
    })
}

/// What each parameter is changed to, and which other parameters must be set for it to matter.
fn changes() -> Vec<(&'static str, Value, Value)> {
    vec![
        ("arch", json!("cnn3d_gap"), json!({})),
        ("width", json!(3), json!({})),
        ("residual", json!(false), json!({})),
        ("kernel_size", json!(1), json!({})),
        ("hidden_size", json!(5), json!({})),
        ("dropout_rate", json!(0.6), json!({})),
        ("epochs", json!(3), json!({ "lr": 1e-5, "ema_decay": 0.0 })),
        ("batch_size", json!(3), json!({})),
        ("accumulate", json!(2), json!({})),
        ("lr", json!(2e-3), json!({})),
        ("optimizer", json!("sgd"), json!({})),
        ("optimizer", json!("adamw"), json!({ "weight_decay": 1.0 })),
        ("momentum", json!(0.5), json!({ "optimizer": "sgd" })),
        ("weight_decay", json!(0.5), json!({})),
        ("decay_all", json!(true), json!({ "weight_decay": 0.5 })),
        ("clip_norm", json!(1e-3), json!({ "optimizer": "sgd" })),
        ("ema_decay", json!(0.0), json!({})),
        ("freeze_norm", json!(true), json!({})),
        ("schedule", json!("constant"), json!({ "plateau_patience": 0, "lr": 1e-12 })),
        ("schedule", json!("one_cycle"), json!({})),
        ("schedule", json!("cosine"), json!({})),
        ("plateau_factor", json!(0.1), json!({ "plateau_patience": 0, "lr": 1e-12 })),
        ("plateau_patience", json!(0), json!({ "lr": 1e-12 })),
        ("min_lr", json!(5e-4), json!({ "schedule": "cosine" })),
        ("warmup_epochs", json!(2), json!({ "schedule": "cosine" })),
        ("early_stopping_patience", json!(1), json!({ "lr": 0.0, "epochs": 40, "ema_decay": 0.0 })),
        ("loss", json!("cross_entropy"), json!({})),
        ("focal_loss_alpha", json!(0.4), json!({})),
        ("focal_loss_gamma", json!(0.5), json!({})),
        ("class_weights", json!(false), json!({})),
        ("label_smoothing", json!(0.2), json!({})),
        ("use_weighted_sampler", json!(false), json!({})),
        ("augment", json!(false), json!({})),
        ("rotate_probability", json!(0.0), json!({})),
        ("rotate_degrees", json!(30.0), json!({})),
        ("rotate_any_probability", json!(0.0), json!({})),
        ("rotate_any_degrees", json!(30.0), json!({})),
        ("flip_probability", json!(0.0), json!({})),
        ("scale_probability", json!(0.0), json!({})),
        ("scale_range", json!(0.3), json!({})),
        ("shift_probability", json!(0.0), json!({})),
        ("shift_range", json!(0.2), json!({})),
        ("contrast_probability", json!(0.0), json!({})),
        ("contrast_range", json!(0.5), json!({})),
        ("brightness_probability", json!(0.0), json!({})),
        ("brightness_range", json!(0.5), json!({})),
        ("noise_probability", json!(0.0), json!({})),
        ("noise_range", json!(0.3), json!({})),
    ]
}

/// Parameters that the training itself ignores, and those with a test of their own.
const ELSEWHERE: [&str; 10] = [
    "on_divergence",
    "num_classes",
    "early_stopping_on",
    "checkpoint_every",
    "checkpoint_minutes",
    "tracking",
    "tracking_uri",
    "tracking_experiment",
    "precision",
    "device",
];

fn trained(changes: &[&Value]) -> Trained {
    const EDGE: usize = 16;
    let mut config = base();
    for change in changes {
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    }
    let config: Config = serde_json::from_value(config).unwrap();
    let volume = |index: usize| -> Vec<u16> {
        let noise = |i: usize| ((i * 2_654_435_761 + index * 97) >> 7) % 20_000;
        let block = |i: usize| index.is_multiple_of(3) && i % EDGE < 6 && (i / EDGE) % EDGE < 6;
        (0..EDGE.pow(3)).map(|i| (noise(i) + if block(i) { 30_000 } else { 0 }) as u16).collect()
    };
    let volumes = InMemory((0..18).map(volume).collect());
    let samples = |range: std::ops::Range<usize>| -> Vec<Sample> {
        range.map(|volume| Sample { volume, label: u8::from(volume % 3 == 0) }).collect()
    };
    let data = Dataset { train: samples(0..12), val: samples(12..18), volumes: &volumes };
    train(&config, &data, &Setting::default(), &mut ()).unwrap()
}

#[test]
fn every_parameter_changes_what_is_computed() {
    let mut tried: Vec<&str> = ELSEWHERE.to_vec();
    for (name, value, with) in changes() {
        let (before, after) = (trained(&[&with]), trained(&[&with, &json!({ name: value })]));
        // The weights differ; or, for parameters that only decide how long and how fast, the
        // history.
        let told = |trained: &Trained| {
            trained.history.iter().map(|row| (row.epoch, row.lr.to_bits())).collect::<Vec<_>>()
        };
        assert!(
            before.weights != after.weights || told(&before) != told(&after),
            "{name} = {value} with {with}"
        );
        tried.push(name);
    }
    let missing: Vec<&str> =
        PARAMS.iter().map(|param| param.name).filter(|name| !tried.contains(name)).collect();
    assert!(missing.is_empty(), "without a test: {missing:?}");
}

#[test]
fn what_a_choice_does_not_use_changes_nothing() {
    for (name, value, with) in [
        ("momentum", json!(0.1), json!({ "optimizer": "adam" })),
        ("warmup_epochs", json!(3), json!({ "schedule": "one_cycle" })),
        ("focal_loss_gamma", json!(5.0), json!({ "loss": "cross_entropy" })),
        ("rotate_degrees", json!(90.0), json!({ "rotate_probability": 0.0 })),
        ("noise_range", json!(0.5), json!({ "augment": false })),
        ("hidden_size", json!(6), json!({})),
        ("on_divergence", json!("keep"), json!({})),
    ] {
        let (before, after) = (trained(&[&with]), trained(&[&with, &json!({ name: value })]));
        assert!(before.weights == after.weights, "{name} = {value} with {with}");
    }
}
