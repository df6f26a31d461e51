//! Statistics of a binary classifier on plain `f64`: AUC, ROC curve, confusion counts, the threshold
//! that maximises F1, and bootstrap intervals over patients. Knows no file, no log, no clock, no
//! model and no CT: labels, scores and patient indices come in as slices, numbers come out.
//!
//! Three rules hold everywhere:
//!
//! - `true` is [`Class::Pathology`], the positive class; a higher score speaks for it.
//! - A sample is predicted as Pathology where `score >= threshold`.
//! - A figure that has no value is an [`Undefined`] that says why; never NaN, never a silent zero,
//!   never a panic.
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

mod bootstrap;
mod classification;
mod confusion;
mod ranking;
mod roc;
mod summary;
mod threshold;
mod undefined;

pub use bootstrap::{Bootstrap, Interval};
pub use classification::{ClassFigures, ClassificationReport};
pub use confusion::{Confusion, confusion};
pub use roc::{RocPoint, auc, roc_curve};
pub use summary::{Figure, Part, Summary, summarise};
pub use threshold::{BestF1, best_f1};
pub use undefined::{Class, Undefined};
