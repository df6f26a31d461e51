//! One figure with its intervals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::note::Reason;

/// One figure with its intervals. `value` is null where it is undefined, and `undefined` says why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// The value of the figure.
    pub value: Option<f64>,
    /// Lower end of the bootstrap percentile interval.
    pub ci_low: Option<f64>,
    /// Upper end of the bootstrap percentile interval.
    pub ci_high: Option<f64>,
    /// Lower end of the interval corrected for bias and skewness (BCa).
    #[serde(default)]
    pub bca_low: Option<f64>,
    /// Upper end of the BCa interval.
    #[serde(default)]
    pub bca_high: Option<f64>,
    /// Lower end of Wilson's interval; for proportions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wilson_low: Option<f64>,
    /// Upper end of Wilson's interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wilson_high: Option<f64>,
    /// Lower end of Wilson's interval computed with the number of patients instead of series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wilson_patients_low: Option<f64>,
    /// Upper end of Wilson's interval computed with the number of patients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wilson_patients_high: Option<f64>,
    /// Why it is undefined, as "undefined because ...".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// The same reason as data: a code and its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Why there is no BCa interval, where there is a percentile interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bca_undefined: Option<String>,
    /// The same reason as data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bca_reason: Option<Reason>,
    /// Bootstrap replicates in which the figure was undefined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined_replicates: Option<u64>,
    /// Whether the upper end is infinite; `ci_high` is then null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbounded: bool,
}
