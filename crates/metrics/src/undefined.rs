//! Why a figure has no value, as data and as a sentence. Does not know which figure asked.

use std::fmt;

use serde::{Serialize, Serializer};

/// The two classes. A label of `true` and a prediction of `true` are [`Class::Pathology`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Class 0, the negative class.
    Normal,
    /// Class 1, the positive class.
    Pathology,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "Normal",
            Self::Pathology => "Pathology",
        })
    }
}

/// Why a figure has no value. Every message begins with "undefined because".
///
/// Two values that carry NaN compare as different, as NaN itself does.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Undefined {
    /// The input is empty.
    #[error("undefined because there are no samples")]
    NoSamples,

    /// Two slices that describe the same samples differ in length.
    #[error("undefined because there are {labels} labels but {found} {what}; one a sample is needed")]
    LengthMismatch {
        /// Length of the labels.
        labels: usize,
        /// Which slice differs: "scores" or "patient indices".
        what: &'static str,
        /// Length of that slice.
        found: usize,
    },

    /// A score is NaN or infinite, so the samples cannot be ranked.
    #[error("undefined because score {index} is {score}; every score must be finite")]
    NonFiniteScore {
        /// Position of the first such score, from 0.
        index: usize,
        /// The score itself.
        score: f64,
    },

    /// No score can be compared with the threshold. An infinite threshold is in order.
    #[error("undefined because the threshold is NaN; it must be a number")]
    ThresholdNotANumber,

    /// A figure that compares the classes, on samples of one class.
    #[error("undefined because all {samples} samples are {class}; samples of both classes are needed")]
    OneClass {
        /// The class that is there.
        class: Class,
        /// How many samples there are.
        samples: u64,
    },

    /// A recall (sensitivity, specificity) over no sample.
    #[error("undefined because no sample is {class}")]
    NoSampleOf {
        /// The class whose recall was asked for.
        class: Class,
    },

    /// A precision over no prediction.
    #[error("undefined because no sample is predicted as {class}")]
    NoPredictionOf {
        /// The class whose precision was asked for.
        class: Class,
    },

    /// An F1 where the class neither occurs nor is predicted.
    #[error("undefined because no sample is {class} and none is predicted as {class}")]
    ClassAbsent {
        /// The class whose F1 was asked for.
        class: Class,
    },

    /// An interval over patients, of one patient.
    #[error("undefined because all samples are of one patient; an interval needs two or more")]
    OnePatient,

    /// A bootstrap without replicates.
    #[error("undefined because the bootstrap was asked for 0 replicates")]
    NoReplicates,

    /// A confidence level outside the open interval from 0 to 1.
    #[error("undefined because the confidence level is {confidence_level}; it must lie between 0 and 1")]
    ConfidenceLevel {
        /// The level that was asked for.
        confidence_level: f64,
    },

    /// The figure has a value in fewer than half of the bootstrap replicates.
    #[error(
        "undefined because only {defined} of {replicates} bootstrap replicates have a value; \
         at least half are needed"
    )]
    TooFewReplicates {
        /// Replicates in which the figure has a value.
        defined: usize,
        /// Replicates drawn.
        replicates: usize,
    },
}

/// Serialises the value, or `null` where it is undefined.
pub(crate) fn value_or_null<T: Serialize, S: Serializer>(
    value: &Result<T, Undefined>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().ok().serialize(serializer)
}
