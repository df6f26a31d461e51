//! What `metrics.json` of evaluate says of a model beside an earlier one. Says what each field is; computes nothing.

use crate::described::records;
use crate::evaluation::Figure;
use crate::note::{Note, Reason};

records! {
    /// The difference of two AUCs by DeLong's test.
    PairedDeLong {
        /// This model's minus the baseline's; null where it is undefined.
        delta: Option<f64>,
        /// Of delta.
        standard_error: Option<f64>,
        /// Lower end of the interval.
        ci_low: Option<f64>,
        /// Upper end of it.
        ci_high: Option<f64>,
        /// delta / standard error.
        z: Option<f64>,
        /// Two-sided.
        p_value: Option<f64>,
        /// "undefined because ...".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undefined: Option<String>,
        /// The same as data: a code, and what belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    }

    /// McNemar's test of right and wrong decisions.
    McNemar {
        /// Series that this model alone has right.
        only_a_right: Option<u64>,
        /// Series that the baseline alone has right.
        only_b_right: Option<u64>,
        /// Exact, two-sided.
        p_value: Option<f64>,
        /// Less conservative.
        mid_p_value: Option<f64>,
        /// "undefined because ...".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undefined: Option<String>,
        /// The same as data: a code, and what belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    }

    /// This model (a) against an earlier one (b) on the series of the test part that both know.
    Comparison {
        /// Series in common.
        samples: u64,
        /// Series of the test part that the baseline does not know.
        unknown_to_baseline: u64,
        /// Threshold of the baseline.
        baseline_threshold: f64,
        /// This model's.
        auc_a: Figure,
        /// The baseline's.
        auc_b: Figure,
        /// By the bootstrap; a's minus b's, as all differences.
        delta_auc: Figure,
        /// The same without resampling.
        delong: PairedDeLong,
        /// At each model's own threshold.
        delta_sensitivity: Figure,
        /// At each model's own threshold.
        delta_specificity: Figure,
        /// At each model's own threshold.
        mcnemar: McNemar,
        /// What to bear in mind.
        notes: Vec<Note>,
    }
}
