//! Figures that tell whether a volume looks as it should.

// Inlined into code that is compiled for several instruction sets.
#![allow(clippy::inline_always)]

use crate::fit::Fitted;
use crate::geometry::{Canonical, Stack};
use crate::value_histograms::Tally;

/// Figures that tell whether a volume looks as it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Smallest HU of the source, excluding padding.
    pub min_hu: f32,
    /// Largest HU of the source, excluding padding.
    pub max_hu: f32,
    /// Mean HU of the resampled volume, before the window is applied.
    pub mean_hu: f32,
    /// Share of source voxels that are padding.
    pub padding_share: f64,
    /// Share of the volume's voxels below -950 HU.
    pub air_share: f64,
    /// Share of the volume's voxels within -150..150 HU.
    pub soft_tissue_share: f64,
    /// Most frequent HU of the source between -1150 and -850; `None` where there is hardly any.
    pub air_hu: Option<f64>,
    /// Most frequent HU of the source between -50 and 150.
    pub soft_tissue_hu: Option<f64>,
    /// Standard deviation of the noise in soft tissue, in HU, estimated from differences of
    /// neighbours.
    pub noise_hu: Option<f64>,
    /// Extent of the source in mm: left to right, front to back, feet to head.
    pub coverage_mm: [f64; 3],
    /// What looks wrong, sorted.
    pub flags: Vec<Flag>,
}

/// Something that looks wrong with a volume that can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The peak of air is off -1000 HU by more than 50.
    AirOff,
    /// There is no soft tissue, or its peak is not within 0..90 HU.
    SoftTissueOff,
    /// More than half of the source is padding.
    MuchPadding,
    /// The noise is more than 60 HU.
    Noisy,
    /// The extent from the feet to the head is less than 150 mm.
    ShortCoverage,
    /// Lungs were requested but not found, so the body was taken.
    LungsNotFound,
}

impl Flag {
    /// As written in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Flag::AirOff => "air_off",
            Flag::SoftTissueOff => "soft_tissue_off",
            Flag::MuchPadding => "much_padding",
            Flag::Noisy => "noisy",
            Flag::ShortCoverage => "short_coverage",
            Flag::LungsNotFound => "lungs_not_found",
        }
    }
}

/// Less than this share of the samples counts as hardly any.
const HARDLY_ANY: f64 = 0.005;
/// The median of |a - b| of two normal values, in standard deviations.
const MEDIAN_DIFFERENCE: f64 = 0.953_87;

impl Quality {
    pub(crate) fn of(hu: &[f32], tally: &Tally, stack: &Stack, fitted: &Fitted) -> Quality {
        let voxels = pulp::Arch::new().dispatch(Counting(hu));
        let share = |count: u32| f64::from(count) / hu.len().max(1) as f64;
        let padding_share = tally.padding as f64 / tally.samples.max(1) as f64;
        let (air_hu, soft_tissue_hu) = (peak(tally, -1150, -850), peak(tally, -50, 150));
        let noise_hu = noise(&tally.differences);
        let Canonical(axes) = stack.directions.canonical();
        let extent = stack.extent();
        let coverage_mm = axes.map(|(of, _)| extent[of].1 - extent[of].0);
        let flag = |flag: Flag, applies: bool| applies.then_some(flag);
        let flags = [
            flag(Flag::AirOff, air_hu.is_some_and(|air| (air + 1000.0).abs() > 50.0)),
            flag(Flag::SoftTissueOff, !soft_tissue_hu.is_some_and(|hu| (0.0..=90.0).contains(&hu))),
            flag(Flag::MuchPadding, padding_share > 0.5),
            flag(Flag::Noisy, noise_hu.is_some_and(|noise| noise > 60.0)),
            flag(Flag::ShortCoverage, coverage_mm[2] < 150.0),
            flag(Flag::LungsNotFound, fitted.fell_back),
        ];
        let finite = |value: f64| if value.is_finite() { value as f32 } else { crate::pixels::AIR_HU };
        Quality {
            min_hu: finite(tally.min_hu),
            max_hu: finite(tally.max_hu),
            mean_hu: (voxels.sum / hu.len().max(1) as f64) as f32,
            padding_share,
            air_share: share(voxels.air),
            soft_tissue_share: share(voxels.soft_tissue),
            air_hu,
            soft_tissue_hu,
            noise_hu,
            coverage_mm,
            flags: flags.into_iter().flatten().collect(),
        }
    }
}

/// Counts voxels in HU ranges, compiled for each instruction set.
struct Counting<'a>(&'a [f32]);

impl pulp::WithSimd for Counting<'_> {
    type Output = Voxels;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Voxels {
        Voxels::of(self.0)
    }
}

/// Counts and sums over a volume's voxels.
#[derive(Default)]
struct Voxels {
    sum: f64,
    air: u32,
    soft_tissue: u32,
}

impl Voxels {
    /// Sums every eighth value, then these sums, so that no addition waits for the one before it.
    #[inline(always)]
    fn of(hu: &[f32]) -> Voxels {
        const LANES: usize = 8;
        let mut voxels = Voxels::default();
        // There are at most 256³ values; an overflow check would run for each value.
        for &value in hu {
            voxels.air = voxels.air.wrapping_add(u32::from(value < -950.0));
            let soft_tissue = u32::from(value >= -150.0) & u32::from(value <= 150.0);
            voxels.soft_tissue = voxels.soft_tissue.wrapping_add(soft_tissue);
        }
        let mut sums = [0.0; LANES];
        let (lines, rest) = hu.as_chunks::<LANES>();
        for line in lines {
            for lane in 0..LANES {
                sums[lane] += f64::from(line[lane]);
            }
        }
        rest.iter().enumerate().for_each(|(lane, &value)| sums[lane] += f64::from(value));
        Voxels { sum: sums.iter().sum(), ..voxels }
    }
}

/// The middle of the fullest window of eleven bins between two HU.
fn peak(tally: &Tally, from: i32, to: i32) -> Option<f64> {
    const HALF: i32 = 5;
    let at = |hu: i32| (hu - Tally::LOWEST) as usize;
    let all: u64 = tally.histogram.iter().sum();
    let inside: u64 = tally.histogram[at(from)..at(to)].iter().sum();
    if all == 0 || (inside as f64) < HARDLY_ANY * all as f64 {
        return None;
    }
    let count = |hu: i32| tally.histogram[at(hu - HALF)..=at(hu + HALF)].iter().sum::<u64>();
    let most = (from..to).map(count).max()?;
    // The middle of the windows that are equally full: a single value alone fills eleven.
    let fullest: Vec<i32> = (from..to).filter(|hu| count(*hu) == most).collect();
    Some(f64::from(fullest[0] + fullest[fullest.len() - 1]) / 2.0)
}

/// Estimated from the median difference of neighbours; tissue differs little from voxel to voxel.
fn noise(differences: &[u64]) -> Option<f64> {
    let all: u64 = differences.iter().sum();
    if all < 1000 {
        return None;
    }
    let mut below = 0;
    for (difference, &count) in differences.iter().enumerate() {
        if 2 * (below + count) >= all {
            // Interpolates within the bin, which extends half a HU to both sides.
            let part = (all as f64 / 2.0 - below as f64) / count as f64;
            return Some((difference as f64 - 0.5 + part).max(0.0) / MEDIAN_DIFFERENCE);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_found_and_its_absence_too() {
        let mut tally = Tally::new();
        tally.histogram[(-1003 - Tally::LOWEST) as usize] = 100;
        assert_eq!(peak(&tally, -1150, -850), Some(-1003.0));
        assert_eq!(peak(&tally, -50, 150), None);
    }

    #[test]
    fn noise_is_the_standard_deviation_of_normal_values() {
        // |a - b| of normal values with a standard deviation of 10, by its distribution:
        // P(|d| < x) = erf(x / 20).
        let erf = |x: f64| {
            let n = 2000;
            let step = x / f64::from(n);
            let f = |k: i32| (-((f64::from(k) + 0.5) * step).powi(2)).exp();
            (0..n).map(f).sum::<f64>() * step * 2.0 / std::f64::consts::PI.sqrt()
        };
        let below = |x: f64| if x <= 0.0 { 0.0 } else { erf(x / 20.0) };
        let bins: Vec<u64> = (0..256_i32)
            .map(|d| ((below(f64::from(d) + 0.5) - below(f64::from(d) - 0.5)) * 1e6) as u64)
            .collect();
        let found = noise(&bins).unwrap_or_default();
        assert!((found - 10.0).abs() < 0.1, "{found}");
    }
}
