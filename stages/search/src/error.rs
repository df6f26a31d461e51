//! The errors of search: why no model can be chosen, and what would be right.

use crate::criterion::By;

/// Why no model can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// No candidate has the figure that is compared.
    #[error(
        "none of {candidates} models has a {by} in the kept epoch ({example}); set val_size of split above 0, with \
         patients of both classes, or choose by another figure"
    )]
    NothingToCompare {
        /// Number of candidates.
        candidates: usize,
        /// The figure that they are compared by.
        by: By,
        /// Why the first of them lacks it.
        example: String,
    },
    /// Figures on different validation sets say nothing about the models.
    #[error(
        "{first} and {second} were trained on different splits, so their validation figures are of different series; \
         search within one split: give the search the matrix of split"
    )]
    OtherSplit {
        /// A candidate's label.
        first: String,
        /// Another candidate's label.
        second: String,
    },
    /// Models on differently prepared volumes cannot be compared either, because the next evaluate
    /// reads only one kind of volumes.
    #[error(
        "{first} and {second} were trained on different volumes, but evaluate reads only one kind, whichever model is \
         chosen; search within one kind: give the search, and evaluate, the matrix of preprocess"
    )]
    OtherVolumes {
        /// A candidate's label.
        first: String,
        /// Another candidate's label.
        second: String,
    },
    /// Values of different loss functions are not on one scale.
    #[error(
        "{first} and {second} were trained with different losses (loss, focal_loss_alpha, focal_loss_gamma, class_weights, \
         label_smoothing), whose values cannot be compared; choose by val_auc"
    )]
    OtherLoss {
        /// A candidate's label.
        first: String,
        /// Another candidate's label.
        second: String,
    },
}
