//! Temperature scaling: one number that makes a network's probabilities more or less certain. It
//! does not change their order.

use serde::{Deserialize, Serialize};

use crate::Undefined;
use crate::ranking::check;
use crate::roc::both_classes;
use crate::undefined::ensure;

/// The lowest temperature. At the highest, which is its reciprocal, a difference of logits counts
/// one hundredth.
const COLDEST: f64 = 0.01;

/// A temperature T: the probability of Pathology is 1 / (1 + exp(-d / T)), where d is the logit of
/// Pathology minus that of Normal (Guo et al. 2017).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Temperature {
    /// T, from 0.01 to 100. 1 changes nothing; above 1 the probabilities come closer to one half.
    pub temperature: f64,
    /// Whether the best T lies beyond one of the two ends: below 0.01 where the differences
    /// separate the classes without error, or above 100 where they are uninformative or misleading.
    pub at_bound: bool,
}

impl Temperature {
    /// The T with the smallest mean negative log-likelihood, which is convex in 1 / T. Its
    /// derivative is 0 there; bisection finds it to the last bit, the same every time.
    ///
    /// # Errors
    ///
    /// [`Undefined::OneClass`]; [`Undefined::NoLogits`] where every difference is 0;
    /// [`Undefined::NoSamples`], [`Undefined::LengthMismatch`] and [`Undefined::NonFiniteScore`]
    /// for the input itself.
    pub fn fit(labels: &[bool], logit_differences: &[f64]) -> Result<Self, Undefined> {
        check(labels, logit_differences)?;
        let positives = labels.iter().filter(|&&label| label).count() as u64;
        both_classes(positives, labels.len() as u64 - positives)?;
        ensure(logit_differences.iter().any(|&d| d != 0.0), Undefined::NoLogits)?;
        // The derivative by 1 / T of the sum of -ln P(label); it rises with 1 / T.
        let slope = |inverse: f64| -> f64 {
            (labels.iter().zip(logit_differences))
                .map(|(&label, d)| d * (sigmoid(d * inverse) - f64::from(u8::from(label))))
                .sum()
        };
        let (mut low, mut high) = (COLDEST, 1.0 / COLDEST);
        if slope(low) >= 0.0 {
            return Ok(Self { temperature: 1.0 / low, at_bound: true });
        }
        if slope(high) <= 0.0 {
            return Ok(Self { temperature: 1.0 / high, at_bound: true });
        }
        loop {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                return Ok(Self { temperature: 1.0 / middle, at_bound: false });
            }
            *if slope(middle) < 0.0 { &mut low } else { &mut high } = middle;
        }
    }

    /// The probability of Pathology.
    ///
    /// # Errors
    ///
    /// [`Undefined::NonFiniteScore`] for NaN. An infinite difference is certain.
    pub fn apply(&self, logit_difference: f64) -> Result<f64, Undefined> {
        ensure(!logit_difference.is_nan(), Undefined::NonFiniteScore { index: 0, score: logit_difference })?;
        Ok(sigmoid(logit_difference / self.temperature))
    }
}

/// 1 / (1 + exp(-x)); where the exponential overflows, the result is 0, as it should be.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[derive(Deserialize)]
struct Unchecked {
    temperature: f64,
    at_bound: bool,
}

impl TryFrom<Unchecked> for Temperature {
    type Error = Undefined;

    fn try_from(Unchecked { temperature, at_bound }: Unchecked) -> Result<Self, Undefined> {
        let (what, value, range) = ("temperature", temperature, "from 0.01 to 100");
        let known = COLDEST..=1.0 / COLDEST;
        ensure(known.contains(&temperature), Undefined::OutOfRange { what, value, range })?;
        Ok(Self { temperature, at_bound })
    }
}
