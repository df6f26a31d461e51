//! `saliency.json` of evaluate. Says what each field is; computes nothing.

use crate::described::records;

records! {
    /// `saliency.json` of evaluate: how its maps were made, and whether they say something of what was learnt.
    SaliencyFile {
        /// Series of each kind, at most.
        cases: u64,
        /// Noisy copies under SmoothGrad.
        smooth_grad_samples: u64,
        /// Their noise, on the scale of 0..1.
        smooth_grad_noise: f64,
        /// Edge of the window that was covered, voxels.
        occlusion_window: u64,
        /// Null where no map was made.
        randomised: Option<Randomised>,
    }

    /// SmoothGrad of one series with the model's weights and with random ones (Adebayo et al. 2018).
    Randomised {
        /// Which.
        series_uid: String,
        /// Spearman's rank correlation of the two maps over all voxels.
        correlation: f64,
    }
}

impl SaliencyFile {
    /// Name in the artifact.
    pub const FILE: &str = "saliency.json";
}
