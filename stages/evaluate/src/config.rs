//! The parameters of an evaluation: names, defaults, ranges. Computes nothing.

use ctpipe_engine::parameters;
use ctpipe_engine::parameters::{choice, float, int, switch, text};
use serde::{Deserialize, Serialize};

/// What the threshold is chosen by, on val.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdBy {
    /// The best F1: the reference.
    #[default]
    F1,
    /// The best sensitivity + specificity - 1 (Youden 1950).
    Youden,
    /// The least cost, by `cost_false_positive` and `cost_false_negative`.
    Cost,
    /// The best specificity with at least `sensitivity_at_least`.
    Sensitivity,
    /// The best sensitivity with at least `specificity_at_least`.
    Specificity,
    /// Not at all: `threshold`.
    Fixed,
}

/// What becomes of probabilities before they are read as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrateBy {
    /// One number that all logits are divided by (Guo et al. 2017).
    #[default]
    Temperature,
    /// A monotone step function (Zadrozny and Elkan 2002).
    Isotonic,
    /// Nothing.
    None,
}

/// How patients are drawn in the bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// All alike.
    #[default]
    Patients,
    /// Those with normal series, with pathological ones and with both each among themselves.
    Stratified,
}

parameters! {
    /// All parameters of an evaluation.
    optimize_threshold: bool = true, switch(true), "",
        "choose the threshold on val, by threshold_by; otherwise take `threshold`";
    threshold_by: ThresholdBy = ThresholdBy::F1,
        choice(&["f1", "youden", "cost", "sensitivity", "specificity", "fixed"]), "",
        "f1, youden (sensitivity + specificity), cost, sensitivity (at least so much), specificity (at least so much), fixed";
    threshold: f64 = 0.5, float(0.5, 0.0, 1.0), "",
        "probability at or above which a series is called pathological, where none is chosen on val";
    cost_false_positive: f64 = 1.0, float(1.0, 0.0, 1e9), "", "cost: of calling a normal series pathological";
    cost_false_negative: f64 = 1.0, float(1.0, 0.0, 1e9), "", "cost: of calling a pathological series normal";
    sensitivity_at_least: f64 = 0.9, float(0.9, 0.0, 1.0), "", "sensitivity: what the threshold has to reach on val";
    specificity_at_least: f64 = 0.9, float(0.9, 0.0, 1.0), "", "specificity: what the threshold has to reach on val";
    prevalence: f64 = 0.0, float(0.0, 0.0, 0.9999), "",
        "share of pathology where the model is to be used, for PPV and NPV there; 0 for the data's own alone";
    partial_auc_max_fpr: f64 = 0.2, float(0.2, 0.001, 1.0), "",
        "false positive rate up to which the partial AUC goes";
    n_bootstrap: usize = 1000, int(1000, 100, 1_000_000), "", "replicates of the bootstrap; patients are resampled";
    resampling: Resampling = Resampling::Patients, choice(&["patients", "stratified"]), "",
        "patients, or stratified: as many as there are with normal series, with pathological ones and with both";
    confidence_level: f64 = 0.95, float(0.95, 0.5, 0.9999), "", "of every interval";
    calibration: CalibrateBy = CalibrateBy::Temperature, choice(&["temperature", "isotonic", "none"]), "",
        "how probabilities are calibrated on val, in predictions.parquet; all ways are compared in metrics.json";
    calibration_bins: usize = 10, int(10, 2, 100), "bins", "groups of as many series each, for calibration";
    subgroup_min: usize = 10, int(10, 1, 1_000_000), "series", "smallest subgroup of the test part that is looked at";
    saliency_cases: usize = 3, int(3, 0, 100), "series",
        "series that are explained of each kind (hits, misses, false alarms, undecided); 0 for none";
    smooth_grad_samples: usize = 25, int(25, 1, 1000), "", "noisy copies that SmoothGrad takes the mean over";
    smooth_grad_noise: f64 = 0.1, float(0.1, 0.0, 1.0), "", "their noise; 1 is the whole window from -1000 to 400 HU";
    occlusion_window: usize = 16, int(16, 0, 4096), "voxels",
        "edge of the window that is covered, moved by half of it; 0 for no such map";
    device: String = "auto".to_owned(), text("auto"), "", "auto (a GPU that is there, otherwise the CPU), cpu, cuda or cuda:N";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_is_told_is_what_is_taken() {
        assert!(parameters::same_defaults::<Config>(PARAMS));
    }
}
