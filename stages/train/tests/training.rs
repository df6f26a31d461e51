//! A training through the library: the parameters whose effect the end-to-end test cannot see on
//! its balanced data, and the promises about the best epoch.
#![allow(clippy::unwrap_used, missing_docs)]

use ctpipe_network::LossKind;
use ctpipe_train::{Config, Dataset, InMemory, Sample, Setting, TrainError, Trained, train};

/// Six normal volumes, and two pathological ones with a bright block.
fn volumes() -> (InMemory, Vec<Sample>) {
    let volume = |index: usize, label: u8| -> Vec<u16> {
        let noise = |i: usize| ((i * 2_654_435_761 + index * 97) >> 7) % 9000;
        let block =
            |i: usize| label == 1 && (i / 4096) % 64 < 20 && (i / 64) % 64 < 20 && i % 64 < 20 + index;
        (0..64 * 64 * 64).map(|i| (noise(i) + if block(i) { 40_000 } else { 0 }) as u16).collect()
    };
    let labels = [0, 0, 1, 0, 0, 0, 1, 0];
    let samples: Vec<Sample> =
        labels.into_iter().enumerate().map(|(volume, label)| Sample { volume, label }).collect();
    (InMemory(samples.iter().map(|s| volume(s.volume, s.label)).collect()), samples)
}

fn small() -> Config {
    Config { width: 1, hidden_size: 4, batch_size: 4, epochs: 2, lr: 1e-2, ..Config::default() }
}

fn trained(config: &Config) -> Trained {
    let (volumes, samples) = volumes();
    let data = Dataset { train: samples.clone(), val: samples, volumes: &volumes };
    train(config, &data, &Setting::default(), &mut ()).unwrap()
}

#[test]
fn class_weights_change_the_weights_of_an_imbalanced_training_in_either_loss() {
    for loss in [LossKind::Focal, LossKind::CrossEntropy] {
        let with = trained(&Config { loss, ..small() });
        let without = trained(&Config { loss, class_weights: false, ..small() });
        // n / (classes x count): 8 / (2 x 6) and 8 / (2 x 2).
        assert_eq!(with.class_weights, [8.0 / 12.0, 2.0]);
        assert_eq!(without.class_weights, [1.0, 1.0]);
        assert_ne!(with.weights, without.weights);
    }
    assert!(trained(&small()).notes[0].text.contains("over-correct"));
}

#[test]
fn early_stopping_ends_the_training_and_the_best_weights_are_returned() {
    // With a learning rate of zero, only BatchNorm's statistics change, and the loss soon stops
    // improving.
    let config = Config { lr: 0.0, epochs: 60, early_stopping_patience: 3, ..small() };
    let stopped = trained(&config);
    assert!(stopped.stopped_early && stopped.history.len() < 60);
    assert_eq!(stopped.best_epoch as usize, stopped.history.len() - 3);
    let longer = trained(&Config { early_stopping_patience: 6, ..config.clone() });
    assert!(longer.history.len() > stopped.history.len());
    let best = trained(&Config { epochs: stopped.best_epoch, ..config });
    assert_eq!(best.weights, stopped.weights);
    let marked: Vec<u32> = stopped.history.iter().filter(|row| row.best).map(|row| row.epoch).collect();
    assert_eq!(marked, [stopped.best_epoch]);
}

#[test]
fn the_learning_rate_falls_on_a_plateau_by_its_factor_after_its_patience() {
    let config = Config { lr: 1e-12, epochs: 6, weight_decay: 0.0, plateau_patience: 0, ..small() };
    // Nothing is learnt at 1e-12: once BatchNorm's statistics have settled, no epoch is better.
    let rates = |config: &Config| trained(config).history.iter().map(|row| row.lr).collect::<Vec<_>>();
    let halved = rates(&config);
    let tenth = rates(&Config { plateau_factor: 0.1, ..config.clone() });
    let patient = rates(&Config { plateau_patience: 50, ..config });
    assert_eq!(patient, [1e-12; 6]);
    assert!(halved[5] < 1e-12 && tenth[5] < halved[5], "{halved:?} {tenth:?}");
}

#[test]
fn what_cannot_be_trained_on_is_refused_in_words() {
    let (volumes, samples) = volumes();
    let attempt = |config: &Config, train_part: Vec<Sample>| {
        let data = Dataset { train: train_part, val: Vec::new(), volumes: &volumes };
        train(config, &data, &Setting::default(), &mut ()).unwrap_err()
    };
    let one_class: Vec<Sample> = samples.iter().copied().filter(|s| s.label == 0).collect();
    assert!(matches!(attempt(&small(), one_class), TrainError::OneClass { normal: 6, pathology: 0 }));
    let too_large = attempt(&Config { batch_size: 9, ..small() }, samples);
    assert!(too_large.to_string().contains("use 8 or less"), "{too_large}");
}
