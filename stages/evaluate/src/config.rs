//! The parameters of an evaluation: their names, defaults and ranges. Computes nothing.

use ctpipe_stage::parameters;
use ctpipe_stage::parameters::{choice, float, int, switch, text};
use serde::{Deserialize, Serialize};

/// The criterion by which the threshold is chosen on the validation set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdBy {
    /// The best F1, as in the reference.
    #[default]
    F1,
    /// The best sensitivity + specificity - 1 (Youden 1950).
    Youden,
    /// The lowest cost, by `cost_false_positive` and `cost_false_negative`.
    Cost,
    /// The best specificity with a sensitivity of at least `sensitivity_at_least`.
    Sensitivity,
    /// The best sensitivity with a specificity of at least `specificity_at_least`.
    Specificity,
    /// None: `threshold` is used.
    Fixed,
}

/// How probabilities are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrateBy {
    /// All logits are divided by one number (Guo et al. 2017).
    #[default]
    Temperature,
    /// By a monotone step function (Zadrozny and Elkan 2002).
    Isotonic,
    /// Not at all.
    None,
}

/// How patients are drawn in the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// From all patients alike.
    #[default]
    Patients,
    /// Separately from the patients with normal series, with pathological ones and with both.
    Stratified,
}

parameters! {
    /// All parameters of an evaluation.
    optimize_threshold: bool = true, switch(true), "",
        "choose the threshold on the validation set by threshold_by; otherwise use `threshold`";
    threshold_by: ThresholdBy = ThresholdBy::F1,
        choice(&["f1", "youden", "cost", "sensitivity", "specificity", "fixed"]), "",
        "how the threshold is chosen: f1, youden (sensitivity + specificity), cost, sensitivity or specificity (to reach a minimum), fixed";
    threshold: f64 = 0.5, float(0.5, 0.0, 1.0), "",
        "probability at or above which a series is predicted pathological, if no threshold is chosen";
    cost_false_positive: f64 = 1.0, float(1.0, 0.0, 1e9), "", "threshold_by cost: cost of a false positive";
    cost_false_negative: f64 = 1.0, float(1.0, 0.0, 1e9), "", "threshold_by cost: cost of a false negative";
    sensitivity_at_least: f64 = 0.9, float(0.9, 0.0, 1.0), "", "threshold_by sensitivity: minimum to reach on the validation set";
    specificity_at_least: f64 = 0.9, float(0.9, 0.0, 1.0), "", "threshold_by specificity: minimum to reach on the validation set";
    prevalence: f64 = 0.0, float(0.0, 0.0, 0.9999), "",
        "share of pathology where the model is to be used, for PPV and NPV there; 0 for the test set's own share only";
    partial_auc_max_fpr: f64 = 0.2, float(0.2, 0.001, 1.0), "",
        "largest false positive rate of the partial AUC";
    n_bootstrap: usize = 1000, int(1000, 100, 1_000_000), "", "bootstrap replicates; patients are resampled";
    resampling: Resampling = Resampling::Patients, choice(&["patients", "stratified"]), "",
        "what is resampled: patients, or stratified (the numbers of patients with normal series, with pathological ones and with both stay the same)";
    confidence_level: f64 = 0.95, float(0.95, 0.5, 0.9999), "", "confidence level of every interval";
    calibration: CalibrateBy = CalibrateBy::Temperature, choice(&["temperature", "isotonic", "none"]), "",
        "how probabilities in predictions.parquet are calibrated on the validation set; metrics.json compares all ways";
    calibration_bins: usize = 10, int(10, 2, 100), "bins", "groups of equally many series, for calibration";
    subgroup_min: usize = 10, int(10, 1, 1_000_000), "series", "smallest subgroup of the test set that is evaluated";
    saliency_cases: usize = 3, int(3, 0, 100), "series",
        "series of each kind (hits, misses, false alarms, undecided) that are explained; 0 for none";
    smooth_grad_samples: usize = 25, int(25, 1, 1000), "", "noisy copies that SmoothGrad averages";
    smooth_grad_noise: f64 = 0.1, float(0.1, 0.0, 1.0), "", "standard deviation of their noise; 1 is the whole window from -1000 to 400 HU";
    occlusion_window: usize = 16, int(16, 0, 4096), "voxels",
        "edge length of the window that is covered, moved by half its length; 0 for no occlusion map";
    device: String = "auto".to_owned(), text("auto"), "", "auto (a GPU if there is one, otherwise the CPU), cpu, cuda or cuda:N";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_told_is_what_is_taken() {
        assert!(parameters::same_defaults::<Config>(PARAMS));
    }
}
