//! Isotonic regression: the non-decreasing function of the score that fits the labels best, as
//! probabilities. It keeps the order of scores, but makes ties.

use serde::{Deserialize, Serialize};

use crate::Undefined;
use crate::ranking::{Cut, Ranking};
use crate::roc::both_classes;
use crate::undefined::ensure;

/// A probability for every score: straight lines between the knots, and constant outside them. In
/// JSON it is an array of knots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Knot>", into = "Vec<Knot>")]
pub struct Isotonic {
    /// One or more knots, with strictly ascending scores and non-descending probabilities.
    knots: Vec<Knot>,
}

/// The probability of one score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knot {
    /// One of the scores of the fit.
    pub score: f64,
    /// The probability of Pathology.
    pub probability: f64,
}

/// Adjacent scores with one probability, the share of Pathology among their samples.
struct Block {
    lowest: f64,
    highest: f64,
    positives: u64,
    samples: u64,
}

impl Isotonic {
    /// The non-descending function of the score with the least sum of squared errors, by pooling
    /// adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002 for probabilities). Equal
    /// scores are pooled first, and a constant stretch keeps its two ends, as in scikit-learn's
    /// `IsotonicRegression` with `out_of_bounds="clip"`. Comparisons use integers. O(n log n).
    ///
    /// # Errors
    ///
    /// [`Undefined::OneClass`], because the fit would always be certain of that class;
    /// [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and [`Undefined::NonFiniteScore`].
    pub fn fit(labels: &[bool], scores: &[f64]) -> Result<Self, Undefined> {
        let mut blocks: Vec<Block> = Vec::new();
        let cuts: Vec<Cut> = Ranking::new(labels, scores)?.cuts(|_| 1).collect();
        let total = cuts.last().copied().unwrap_or(Cut::ABOVE_ALL);
        both_classes(total.true_positives, total.false_positives)?;
        for (i, cut) in cuts.iter().enumerate().rev() {
            let above = i.checked_sub(1).map_or(&Cut::ABOVE_ALL, |above| &cuts[above]);
            let mut next = Block {
                lowest: cut.threshold,
                highest: cut.threshold,
                positives: cut.true_positives - above.true_positives,
                samples: cut.called() - above.called(),
            };
            while let Some(before) = blocks.pop_if(|before| before.is_not_below(&next)) {
                next.lowest = before.lowest;
                next.positives += before.positives;
                next.samples += before.samples;
            }
            blocks.push(next);
        }
        let ends = blocks.iter().flat_map(|block| {
            let probability = block.positives as f64 / block.samples as f64;
            let is_one_score = block.lowest == block.highest;
            let upper = (!is_one_score).then_some(block.highest);
            [Some(block.lowest), upper].into_iter().flatten().map(move |score| Knot { score, probability })
        });
        Ok(Self { knots: ends.collect() })
    }

    /// The probability of Pathology.
    ///
    /// # Errors
    ///
    /// [`Undefined::NonFiniteScore`] for NaN. Infinite scores lie outside the knots and are
    /// allowed.
    pub fn apply(&self, score: f64) -> Result<f64, Undefined> {
        ensure(!score.is_nan(), Undefined::NonFiniteScore { index: 0, score })?;
        let above = self.knots.partition_point(|knot| knot.score <= score);
        match (above.checked_sub(1).and_then(|below| self.knots.get(below)), self.knots.get(above)) {
            (Some(below), Some(above)) => {
                let along = (score - below.score) / (above.score - below.score);
                Ok(below.probability + along * (above.probability - below.probability))
            }
            (Some(end), None) | (None, Some(end)) => Ok(end.probability),
            (None, None) => Err(Undefined::NoSamples),
        }
    }

    /// The points where the function bends, by ascending score.
    pub fn knots(&self) -> &[Knot] {
        &self.knots
    }
}

impl Block {
    /// Whether the share is at least that of the block above; the two are then pooled.
    fn is_not_below(&self, above: &Self) -> bool {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        product(self.positives, above.samples) >= product(above.positives, self.samples)
    }
}

impl TryFrom<Vec<Knot>> for Isotonic {
    type Error = Undefined;

    fn try_from(knots: Vec<Knot>) -> Result<Self, Undefined> {
        ensure(!knots.is_empty(), Undefined::NoSamples)?;
        for (index, knot) in knots.iter().enumerate() {
            let not_a_probability = Undefined::NotAProbability { index, score: knot.probability };
            ensure((0.0..=1.0).contains(&knot.probability), not_a_probability)?;
            let rises = index == 0
                || (knots[index - 1].score < knot.score && knots[index - 1].probability <= knot.probability);
            let what = "score of a knot";
            let range = "above that of the knot before, with no lower probability";
            let out_of_range = Undefined::OutOfRange { what, value: knot.score, range };
            ensure(knot.score.is_finite() && rises, out_of_range)?;
        }
        Ok(Self { knots })
    }
}

impl From<Isotonic> for Vec<Knot> {
    fn from(isotonic: Isotonic) -> Self {
        isotonic.knots
    }
}
