//! The errors of split: why series cannot be split, and what would be right. Splits nothing.

use ctpipe_tables::Part;

/// Why the series cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Two series of one patient are in different sets.
    #[error(
        "patient {patient} has series in {first} and in {second} ({first_series}, {second_series}): the network \
         would be tested on a patient that it learnt from; give all series of a patient the same split, or, if \
         de-identified patients share one ID, set ingest's parameter patient to study or a column"
    )]
    Leak {
        /// The patient's key.
        patient: String,
        /// One set.
        first: Part,
        /// A series in it.
        first_series: String,
        /// The other set.
        second: Part,
        /// A series in it.
        second_series: String,
    },
    /// Some labels have a split and some have none.
    #[error(
        "{missing} of {total} series have no split in the labels, such as {example}; fill in the column split for \
         all of them, or remove it"
    )]
    PartlyGiven {
        /// Number of series without a split.
        missing: usize,
        /// Number of all series.
        total: usize,
        /// A series without a split.
        example: String,
    },
    /// A class has too few patients to be in every set.
    #[error(
        "class {class} has {patients} patients with a usable volume, but the sets {parts} need one each; \
         add data, set test_size or val_size to 0 or, if de-identified patients share one ID, set \
         ingest's parameter patient to study or a column"
    )]
    TooFew {
        /// 0 or 1.
        class: u32,
        /// Number of its patients.
        patients: usize,
        /// The sets that need one.
        parts: String,
    },
    /// A class has too few patients outside the fold that is tested.
    #[error(
        "outside fold {fold}, class {class} has {patients} patients with a usable volume, but the sets {parts} need one \
         each; add data, set val_size to 0 or, if de-identified patients share one ID, set ingest's parameter patient to \
         study or a column"
    )]
    TooFewOutside {
        /// The fold.
        fold: u32,
        /// 0 or 1.
        class: u32,
        /// Number of its patients outside the fold.
        patients: usize,
        /// The sets that need one.
        parts: String,
    },
    /// The labels give a split, and so does `k_folds`.
    #[error(
        "{given} of {total} series have a split in the labels, such as {example}, but k_folds makes its own sets; \
         drop the column split from the labels, or set k_folds to 0"
    )]
    GivenBesideFolds {
        /// Number of series with a split in the labels.
        given: usize,
        /// Number of all series.
        total: usize,
        /// A series with a split in the labels.
        example: String,
    },
    /// A class has too few patients to be in every fold.
    #[error(
        "class {class} has {patients} patients with a usable volume, but {k_folds} folds need one each; set k_folds to \
         {patients} or less (at least 2), add data or, if de-identified patients share one ID, set ingest's parameter \
         patient to study or a column"
    )]
    FewerThanFolds {
        /// 0 or 1.
        class: u32,
        /// Number of its patients.
        patients: usize,
        /// Number of folds.
        k_folds: u32,
    },
}

impl SplitError {
    /// The same error, said of the patients outside a fold.
    pub(crate) fn outside_fold(self, fold: u32) -> SplitError {
        match self {
            SplitError::TooFew { class, patients, parts } => {
                SplitError::TooFewOutside { fold, class, patients, parts }
            }
            other => other,
        }
    }
}
