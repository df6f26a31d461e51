//! Trainings that are stopped and resumed, and steps that consist of several batches, through the
//! library.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::Path;

use ctpipe_network::{
    Arch, Batch, Config as Network, Device, Learning, Loss, OptimizerKind, Trainer, Weights,
};
use ctpipe_train::{
    Config, Dataset, Epoch, Flow, InMemory, NotFinite, OnDivergence, Plan, Sample, Schedule, Setting, Step,
    TrainError, Trained, Watched, Watcher, train,
};

const EDGE: usize = 16;

/// Volumes of 16³ voxels: noise, and a bright block in those with a pathology.
fn volumes(count: usize) -> (InMemory, Vec<Sample>) {
    let volume = |index: usize| -> Vec<u16> {
        let noise = |i: usize| ((i * 2_654_435_761 + index * 97) >> 7) % 20_000;
        let block = |i: usize| index.is_multiple_of(3) && i % EDGE < 6 && (i / EDGE) % EDGE < 6 + index % 2;
        (0..EDGE.pow(3)).map(|i| (noise(i) + if block(i) { 30_000 } else { 0 }) as u16).collect()
    };
    let samples = (0..count).map(|volume| Sample { volume, label: u8::from(volume % 3 == 0) }).collect();
    (InMemory((0..count).map(volume).collect()), samples)
}

/// A configuration in which everything that has a state is on.
fn config() -> Config {
    Config {
        width: 2,
        hidden_size: 6,
        batch_size: 3,
        accumulate: 2,
        epochs: 3,
        lr: 3e-3,
        ema_decay: 0.9,
        clip_norm: 1.0,
        contrast_probability: 0.5,
        rotate_any_probability: 0.3,
        plateau_patience: 0,
        ..Config::default()
    }
}

/// Stops after a number of steps, or never, and records what is reported to it.
#[derive(Default)]
struct Stopper {
    after: Option<u64>,
    steps: Vec<u64>,
    losses: Vec<(u64, u32)>,
    epochs: Vec<u32>,
    said: Vec<String>,
    plan: Option<Plan>,
}

impl Watcher for Stopper {
    fn begin(&mut self, plan: &Plan) {
        self.plan = Some(*plan);
    }
    fn step(&mut self, step: &Step) -> Flow {
        self.steps.push(step.number);
        match &mut self.after {
            Some(1) => Flow::Stop,
            Some(left) => {
                *left -= 1;
                Flow::Go
            }
            None => Flow::Go,
        }
    }
    fn losses(&mut self, first: u64, losses: &[f32]) {
        self.losses.extend((first..).zip(losses.iter().map(|loss| loss.to_bits())));
    }
    fn epoch(&mut self, epoch: &Epoch) {
        self.epochs.push(epoch.row.epoch);
    }
    fn info(&mut self, text: &str) {
        self.said.push(text.to_owned());
    }
    fn note(&mut self, text: &str) {
        self.said.push(text.to_owned());
    }
}

fn run(config: &Config, folder: Option<&Path>, watcher: &mut Stopper) -> Result<Trained, TrainError> {
    let (volumes, samples) = volumes(20);
    let data = Dataset { train: samples[..14].to_vec(), val: samples[14..].to_vec(), volumes: &volumes };
    let setting = Setting { checkpoints: folder.map(Path::to_path_buf), ..Setting::default() };
    train(config, &data, &setting, watcher)
}

fn same(a: &Trained, b: &Trained) {
    assert!(a.weights == b.weights, "other weights");
    assert_eq!(a.weights.to_safetensors().unwrap(), b.weights.to_safetensors().unwrap());
    assert_eq!((&a.history, a.best_epoch, &a.notes), (&b.history, b.best_epoch, &b.notes));
}

/// The training is stopped again and again, after every possible number of steps, with several
/// optimisers and schedules.
#[test]
fn a_training_that_is_stopped_anywhere_ends_in_the_same_bits() {
    for (optimizer, schedule) in [
        (OptimizerKind::Adam, Schedule::Plateau),
        (OptimizerKind::AdamW, Schedule::OneCycle),
        (OptimizerKind::Sgd, Schedule::Cosine),
    ] {
        let config = Config { optimizer, schedule, warmup_epochs: 0.5, ..config() };
        let mut whole = Stopper::default();
        let undisturbed = run(&config, None, &mut whole).unwrap();
        // 14 samples in steps of 6: three steps per epoch, of which the last has two volumes.
        assert_eq!(whole.steps, (1..=9).collect::<Vec<u64>>());
        for every in 1..=9 {
            let folder = tempfile::tempdir().unwrap();
            let mut all = Stopper::default();
            let trained = loop {
                all.after = Some(every);
                match run(&config, Some(folder.path()), &mut all) {
                    Err(TrainError::Stopped) => {}
                    other => break other.unwrap(),
                }
            };
            same(&undisturbed, &trained);
            assert_eq!((&all.steps, &all.losses, &all.epochs), (&whole.steps, &whole.losses, &whole.epochs));
        }
    }
}

/// With one step per epoch, stopping after the step and the end of the epoch write two checkpoints.
#[test]
fn epochs_of_one_step_are_gone_on_from_and_two_checkpoints_stay() {
    let config = Config { batch_size: 7, accumulate: 2, epochs: 5, ..config() };
    let undisturbed = run(&config, None, &mut Stopper::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let stopped =
            run(&config, Some(folder.path()), &mut Stopper { after: Some(1), ..Stopper::default() });
        assert!(matches!(stopped, Err(TrainError::Stopped)));
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert!(files == 2 || files == 4, "{files}");
    }
    same(&undisturbed, &run(&config, Some(folder.path()), &mut Stopper::default()).unwrap());
}

/// The stop comes within a step of two batches, or within validation; a step that was begun is
/// discarded.
#[test]
fn a_training_that_is_stopped_within_a_step_or_in_validation_ends_in_the_same_bits() {
    struct Within {
        asked: u32,
        stop_at: u32,
    }
    impl Watcher for Within {
        fn stopping(&mut self) -> bool {
            self.asked += 1;
            self.asked == self.stop_at
        }
    }
    let undisturbed = run(&config(), None, &mut Stopper::default()).unwrap();
    let (volumes, samples) = volumes(20);
    let data = Dataset { train: samples[..14].to_vec(), val: samples[14..].to_vec(), volumes: &volumes };
    // An epoch has two steps of two batches and one of a single batch, then two batches of
    // validation: the watcher is asked four times.
    for stop_at in 1..=12 {
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting { checkpoints: Some(folder.path().to_path_buf()), ..Setting::default() };
        let stopped = train(&config(), &data, &setting, &mut Within { asked: 0, stop_at });
        assert!(matches!(stopped, Err(TrainError::Stopped)), "{stop_at}");
        let mut again = Stopper::default();
        same(&undisturbed, &run(&config(), Some(folder.path()), &mut again).unwrap());
    }
}

/// A kill loses everything after the last checkpoint, and the training does that again.
#[test]
fn a_training_that_is_killed_does_the_lost_steps_again_and_ends_in_the_same_bits() {
    let config = Config { checkpoint_minutes: 0.0, checkpoint_every: 1, ..config() };
    let undisturbed = run(&config, None, &mut Stopper::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stopped = run(&config, Some(folder.path()), &mut Stopper { after: Some(8), ..Stopper::default() });
    assert!(matches!(stopped, Err(TrainError::Stopped)));
    // Without the checkpoint that stopping wrote, as after a kill, that of the second epoch
    // remains.
    let newest = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    std::fs::remove_file(newest.with_extension("json")).unwrap();
    let mut again = Stopper::default();
    let trained = run(&config, Some(folder.path()), &mut again).unwrap();
    same(&undisturbed, &trained);
    assert!(
        again.said.contains(&"continues from a checkpoint: epoch 3, after step 0 of 3".to_owned()),
        "{:?}",
        again.said
    );
    assert_eq!((again.steps, again.plan.unwrap().done), (vec![7, 8, 9], 6));
}

#[test]
fn another_training_does_not_go_on_from_these_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let mut stopper = Stopper { after: Some(4), ..Stopper::default() };
    assert!(matches!(run(&config(), Some(folder.path()), &mut stopper), Err(TrainError::Stopped)));
    let other = Config { lr: 1e-3, ..config() };
    let mut watcher = Stopper::default();
    let trained = run(&other, Some(folder.path()), &mut watcher).unwrap();
    same(&run(&other, None, &mut Stopper::default()).unwrap(), &trained);
    assert_eq!(watcher.plan.unwrap().done, 0);
    assert!(watcher.said.iter().any(|text| text.contains("of another training")), "{:?}", watcher.said);
    // How often checkpoints are written is not part of a training's identity.
    let folder = tempfile::tempdir().unwrap();
    let mut stopper = Stopper { after: Some(4), ..Stopper::default() };
    assert!(run(&config(), Some(folder.path()), &mut stopper).is_err());
    let mut watcher = Stopper::default();
    run(&Config { checkpoint_every: 7, ..config() }, Some(folder.path()), &mut watcher).unwrap();
    assert_eq!(watcher.plan.unwrap().done, 4);
}

/// With BatchNorm as in inference, four batches of 2 equal one batch of 8.
#[test]
fn accumulated_batches_are_the_large_batch_where_batch_norm_does_not_look_at_it() {
    let (InMemory(volumes), samples) = volumes(8);
    let volumes: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
    let labels: Vec<u8> = samples.iter().map(|sample| sample.label).collect();
    for arch in [Arch::Cnn3d, Arch::Cnn3dGap] {
        let network =
            Network { arch, size: EDGE, width: 2, hidden_size: 5, dropout_rate: 0.0, ..Network::default() };
        for kind in [ctpipe_network::LossKind::Focal, ctpipe_network::LossKind::CrossEntropy] {
            let loss = Loss { kind, class_weights: [0.7, 1.9], label_smoothing: 0.1, ..Loss::default() };
            let gradients = |parts: usize, freeze_norm: bool| {
                // With SGD without momentum from the same start, the step itself is the gradient.
                let learning = Learning {
                    optimizer: OptimizerKind::Sgd,
                    momentum: 0.0,
                    weight_decay: 0.0,
                    freeze_norm,
                    ..Learning::default()
                };
                let start = Weights::init(&network, 3);
                let mut trainer = Trainer::new(&start, learning, 3, Device::Cpu).unwrap();
                for (volumes, labels_of) in volumes.chunks(8 / parts).zip(labels.chunks(8 / parts)) {
                    trainer.add(&Batch::of(volumes, labels_of), &loss, &labels).unwrap();
                }
                trainer.update(1.0);
                let after = trainer.weights();
                let moved = start.named().flat_map(|(name, before)| {
                    let after = after.get(&name).unwrap().to_vec();
                    let learnt = !name.contains("running");
                    before
                        .iter()
                        .zip(after)
                        .map(move |(a, b)| if learnt { b - a } else { 0.0 })
                        .collect::<Vec<f32>>()
                });
                (moved.collect::<Vec<f32>>(), trainer.losses())
            };
            let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
            let apart =
                |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            let (whole, whole_loss) = gradients(1, true);
            let (parts, parts_loss) = gradients(4, true);
            assert!(largest(&whole) > 1e-3);
            assert!(apart(&whole, &parts) < 2e-6 * largest(&whole).max(1.0), "{arch:?} {kind:?}");
            assert!((whole_loss[0] - parts_loss[0]).abs() < 1e-6);
            // With BatchNorm active, the step differs, as the documentation warns.
            let (whole, _) = gradients(1, false);
            assert!(apart(&whole, &gradients(4, false).0) > 1e-3 * largest(&whole));
        }
    }
}

/// The error names the series of the step and the last finite loss.
#[test]
fn a_loss_that_is_no_number_is_told_with_its_step_and_series_and_the_checkpoint_before_is_kept() {
    // Each step multiplies the weights by -99.
    let config =
        Config { lr: 10.0, weight_decay: 10.0, clip_norm: 0.0, optimizer: OptimizerKind::Sgd, ..config() };
    let config = Config { epochs: 200, schedule: Schedule::Constant, early_stopping_patience: 200, ..config };
    let folder = tempfile::tempdir().unwrap();
    let mut watcher = Stopper::default();
    let error = run(&config, Some(folder.path()), &mut watcher).map(drop).unwrap_err();
    let text = error.to_string();
    let TrainError::NotFinite(found) = error else { panic!("{text}") };
    let NotFinite { epoch, step, loss, lr, last, series, checkpoint, .. } = *found;
    assert!(checkpoint.is_none_or(|tensors| tensors.exists()));
    assert!(!loss.is_finite() && lr == 10.0 && last.unwrap().is_finite());
    assert_eq!(u64::from(epoch - 1) * 3 + step as u64, watcher.losses.last().unwrap().0);
    assert!(!series.is_empty() && series.len() <= 6 && series.iter().all(|name| name.starts_with("volume ")));
    assert!(text.contains(&series[0]) && text.contains(&format!("epoch {epoch}, step {step}")), "{text}");
    assert!(text.contains("the last finite loss was") && text.contains("clip_norm=1"), "{text}");
    // A second run continues from the checkpoint and stops at the same step.
    let mut again = Stopper::default();
    let second = run(&config, Some(folder.path()), &mut again).map(drop).unwrap_err().to_string();
    assert_eq!(second, text);
    assert!(epoch == 1 || again.plan.unwrap().done > 0);
    // With keep, the result is the best epoch until then, with a note.
    let kept = Config { on_divergence: OnDivergence::Keep, ..config.clone() };
    let trained = run(&kept, None, &mut Stopper::default()).unwrap();
    let note = trained.notes.iter().find(|note| note.code == "diverged").unwrap();
    assert_eq!(note.values["epoch"], epoch);
    assert_eq!(trained.history.len() as u32, epoch - 1);
    assert!(trained.best_epoch < epoch && trained.history.iter().all(|row| row.train_loss.is_finite()));
    // With so high a rate that no epoch is finished, the result is the initial weights.
    let at_once = Config { lr: 1e30, ..kept };
    let trained = run(&at_once, None, &mut Stopper::default()).unwrap();
    assert_eq!((trained.best_epoch, trained.history.len()), (0, 0));
    let other = Config { lr: 5e30, ..at_once };
    assert_eq!(run(&other, None, &mut Stopper::default()).unwrap().weights, trained.weights, "the start's");
}

#[test]
fn a_moving_average_is_what_is_kept() {
    let with = run(&config(), None, &mut Stopper::default()).unwrap();
    let without = run(&Config { ema_decay: 0.0, ..config() }, None, &mut Stopper::default()).unwrap();
    assert_ne!(with.weights, without.weights);
    // The training loss is that of the weights themselves, which the average does not affect.
    assert_eq!(with.history[0].train_loss, without.history[0].train_loss);
    assert_ne!(with.history[0].val_loss, without.history[0].val_loss);
}

#[test]
fn the_epoch_may_be_chosen_by_its_auc() {
    let config =
        Config { early_stopping_on: Watched::ValAuc, epochs: 12, early_stopping_patience: 4, ..config() };
    let trained = run(&config, None, &mut Stopper::default()).unwrap();
    let best = trained.history.iter().filter_map(|row| row.val_auc).fold(0.0, f64::max);
    // The first of the epochs with the best AUC.
    let first = trained.history.iter().find(|row| row.val_auc == Some(best)).unwrap();
    assert_eq!(trained.best_epoch, first.epoch);
    assert!(trained.history.iter().filter(|row| row.best).count() == 1 && first.best);
}

#[test]
fn a_step_larger_than_the_training_part_is_refused_with_both_of_its_factors() {
    let error = run(&Config { batch_size: 5, accumulate: 3, ..config() }, None, &mut Stopper::default());
    let text = error.map(drop).unwrap_err().to_string();
    assert!(text.contains("batch_size 5 times accumulate 3 is 15") && text.contains("14 series"), "{text}");
}
