//! Why a figure has no value, as data and as a sentence.

use std::fmt;

use serde::{Serialize, Serializer};

/// The two classes. A label of `true` and a prediction of `true` are [`Class::Pathology`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Class 0, the negative class.
    Normal,
    /// Class 1, the positive class.
    Pathology,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Pathology => "pathology",
        })
    }
}

/// Why a figure has no value. Every message begins with "undefined because".
///
/// In JSON it is a code with its numbers, for a report in other words:
/// `{"code": "one_class", "values": {"class": "normal", "samples": 3}}`. A number that is not
/// finite is `null` there. Two values that carry NaN compare as different, as NaN itself does.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error, Serialize)]
#[serde(tag = "code", content = "values", rename_all = "snake_case")]
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

    /// No score can be compared with the threshold. An infinite threshold is allowed.
    #[error("undefined because the threshold is NaN; it must be a number")]
    ThresholdNotANumber,

    /// A figure that compares the classes, on samples of one class.
    #[error("undefined because all {samples} samples are {class}; samples of both classes are needed")]
    OneClass {
        /// The class that is present.
        class: Class,
        /// The number of samples.
        samples: u64,
    },

    /// A figure of the samples' order, but the scores give them no order.
    #[error("undefined because all {samples} scores are equal, so nothing is ranked")]
    AllScoresEqual {
        /// The number of scores.
        samples: usize,
    },

    /// A recall (sensitivity, specificity) over no sample.
    #[error("undefined because no sample is {class}")]
    NoSampleOf {
        /// The class whose recall was requested.
        class: Class,
    },

    /// A precision over no prediction.
    #[error("undefined because no sample is predicted as {class}")]
    NoPredictionOf {
        /// The class whose precision was requested.
        class: Class,
    },

    /// An F1 where the class neither occurs nor is predicted.
    #[error("undefined because no sample is {class} and none is predicted as {class}")]
    ClassAbsent {
        /// The class whose F1 was requested.
        class: Class,
    },

    /// An interval over patients where there is only one patient.
    #[error("undefined because all samples are of one patient; an interval needs two or more")]
    OnePatient,

    /// A bootstrap without replicates.
    #[error("undefined because the bootstrap was asked for 0 replicates")]
    NoReplicates,

    /// A confidence level outside the open interval from 0 to 1.
    #[error("undefined because the confidence level is {confidence_level}; it must lie between 0 and 1")]
    ConfidenceLevel {
        /// The level that was requested.
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

    /// An argument outside its range.
    #[error("undefined because the {what} is {value}; it must lie {range}")]
    OutOfRange {
        /// The argument.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The right range, such as "from 0 to 1".
        range: &'static str,
    },

    /// A figure of probabilities, but the scores are not probabilities.
    #[error("undefined because score {index} is {score}; probabilities from 0 to 1 are needed")]
    NotAProbability {
        /// Position of the first such score, from 0.
        index: usize,
        /// The score itself.
        score: f64,
    },

    /// A likelihood ratio whose denominator is zero.
    #[error("undefined because no {class} sample is predicted as {predicted}, by whose share it divides")]
    NoneOfPredictedAs {
        /// The class of the samples.
        class: Class,
        /// The prediction that none of them has.
        predicted: Class,
    },

    /// A proportion of nothing, or with more successes than trials.
    #[error("undefined because {successes} of {trials} is no proportion of one or more")]
    NoProportion {
        /// The numerator.
        successes: u64,
        /// The denominator.
        trials: u64,
    },

    /// A variance between patients where there is only one patient.
    #[error("undefined because {patients} patients have a {class} sample; a variance needs two or more")]
    TooFewPatientsOf {
        /// The class.
        class: Class,
        /// How many patients have a sample of it.
        patients: usize,
    },

    /// A test or an interval that divides by a standard error, but the standard error is estimated
    /// as 0.
    #[error("undefined because its standard error is estimated as 0, which tells nothing of its precision")]
    NoVariance,

    /// A stratified bootstrap that can only draw the data themselves.
    #[error("undefined because no stratum has two patients, so every resample is the data themselves")]
    OnePatientAStratum,

    /// A `BCa` interval whose bias correction is infinite.
    #[error("undefined because all {replicates} bootstrap replicates lie on one side of the value")]
    OneSided {
        /// Replicates in which the figure has a value.
        replicates: usize,
    },

    /// A `BCa` interval whose acceleration needs a value that the figure does not have.
    #[error("undefined because the figure has no value when a certain patient is left out")]
    LeaveOneOut,

    /// A `BCa` interval whose acceleration is 0/0.
    #[error("undefined because the figure is the same whichever patient is left out")]
    NoAcceleration,

    /// A `BCa` interval whose acceleration is too large for its formula.
    #[error("undefined because an acceleration of {acceleration} is too large for the confidence level")]
    Acceleration {
        /// The acceleration.
        acceleration: f64,
    },

    /// Groups of samples, but the requested number is 0.
    #[error("undefined because 0 bins were asked for")]
    NoBins,

    /// A temperature that no sample gives evidence for or against.
    #[error("undefined because every logit difference is 0, and so whatever it is divided by")]
    NoLogits,

    /// A figure over folds, but there are too few of them.
    #[error("undefined because there are {folds} folds; {needed} or more are needed")]
    TooFewFolds {
        /// The number of folds.
        folds: usize,
        /// The number of folds that is needed.
        needed: usize,
    },
}

/// Checks that a condition holds.
///
/// # Errors
///
/// `otherwise`.
pub(crate) fn ensure(holds: bool, otherwise: Undefined) -> Result<(), Undefined> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Checks that a value lies from 0 to 1.
///
/// # Errors
///
/// [`Undefined::OutOfRange`].
pub(crate) fn check_share(what: &'static str, value: f64) -> Result<(), Undefined> {
    ensure((0.0..=1.0).contains(&value), Undefined::OutOfRange { what, value, range: "from 0 to 1" })
}

/// Serialises the value, or `null` where it is undefined.
pub(crate) fn value_or_null<T: Serialize, S: Serializer>(
    value: &Result<T, Undefined>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().ok().serialize(serializer)
}

/// The explanation of a missing value in JSON: a sentence as `undefined`, and data as `reason`.
#[derive(Debug, Serialize)]
pub struct Why {
    undefined: String,
    reason: Undefined,
}

impl From<Undefined> for Why {
    fn from(reason: Undefined) -> Self {
        Self { undefined: reason.to_string(), reason }
    }
}

/// Serialises the value as it is, or `{"undefined": "undefined because ...", "reason": {..}}`.
pub(crate) fn value_or_reason<T: Serialize, S: Serializer>(
    value: &Result<T, Undefined>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Either<'a, T> {
        Value(&'a T),
        Reason(Why),
    }
    match value {
        Ok(value) => Either::Value(value),
        Err(reason) => Either::Reason(Why::from(*reason)),
    }
    .serialize(serializer)
}
