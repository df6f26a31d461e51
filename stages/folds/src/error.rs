//! What can be wrong with the evaluations that are put together, with what would be right.

/// Why evaluations are no folds of one cross-validation.
#[derive(Debug, thiserror::Error)]
pub enum FoldsError {
    /// A patient is tested twice.
    #[error(
        "patient {patient} is in the test part of {first} (series {first_series}) and of {second} (series \
         {second_series}), so the two are no folds of one cross-validation; give split k_folds and `matrix: {{ fold: [0, \
         1, ..] }}`, which puts every patient into one test part"
    )]
    Shared {
        /// The patient's key.
        patient: String,
        /// An evaluation's label.
        first: String,
        /// A series there.
        first_series: String,
        /// Another's.
        second: String,
        /// A series there.
        second_series: String,
    },
    /// A series is tested twice.
    #[error(
        "series {series} is in the test part of {first} and of {second}, under different patients; evaluate all folds on one \
         split with one patient key"
    )]
    SharedSeries {
        /// The series.
        series: String,
        /// An evaluation's label.
        first: String,
        /// Another's.
        second: String,
    },
    /// The files of an evaluation are of two.
    #[error(
        "{label}: metrics.json is of {samples} test series and predictions.parquet holds {rows}; both must be of one run of \
         evaluate"
    )]
    Mixed {
        /// The evaluation's label.
        label: String,
        /// By `metrics.json`.
        samples: u64,
        /// In the table.
        rows: u64,
    },
}
