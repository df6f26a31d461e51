//! `saliency.json` of evaluate. Defines the fields; computes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `saliency.json` of evaluate: how its maps were made, and whether they depend on what the model
/// learnt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SaliencyFile {
    /// Maximum number of series for each kind of case.
    pub cases: u64,
    /// Number of noisy copies for SmoothGrad.
    pub smooth_grad_samples: u64,
    /// Standard deviation of their noise, on the scale 0..1.
    pub smooth_grad_noise: f64,
    /// Edge of the covered window, in voxels.
    pub occlusion_window: u64,
    /// Null where no map was made.
    pub randomised: Option<Randomised>,
}

/// SmoothGrad of one series with the model's weights and with random weights (Adebayo et al. 2018).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Randomised {
    /// The series.
    pub series_uid: String,
    /// Spearman's rank correlation of the two maps over all voxels.
    pub correlation: f64,
}

impl SaliencyFile {
    /// The file's name in the artifact.
    pub const FILE: &str = "saliency.json";
}
