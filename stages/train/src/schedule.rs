//! How the learning rate changes and when training stops. Knows no network.

use ctpipe_network::sin_cos;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Schedule, Watched};

/// A loss counts as better only if it is below the best by more than this share (PyTorch's default
/// threshold).
const THRESHOLD: f64 = 1e-4;
/// The defaults of `torch.optim.lr_scheduler.OneCycleLR`: the share of the steps on which the rate
/// rises, the factor between the start and the maximum, and that between the end and the start.
const RISE: f64 = 0.3;
const START: f64 = 25.0;
const END: f64 = 1e4;

/// The learning rate over a training of a known length.
#[derive(Debug, Clone)]
pub(crate) struct Rates {
    kind: Schedule,
    lr: f64,
    min_lr: f64,
    warmup_steps: f64,
    steps: f64,
}

impl Rates {
    /// The rates over `epochs` with this many steps each.
    pub(crate) fn new(config: &Config, steps_per_epoch: usize) -> Rates {
        Rates {
            kind: config.schedule,
            lr: config.lr,
            min_lr: config.min_lr,
            warmup_steps: config.warmup_epochs * steps_per_epoch as f64,
            steps: f64::from(config.epochs) * steps_per_epoch as f64,
        }
    }

    /// The rate at a step, counted from 0; `plateau` is the current state of that schedule.
    pub(crate) fn at(&self, step: u64, plateau: &Plateau) -> f64 {
        let step = step as f64;
        match self.kind {
            Schedule::Plateau => plateau.lr,
            Schedule::Constant => self.lr,
            Schedule::Cosine if step < self.warmup_steps => {
                self.lr * ((step + 1.0) / self.warmup_steps).min(1.0)
            }
            Schedule::Cosine => {
                let length = (self.steps - self.warmup_steps).max(1.0);
                between(self.lr, self.min_lr.min(self.lr), (step - self.warmup_steps) / length)
            }
            Schedule::OneCycle => {
                let (start, last) = (self.lr / START, self.steps - 1.0);
                let top = RISE * self.steps - 1.0;
                if step <= top {
                    between(start, self.lr, step / top)
                } else {
                    between(self.lr, start / END, (step - top) / (last - top).max(1.0))
                }
            }
        }
    }
}

/// Interpolates along half a cosine from one value (at 0) to another (at 1).
fn between(from: f64, to: f64, share: f64) -> f64 {
    let (_, cos) = sin_cos(std::f64::consts::PI * share.clamp(0.0, 1.0));
    to + (from - to) / 2.0 * (1.0 + cos)
}

/// `torch.optim.lr_scheduler.ReduceLROnPlateau` with its default relative threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plateau {
    lr: f64,
    factor: f64,
    patience: u32,
    min_lr: f64,
    /// The best value so far of the watched figure, as a loss.
    best: Option<f64>,
    bad_epochs: u32,
}

impl Plateau {
    pub(crate) fn new(config: &Config) -> Plateau {
        Plateau {
            lr: config.lr,
            factor: config.plateau_factor,
            patience: config.plateau_patience,
            min_lr: config.min_lr,
            best: None,
            bad_epochs: 0,
        }
    }

    /// `loss`: as in [`EarlyStopping::observe`].
    pub(crate) fn observe(&mut self, loss: f64) {
        // An AUC arrives as its negative: the margin must be positive whatever the sign.
        let enough = |best: f64| loss < best - THRESHOLD * best.abs();
        if self.best.is_none_or(enough) {
            self.best = Some(loss);
            self.bad_epochs = 0;
        } else {
            self.bad_epochs += 1;
        }
        if self.bad_epochs > self.patience {
            // As in torch.optim, a rate that is already below min_lr stays where it is.
            self.lr = (self.lr * self.factor).max(self.min_lr.min(self.lr));
            self.bad_epochs = 0;
        }
    }
}

/// Watches for improvement and decides when to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EarlyStopping {
    patience: u32,
    best: Option<f64>,
    waited: u32,
}

impl EarlyStopping {
    pub(crate) fn new(patience: u32) -> EarlyStopping {
        EarlyStopping { patience, best: None, waited: 0 }
    }

    /// Takes the value of an epoch and says whether it is the best so far. Lower is better: see
    /// [`as_loss`].
    pub(crate) fn observe(&mut self, loss: f64) -> bool {
        let better = self.best.is_none_or(|best| loss < best);
        if better {
            self.best = Some(loss);
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        better
    }

    pub(crate) fn is_over(&self) -> bool {
        self.waited >= self.patience
    }
}

/// The watched figure of an epoch as a loss: lower is better.
pub(crate) fn as_loss(watched: Watched, train_loss: f64, val_loss: Option<f64>, val_auc: Option<f64>) -> f64 {
    match (watched, val_auc) {
        (Watched::ValAuc, Some(auc)) => -auc,
        _ => val_loss.unwrap_or(train_loss),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(schedule: Schedule) -> Config {
        Config { schedule, lr: 1.0, ..Config::default() }
    }

    fn rates(config: &Config, steps_per_epoch: usize) -> Vec<f64> {
        let (rates, plateau) = (Rates::new(config, steps_per_epoch), Plateau::new(config));
        let steps = u64::from(config.epochs) * steps_per_epoch as u64;
        (0..steps).map(|step| rates.at(step, &plateau)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} {expected:?}");
    }

    /// `ReduceLROnPlateau(SGD([p], 1.0), factor=0.5, patience=2)` in PyTorch over these losses, and
    /// with `patience=0, min_lr=0.3`.
    #[test]
    fn the_learning_rate_falls_when_pytorchs_does() {
        let losses = [1.0, 0.9, 0.9, 0.95, 0.9, 0.9, 0.9, 0.9, 0.5];
        let over = |config: &Config| {
            let mut plateau = Plateau::new(config);
            let rate = |&loss: &f64| {
                plateau.observe(loss);
                plateau.lr
            };
            losses.iter().map(rate).collect::<Vec<f64>>()
        };
        let base = Config { plateau_patience: 2, ..config(Schedule::Plateau) };
        assert_eq!(over(&base), [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
        let floor = Config { plateau_patience: 0, min_lr: 0.3, ..base };
        assert_eq!(over(&floor), [1.0, 1.0, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]);
    }

    /// `OneCycleLR(SGD([p], 1.0), max_lr=1.0, total_steps=10)` in PyTorch.
    #[test]
    fn one_cycle_is_pytorchs() {
        let found = rates(&Config { epochs: 5, ..config(Schedule::OneCycle) }, 2);
        let expected = [
            0.04,
            0.52,
            1.0,
            0.950_484_632_0,
            0.811_745_653_9,
            0.611_262_021_9,
            0.388_741_978_1,
            0.188_258_346_1,
            0.049_519_368_0,
            0.000_004,
        ];
        close(&found, &expected);
        // Shorter than the rise: total_steps=3.
        let found = rates(&Config { epochs: 3, ..config(Schedule::OneCycle) }, 1);
        close(&found, &[0.994_415_435_5, 0.462_637_102_7, 0.000_004]);
    }

    /// `CosineAnnealingLR(SGD([p], 1.0), T_max=4, eta_min=0.1)` in PyTorch, after a linear rise
    /// over two steps.
    #[test]
    fn a_cosine_after_its_warm_up_is_pytorchs() {
        let config = Config { epochs: 3, warmup_epochs: 1.0, min_lr: 0.1, ..config(Schedule::Cosine) };
        close(&rates(&config, 2), &[0.5, 1.0, 1.0, 0.868_198_051_5, 0.55, 0.231_801_948_5]);
        close(&rates(&Config { epochs: 2, ..super::tests::config(Schedule::Constant) }, 2), &[1.0; 4]);
    }

    /// Two steps per epoch and 1.3 epochs of warm-up: 1/2.6, 2/2.6, and never more than 1.
    #[test]
    fn a_warm_up_that_ends_within_an_epoch_rises_no_higher_than_the_rate() {
        let config = Config { epochs: 3, warmup_epochs: 1.3, ..config(Schedule::Cosine) };
        let found = rates(&config, 2);
        close(&found[..3], &[1.0 / 2.6, 2.0 / 2.6, 1.0]);
        assert!(found.iter().all(|rate| *rate <= 1.0));
    }

    #[test]
    fn it_stops_after_patience_epochs_without_a_better_one() {
        let mut early = EarlyStopping::new(2);
        let seen: Vec<(bool, bool)> =
            [1.0, 0.8, 0.8, 0.9].iter().map(|&loss| (early.observe(loss), early.is_over())).collect();
        assert_eq!(seen, [(true, false), (true, false), (false, false), (false, true)]);
    }

    #[test]
    fn an_auc_is_better_when_it_is_larger_and_where_there_is_none_the_loss_is_watched() {
        assert!(
            as_loss(Watched::ValAuc, 0.0, Some(9.0), Some(0.9))
                < as_loss(Watched::ValAuc, 0.0, Some(1.0), Some(0.8))
        );
        assert_eq!(as_loss(Watched::ValAuc, 0.3, Some(0.5), None), 0.5);
        assert_eq!(as_loss(Watched::ValLoss, 0.3, None, None), 0.3);
    }
}
