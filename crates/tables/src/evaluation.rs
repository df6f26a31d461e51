//! The JSON files of evaluate. Says what each field is; computes nothing. `metrics.schema.json` says the same to other
//! programs, and a test holds the two together.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::comparison::Comparison;
use crate::described::{described, file_schema, records};
use crate::note::{Note, Reason};
use crate::rows::Part;

records! {
    /// One figure with its intervals; `value` is null where it is undefined, and then it is said why.
    Figure {
        /// The figure.
        value: Option<f64>,
        /// Lower end of its interval, by percentiles of the bootstrap.
        ci_low: Option<f64>,
        /// Upper end of that.
        ci_high: Option<f64>,
        /// Lower end of the interval that is corrected for bias and skewness (BCa).
        #[serde(default)]
        bca_low: Option<f64>,
        /// Upper end of that.
        #[serde(default)]
        bca_high: Option<f64>,
        /// Lower end of Wilson's interval, of proportions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wilson_low: Option<f64>,
        /// Upper end of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wilson_high: Option<f64>,
        /// Lower end of Wilson's interval with the number of patients in the place of that of series.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wilson_patients_low: Option<f64>,
        /// Upper end of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wilson_patients_high: Option<f64>,
        /// "undefined because ...".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undefined: Option<String>,
        /// The same as data: a code, and what belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// Why there is no BCa interval, where there is the other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bca_undefined: Option<String>,
        /// The same as data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bca_reason: Option<Reason>,
        /// Bootstrap replicates in which it was undefined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undefined_replicates: Option<u64>,
        /// Is the upper end infinite? Then `ci_high` is null.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unbounded: bool,
    }

    /// An AUC with DeLong's standard error.
    DeLong {
        /// Null where it is undefined.
        auc: Option<f64>,
        /// Clustered by patient (Obuchowski 1997).
        standard_error: Option<f64>,
        /// Lower end of the interval.
        ci_low: Option<f64>,
        /// Upper end of it.
        ci_high: Option<f64>,
        /// "undefined because ...".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undefined: Option<String>,
        /// The same as data: a code, and what belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    }

    /// A point of a ROC curve.
    RocPoint {
        /// Null for the point at which nothing is called positive.
        threshold: Option<f64>,
        /// 1 - specificity.
        false_positive_rate: f64,
        /// Sensitivity.
        true_positive_rate: f64,
    }

    /// A point of a precision-recall curve.
    PrPoint {
        /// Null for the point at which nothing is called positive.
        threshold: Option<f64>,
        /// Sensitivity.
        recall: f64,
        /// Of those called pathological, how many are.
        precision: f64,
    }

    /// The interval of a curve at one place.
    BandPoint {
        /// False positive rate, or recall.
        at: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    }

    /// An interval without a figure.
    Ends {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    }

    /// A group of series with like probabilities.
    ReliabilityBin {
        /// Series.
        samples: u64,
        /// Mean of their probabilities.
        mean_predicted: f64,
        /// Share of them that is pathological.
        observed_share: f64,
        /// Wilson's interval of that.
        observed_interval: Ends,
    }

    /// The Brier score in parts: reliability - resolution + uncertainty + within-bin variance - within-bin covariance.
    BrierDecomposition {
        /// The score.
        brier: f64,
        /// 0 is calibrated.
        reliability: f64,
        /// Higher tells more apart.
        resolution: f64,
        /// What the data have, whatever predicts them.
        uncertainty: f64,
        /// Left over by binning.
        within_bin_variance: f64,
        /// Left over by binning.
        within_bin_covariance: f64,
    }

    /// How far probabilities can be read as such.
    Calibration {
        /// Null where it is undefined.
        brier: Option<BrierDecomposition>,
        /// Natural logarithm; probabilities are cut off at 2^-52 from 0 and 1.
        log_loss: Option<f64>,
        /// Mean distance of observed and predicted over the bins.
        expected_calibration_error: Option<f64>,
        /// Lowest probabilities first; empty where it is undefined.
        curve: Vec<ReliabilityBin>,
        /// "undefined because ...".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undefined: Option<String>,
        /// The same as data: a code, and what belongs to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    }

    /// Calibration before, and after each way of calibrating on val; null where that could not be fitted.
    Calibrations {
        /// The network's own probabilities.
        before: Calibration,
        /// After temperature scaling.
        temperature: Option<Calibration>,
        /// After isotonic regression.
        isotonic: Option<Calibration>,
    }

    /// What acting on a probability is worth.
    NetBenefit {
        /// Acting is worth it where pathology is at least so likely.
        threshold: f64,
        /// By the model, in true positives a series.
        model: f64,
        /// Acting on all.
        treat_all: f64,
    }

    /// All that is known of one part of the data.
    PartMetrics {
        /// Series.
        samples: u64,
        /// Patients.
        patients: u64,
        /// Null where the part is empty.
        confusion: Option<Confusion>,
        /// Area under the ROC curve.
        auc: Figure,
        /// The same with DeLong's interval.
        delong: DeLong,
        /// Partial area, up to `partial_auc_max_fpr`, so that 0.5 is chance and 1 perfect (McClish 1989).
        partial_auc: Figure,
        /// Average precision, the area under the precision-recall curve.
        average_precision: Figure,
        /// Of the pathological, how many were found.
        sensitivity: Figure,
        /// Of the normal, how many were left alone.
        specificity: Figure,
        /// Of those called pathological, how many are (PPV).
        precision: Figure,
        /// Of those called normal, how many are (NPV).
        npv: Figure,
        /// Harmonic mean of precision and sensitivity.
        f1: Figure,
        /// Of all, how many are right.
        accuracy: Figure,
        /// Mean of sensitivity and specificity.
        balanced_accuracy: Figure,
        /// Matthews' correlation coefficient.
        mcc: Figure,
        /// Sensitivity / (1 - specificity).
        positive_likelihood_ratio: Figure,
        /// (1 - sensitivity) / specificity.
        negative_likelihood_ratio: Figure,
        /// PPV at the prevalence that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ppv_at_prevalence: Option<Figure>,
        /// NPV at the prevalence that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        npv_at_prevalence: Option<Figure>,
        /// Mean squared distance of probability and label.
        brier: Figure,
        /// Loss of the network on this part, as it was trained with.
        loss: Option<f64>,
        /// As scikit-learn's `classification_report(output_dict=True)`.
        classification_report: Value,
        /// Empty where it is undefined.
        roc: Vec<RocPoint>,
        /// Its bootstrap band; empty where it is undefined.
        roc_band: Vec<BandPoint>,
        /// Empty where it is undefined.
        pr: Vec<PrPoint>,
        /// Its bootstrap band; empty where it is undefined.
        pr_band: Vec<BandPoint>,
        /// Of the network's own probabilities and of calibrated ones.
        calibration: Calibrations,
        /// Empty where it is undefined.
        decision_curve: Vec<NetBenefit>,
    }

    /// Where a chosen threshold lies in resamples of val.
    Spread {
        /// The median.
        median: f64,
        /// Lower end of the interval.
        low: f64,
        /// Upper end of it.
        high: f64,
        /// Replicates in which none could be chosen.
        undefined_replicates: u64,
    }

    /// The threshold and where it came from.
    ThresholdFile {
        /// Probability at or above which a series is called pathological.
        value: f64,
        /// `f1 on val` and its like, `fixed`, or `fallback`.
        source: String,
        /// What it was chosen by on val, as data; null where it was not.
        #[serde(default)]
        criterion: Option<Reason>,
        /// What it reaches on val of what it was chosen by.
        #[serde(default)]
        objective: Option<f64>,
        /// How far it moves when val is resampled.
        #[serde(default)]
        spread: Option<Spread>,
        /// Why the optimum on val could not be had, where it could not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<Note>,
        /// Why there is no `spread`, where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spread_undefined: Option<Note>,
    }

    /// A place of the isotonic calibration.
    Knot {
        /// The network's probability.
        score: f64,
        /// What it means.
        probability: f64,
    }

    /// What was fitted on val to calibrate probabilities.
    Calibrators {
        /// What `calibrated` in `predictions.parquet` is by: temperature, isotonic or none.
        used: String,
        /// All logits are divided by it.
        temperature: Option<f64>,
        /// Isotonic regression, linear between its knots.
        isotonic: Option<Vec<Knot>>,
        /// Why one is missing, or to be doubted.
        notes: Vec<Note>,
    }

    /// A part of the test part.
    Subgroup {
        /// What it is by: sex, age, manufacturer or `slice_thickness`.
        by: String,
        /// Which.
        group: String,
        /// Series.
        samples: u64,
        /// Patients.
        patients: u64,
        /// Series with pathology.
        pathology: u64,
        /// Area under the ROC curve.
        auc: Figure,
        /// Of the pathological, how many were found.
        sensitivity: Figure,
        /// Of the normal, how many were left alone.
        specificity: Figure,
        /// Figures whose interval excludes that of the whole test part.
        differs: Vec<String>,
    }

    /// `metrics.json` of evaluate.
    MetricsFile {
        /// Of this file; 3.
        schema_version: u32,
        /// Chosen on val, applied unchanged.
        threshold: ThresholdFile,
        /// Replicates of the bootstrap.
        n_bootstrap: u64,
        /// patients or stratified.
        resampling: String,
        /// Confidence level of every interval.
        confidence_level: f64,
        /// Of `partial_auc`.
        partial_auc_max_fpr: f64,
        /// Of PPV and NPV there; null where none was asked for.
        prevalence: Option<f64>,
        /// Fitted on val.
        calibrators: Calibrators,
        /// What the network learnt from.
        train: PartMetrics,
        /// What epoch, threshold and calibration were chosen by.
        val: PartMetrics,
        /// What was looked at once.
        test: PartMetrics,
        /// Of the test part.
        subgroups: Vec<Subgroup>,
        /// With a baseline alone.
        comparison: Option<Comparison>,
        /// Of a split with `k_folds`: which fold was tested.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cross_validation: Option<TestedFold>,
        /// Why the test part may be no test of this model: what it learnt from is something else than what it is evaluated on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        doubts: Vec<Note>,
    }

    /// The fold of a cross-validation that is the test part.
    TestedFold {
        /// From 0.
        fold: u32,
        /// How many folds there are.
        k_folds: u32,
    }
}

described! {
    Confusion = {
        "type": "object",
        "properties": {
            "tp": { "type": "integer" },
            "fp": { "type": "integer" },
            "tn": { "type": "integer" },
            "fn": { "type": "integer" }
        },
        "required": ["tp", "fp", "tn", "fn"],
        "additionalProperties": false
    },
}

/// Counts at the threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// True positives.
    pub tp: u64,
    /// False positives.
    pub fp: u64,
    /// True negatives.
    pub tn: u64,
    /// False negatives.
    pub r#fn: u64,
}

/// Code of the doubt that a model has learnt from another split than it is evaluated on.
pub const OTHER_SPLIT: &str = "other_split";

impl MetricsFile {
    /// Name in the artifact.
    pub const FILE: &str = "metrics.json";
    /// Of the shape of the file.
    pub const SCHEMA_VERSION: u32 = 3;

    /// JSON schema of the file, as `metrics.schema.json` keeps it.
    pub fn schema() -> Value {
        file_schema::<MetricsFile>("MetricsFile", MetricsFile::SCHEMA_VERSION)
    }

    /// Is `calibrated` in `predictions.parquet` there: was one wanted, and could it be fitted?
    pub fn calibrated(&self) -> bool {
        match self.calibrators.used.as_str() {
            "temperature" => self.calibrators.temperature.is_some(),
            "isotonic" => self.calibrators.isotonic.is_some(),
            _ => false,
        }
    }

    /// The metrics of a part.
    pub fn part(&self, part: Part) -> &PartMetrics {
        match part {
            Part::Train => &self.train,
            Part::Val => &self.val,
            Part::Test => &self.test,
        }
    }
}
