//! How `metrics.json` of evaluate compares a model with an earlier one. Defines the fields;
//! computes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::figure::Figure;
use crate::note::{Note, Reason};

/// The difference between two AUCs by DeLong's test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairedDeLong {
    /// This model's AUC minus the baseline's; null where it is undefined.
    pub delta: Option<f64>,
    /// Standard error of `delta`.
    pub standard_error: Option<f64>,
    /// Lower end of the confidence interval.
    pub ci_low: Option<f64>,
    /// Upper end of the confidence interval.
    pub ci_high: Option<f64>,
    /// `delta / standard_error`.
    pub z: Option<f64>,
    /// Two-sided p-value.
    pub p_value: Option<f64>,
    /// Why it is undefined, as "undefined because ...".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// The same reason as data: a code and its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// McNemar's test of correct and incorrect decisions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct McNemar {
    /// Series that only this model classifies correctly.
    pub only_a_right: Option<u64>,
    /// Series that only the baseline classifies correctly.
    pub only_b_right: Option<u64>,
    /// Exact two-sided p-value.
    pub p_value: Option<f64>,
    /// Mid-p value, which is less conservative.
    pub mid_p_value: Option<f64>,
    /// Why it is undefined, as "undefined because ...".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// The same reason as data: a code and its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// This model (a) against an earlier one (b), on the test series that both have predicted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// Series in common.
    pub samples: u64,
    /// Series of the test set that the baseline has not predicted.
    pub unknown_to_baseline: u64,
    /// The baseline's threshold.
    pub baseline_threshold: f64,
    /// This model's AUC.
    pub auc_a: Figure,
    /// The baseline's AUC.
    pub auc_b: Figure,
    /// Difference of the AUCs by the bootstrap. All differences are a minus b.
    pub delta_auc: Figure,
    /// The same difference by DeLong's test, without resampling.
    pub delong: PairedDeLong,
    /// Difference of the sensitivities, each model at its own threshold.
    pub delta_sensitivity: Figure,
    /// Difference of the specificities, each model at its own threshold.
    pub delta_specificity: Figure,
    /// McNemar's test, each model at its own threshold.
    pub mcnemar: McNemar,
    /// What to bear in mind.
    pub notes: Vec<Note>,
}
