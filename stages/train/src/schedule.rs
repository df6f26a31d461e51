//! When the learning rate falls and when training stops. Knows no network.

/// `torch.optim.lr_scheduler.ReduceLROnPlateau(mode="min")` with its default relative threshold.
#[derive(Debug, Clone)]
pub(crate) struct Plateau {
    lr: f64,
    factor: f64,
    patience: u32,
    best: f64,
    bad_epochs: u32,
}

/// A loss must be better than this times the best to count.
const THRESHOLD: f64 = 1e-4;

impl Plateau {
    pub(crate) fn new(lr: f64, factor: f64, patience: u32) -> Plateau {
        Plateau { lr, factor, patience, best: f64::INFINITY, bad_epochs: 0 }
    }

    /// The learning rate of the epoch to come.
    pub(crate) fn lr(&self) -> f64 {
        self.lr
    }

    pub(crate) fn observe(&mut self, loss: f64) {
        if loss < self.best * (1.0 - THRESHOLD) {
            self.best = loss;
            self.bad_epochs = 0;
        } else {
            self.bad_epochs += 1;
        }
        if self.bad_epochs > self.patience {
            self.lr *= self.factor;
            self.bad_epochs = 0;
        }
    }
}

/// Remembers the best epoch.
#[derive(Debug, Clone)]
pub(crate) struct EarlyStopping {
    patience: u32,
    best: f64,
    waited: u32,
}

impl EarlyStopping {
    pub(crate) fn new(patience: u32) -> EarlyStopping {
        EarlyStopping { patience, best: f64::INFINITY, waited: 0 }
    }

    /// Is this the best loss so far?
    pub(crate) fn observe(&mut self, loss: f64) -> bool {
        let better = loss < self.best;
        if better {
            self.best = loss;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `ReduceLROnPlateau(SGD([p], 1.0), factor=0.5, patience=2)` in PyTorch over these losses.
    #[test]
    fn the_learning_rate_falls_when_pytorchs_does() {
        let mut plateau = Plateau::new(1.0, 0.5, 2);
        let losses = [1.0, 0.9, 0.9, 0.95, 0.9, 0.9, 0.9, 0.9, 0.5];
        let rates: Vec<f64> = losses
            .iter()
            .map(|&loss| {
                plateau.observe(loss);
                plateau.lr()
            })
            .collect();
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn it_stops_after_patience_epochs_without_a_better_one() {
        let mut early = EarlyStopping::new(2);
        let seen: Vec<(bool, bool)> =
            [1.0, 0.8, 0.8, 0.9].iter().map(|&loss| (early.observe(loss), early.is_over())).collect();
        assert_eq!(seen, [(true, false), (true, false), (false, false), (false, true)]);
    }
}
