//! The JSON files of evaluate. Defines the fields; computes nothing. `metrics.schema.json` is
//! derived from these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::comparison::Comparison;
use crate::figure::Figure;
use crate::note::{Note, Reason};
use crate::rows::Part;

/// An AUC with DeLong's standard error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeLong {
    /// Null where it is undefined.
    pub auc: Option<f64>,
    /// Standard error, clustered by patient (Obuchowski 1997).
    pub standard_error: Option<f64>,
    /// Lower end of the confidence interval.
    pub ci_low: Option<f64>,
    /// Upper end of the confidence interval.
    pub ci_high: Option<f64>,
    /// Why it is undefined, as "undefined because ...".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// The same reason as data: a code and its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// A point of a ROC curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RocPoint {
    /// Null for the point at which no series is predicted as pathological.
    pub threshold: Option<f64>,
    /// 1 - specificity.
    pub false_positive_rate: f64,
    /// Sensitivity.
    pub true_positive_rate: f64,
}

/// A point of a precision-recall curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PrPoint {
    /// Null for the point at which no series is predicted as pathological.
    pub threshold: Option<f64>,
    /// Sensitivity.
    pub recall: f64,
    /// Share of the series predicted as pathological that are pathological.
    pub precision: f64,
}

/// The confidence interval of a curve at one point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BandPoint {
    /// False positive rate for a ROC curve, recall for a precision-recall curve.
    pub at: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The two ends of an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ends {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A group of series with similar probabilities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReliabilityBin {
    /// Number of series.
    pub samples: u64,
    /// Mean of their probabilities.
    pub mean_predicted: f64,
    /// Share of them that is pathological.
    pub observed_share: f64,
    /// Wilson's interval of that share.
    pub observed_interval: Ends,
}

/// The Brier score decomposed: reliability - resolution + uncertainty + within-bin variance -
/// within-bin covariance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrierDecomposition {
    /// The Brier score.
    pub brier: f64,
    /// Mean squared distance between predicted and observed shares; 0 means perfectly calibrated.
    pub reliability: f64,
    /// How well the bins separate the classes; higher is better.
    pub resolution: f64,
    /// Variance of the labels, which does not depend on the model.
    pub uncertainty: f64,
    /// Within-bin variance, which binning leaves over.
    pub within_bin_variance: f64,
    /// Within-bin covariance, which binning leaves over.
    pub within_bin_covariance: f64,
}

/// How well probabilities agree with observed frequencies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Null where it is undefined.
    pub brier: Option<BrierDecomposition>,
    /// Log loss with the natural logarithm; probabilities are clipped to 2^-52 from 0 and 1.
    pub log_loss: Option<f64>,
    /// Mean distance between the observed share and the mean probability over the bins.
    pub expected_calibration_error: Option<f64>,
    /// Bins by rising probability; empty where the curve is undefined.
    pub curve: Vec<ReliabilityBin>,
    /// Why it is undefined, as "undefined because ...".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
    /// The same reason as data: a code and its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Calibration before and after each method fitted on the validation set; null where the fit was
/// not possible.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibrations {
    /// Of the network's own probabilities.
    pub before: Calibration,
    /// After temperature scaling.
    pub temperature: Option<Calibration>,
    /// After isotonic regression.
    pub isotonic: Option<Calibration>,
}

/// Net benefit of acting on a probability (decision curve analysis).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NetBenefit {
    /// Probability of pathology at or above which acting is worthwhile.
    pub threshold: f64,
    /// Net benefit of acting by the model, in true positives per series.
    pub model: f64,
    /// Net benefit of acting on every series.
    pub treat_all: f64,
}

/// All figures of one set: training, validation or test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartMetrics {
    /// Number of series.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Null where the set is empty.
    pub confusion: Option<Confusion>,
    /// Area under the ROC curve.
    pub auc: Figure,
    /// The same area with DeLong's interval.
    pub delong: DeLong,
    /// Partial area up to `partial_auc_max_fpr`, scaled so that 0.5 is chance and 1 is perfect
    /// (McClish 1989).
    pub partial_auc: Figure,
    /// Average precision, the area under the precision-recall curve.
    pub average_precision: Figure,
    /// Share of the pathological series predicted as pathological.
    pub sensitivity: Figure,
    /// Share of the normal series predicted as normal.
    pub specificity: Figure,
    /// Share of the series predicted as pathological that are pathological (PPV).
    pub precision: Figure,
    /// Share of the series predicted as normal that are normal (NPV).
    pub npv: Figure,
    /// Harmonic mean of precision and sensitivity.
    pub f1: Figure,
    /// Share of all series predicted correctly.
    pub accuracy: Figure,
    /// Mean of sensitivity and specificity.
    pub balanced_accuracy: Figure,
    /// Matthews' correlation coefficient.
    pub mcc: Figure,
    /// Sensitivity / (1 - specificity).
    pub positive_likelihood_ratio: Figure,
    /// (1 - sensitivity) / specificity.
    pub negative_likelihood_ratio: Figure,
    /// PPV at the requested prevalence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ppv_at_prevalence: Option<Figure>,
    /// NPV at the requested prevalence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npv_at_prevalence: Option<Figure>,
    /// Mean squared difference between probability and label.
    pub brier: Figure,
    /// The network's training loss on this set.
    pub loss: Option<f64>,
    /// As scikit-learn's `classification_report(output_dict=True)`.
    pub classification_report: Value,
    /// ROC curve; empty where it is undefined.
    pub roc: Vec<RocPoint>,
    /// Bootstrap band of the ROC curve; empty where it is undefined.
    pub roc_band: Vec<BandPoint>,
    /// Precision-recall curve; empty where it is undefined.
    pub pr: Vec<PrPoint>,
    /// Bootstrap band of the precision-recall curve; empty where it is undefined.
    pub pr_band: Vec<BandPoint>,
    /// Calibration of the network's own probabilities and of calibrated ones.
    pub calibration: Calibrations,
    /// Decision curve; empty where it is undefined.
    pub decision_curve: Vec<NetBenefit>,
}

/// Where a chosen threshold lies in resamples of the validation set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// Lower end of the confidence interval.
    pub low: f64,
    /// Upper end of the confidence interval.
    pub high: f64,
    /// Replicates in which no threshold could be chosen.
    pub undefined_replicates: u64,
}

/// The threshold and where it comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdFile {
    /// A series is predicted as pathological when its probability is at or above this value.
    pub value: f64,
    /// Such as `f1 on val`, or `fixed`, or `fallback`.
    pub source: String,
    /// The criterion that chose it on the validation set, as data; null where it was not chosen.
    #[serde(default)]
    pub criterion: Option<Reason>,
    /// Value of that criterion on the validation set.
    #[serde(default)]
    pub objective: Option<f64>,
    /// How far the threshold moves when the validation set is resampled.
    #[serde(default)]
    pub spread: Option<Spread>,
    /// Why there is no optimum on the validation set, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// Why there is no `spread`, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_undefined: Option<Note>,
}

/// A knot of the isotonic calibration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Knot {
    /// The network's probability.
    pub score: f64,
    /// The calibrated probability.
    pub probability: f64,
}

/// The calibrators fitted on the validation set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibrators {
    /// What gives `calibrated` in `predictions.parquet`: temperature, isotonic or none.
    pub used: String,
    /// Temperature that all logits are divided by.
    pub temperature: Option<f64>,
    /// Isotonic regression, linear between its knots.
    pub isotonic: Option<Vec<Knot>>,
    /// Why a calibrator is missing or doubtful.
    pub notes: Vec<Note>,
}

/// A subgroup of the test set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Subgroup {
    /// Variable that defines it: sex, age, manufacturer or `slice_thickness`.
    pub by: String,
    /// Value or range of that variable.
    pub group: String,
    /// Number of series.
    pub samples: u64,
    /// Number of patients.
    pub patients: u64,
    /// Number of series with pathology.
    pub pathology: u64,
    /// Area under the ROC curve.
    pub auc: Figure,
    /// Share of the pathological series predicted as pathological.
    pub sensitivity: Figure,
    /// Share of the normal series predicted as normal.
    pub specificity: Figure,
    /// Figures whose interval excludes the value of the whole test set.
    pub differs: Vec<String>,
}

/// `metrics.json` of evaluate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsFile {
    /// Version of this file's schema; 3.
    pub schema_version: u32,
    /// Chosen on the validation set and applied unchanged to every set.
    pub threshold: ThresholdFile,
    /// Number of bootstrap replicates.
    pub n_bootstrap: u64,
    /// How the bootstrap resamples: `patients` or `stratified`.
    pub resampling: String,
    /// Confidence level of every interval.
    pub confidence_level: f64,
    /// Highest false positive rate of `partial_auc`.
    pub partial_auc_max_fpr: f64,
    /// Prevalence of `ppv_at_prevalence` and `npv_at_prevalence`; null where none was requested.
    pub prevalence: Option<f64>,
    /// The calibrators fitted on the validation set.
    pub calibrators: Calibrators,
    /// The training set, which the network learns from.
    pub train: PartMetrics,
    /// The validation set, which chooses the epoch, the threshold and the calibration.
    pub val: PartMetrics,
    /// The test set, which chooses nothing.
    pub test: PartMetrics,
    /// Subgroups of the test set.
    pub subgroups: Vec<Subgroup>,
    /// Null without a baseline.
    pub comparison: Option<Comparison>,
    /// For a split with `k_folds`: the fold that is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<TestedFold>,
    /// Why the test set may not be a fair test of this model: the model was trained on something
    /// other than what it is evaluated on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Note>,
}

/// The fold of a cross-validation that is the test set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestedFold {
    /// Number of the fold, from 0.
    pub fold: u32,
    /// Number of folds.
    pub k_folds: u32,
}

/// Confusion matrix at the threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Code of the doubt that the model was trained with a different split from the one it is evaluated
/// on.
pub const OTHER_SPLIT: &str = "other_split";

impl MetricsFile {
    /// The file's name in the artifact.
    pub const FILE: &str = "metrics.json";
    /// Version of the file's schema.
    pub const SCHEMA_VERSION: u32 = 3;

    /// Whether `predictions.parquet` holds `calibrated`: a calibrator was requested and could be
    /// fitted.
    pub fn calibrated(&self) -> bool {
        match self.calibrators.used.as_str() {
            "temperature" => self.calibrators.temperature.is_some(),
            "isotonic" => self.calibrators.isotonic.is_some(),
            _ => false,
        }
    }

    /// The metrics of one set.
    pub fn part(&self, part: Part) -> &PartMetrics {
        match part {
            Part::Train => &self.train,
            Part::Val => &self.val,
            Part::Test => &self.test,
        }
    }
}
