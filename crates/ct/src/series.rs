//! Do the files of one series make a volume? Knows no pixels and no labels.

use serde::Serialize;

use crate::header::Header;

/// What a series must be to be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Fewer slices are rejected.
    pub min_slices: usize,
    /// Smallest slice thickness in mm.
    pub min_thickness: f64,
    /// Largest slice thickness in mm.
    pub max_thickness: f64,
}

/// Why a series cannot be used, or what is worth knowing about it, in a word that a program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Rejected: modality is not CT.
    NotCt,
    /// Rejected: one file holds several frames.
    MultiFrame,
    /// Rejected: fewer than `min_slices`.
    TooFewSlices,
    /// Rejected: no slice thickness.
    ThicknessMissing,
    /// Rejected: slice thickness out of range.
    ThicknessOutOfRange,
    /// Rejected: position, orientation, pixel spacing, rows or columns missing or not usable.
    GeometryMissing,
    /// Rejected: slices of different orientation (a localizer among them, say).
    MixedOrientation,
    /// Rejected: slices of different rows, columns or pixel spacing.
    MixedSize,
    /// Rejected: two slices at one position.
    RepeatedPosition,
    /// Rejected: a gap of one and a half slice distances or more.
    MissingSlice,
    /// Rejected: slice distances that differ by more than a tenth.
    IrregularSpacing,
    /// Rejected: slices are shifted against each other, as with a tilted gantry.
    GantryTilt,
    /// Rejected: two files claim to be the same instance.
    RepeatedInstance,
    /// Warning: fewer than 64 slices.
    FewSlices,
    /// Warning: not 512 x 512.
    UnusualMatrix,
}

impl Code {
    /// As it stands in tables: `too_few_slices`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::NotCt => "not_ct",
            Code::MultiFrame => "multi_frame",
            Code::TooFewSlices => "too_few_slices",
            Code::ThicknessMissing => "thickness_missing",
            Code::ThicknessOutOfRange => "thickness_out_of_range",
            Code::GeometryMissing => "geometry_missing",
            Code::MixedOrientation => "mixed_orientation",
            Code::MixedSize => "mixed_size",
            Code::RepeatedPosition => "repeated_position",
            Code::MissingSlice => "missing_slice",
            Code::IrregularSpacing => "irregular_spacing",
            Code::GantryTilt => "gantry_tilt",
            Code::RepeatedInstance => "repeated_instance",
            Code::FewSlices => "few_slices",
            Code::UnusualMatrix => "unusual_matrix",
        }
    }
}

/// What was found out about a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assessment {
    /// Why it cannot be used: all that apply, sorted.
    pub reasons: Vec<Code>,
    /// What is worth knowing, sorted.
    pub warnings: Vec<Code>,
    /// Indices into the headers, in order along the normal of the slice plane (for an axial series
    /// from the feet to the head); empty when there is no order.
    pub order: Vec<usize>,
    /// Median distance between neighbouring slices in mm.
    pub slice_spacing: Option<f64>,
}

/// Warned about below this.
const COMFORTABLE_SLICES: usize = 64;
/// Direction cosines of one orientation may differ by this (they are written with six digits or so).
const ORIENTATION_TOLERANCE: f64 = 1e-3;
/// Positions closer than this, in mm, are one position.
const POSITION_TOLERANCE: f64 = 0.01;
/// Relative difference of slice distances.
const SPACING_TOLERANCE: f64 = 0.1;
/// Sideways shift from slice to slice, relative to their distance, beyond which the stack is tilted.
const TILT_TOLERANCE: f64 = 0.02;

/// Holds the files of a series against each other and against the rules.
pub fn assess(headers: &[&Header], rules: &Rules) -> Assessment {
    let mut found = Assessment::default();
    let mut reject = |code: Code, applies: bool| {
        if applies {
            found.reasons.push(code);
        }
    };
    reject(Code::NotCt, headers.iter().any(|h| h.modality != "CT"));
    reject(Code::MultiFrame, headers.iter().any(|h| h.frames != 1));
    reject(Code::TooFewSlices, headers.len() < rules.min_slices);
    let thicknesses: Vec<f64> = headers.iter().filter_map(|h| h.slice_thickness).collect();
    reject(Code::ThicknessMissing, thicknesses.len() < headers.len());
    let allowed = rules.min_thickness..=rules.max_thickness;
    reject(Code::ThicknessOutOfRange, thicknesses.iter().any(|t| !allowed.contains(t)));
    let first = headers.first().copied();
    let differs =
        |f: &dyn Fn(&Header, &Header) -> bool| first.is_some_and(|a| headers.iter().any(|b| f(a, b)));
    reject(
        Code::MixedSize,
        differs(&|a, b| (a.rows, a.columns, a.pixel_spacing) != (b.rows, b.columns, b.pixel_spacing)),
    );
    reject(Code::MixedOrientation, differs(&|a, b| !same_orientation(a, b)));
    let mut instances: Vec<&str> = headers.iter().map(|h| h.sop_instance_uid.as_str()).collect();
    instances.sort_unstable();
    reject(Code::RepeatedInstance, instances.windows(2).any(|pair| pair[0] == pair[1]));
    let placed: Option<Vec<[f64; 3]>> = headers.iter().map(|h| h.position.filter(|_| drawable(h))).collect();
    let normal = first.and_then(|h| h.orientation).and_then(normal);
    match (placed, normal) {
        (Some(positions), Some(normal)) if !positions.is_empty() => {
            let stack = Stack::new(&positions, normal);
            reject(Code::RepeatedPosition, stack.repeated());
            reject(Code::MissingSlice, stack.missing());
            reject(Code::IrregularSpacing, stack.irregular());
            reject(Code::GantryTilt, stack.tilted());
            found.slice_spacing = stack.spacing;
            found.order = stack.order;
        }
        _ => reject(Code::GeometryMissing, true),
    }
    if (rules.min_slices..COMFORTABLE_SLICES).contains(&headers.len()) {
        found.warnings.push(Code::FewSlices);
    }
    if headers.iter().any(|h| (h.rows, h.columns) != (512, 512)) {
        found.warnings.push(Code::UnusualMatrix);
    }
    found.reasons.sort_unstable();
    found
}

/// Everything but the position that is needed to place a slice.
fn drawable(header: &Header) -> bool {
    header.orientation.is_some()
        && header.pixel_spacing.is_some_and(|spacing| spacing.iter().all(|&s| s > 0.0))
        && header.rows > 0
        && header.columns > 0
}

fn same_orientation(a: &Header, b: &Header) -> bool {
    match (a.orientation, b.orientation) {
        (Some(a), Some(b)) => a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= ORIENTATION_TOLERANCE),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Unit normal of the slice plane: row direction x column direction (PS3.3 section C.7.6.2.1.1).
fn normal([ax, ay, az, bx, by, bz]: [f64; 6]) -> Option<[f64; 3]> {
    let n = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
    let length = n.iter().map(|x| x * x).sum::<f64>().sqrt();
    (length > 0.5).then(|| n.map(|x| x / length))
}

/// Slices along their normal.
struct Stack {
    order: Vec<usize>,
    gaps: Vec<f64>,
    shifts: Vec<f64>,
    spacing: Option<f64>,
}

impl Stack {
    fn new(positions: &[[f64; 3]], normal: [f64; 3]) -> Stack {
        let along = |p: &[f64; 3]| p.iter().zip(&normal).map(|(p, n)| p * n).sum::<f64>();
        let mut order: Vec<usize> = (0..positions.len()).collect();
        // Position first; the index, which is the order of the sorted file names, breaks ties.
        order.sort_by(|&a, &b| along(&positions[a]).total_cmp(&along(&positions[b])).then(a.cmp(&b)));
        let (mut gaps, mut shifts) = (Vec::new(), Vec::new());
        for pair in order.windows(2) {
            let (a, b) = (&positions[pair[0]], &positions[pair[1]]);
            let step: Vec<f64> = b.iter().zip(a).map(|(b, a)| b - a).collect();
            let gap = along(b) - along(a);
            let sideways = step.iter().zip(&normal).map(|(s, n)| (s - gap * n).powi(2)).sum::<f64>().sqrt();
            gaps.push(gap);
            shifts.push(sideways);
        }
        let mut sorted = gaps.clone();
        sorted.sort_by(f64::total_cmp);
        let spacing = sorted.get(sorted.len() / 2).copied().filter(|&s| s > POSITION_TOLERANCE);
        Stack { order, gaps, shifts, spacing }
    }

    fn repeated(&self) -> bool {
        self.gaps.iter().any(|&gap| gap <= POSITION_TOLERANCE)
    }

    fn missing(&self) -> bool {
        self.spacing.is_some_and(|s| self.gaps.iter().any(|&gap| gap >= 1.5 * s))
    }

    fn irregular(&self) -> bool {
        let off = |gap: f64, s: f64| {
            gap > POSITION_TOLERANCE && gap < 1.5 * s && (gap - s).abs() > SPACING_TOLERANCE * s
        };
        self.spacing.is_some_and(|s| self.gaps.iter().any(|&gap| off(gap, s)))
    }

    fn tilted(&self) -> bool {
        self.spacing
            .is_some_and(|s| self.shifts.iter().any(|&shift| shift > TILT_TOLERANCE * s + POSITION_TOLERANCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { min_slices: 4, min_thickness: 1.0, max_thickness: 5.0 };

    fn slice(z: f64) -> Header {
        Header {
            sop_instance_uid: format!("1.{z}"),
            modality: "CT".into(),
            position: Some([-100.0, -90.0, z]),
            orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            pixel_spacing: Some([0.7, 0.7]),
            slice_thickness: Some(2.0),
            rows: 512,
            columns: 512,
            frames: 1,
            ..Header::default()
        }
    }

    fn stack() -> Vec<Header> {
        [4.0, 0.0, 2.0, 6.0, 8.0].map(slice).to_vec()
    }

    fn reasons(headers: &[Header]) -> Vec<Code> {
        assess(&headers.iter().collect::<Vec<_>>(), &RULES).reasons
    }

    #[test]
    fn a_good_stack_is_ordered_by_position_and_not_by_the_order_of_its_files() {
        let headers = stack();
        let found = assess(&headers.iter().collect::<Vec<_>>(), &RULES);
        assert_eq!(found.reasons, []);
        assert_eq!(found.order, [1, 2, 0, 3, 4]);
        assert_eq!(found.slice_spacing, Some(2.0));
        assert_eq!(found.warnings, [Code::FewSlices]);
    }

    #[test]
    fn each_fault_has_its_reason_and_all_that_apply_are_given() {
        let edit = |f: &dyn Fn(&mut Vec<Header>)| {
            let mut headers = stack();
            f(&mut headers);
            reasons(&headers)
        };
        assert_eq!(edit(&|h| h[1].modality = "MR".into()), [Code::NotCt]);
        assert_eq!(edit(&|h| h.truncate(3)), [Code::TooFewSlices]);
        assert_eq!(edit(&|h| h[2].slice_thickness = None), [Code::ThicknessMissing]);
        assert_eq!(edit(&|h| h[2].slice_thickness = Some(7.0)), [Code::ThicknessOutOfRange]);
        assert_eq!(edit(&|h| h[2].rows = 256), [Code::MixedSize]);
        assert_eq!(edit(&|h| h[2].position = None), [Code::GeometryMissing]);
        assert_eq!(
            edit(&|h| h[2].orientation = Some([0.0, 1.0, 0.0, 0.0, 0.0, -1.0])),
            [Code::MixedOrientation]
        );
        assert_eq!(edit(&|h| h[2].position = h[0].position), [Code::RepeatedPosition, Code::MissingSlice]);
        assert_eq!(
            edit(&|h| {
                h.remove(2);
            }),
            [Code::MissingSlice]
        );
        assert_eq!(edit(&|h| h[4].position = Some([-100.0, -90.0, 8.5])), [Code::IrregularSpacing]);
        assert_eq!(
            edit(&|h| h[4].sop_instance_uid = h[3].sop_instance_uid.clone()),
            [Code::RepeatedInstance]
        );
        assert_eq!(edit(&|h| h[4].frames = 2), [Code::MultiFrame]);
        let tilt = |h: &mut Vec<Header>| {
            for header in h {
                let [x, y, z] = header.position.unwrap_or_default();
                header.position = Some([x, y + 0.3 * z, z]);
            }
        };
        assert_eq!(edit(&tilt), [Code::GantryTilt]);
        let two = edit(&|h| {
            h[0].modality = "MR".into();
            h[1].slice_thickness = Some(9.0);
        });
        assert_eq!(two, [Code::NotCt, Code::ThicknessOutOfRange]);
    }

    #[test]
    fn a_coronal_stack_is_ordered_along_its_own_normal() {
        let headers: Vec<Header> = [3.0, 1.0, 2.0, 0.0]
            .map(|y| Header {
                position: Some([0.0, y, 0.0]),
                orientation: Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]),
                ..slice(y)
            })
            .to_vec();
        // x cross -z is +y: from the front to the back.
        let found = assess(&headers.iter().collect::<Vec<_>>(), &RULES);
        assert_eq!((found.order, found.reasons), (vec![3, 1, 2, 0], vec![]));
    }
}
