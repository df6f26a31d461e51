//! The slices in patient coordinates: their order, where each lies in the stack, and which way is
//! up. Lengths are in millimetres. Coordinates are LPS: x to the patient's left, y to the back, z
//! to the head (PS3.3 section C.7.6.2.1.1).

use crate::header::Plane;

/// Direction cosines of the same orientation may differ by this much, because they are written with
/// about six digits.
pub(crate) const ORIENTATION_TOLERANCE: f64 = 1e-3;
/// Positions closer than this, in mm, count as one position.
pub(crate) const POSITION_TOLERANCE: f64 = 0.01;
/// Relative tolerance of slice distances, and of a gap compared with a whole multiple of its
/// neighbours.
pub(crate) const SPACING_TOLERANCE: f64 = 0.1;
/// A sideways shift from slice to slice, relative to their distance, beyond which the stack is
/// tilted.
const TILT_TOLERANCE: f64 = 0.02;
/// Tolerance of row and column direction from unit length and from a right angle.
const RIGHT_ANGLE_TOLERANCE: f64 = 0.01;
/// Plausible pixel spacing of anything in a scanner, in mm.
const PIXEL_SPACING: std::ops::RangeInclusive<f64> = 0.005..=50.0;
/// Cosine of the largest angle (37 degrees) between an axis of the stack and the patient's nearest
/// axis; gantries tilt by 30 degrees at most.
const OBLIQUE: f64 = 0.8;

type Vector = [f64; 3];

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn minus(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|i| a[i] - b[i])
}

/// Directions of a stack as unit vectors: along a row, along a column, and the slice normal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Directions(pub [[f64; 3]; 3]);

/// For each patient axis (x, y, z), which direction of the stack runs along it (0 for along a row,
/// 1 for along a column, 2 for the normal), and whether it runs in the opposite sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canonical(pub [(usize, bool); 3]);

impl Directions {
    /// From Image Orientation (Patient); `None` where its two directions are not unit vectors at a
    /// right angle.
    pub fn new([ax, ay, az, bx, by, bz]: [f64; 6]) -> Option<Directions> {
        let (a, b) = ([ax, ay, az], [bx, by, bz]);
        let off = |value: f64, wanted: f64| (value - wanted).abs() > RIGHT_ANGLE_TOLERANCE;
        if off(dot(a, a), 1.0) || off(dot(b, b), 1.0) || off(dot(a, b), 0.0) {
            return None;
        }
        let n = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
        Some(Directions([a, b, n].map(|v| v.map(|x| x / dot(v, v).sqrt()))))
    }

    /// The assignment of patient axes that rotates the stack least.
    pub fn canonical(&self) -> Canonical {
        const ALL: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let along = |order: &[usize; 3]| (0..3).map(|axis| self.0[order[axis]][axis].abs()).sum::<f64>();
        // The first of equals, so that a diagonal is decided the same way everywhere.
        let best = ALL.iter().rev().max_by(|a, b| along(a).total_cmp(&along(b))).unwrap_or(&ALL[0]);
        Canonical(std::array::from_fn(|axis| (best[axis], self.0[best[axis]][axis] < 0.0)))
    }

    /// The name of a stack of these slices, by the patient axis that its normal runs along.
    pub fn plane_name(&self) -> &'static str {
        let Canonical(axes) = self.canonical();
        match axes.iter().position(|(of, _)| *of == 2) {
            Some(0) => "sagittal",
            Some(1) => "coronal",
            _ => "axial",
        }
    }

    /// Whether an axis of the stack lies between two of the patient's axes.
    pub(crate) fn oblique(&self) -> bool {
        let Canonical(axes) = self.canonical();
        axes.iter().enumerate().any(|(axis, (of, _))| self.0[*of][axis].abs() < OBLIQUE)
    }
}

/// Slices in order along their normal.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// See [`Directions`].
    pub directions: Directions,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Distance between rows and between columns.
    pub pixel_spacing: [f64; 2],
    /// Centre of each slice's first voxel along the three directions, by increasing distance along
    /// the normal.
    pub origins: Vec<[f64; 3]>,
}

impl Stack {
    /// Puts slices in order. Returns the stack, and the index of each of its slices in `positions`.
    pub fn new(
        directions: Directions,
        size: [usize; 2],
        pixel_spacing: [f64; 2],
        positions: &[[f64; 3]],
    ) -> (Stack, Vec<usize>) {
        let placed: Vec<Vector> = positions.iter().map(|p| directions.0.map(|axis| dot(*p, axis))).collect();
        let mut order: Vec<usize> = (0..positions.len()).collect();
        // By position; ties are broken by the index, which is the order of the sorted file names.
        order.sort_by(|&a, &b| placed[a][2].total_cmp(&placed[b][2]).then(a.cmp(&b)));
        let origins = order.iter().map(|&index| placed[index]).collect();
        (Stack { directions, size, pixel_spacing, origins }, order)
    }

    /// Distances between neighbouring slices.
    pub(crate) fn gaps(&self) -> Vec<f64> {
        self.origins.windows(2).map(|pair| pair[1][2] - pair[0][2]).collect()
    }

    /// Median distance between neighbouring slices; `None` for a single slice, or when all are at
    /// one position.
    pub fn spacing(&self) -> Option<f64> {
        let mut gaps = self.gaps();
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied().filter(|&gap| gap > POSITION_TOLERANCE)
    }

    /// Whether slices are missing: a gap is a whole multiple of each neighbouring gap. Where the
    /// distance changes permanently, the gap on one side is just as large.
    pub(crate) fn missing(&self) -> bool {
        let gaps = self.gaps();
        let multiple = |gap: f64, of: f64| {
            let times = (gap / of).round();
            (times >= 2.0 && (gap / of / times - 1.0).abs() <= SPACING_TOLERANCE).then_some(times)
        };
        (0..gaps.len()).any(|k| {
            let before = k.checked_sub(1).map(|k| gaps[k]);
            let after = gaps.get(k + 1).copied();
            let mut times = before
                .into_iter()
                .chain(after)
                .filter(|&g| g > POSITION_TOLERANCE)
                .map(|g| multiple(gaps[k], g));
            match (times.next(), times.next()) {
                (Some(a), Some(b)) => a.is_some() && a == b,
                (Some(a), None) => a.is_some(),
                _ => false,
            }
        })
    }

    pub(crate) fn irregular(&self) -> bool {
        let off = |gap: f64, s: f64| (gap - s).abs() > SPACING_TOLERANCE * s;
        self.spacing().is_some_and(|s| self.gaps().iter().any(|&gap| off(gap, s)))
    }

    /// Whether slices are shifted against each other in their plane, and if so, whether all are
    /// shifted by the same angle, as with a tilted gantry.
    pub(crate) fn shifted(&self) -> Option<Shift> {
        let steps: Vec<Vector> = self.origins.windows(2).map(|p| minus(p[1], p[0])).collect();
        let sideways = |s: &Vector| s[0].hypot(s[1]);
        if steps.iter().all(|s| sideways(s) <= TILT_TOLERANCE * s[2] + POSITION_TOLERANCE) {
            return None;
        }
        let (first, last) = (self.origins.first()?, self.origins.last()?);
        let whole = minus(*last, *first);
        let even = self.origins.iter().all(|o| {
            let part = (o[2] - first[2]) / whole[2];
            let off = |axis: usize| (o[axis] - first[axis] - part * whole[axis]).abs();
            off(0).hypot(off(1)) <= TILT_TOLERANCE * whole[2].abs() + POSITION_TOLERANCE
        });
        Some(if even { Shift::Tilt } else { Shift::Uneven })
    }

    /// Angle between the line from slice to slice and the slice normal, in degrees.
    pub fn tilt(&self) -> f64 {
        let (Some(first), Some(last)) = (self.origins.first(), self.origins.last()) else { return 0.0 };
        let whole = minus(*last, *first);
        if whole[2] > 0.0 { whole[0].hypot(whole[1]).atan2(whole[2]).to_degrees() } else { 0.0 }
    }

    /// Extent along the three directions, between the outer edges of the outermost voxels.
    pub fn extent(&self) -> [(f64, f64); 3] {
        let edges = |axis: usize, spacing: f64, count: usize| {
            let all = self.origins.iter().map(|o| o[axis]);
            let low = all.clone().fold(f64::INFINITY, f64::min);
            let high = all.fold(f64::NEG_INFINITY, f64::max);
            (low - 0.5 * spacing, high + (count as f64 - 0.5) * spacing)
        };
        let [row_spacing, column_spacing] = self.pixel_spacing;
        let [rows, columns] = self.size;
        let borders = self.borders();
        let along = (borders.first().copied().unwrap_or(0.0), borders.last().copied().unwrap_or(0.0));
        [edges(0, column_spacing, columns), edges(1, row_spacing, rows), along]
    }

    /// Borders of the slices: half way between neighbours, and equally far beyond the outermost
    /// ones.
    pub(crate) fn borders(&self) -> Vec<f64> {
        let at: Vec<f64> = self.origins.iter().map(|o| o[2]).collect();
        let (Some(&first), Some(&last)) = (at.first(), at.last()) else { return Vec::new() };
        let gaps = self.gaps();
        let half = |gap: Option<&f64>| 0.5 * gap.copied().unwrap_or(1.0);
        let mut borders = vec![first - half(gaps.first())];
        borders.extend(at.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])));
        borders.push(last + half(gaps.last()));
        borders
    }
}

/// How slices are shifted against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shift {
    /// All by the same angle.
    Tilt,
    /// By different amounts.
    Uneven,
}

impl Plane {
    /// Everything except the position that is needed to place a slice and know its size.
    pub(crate) fn drawable(&self) -> Option<(Directions, [f64; 2])> {
        let directions = Directions::new(self.orientation?)?;
        let spacing = self.pixel_spacing.filter(|s| s.iter().all(|s| PIXEL_SPACING.contains(s)))?;
        Some((directions, spacing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(orientation: [f64; 6]) -> [(usize, bool); 3] {
        Directions::new(orientation).map(|d| d.canonical().0).unwrap_or_default()
    }

    #[test]
    fn axial_coronal_and_sagittal_stacks_are_turned_to_the_patient() {
        assert_eq!(canonical([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]), [(0, false), (1, false), (2, false)]);
        // Prone: rows run to the right, columns to the front, the normal to the head.
        assert_eq!(canonical([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0]), [(0, true), (1, true), (2, false)]);
        // Coronal: columns run to the feet, the normal to the back.
        assert_eq!(canonical([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]), [(0, false), (2, false), (1, true)]);
        // Sagittal: rows run to the back, columns to the feet, the normal to the right.
        assert_eq!(canonical([0.0, 1.0, 0.0, 0.0, 0.0, -1.0]), [(2, true), (0, false), (1, true)]);
    }

    #[test]
    fn oblique_and_crooked_orientations_are_told() {
        let turned = |degrees: f64| {
            let (s, c) = degrees.to_radians().sin_cos();
            [1.0, 0.0, 0.0, 0.0, c, -s]
        };
        let oblique = |degrees| Directions::new(turned(degrees)).map(|d| d.oblique());
        assert_eq!((oblique(30.0), oblique(45.0)), (Some(false), Some(true)));
        assert_eq!(Directions::new([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), None);
        assert_eq!(Directions::new([0.0; 6]), None);
    }

    fn stack(positions: &[f64]) -> Stack {
        let directions = Directions([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let positions: Vec<[f64; 3]> = positions.iter().map(|&z| [0.0, 0.0, z]).collect();
        Stack::new(directions, [4, 4], [1.0, 1.0], &positions).0
    }

    #[test]
    fn a_missing_slice_is_a_lone_gap_of_a_whole_multiple() {
        assert!(stack(&[0.0, 5.0, 10.0, 20.0]).missing());
        assert!(stack(&[0.0, 2.0, 8.1, 10.1]).missing());
        assert!(!stack(&[0.0, 4.0, 8.0, 15.0, 22.0, 29.0]).missing());
        assert!(!stack(&[0.0, 5.0, 10.0, 20.0, 30.0]).missing(), "the distance changes permanently");
        assert!(!stack(&[0.0, 4.0, 10.0, 14.0]).missing(), "one and a half times");
        assert!(!stack(&[0.0, 2.0]).missing());
    }

    #[test]
    fn borders_lie_half_way_between_slices() {
        assert_eq!(stack(&[0.0, 4.0, 10.0]).borders(), [-2.0, 2.0, 7.0, 13.0]);
        assert_eq!(stack(&[0.0, 4.0, 10.0]).extent(), [(-0.5, 3.5), (-0.5, 3.5), (-2.0, 13.0)]);
    }
}
