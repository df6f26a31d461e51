//! Why series cannot be split, with what would be right. Splits nothing.

use ctpipe_tables::Part;

/// Why the series cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Two series of one patient are on different sides.
    #[error(
        "patient {patient} has series in {first} and in {second} ({first_series}, {second_series}): what is \
         learnt from one would be tested on the other; give all series of a patient the same split, or, where \
         de-identified patients share one ID, set ingest's parameter patient to study or a column"
    )]
    Leak {
        /// The patient's key.
        patient: String,
        /// One side.
        first: Part,
        /// A series there.
        first_series: String,
        /// The other side.
        second: Part,
        /// A series there.
        second_series: String,
    },
    /// Some labels have a split and some have none.
    #[error(
        "{missing} of {total} series have no split in the labels, such as {example}; fill the column in for \
         all of them, or remove it"
    )]
    PartlyGiven {
        /// Without.
        missing: usize,
        /// All.
        total: usize,
        /// One without.
        example: String,
    },
    /// Too few of a class to have it on every side.
    #[error(
        "class {class} has {patients} patients with a usable volume, and the parts {parts} need one each; \
         add data, set test_size or val_size to 0 or, where de-identified patients share one ID, set \
         ingest's parameter patient to study or a column"
    )]
    TooFew {
        /// 0 or 1.
        class: u32,
        /// How many.
        patients: usize,
        /// Which parts.
        parts: String,
    },
    /// Too few of a class are left outside of the fold that is tested.
    #[error(
        "outside of fold {fold}, class {class} has {patients} patients with a usable volume, and the parts {parts} need one \
         each; add data, set val_size to 0 or, where de-identified patients share one ID, set ingest's parameter patient to \
         study or a column"
    )]
    TooFewOutside {
        /// The fold.
        fold: u32,
        /// 0 or 1.
        class: u32,
        /// How many are left.
        patients: usize,
        /// Which parts.
        parts: String,
    },
    /// The labels say who is in which part, and folds would, too.
    #[error(
        "{given} of {total} series have a split in the labels, such as {example}, and k_folds makes parts of its own; \
         drop the column split from the labels, or set k_folds to 0"
    )]
    GivenBesideFolds {
        /// With one.
        given: usize,
        /// All.
        total: usize,
        /// One of them.
        example: String,
    },
    /// Too few of a class to have it in every fold.
    #[error(
        "class {class} has {patients} patients with a usable volume, and {k_folds} folds need one each; set k_folds to \
         {patients} or less (2 at least), add data or, where de-identified patients share one ID, set ingest's parameter \
         patient to study or a column"
    )]
    FewerThanFolds {
        /// 0 or 1.
        class: u32,
        /// How many.
        patients: usize,
        /// How many folds.
        k_folds: u32,
    },
}

impl SplitError {
    /// The same of those that a fold leaves over.
    pub(crate) fn outside_fold(self, fold: u32) -> SplitError {
        match self {
            SplitError::TooFew { class, patients, parts } => {
                SplitError::TooFewOutside { fold, class, patients, parts }
            }
            other => other,
        }
    }
}
