//! Why there is nothing to choose, with what would be right.

use crate::rank::By;

/// Why no model can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// No candidate has what is compared.
    #[error(
        "none of {candidates} models has a {by} in the epoch that was kept ({example}); set val_size of split above 0, with \
         patients of both classes, or choose by another"
    )]
    NothingToCompare {
        /// How many there are.
        candidates: usize,
        /// What they are compared by.
        by: By,
        /// What is said of the first of them.
        example: String,
    },
    /// Figures on different validation parts say nothing of the models.
    #[error(
        "{first} and {second} learnt from different splits, so that their figures on val are of other series; search within \
         a split: give the search the matrix of split"
    )]
    OtherSplit {
        /// A candidate's label.
        first: String,
        /// Another's.
        second: String,
    },
    /// Nor do figures on volumes that were prepared differently: what is evaluated next reads one kind.
    #[error(
        "{first} and {second} learnt from different volumes, so that no evaluate could read those of whichever is chosen; \
         search within one kind: give the search, and evaluate, the matrix of preprocess"
    )]
    OtherVolumes {
        /// A candidate's label.
        first: String,
        /// Another's.
        second: String,
    },
    /// Numbers of different loss functions are not on one scale.
    #[error(
        "{first} and {second} were trained with different losses (loss, focal_loss_alpha, focal_loss_gamma, class_weights, \
         label_smoothing), whose numbers cannot be compared; choose by val_auc"
    )]
    OtherLoss {
        /// A candidate's label.
        first: String,
        /// Another's.
        second: String,
    },
}
