//! The standard normal distribution: its tail and its quantile.

#![allow(clippy::excessive_precision, clippy::unreadable_literal, reason = "as the sources print them")]

use std::f64::consts::SQRT_2;

/// P(Z <= z). In the lower tail the relative error is below 1e-14 down to z = -5, and below 3e-16
/// z^2 from there to -37, where `f64` ends; this is the rounding of z itself.
pub(crate) fn cumulative(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// P(|Z| >= |z|), the p-value of a two-sided test.
pub(crate) fn two_sided(z: f64) -> f64 {
    erfc(z.abs() / SQRT_2)
}

/// The z with P(Z <= z) = p, for p from 0 to 1 (infinite at the ends): Wichura 1988, "Algorithm AS
/// 241", routine PPND16, accurate to about 1 part in 1e16.
pub(crate) fn quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(&CENTRE.0, r) / polynomial(&CENTRE.1, r);
    }
    let tail = p.min(1.0 - p);
    if tail <= 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = (-tail.ln()).sqrt();
    let z = if r <= 5.0 {
        polynomial(&MIDDLE.0, r - 1.6) / polynomial(&MIDDLE.1, r - 1.6)
    } else {
        polynomial(&FAR.0, r - 5.0) / polynomial(&FAR.1, r - 5.0)
    };
    z.copysign(q)
}

/// 1 - erf(x): Cody 1969, "Rational Chebyshev approximations for the error function", with the
/// coefficients of his CALERF and its splitting of exp(-x^2).
fn erfc(x: f64) -> f64 {
    let y = x.abs();
    if y <= 0.46875 {
        return 1.0 - x * polynomial(&SMALL.0, y * y) / polynomial(&SMALL.1, y * y);
    }
    // exp(-y^2) without the rounding of y^2: y = rough + rest, where rough^2 is exact.
    let rough = (y * 16.0).trunc() / 16.0;
    let gauss = (-rough * rough).exp() * (-(y - rough) * (y + rough)).exp();
    let tail = if y <= 4.0 {
        gauss * polynomial(&MEDIUM.0, y) / polynomial(&MEDIUM.1, y)
    } else {
        let s = 1.0 / (y * y);
        gauss * (FRAC_1_SQRT_PI - s * polynomial(&LARGE.0, s) / polynomial(&LARGE.1, s)) / y
    };
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// By Horner's rule; the coefficient of x^0 comes first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

const FRAC_1_SQRT_PI: f64 = 0.56418958354775628695;

/// A numerator and a denominator.
type Rational<const N: usize, const D: usize> = ([f64; N], [f64; D]);

const CENTRE: Rational<8, 8> = (
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ],
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ],
);

const MIDDLE: Rational<8, 8> = (
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ],
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ],
);

const FAR: Rational<8, 8> = (
    [
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ],
    [
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ],
);

const SMALL: Rational<5, 5> = (
    [
        3.20937758913846947e3,
        3.77485237685302021e2,
        1.13864154151050156e2,
        3.16112374387056560e0,
        1.85777706184603153e-1,
    ],
    [2.84423683343917062e3, 1.28261652607737228e3, 2.44024637934444173e2, 2.36012909523441209e1, 1.0],
);

const MEDIUM: Rational<9, 9> = (
    [
        1.23033935479799725e3,
        2.05107837782607147e3,
        1.71204761263407058e3,
        8.81952221241769090e2,
        2.98635138197400131e2,
        6.61191906371416295e1,
        8.88314979438837594e0,
        5.64188496988670089e-1,
        2.15311535474403846e-8,
    ],
    [
        1.23033935480374942e3,
        3.43936767414372164e3,
        4.36261909014324716e3,
        3.29079923573345963e3,
        1.62138957456669019e3,
        5.37181101862009858e2,
        1.17693950891312499e2,
        1.57449261107098347e1,
        1.0,
    ],
);

const LARGE: Rational<6, 6> = (
    [
        6.58749161529837803e-4,
        1.60837851487422766e-2,
        1.25781726111229246e-1,
        3.60344899949804439e-1,
        3.05326634961232344e-1,
        1.63153871373020978e-2,
    ],
    [
        2.33520497626869185e-3,
        6.05183413124413191e-2,
        5.27905102951428412e-1,
        1.87295284992346725e0,
        2.56852019228982242e0,
        1.0,
    ],
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// `[z, scipy.stats.norm.cdf(z), scipy.special.erfc(|z| / sqrt(2))]` and `[p, scipy.special.ndtri(p)]`
    #[derive(serde::Deserialize)]
    struct Scipy {
        cumulative: Vec<[f64; 3]>,
        quantile: Vec<[f64; 2]>,
    }

    #[track_caller]
    fn assert_near(at: f64, ours: f64, theirs: f64) {
        let tolerance = f64::max(1e-14, 3e-16 * at * at);
        assert!((ours - theirs).abs() <= tolerance * theirs.abs(), "{at}: {ours} is not {theirs}");
    }

    #[test]
    fn tails_and_quantiles_are_those_of_scipy() {
        let scipy: Scipy = serde_json::from_str(include_str!("../tests/fixtures/normal.json")).unwrap();
        for [z, below, outside] in scipy.cumulative {
            assert_near(z, cumulative(z), below);
            assert_near(z, two_sided(z), outside);
        }
        for [p, z] in scipy.quantile {
            assert_near(p, quantile(p), z);
        }
        assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
