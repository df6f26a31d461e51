//! The samples sorted by score, and the walk over them that every figure is folded from. Knows
//! labels, scores and weights; knows no figure and no patient.
//!
//! A weight is how often a sample was drawn in a bootstrap resample, 1 for the data as they are. The
//! order does not depend on the weights, so the samples are sorted once for all replicates.

use crate::Undefined;

/// Samples from the highest score to the lowest.
pub(crate) struct Ranking {
    ranked: Vec<Ranked>,
}

struct Ranked {
    score: f64,
    positive: bool,
    /// Position in the slices that the ranking was made of.
    sample: usize,
}

/// What is predicted positive when the threshold is one of the distinct scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) threshold: f64,
    pub(crate) true_positives: u64,
    pub(crate) false_positives: u64,
}

impl Cut {
    /// The threshold above every score: nothing is predicted positive.
    pub(crate) const ABOVE_ALL: Self =
        Self { threshold: f64::INFINITY, true_positives: 0, false_positives: 0 };
}

impl Ranking {
    /// Sorts in O(n log n).
    ///
    /// # Errors
    ///
    /// [`Undefined::LengthMismatch`], [`Undefined::NoSamples`], [`Undefined::NonFiniteScore`].
    pub(crate) fn new(labels: &[bool], scores: &[f64]) -> Result<Self, Undefined> {
        if labels.len() != scores.len() {
            return Err(Undefined::LengthMismatch {
                labels: labels.len(),
                what: "scores",
                found: scores.len(),
            });
        }
        if labels.is_empty() {
            return Err(Undefined::NoSamples);
        }
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            let score = scores[index];
            return Err(Undefined::NonFiniteScore { index, score });
        }
        let mut ranked: Vec<Ranked> = (labels.iter().zip(scores).enumerate())
            .map(|(sample, (&positive, &score))| Ranked {
                // -0.0 becomes 0.0: the two are one score, and `total_cmp` would part them.
                score: score + 0.0,
                positive,
                sample,
            })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(Self { ranked })
    }

    /// The cuts at every distinct score, highest first, with sample `i` counted `weight(i)` times.
    /// The last cut has every sample: its counts are the positives and the negatives. O(n).
    pub(crate) fn cuts(&self, weight: impl Fn(usize) -> u64) -> impl Iterator<Item = Cut> {
        let mut cut = Cut::ABOVE_ALL;
        self.ranked.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()).map(move |tied| {
            for ranked in tied {
                cut.threshold = ranked.score;
                let count = if ranked.positive { &mut cut.true_positives } else { &mut cut.false_positives };
                *count += weight(ranked.sample);
            }
            cut
        })
    }
}
