//! One of each reason that `metrics` has, in the form that evaluate writes. Draws nothing.

use ctpipe_metrics::{Class, Undefined};
use ctpipe_tables::Reason;

/// Each with its form in `metrics.json`.
pub(crate) fn reasons() -> Vec<(Undefined, Reason)> {
    let (class, predicted) = (Class::Pathology, Class::Normal);
    let all = vec![
        Undefined::NoSamples,
        Undefined::LengthMismatch { labels: 3, what: "scores", found: 2 },
        Undefined::NonFiniteScore { index: 4, score: 0.5 },
        Undefined::ThresholdNotANumber,
        Undefined::OneClass { class, samples: 7 },
        Undefined::AllScoresEqual { samples: 7 },
        Undefined::NoSampleOf { class },
        Undefined::NoPredictionOf { class },
        Undefined::ClassAbsent { class },
        Undefined::OnePatient,
        Undefined::NoReplicates,
        Undefined::ConfidenceLevel { confidence_level: 1.5 },
        Undefined::TooFewReplicates { defined: 2, replicates: 100 },
        Undefined::OutOfRange { what: "prevalence", value: 1.5, range: "from 0 to 1" },
        Undefined::NotAProbability { index: 4, score: 1.5 },
        Undefined::NoneOfPredictedAs { class, predicted },
        Undefined::NoProportion { successes: 2, trials: 1 },
        Undefined::TooFewPatientsOf { class, patients: 1 },
        Undefined::NoVariance,
        Undefined::OnePatientAStratum,
        Undefined::OneSided { replicates: 100 },
        Undefined::LeaveOneOut,
        Undefined::NoAcceleration,
        Undefined::Acceleration { acceleration: 1.5 },
        Undefined::NoBins,
        Undefined::NoLogits,
        Undefined::TooFewFolds { folds: 1, needed: 2 },
    ];
    // A new reason must also be added above: this match has no wildcard arm.
    let place = |reason: &Undefined| match reason {
        Undefined::NoSamples => 0,
        Undefined::LengthMismatch { .. } => 1,
        Undefined::NonFiniteScore { .. } => 2,
        Undefined::ThresholdNotANumber => 3,
        Undefined::OneClass { .. } => 4,
        Undefined::AllScoresEqual { .. } => 5,
        Undefined::NoSampleOf { .. } => 6,
        Undefined::NoPredictionOf { .. } => 7,
        Undefined::ClassAbsent { .. } => 8,
        Undefined::OnePatient => 9,
        Undefined::NoReplicates => 10,
        Undefined::ConfidenceLevel { .. } => 11,
        Undefined::TooFewReplicates { .. } => 12,
        Undefined::OutOfRange { .. } => 13,
        Undefined::NotAProbability { .. } => 14,
        Undefined::NoneOfPredictedAs { .. } => 15,
        Undefined::NoProportion { .. } => 16,
        Undefined::TooFewPatientsOf { .. } => 17,
        Undefined::NoVariance => 18,
        Undefined::OnePatientAStratum => 19,
        Undefined::OneSided { .. } => 20,
        Undefined::LeaveOneOut => 21,
        Undefined::NoAcceleration => 22,
        Undefined::Acceleration { .. } => 23,
        Undefined::NoBins => 24,
        Undefined::NoLogits => 25,
        Undefined::TooFewFolds { .. } => 26,
    };
    assert!(all.iter().enumerate().all(|(index, reason)| place(reason) == index));
    let told = |undefined: Undefined| {
        let json = serde_json::to_value(undefined).unwrap();
        (undefined, serde_json::from_value(json).unwrap())
    };
    all.into_iter().map(told).collect()
}
