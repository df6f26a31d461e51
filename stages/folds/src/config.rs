//! The parameters of the stage.

use ctpipe_stage::parameters;
use ctpipe_stage::parameters::{float, int};

parameters! {
    /// All parameters of the stage.
    n_bootstrap: usize = 1000, int(1000, 100, 1_000_000), "", "bootstrap replicates; patients are resampled";
    confidence_level: f64 = 0.95, float(0.95, 0.5, 0.9999), "", "confidence level of the intervals of pooled figures";
}
