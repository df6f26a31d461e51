//! The samples sorted by score, and the walk over them from which every figure is computed.
//!
//! A weight is how often a sample was drawn in a bootstrap resample; it is 1 for the original data.
//! The order does not depend on the weights, so the samples are sorted once for all replicates.

use std::ops::Range;

use crate::Undefined;
use crate::undefined::ensure;

/// Samples from the highest score to the lowest.
pub(crate) struct Ranking {
    ranked: Vec<Ranked>,
    /// The score of each sample in `ranked`.
    scores: Vec<f64>,
}

/// A sample: the index of its weight, whether it is the last with its score, and its class. It is
/// one word, because the walk over a hundred thousand of them is limited by memory.
#[derive(Clone, Copy)]
pub(crate) struct Ranked(usize);

impl Ranked {
    const POSITIVE: usize = 1;
    const LAST_OF_SCORE: usize = 2;

    fn new(weighted_by: usize, positive: bool) -> Self {
        Self(weighted_by << 2 | usize::from(positive))
    }

    /// Index of its weight: the sample's position, or its patient after [`Ranking::by_patient`].
    pub(crate) fn weighted_by(self) -> usize {
        self.0 >> 2
    }

    pub(crate) fn is_positive(self) -> bool {
        self.0 & Self::POSITIVE != 0
    }

    fn is_last_of_score(self) -> bool {
        self.0 & Self::LAST_OF_SCORE != 0
    }
}

/// What is predicted as positive when the threshold is one of the distinct scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) threshold: f64,
    pub(crate) true_positives: u64,
    pub(crate) false_positives: u64,
}

impl Cut {
    /// The threshold above every score: nothing is predicted as positive.
    pub(crate) const ABOVE_ALL: Self =
        Self { threshold: f64::INFINITY, true_positives: 0, false_positives: 0 };

    /// Number of samples predicted as positive.
    pub(crate) fn called(&self) -> u64 {
        self.true_positives + self.false_positives
    }
}

/// Checks that there are samples, each with a finite score.
///
/// # Errors
///
/// [`Undefined::LengthMismatch`], [`Undefined::NoSamples`], [`Undefined::NonFiniteScore`].
pub(crate) fn check(labels: &[bool], scores: &[f64]) -> Result<(), Undefined> {
    if labels.len() != scores.len() {
        return Err(Undefined::LengthMismatch { labels: labels.len(), what: "scores", found: scores.len() });
    }
    if labels.is_empty() {
        return Err(Undefined::NoSamples);
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(index) => Err(Undefined::NonFiniteScore { index, score: scores[index] }),
        None => Ok(()),
    }
}

impl Ranking {
    /// Sorts in O(n log n).
    ///
    /// # Errors
    ///
    /// As [`check`].
    pub(crate) fn new(labels: &[bool], scores: &[f64]) -> Result<Self, Undefined> {
        check(labels, scores)?;
        // -0.0 becomes 0.0: the two are one score, and `total_cmp` would separate them.
        let mut sorted: Vec<(f64, Ranked)> = (labels.iter().zip(scores).enumerate())
            .map(|(sample, (&positive, &score))| (score + 0.0, Ranked::new(sample, positive)))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let (scores, mut ranked): (Vec<f64>, Vec<Ranked>) = sorted.into_iter().unzip();
        for (i, ranked) in ranked.iter_mut().enumerate() {
            if scores.get(i + 1) != Some(&scores[i]) {
                ranked.0 |= Ranked::LAST_OF_SCORE;
            }
        }
        Ok(Self { ranked, scores })
    }

    /// The same order, where each sample has the weight of its patient, `of_sample[sample]`.
    pub(crate) fn by_patient(mut self, of_sample: &[usize]) -> Self {
        for ranked in &mut self.ranked {
            let flags = ranked.0 & (Ranked::POSITIVE | Ranked::LAST_OF_SCORE);
            ranked.0 = of_sample[ranked.weighted_by()] << 2 | flags;
        }
        self
    }

    /// Checks that the scores distinguish at least two samples.
    ///
    /// # Errors
    ///
    /// [`Undefined::AllScoresEqual`].
    pub(crate) fn is_an_order(&self) -> Result<(), Undefined> {
        let equal = self.scores.first() == self.scores.last();
        ensure(!equal, Undefined::AllScoresEqual { samples: self.scores.len() })
    }

    /// The samples of each distinct score, highest first.
    pub(crate) fn ties(&self) -> impl DoubleEndedIterator<Item = &[Ranked]> {
        self.ranked.chunk_by(|ranked, _| !ranked.is_last_of_score())
    }

    /// The number of samples.
    pub(crate) fn len(&self) -> usize {
        self.ranked.len()
    }

    /// The number of samples with at least this score; 0 for NaN.
    pub(crate) fn at_least(&self, threshold: f64) -> usize {
        self.scores.partition_point(|&score| score >= threshold)
    }

    /// The cuts at every distinct score, highest first, with sample `i` counted `weight(i)` times.
    /// The last cut includes every sample: its counts are the positives and the negatives. O(n).
    pub(crate) fn cuts(&self, weight: impl Fn(usize) -> u64) -> impl Iterator<Item = Cut> {
        self.cuts_within(0..self.ranked.len(), Cut::ABOVE_ALL, weight)
    }

    /// The cuts within a range of the ranked samples, continuing from the cut before the range.
    pub(crate) fn cuts_within(
        &self,
        samples: Range<usize>,
        mut cut: Cut,
        weight: impl Fn(usize) -> u64,
    ) -> impl Iterator<Item = Cut> {
        self.ranked[samples.clone()].iter().zip(&self.scores[samples]).filter_map(move |(ranked, &score)| {
            let weight = weight(ranked.weighted_by());
            // By multiplication, because no processor can predict the class of the next sample.
            let positive = weight * u64::from(ranked.is_positive());
            cut.true_positives += positive;
            cut.false_positives += weight - positive;
            cut.threshold = score;
            ranked.is_last_of_score().then_some(cut)
        })
    }

    /// The cut below every score, with all samples. O(n).
    pub(crate) fn total(&self, weight: impl Fn(usize) -> u64) -> Cut {
        self.cuts(weight).last().unwrap_or(Cut::ABOVE_ALL)
    }
}

/// Checks that there are samples, each with a probability.
///
/// # Errors
///
/// [`Undefined::NotAProbability`]; [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and
/// [`Undefined::NonFiniteScore`].
pub(crate) fn check_probabilities(labels: &[bool], probabilities: &[f64]) -> Result<(), Undefined> {
    check(labels, probabilities)?;
    match probabilities.iter().position(|probability| !(0.0..=1.0).contains(probability)) {
        Some(index) => Err(Undefined::NotAProbability { index, score: probabilities[index] }),
        None => Ok(()),
    }
}
