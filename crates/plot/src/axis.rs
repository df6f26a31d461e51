//! The range of an axis and the positions of its ticks: round numbers, integers, shares,
//! categories.

use super::text::width;

/// Font height of tick labels.
pub(super) const TICK: f64 = 12.0;
/// Larger values count as not finite, so that no difference between two values overflows.
const HUGE: f64 = 1e300;

/// An axis whose values are not known yet.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Axis {
    pub(super) label: String,
    pub(super) categories: Vec<String>,
    range: Option<(f64, f64)>,
    include: Option<f64>,
    ceiling: Option<f64>,
    integer: bool,
    tight: bool,
}

impl Axis {
    /// An axis that covers the values, from round number to round number.
    pub fn new(label: impl Into<String>) -> Axis {
        Axis {
            label: label.into(),
            categories: Vec::new(),
            range: None,
            include: None,
            ceiling: None,
            integer: false,
            tight: false,
        }
    }

    /// An axis from 0 to 1.
    pub fn share(label: impl Into<String>) -> Axis {
        Axis::new(label).range(0.0, 1.0)
    }

    /// An axis of categories at 0, 1, 2, ...
    pub fn of_categories<T: Into<String>>(
        label: impl Into<String>,
        categories: impl IntoIterator<Item = T>,
    ) -> Axis {
        Axis { categories: categories.into_iter().map(Into::into).collect(), ..Axis::new(label) }
    }

    /// Covers `low` to `high`, whatever the values; what lies outside is cut off.
    pub fn range(mut self, low: f64, high: f64) -> Axis {
        self.range = (usable(low) && usable(high) && low < high).then_some((low, high));
        self
    }

    /// Covers `value` as well.
    pub fn include(mut self, value: f64) -> Axis {
        self.include = usable(value).then_some(value);
        self
    }

    /// Ends at `value` or earlier.
    pub fn at_most(mut self, value: f64) -> Axis {
        self.ceiling = usable(value).then_some(value);
        self
    }

    /// Places ticks at integers only.
    pub fn integer(mut self) -> Axis {
        self.integer = true;
        self
    }

    /// Begins and ends at the outermost values instead of at round numbers.
    pub fn tight(mut self) -> Axis {
        self.tight = true;
        self
    }

    /// The axis for `values`, with about `ticks` ticks.
    pub(super) fn scale(&self, values: impl Iterator<Item = f64>, ticks: f64) -> Scale {
        if !self.categories.is_empty() {
            let ticks = self.categories.iter().enumerate().map(|(i, text)| (i as f64, text.clone()));
            return Scale { low: -0.5, high: self.categories.len() as f64 - 0.5, ticks: ticks.collect() };
        }
        let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let fitted = values.chain(self.include).filter(|v| usable(*v));
        let (low, high) = fitted.fold((f64::INFINITY, f64::NEG_INFINITY), ends);
        // Without any value there is still a frame.
        let given = self.range.or((low > high).then_some((0.0, 1.0)));
        let (mut low, mut high) = given.unwrap_or((low, high));
        let exact = given.is_some() || self.tight;
        // A flat line lies in the middle, or at the bottom where it is 0.
        if high - low <= low.abs().max(high.abs()) * 1e-9 {
            let air = if self.integer || low == 0.0 { 1.0 } else { (low.abs() / 2.0).max(1e-290) };
            (low, high) = if low == 0.0 && !self.tight { (0.0, air) } else { (low - air, high + air) };
        } else if !exact && !self.integer {
            // Lines keep a distance from the frame, except where they start from 0.
            let air = (high - low) / 25.0;
            low = if low >= 0.0 { (low - air).max(0.0) } else { low - air };
            high = if high <= 0.0 { (high + air).min(0.0) } else { high + air };
        }
        let step = Step::at_least((high - low) / ticks.max(1.0), self.integer);
        if !exact {
            let ceiling = self.ceiling.unwrap_or(HUGE);
            low = (low / step.size() + 1e-9).floor() * step.size();
            high = ((high / step.size() - 1e-9).ceil() * step.size()).min(ceiling).max(low + step.size());
        }
        Scale { low, high, ticks: step.ticks(low, high) }
    }
}

/// Whether a value can be drawn.
pub(super) fn usable(value: f64) -> bool {
    value.is_finite() && value.abs() <= HUGE
}

/// An axis with its two ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    /// Value and label of each tick.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Scale {
    /// The position of `value`: 0 at the low end, 1 at the high end, and never far outside.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(-10.0, 11.0)
    }

    /// Whether `value` is on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        let air = (self.high - self.low) * 1e-9;
        usable(value) && value >= self.low - air && value <= self.high + air
    }

    /// `value`, or the end beyond which it lies.
    pub(super) fn clamp(&self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
    }

    /// Width of the widest label.
    pub(super) fn widest(&self) -> f64 {
        self.ticks.iter().map(|(_, label)| width(label, TICK)).fold(0.0, f64::max)
    }
}

/// Distance between two ticks: `digit` (1, 2 or 5) times ten to the `power`.
struct Step {
    digit: f64,
    power: i32,
}

impl Step {
    /// The smallest step that is not much below `rough`.
    fn at_least(rough: f64, integer: bool) -> Step {
        let power = rough.max(1e-300).log10().floor() as i32;
        let power = if integer { power.max(0) } else { power };
        let fits = |digit: &f64| digit * ten(power) >= rough * 0.9;
        match [1.0, 2.0, 5.0].into_iter().find(fits) {
            Some(digit) => Step { digit, power },
            None => Step { digit: 1.0, power: power + 1 },
        }
    }

    fn size(&self) -> f64 {
        self.digit * ten(self.power)
    }

    /// The multiples of the step from `low` to `high`.
    fn ticks(&self, low: f64, high: f64) -> Vec<(f64, String)> {
        let first = (low / self.size() - 1e-6).ceil();
        let last = (high / self.size() + 1e-6).floor();
        let largest = low.abs().max(high.abs());
        let count = (last - first).clamp(-1.0, 50.0) as i32;
        let tick = |i: i32| {
            let multiple = first + f64::from(i);
            (multiple * self.size(), self.label(multiple * self.digit, largest))
        };
        (0..=count).map(tick).collect()
    }

    /// `whole` times ten to the power, with the same number of decimals on each tick.
    fn label(&self, whole: f64, largest: f64) -> String {
        let sign = if whole < -0.5 { "−" } else { "" };
        let digits = format!("{:.0}", whole.abs());
        if self.power < -3 || largest >= 1e6 {
            if digits == "0" {
                return digits;
            }
            let exponent = i32::try_from(digits.len()).unwrap_or(1) - 1 + self.power;
            let (first, rest) = digits.split_at(1);
            let rest = rest.trim_end_matches('0');
            let point = if rest.is_empty() { "" } else { "." };
            return format!("{sign}{first}{point}{rest}e{exponent}");
        }
        let decimals = usize::try_from(-self.power).unwrap_or(0);
        format!("{sign}{:.decimals$}", whole.abs() * ten(self.power))
    }
}

/// Ten to the `power`.
fn ten(power: i32) -> f64 {
    // Negative powers are not exact; a division is rounded once.
    if power < 0 { 1.0 / 10_f64.powi(-power) } else { 10_f64.powi(power) }
}

/// A value in a readable form: 12, 0.123, 0.0123, 1.2e-5.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value == 0.0 || (value.fract() == 0.0 && size < 1e6) {
        return format!("{:.0}", if value == 0.0 { 0.0 } else { value }).replace('-', "−");
    }
    if !(1e-3..1e6).contains(&size) {
        let text = format!("{value:.2e}").replacen('-', "−", usize::from(value < 0.0));
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    let decimals = if size >= 1000.0 {
        1
    } else if size >= 0.1 {
        3
    } else {
        4
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        axis.scale(values.iter().copied(), 6.0).ticks.into_iter().map(|tick| tick.1).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(labels(&Axis::share("x"), &[]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            labels(&Axis::new("x"), &[0.21, 0.693]),
            ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]
        );
        assert_eq!(
            labels(&Axis::new("x").include(0.0), &[1e-3]),
            ["0", "2e-4", "4e-4", "6e-4", "8e-4", "1e-3", "1.2e-3"]
        );
        assert_eq!(
            labels(&Axis::new("x").integer().tight(), &[1.0, 30.0]),
            ["5", "10", "15", "20", "25", "30"]
        );
        assert_eq!(labels(&Axis::new("x").integer(), &[0.0, 2.0]), ["0", "1", "2"]);
        assert_eq!(
            labels(&Axis::new("x"), &[-0.1, 0.3]),
            ["−0.2", "−0.1", "0.0", "0.1", "0.2", "0.3", "0.4"]
        );
        assert_eq!(
            labels(&Axis::new("x").at_most(1.0), &[0.62, 0.99]).last().map(String::as_str),
            Some("1.0")
        );
    }

    #[test]
    fn wild_values_give_a_finite_axis() {
        let wild: [&[f64]; 7] =
            [&[], &[f64::NAN], &[1e300, -1e300], &[f64::MAX], &[5e-324], &[7.0, 7.0], &[1e9, 1e9 + 1e-3]];
        for values in wild {
            for axis in [Axis::new("x"), Axis::new("x").integer(), Axis::new("x").tight()] {
                let scale = axis.scale(values.iter().copied(), 6.0);
                assert!(scale.low < scale.high && usable(scale.low) || scale.low.abs() > 1e299, "{scale:?}");
                assert!(scale.ticks.len() < 52, "{scale:?}");
                for value in values.iter().filter(|v| usable(**v)) {
                    assert!((0.0..=1.0).contains(&scale.share(*value)), "{values:?} {scale:?}");
                }
            }
        }
    }

    #[test]
    fn figures_are_short() {
        let said = [12.0, 0.1234, 0.012_34, 1.25e-5, -0.5, 0.0, 1e-4, 2.5e7].map(figure);
        assert_eq!(said, ["12", "0.123", "0.0123", "1.25e-5", "−0.5", "0", "1e-4", "2.5e7"]);
    }
}
