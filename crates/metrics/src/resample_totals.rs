//! What one walk down the ranking adds up for a resample: the sums from which every figure follows.

use crate::Undefined;
use crate::clusters::Clusters;
use crate::confusion::{Confusion, check_threshold};
use crate::placements::Placements;
use crate::precision_recall::{PrecisionSum, average_of};
use crate::ranking::check_probabilities;
use crate::ranking::{Cut, Ranking};
use crate::roc::{Area, area_of};

/// Labels, scores and a threshold, prepared for resampling.
pub(crate) struct Samples {
    ranking: Ranking,
    /// Number of samples predicted as Pathology.
    called: usize,
    threshold: f64,
    /// Whether the scores are probabilities.
    probabilities: Result<(), Undefined>,
    /// `[patients]`, the sum of (score - label)^2 over the patient's samples.
    squared_errors: Vec<f64>,
}

/// The sums of one weighting of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sums {
    /// The counts at the threshold.
    pub(crate) counts: Confusion,
    twice_area: u128,
    precision_sum: f64,
    squared_error: f64,
}

impl Samples {
    /// Sorts in O(n log n).
    ///
    /// # Errors
    ///
    /// [`Undefined::NoSamples`], [`Undefined::LengthMismatch`], [`Undefined::NonFiniteScore`].
    pub(crate) fn new(
        labels: &[bool],
        scores: &[f64],
        threshold: f64,
        clusters: &Clusters,
    ) -> Result<Self, Undefined> {
        let ranking = Ranking::new(labels, scores)?.by_patient(&clusters.of_sample);
        let mut squared_errors = vec![0.0; clusters.count()];
        for ((&patient, &score), &label) in clusters.of_sample.iter().zip(scores).zip(labels) {
            squared_errors[patient] += squared_error(score, label);
        }
        let probabilities = check_probabilities(labels, scores);
        Ok(Self { called: ranking.at_least(threshold), ranking, threshold, probabilities, squared_errors })
    }

    /// The sums for a resample with the number of draws of each patient: `[patients]`. O(n).
    pub(crate) fn sums(&self, drawn: &[u32]) -> Sums {
        let walk = |samples, from: (Area, PrecisionSum, Cut)| {
            let cuts = self.ranking.cuts_within(samples, from.2, |patient| u64::from(drawn[patient]));
            cuts.fold(from, |(area, precision, _), cut| (area.to(&cut), precision.to(&cut), cut))
        };
        let start = (Area::default(), PrecisionSum::default(), Cut::ABOVE_ALL);
        let (area, precision, called) = walk(0..self.called, start);
        let (area, precision, total) = walk(self.called..self.ranking.len(), (area, precision, called));
        let errors = drawn.iter().zip(&self.squared_errors);
        Sums {
            counts: Confusion::between(&called, &total),
            twice_area: area.twice,
            precision_sum: precision.sum,
            squared_error: errors.map(|(&times, error)| f64::from(times) * error).sum(),
        }
    }

    /// The sums without each of the patients, `[patients]`, from the sums with all of them. O(n).
    ///
    /// They are exact except for the average precision, which has no shortcut. From it the
    /// patient's empirical influence is subtracted: its derivative by the patient's weight (the
    /// infinitesimal jackknife, Efron 1982, chapter 6). An acceleration is defined by exactly this
    /// (Efron 1987).
    pub(crate) fn left_out(&self, all: &Sums) -> Vec<Sums> {
        let counts = self.by_patient();
        let placements = Placements::new(&self.ranking, counts.len());
        let influences = self.influences_on_precision(all, counts.len());
        let patients = counts.iter().zip(&placements.patients).zip(influences).zip(&self.squared_errors);
        patients
            .map(|(((counts, placement), influence), error)| {
                let counts = all.counts.without(counts);
                let positives = all.positives() as f64;
                let average_precision = all.precision_sum / positives - influence;
                Sums {
                    twice_area: placements.twice_right_without(placement),
                    precision_sum: average_precision
                        * (counts.true_positives + counts.false_negatives) as f64,
                    squared_error: all.squared_error - error,
                    counts,
                }
            })
            .collect()
    }

    /// The counts of each patient's samples, `[patients]`.
    pub(crate) fn by_patient(&self) -> Vec<Confusion> {
        let mut counts = vec![Confusion::default(); self.squared_errors.len()];
        for (i, sample) in self.ranking.ties().flatten().enumerate() {
            counts[sample.weighted_by()].count(sample.is_positive(), i < self.called);
        }
        counts
    }

    /// The derivative of the average precision by each patient's weight.
    ///
    /// For a group of tied scores, let G be its Pathology samples, and TP and FP the samples down
    /// to its end; P is the number of all Pathology samples. AP is the sum over groups of G TP /
    /// (TP + FP), divided by P. A Pathology sample adds to P, to the G of its group, and to TP from
    /// there on; a Normal sample adds to FP from there on.
    fn influences_on_precision(&self, all: &Sums, patients: usize) -> Vec<f64> {
        let positives = all.positives() as f64;
        let average = all.precision_sum / positives;
        let mut influences = vec![0.0; patients];
        let cuts: Vec<Cut> = self.ranking.cuts(|_| 1).collect();
        let (mut by_true, mut by_false) = (0.0, 0.0);
        for ((i, cut), ties) in cuts.iter().enumerate().rev().zip(self.ranking.ties().rev()) {
            let called = cut.called() as f64;
            let before = i.checked_sub(1).map_or(0, |before| cuts[before].true_positives);
            let gained = (cut.true_positives - before) as f64;
            by_true += gained * cut.false_positives as f64 / (called * called);
            by_false -= gained * cut.true_positives as f64 / (called * called);
            let precision = cut.true_positives as f64 / called;
            for sample in ties {
                let change = if sample.is_positive() { by_true + precision - average } else { by_false };
                influences[sample.weighted_by()] += change / positives;
            }
        }
        influences
    }

    /// See [`auc`](crate::auc). In a resample where all scores happen to be equal it is 0.5.
    pub(crate) fn auc(&self, sums: &Sums) -> Result<f64, Undefined> {
        let area = sums.auc()?;
        self.ranking.is_an_order().map(|()| area)
    }

    /// See [`average_precision`](crate::average_precision); equal scores as for [`Samples::auc`].
    pub(crate) fn average_precision(&self, sums: &Sums) -> Result<f64, Undefined> {
        let average = sums.average_precision()?;
        self.ranking.is_an_order().map(|()| average)
    }

    /// The counts at the threshold, if it is a number.
    pub(crate) fn counts(&self, sums: &Sums) -> Result<Confusion, Undefined> {
        check_threshold(self.threshold).map(|()| sums.counts)
    }

    /// The mean of (score - label)^2, if the scores are probabilities.
    pub(crate) fn brier(&self, sums: &Sums) -> Result<f64, Undefined> {
        self.probabilities?;
        Ok(sums.squared_error / (sums.positives() + sums.negatives()) as f64)
    }
}

impl Sums {
    pub(crate) fn auc(&self) -> Result<f64, Undefined> {
        area_of(self.twice_area, self.positives(), self.negatives())
    }

    pub(crate) fn average_precision(&self) -> Result<f64, Undefined> {
        average_of(self.precision_sum, self.positives())
    }

    fn positives(&self) -> u64 {
        self.counts.true_positives + self.counts.false_negatives
    }

    fn negatives(&self) -> u64 {
        self.counts.true_negatives + self.counts.false_positives
    }
}

/// The loss of Brier (1950) for one sample.
pub(crate) fn squared_error(probability: f64, label: bool) -> f64 {
    let error = probability - f64::from(u8::from(label));
    error * error
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{Bootstrap, auc, average_precision, brier, confusion};

    /// 60 samples of 17 patients, with ties: scores are multiples of 1/13.
    struct Data {
        labels: Vec<bool>,
        scores: Vec<f64>,
        clusters: Clusters,
    }

    const THRESHOLD: f64 = 6.0 / 13.0;

    fn data() -> (Data, Samples) {
        let patients: Vec<usize> = (0..60).map(|i| (i * i) % 17).collect();
        let data = Data {
            labels: (0..60).map(|i| i % 5 < 2).collect(),
            scores: (0..60).map(|i| f64::from((i * 7) % 13) / 13.0).collect(),
            clusters: Clusters::new(&patients),
        };
        let samples = Samples::new(&data.labels, &data.scores, THRESHOLD, &data.clusters).unwrap();
        (data, samples)
    }

    impl Data {
        /// Every sample repeated as often as `times` says for its patient.
        fn materialised(&self, times: impl Fn(usize) -> u32) -> (Vec<bool>, Vec<f64>) {
            (0..self.labels.len())
                .flat_map(|i| (0..times(self.clusters.of_sample[i])).map(move |_| i))
                .map(|i| (self.labels[i], self.scores[i]))
                .unzip()
        }
    }

    #[track_caller]
    fn assert_near(ours: Result<f64, Undefined>, theirs: Result<f64, Undefined>) {
        assert!((ours.unwrap() - theirs.unwrap()).abs() < 1e-13, "{ours:?} is not {theirs:?}");
    }

    #[test]
    fn a_weighted_replicate_equals_the_materialised_resample() {
        let (data, samples) = data();
        let bootstrap = Bootstrap { replicates: 200, confidence_level: 0.95, seed: 42 };
        for drawn in bootstrap.replicates(&data.clusters.strata, <[u32]>::to_vec).unwrap() {
            let sums = samples.sums(&drawn);
            let (labels, scores) = data.materialised(|patient| drawn[patient]);
            assert_eq!(samples.counts(&sums), confusion(&labels, &scores, THRESHOLD));
            assert_eq!(sums.auc(), auc(&labels, &scores));
            assert_near(sums.average_precision(), average_precision(&labels, &scores));
            assert_near(samples.brier(&sums), brier(&labels, &scores));
        }
    }

    #[test]
    fn leaving_a_patient_out_equals_dropping_the_samples() {
        let (data, samples) = data();
        let all = samples.sums(&vec![1; data.clusters.count()]);
        for (left_out, sums) in samples.left_out(&all).iter().enumerate() {
            let (labels, scores) = data.materialised(|patient| u32::from(patient != left_out));
            assert_eq!(samples.counts(sums), confusion(&labels, &scores, THRESHOLD));
            assert_eq!(sums.auc(), auc(&labels, &scores));
            assert_near(samples.brier(sums), brier(&labels, &scores));
        }
    }

    #[test]
    fn the_influence_on_average_precision_is_its_derivative() {
        // A patient drawn 1 001 times where the others are drawn 1 000 times, compared with 999
        // times.
        let (data, samples) = data();
        let patients = data.clusters.count();
        let all = samples.sums(&vec![1; patients]);
        for (patient, influence) in samples.influences_on_precision(&all, patients).into_iter().enumerate() {
            let at = |times| {
                let mut drawn = vec![1000; patients];
                drawn[patient] = times;
                samples.sums(&drawn).average_precision().unwrap()
            };
            let slope = (at(1001) - at(999)) * 500.0;
            assert!((influence - slope).abs() < 1e-7, "{influence} is not {slope}");
        }
    }
}
