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
    /// A model may know those that it is tested on.
    #[error(
        "the model of {label} has learnt from another split than the one that it is tested on, and may know its patients; give \
         train, evaluate and split the same matrix, and let evaluate read the model and the split of one fold"
    )]
    LearntElsewhere {
        /// The evaluation's label.
        label: String,
    },
    /// Intervals of two levels would stand side by side.
    #[error(
        "the intervals of {label} are of confidence_level {found}, and those of folds of {level}; give evaluate and folds the \
         same"
    )]
    OtherLevel {
        /// The evaluation's label.
        label: String,
        /// Its level.
        found: f64,
        /// The level of what is pooled.
        level: f64,
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
