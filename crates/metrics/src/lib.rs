//! Statistics of a binary classifier on plain `f64`: ROC and precision-recall curves with their
//! areas, counts at a threshold and the choice of a threshold, calibration, decision curves,
//! comparison of two models, and intervals over patients for all of them. The crate does no I/O:
//! labels, scores and patient indices come in as slices, and numbers come out.
//!
//! Three rules hold everywhere:
//!
//! - `true` is [`Class::Pathology`], the positive class; a higher score means that it is more
//!   likely.
//! - A sample is predicted as Pathology where `score >= threshold`.
//! - A figure that has no value is an [`Undefined`] that says why. It is never NaN, never a silent
//!   zero, and never a panic.
//!
//! ```
//! use ctpipe_metrics::{Bootstrap, Part, summarise};
//!
//! let labels = [false, false, true, true, false, true];
//! let scores = [0.1, 0.4, 0.35, 0.8, 0.2, 0.9];
//! let patients = [0, 0, 1, 2, 3, 4]; // the first two series are of one patient
//!
//! let part = Part { labels: &labels, scores: &scores, patients: &patients };
//! let bootstrap = Bootstrap { replicates: 200, confidence_level: 0.95, seed: 42 };
//! let summary = summarise(&part, 0.5, &bootstrap);
//!
//! assert_eq!(summary.auc.value, Ok(8.0 / 9.0)); // of 9 pairs one is in the wrong order
//! assert_eq!(summary.sensitivity.value, Ok(2.0 / 3.0));
//! assert_eq!(summary.specificity.value, Ok(1.0));
//!
//! let interval = summary.auc.interval?;
//! assert!(interval.low <= 8.0 / 9.0 && 8.0 / 9.0 <= interval.high);
//! # Ok::<(), ctpipe_metrics::Undefined>(())
//! ```

mod bands;
mod bootstrap;
mod calibration;
mod classification;
mod clusters;
mod comparison;
mod confusion;
mod decision;
mod delong;
mod figure;
mod folds;
mod interval;
mod isotonic;
mod normal;
mod placements;
mod precision_recall;
mod ranking;
mod resample_totals;
mod roc;
mod summary;
mod temperature;
mod threshold;
mod undefined;

pub use bands::{BandPoint, pr_band, roc_band};
pub use bootstrap::{Bootstrap, Resampling, Scheme};
pub use calibration::{
    BrierDecomposition, ReliabilityBin, brier, brier_decomposition, expected_calibration_error, log_loss,
    reliability_curve,
};
pub use classification::{ClassFigures, ClassificationReport};
pub use comparison::{Comparison, McNemar, Model, compare, mcnemar};
pub use confusion::{Confusion, confusion};
pub use decision::{NetBenefit, decision_curve};
pub use delong::{DeLong, PairedDeLong, delong, delong_paired};
pub use figure::Figure;
pub use folds::{CrossValidation, OverFolds, cross_validation, over_folds};
pub use interval::{Interval, wilson};
pub use isotonic::{Isotonic, Knot};
pub use precision_recall::{PrPoint, average_precision, precision_recall_curve};
pub use roc::{RocPoint, auc, partial_auc, roc_curve};
pub use summary::{Cut, Part, Summary, summarise};
pub use temperature::Temperature;
pub use threshold::{BestF1, Chosen, Criterion, Spread, best_f1, choose, threshold_spread};
pub use undefined::{Class, Undefined, Why};
