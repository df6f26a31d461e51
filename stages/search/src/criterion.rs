//! The figures by which models are compared.

use std::fmt;

use ctpipe_tables::json::Candidate;
use serde::{Deserialize, Serialize};

/// The figure by which the best model is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The largest AUC on the validation set.
    #[default]
    ValAuc,
    /// The smallest loss on the validation set.
    ValLoss,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::ValAuc => "val_auc",
            By::ValLoss => "val_loss",
        })
    }
}

impl By {
    /// The value that is compared, larger is better; `None` if it is missing or not finite.
    pub(crate) fn of(self, candidate: &Candidate) -> Option<f64> {
        let value = match self {
            By::ValAuc => candidate.val_auc,
            By::ValLoss => candidate.val_loss.map(|loss| -loss),
        };
        value.filter(|value| value.is_finite())
    }
}
