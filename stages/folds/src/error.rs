//! The errors of folds: why evaluations cannot be combined, and what would be right.

/// Why evaluations are not the folds of one cross-validation.
#[derive(Debug, thiserror::Error)]
pub enum FoldsError {
    /// A patient is tested twice.
    #[error(
        "patient {patient} is in the test set of {first} (series {first_series}) and of {second} (series \
         {second_series}), so these are not folds of one cross-validation; give split k_folds and `matrix: {{ fold: [0, \
         1, ..] }}`, which puts every patient into one test set"
    )]
    Shared {
        /// The patient's key.
        patient: String,
        /// An evaluation's label.
        first: String,
        /// A series of the patient in it.
        first_series: String,
        /// Another evaluation's label.
        second: String,
        /// A series of the patient in it.
        second_series: String,
    },
    /// A series is tested twice.
    #[error(
        "series {series} is in the test set of {first} and of {second}, under different patients; evaluate all folds on one \
         split with one patient key"
    )]
    SharedSeries {
        /// The series.
        series: String,
        /// An evaluation's label.
        first: String,
        /// Another evaluation's label.
        second: String,
    },
    /// A model may have seen the patients that it is tested on.
    #[error(
        "the model of {label} was trained on another split than the one that it is tested on, so it may have seen its \
         test patients; give train, evaluate and split the same matrix, and let evaluate read the model and the split of \
         one fold"
    )]
    LearntElsewhere {
        /// The evaluation's label.
        label: String,
    },
    /// Intervals of two confidence levels would stand side by side.
    #[error(
        "the intervals of {label} have confidence_level {found}, but those of folds have {level}; give evaluate and folds \
         the same confidence_level"
    )]
    OtherLevel {
        /// The evaluation's label.
        label: String,
        /// Its confidence level.
        found: f64,
        /// The confidence level of the pooled figures.
        level: f64,
    },
    /// The files of an evaluation come from two different runs.
    #[error(
        "{label}: metrics.json is of {samples} test series, but predictions.parquet holds {rows}; both must come from one \
         run of evaluate"
    )]
    Mixed {
        /// The evaluation's label.
        label: String,
        /// Number of test series by `metrics.json`.
        samples: u64,
        /// Number of test series in the table.
        rows: u64,
    },
}
