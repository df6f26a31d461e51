//! Decides whether the files of one series make a volume.

use serde::Serialize;

use crate::geometry::{ORIENTATION_TOLERANCE, POSITION_TOLERANCE, Shift, Stack};
use crate::header::{Header, Plane};

/// The requirements that a series must meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Minimum number of slices.
    pub min_slices: usize,
    /// Minimum slice thickness in mm.
    pub min_thickness: f64,
    /// Maximum slice thickness in mm.
    pub max_thickness: f64,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// Why a series cannot be used, or what is worth knowing about it, as a code for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[doc = $doc])* $name,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Code] = &[$(Code::$name),*];

            /// As written in tables, such as `too_few_slices`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }

            /// What the code means, for people.
            pub fn doc(self) -> &'static str {
                match self {
                    $(Code::$name => concat!($($doc),*).trim_ascii_start(),)*
                }
            }
        }
    };
}

codes! {
    /// Rejected: the modality is not CT.
    NotCt = "not_ct",
    /// Rejected: the modality is CT, but the object is not a CT image (a segmentation or secondary
    /// capture, for example).
    NotACtImage = "not_a_ct_image",
    /// Rejected: an overview image (scout, topogram) instead of slices.
    Localizer = "localizer",
    /// Rejected: a reformat, projection or rendering that was made from other slices.
    DerivedReformat = "derived_reformat",
    /// Rejected: values are not HU (another rescale type, a lookup table, or unsigned values
    /// without rescale).
    NotInHu = "not_in_hu",
    /// Rejected: the image has colours.
    NotSingleChannel = "not_single_channel",
    /// Rejected: the files have no pixel data.
    NoPixelData = "no_pixel_data",
    /// Rejected: one file holds several frames without their positions.
    MultiFrame = "multi_frame",
    /// Rejected: fewer slices than `min_slices`.
    TooFewSlices = "too_few_slices",
    /// Rejected: no slice thickness, and no distance between slices to replace it.
    ThicknessMissing = "thickness_missing",
    /// Rejected: the slice thickness is out of range.
    ThicknessOutOfRange = "thickness_out_of_range",
    /// Rejected: position, orientation, pixel spacing, rows or columns are missing or unusable.
    GeometryMissing = "geometry_missing",
    /// Rejected: the slices have different orientations.
    MixedOrientation = "mixed_orientation",
    /// Rejected: the slices lie oblique to the patient's axes.
    Oblique = "oblique",
    /// Rejected: the slices differ in rows, columns or pixel spacing.
    MixedSize = "mixed_size",
    /// Rejected: different slices have the same position.
    RepeatedPosition = "repeated_position",
    /// Rejected: a single gap is a whole multiple of its neighbours, so slices are missing.
    MissingSlice = "missing_slice",
    /// Rejected: different files claim to be the same instance.
    RepeatedInstance = "repeated_instance",
    /// Warning: some slices are present twice with identical pixels; one of each is used.
    RepeatedSlice = "repeated_slice",
    /// Warning: slice distances differ by more than a tenth; the true positions are used.
    IrregularSpacing = "irregular_spacing",
    /// Warning: the gantry was tilted; the slices are sheared back.
    GantryTilt = "gantry_tilt",
    /// Warning: slices are shifted sideways by different amounts; the true positions are used.
    ShiftedSlices = "shifted_slices",
    /// Warning: no slice thickness; the distance between slices is used instead.
    ThicknessFromSpacing = "thickness_from_spacing",
    /// Warning: the distance between slices is more than twice their thickness.
    SparseSlices = "sparse_slices",
    /// Warning: fewer than 64 slices.
    FewSlices = "few_slices",
    /// Warning: the matrix is not 512 x 512.
    UnusualMatrix = "unusual_matrix",
}

/// The assessment of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assessment {
    /// All reasons why it cannot be used, sorted.
    pub reasons: Vec<Code>,
    /// What is worth knowing, sorted.
    pub warnings: Vec<Code>,
    /// Indices of the slices, in order along the normal of the slice plane (from the feet to the
    /// head for an axial series), without repeated ones; empty when there is no order.
    pub order: Vec<usize>,
    /// The slices in that order.
    pub stack: Option<Stack>,
    /// Slice thickness in mm, from the first file or from the distances.
    pub slice_thickness: Option<f64>,
}

/// One slice: a file, or a frame of one.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// Header of the file.
    pub header: &'a Header,
    /// Plane of the frame.
    pub plane: &'a Plane,
}

/// All slices of the files, in order: index of the file, index of the frame, and the slice.
pub fn slices<'a>(headers: &[&'a Header]) -> Vec<(usize, usize, Slice<'a>)> {
    let of = |(index, header): (usize, &&'a Header)| {
        let header = *header;
        let each = header.planes.iter().enumerate();
        each.map(move |(frame, plane)| (index, frame, Slice { header, plane })).collect::<Vec<_>>()
    };
    headers.iter().enumerate().flat_map(of).collect()
}

/// Largest distance from the origin of a scanner's coordinates, in mm.
const FARTHEST: f64 = 1e5;
/// Relative tolerance; over 512 pixels this is half a pixel.
const PIXEL_SPACING_TOLERANCE: f64 = 1e-3;
/// A warning is given below this number.
const COMFORTABLE_SLICES: usize = 64;
/// CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage (PS3.4, table B.5-1).
const CT_IMAGES: [&str; 3] =
    ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"];
/// Values of Image Type (0008,0008) for images made from other slices (PS3.3 sections C.8.2.1.1.1
/// and C.8.16.1, and what scanners write).
const DERIVED: &[&str] = &[
    "REFORMATTED",
    "MPR",
    "CPR",
    "MIP",
    "MINIP",
    "MAX_IP",
    "MIN_IP",
    "PROJECTION IMAGE",
    "VOLUME RENDERED",
    "VRT",
    "RESAMPLED",
    "MEAN_IP",
    "VOLUME_RENDER",
    "SSD",
    "CURVED_MPR",
    "VOLREN",
    "VIRTUAL_ENDOSCOPY",
];

/// Checks the slices of a series against each other and against the rules.
///
/// `same` tells whether two slices hold the same pixels; it is called only for slices at one
/// position.
pub fn assess(slices: &[Slice<'_>], rules: &Rules, same: &dyn Fn(usize, usize) -> bool) -> Assessment {
    let mut found = Assessment::default();
    let mut reasons = Vec::new();
    let any = |test: &dyn Fn(&Slice<'_>) -> bool| slices.iter().any(test);
    let typed = |words: &[&str]| any(&|s| s.header.image_types().any(|t| words.contains(&t)));
    let mut reject = |code: Code, applies: bool| {
        if applies {
            reasons.push(code);
        }
    };
    reject(Code::NotCt, any(&|s| &*s.header.modality != "CT"));
    let class = |s: &Slice<'_>| s.header.class.is_empty() || CT_IMAGES.contains(&&*s.header.class);
    reject(Code::NotACtImage, any(&|s| &*s.header.modality == "CT" && !class(s)));
    reject(Code::Localizer, typed(&["LOCALIZER", "SCOUT"]));
    let derived =
        |word: &str| DERIVED.contains(&word) || word.split([' ', '_']).any(|w| DERIVED.contains(&w));
    reject(Code::DerivedReformat, any(&|s| s.header.image_types().any(derived)));
    reject(Code::NotInHu, any(&|s| !s.plane.in_hu));
    reject(Code::NotSingleChannel, any(&|s| s.header.samples != 1));
    reject(Code::NoPixelData, any(&|s| !s.header.has_pixels));
    let unplaced = |s: &Slice<'_>| {
        s.header.planes.len() > 1 && s.header.planes.iter().all(|p| p.position == s.header.planes[0].position)
    };
    let unplaced = any(&unplaced);
    reject(Code::MultiFrame, unplaced);
    let first = slices.first().copied();
    let differs =
        |f: &dyn Fn(&Slice<'_>, &Slice<'_>) -> bool| first.is_some_and(|a| slices.iter().any(|b| f(&a, b)));
    reject(Code::MixedSize, differs(&|a, b| !same_size(a, b)));
    let mixed = differs(&|a, b| !same_orientation(a.plane, b.plane));
    reject(Code::MixedOrientation, mixed);

    let stack = stack(slices);
    reject(Code::GeometryMissing, stack.is_none());
    // Slices in several directions have no meaningful order.
    let stack = stack.filter(|_| !mixed);
    let mut spacing = None;
    if let Some((stack, order)) = stack {
        let repeated = Repeated::find(slices, &stack, &order, same);
        reject(Code::RepeatedPosition, repeated.position && !unplaced);
        reject(Code::RepeatedInstance, repeated.instance);
        let (stack, order) = repeated.without(stack, order);
        reject(Code::MissingSlice, stack.missing());
        reject(Code::Oblique, stack.directions.oblique());
        let mut warn = |code: Code, applies: bool| {
            if applies {
                found.warnings.push(code);
            }
        };
        warn(Code::RepeatedSlice, repeated.dropped.contains(&true));
        warn(Code::IrregularSpacing, !stack.missing() && !repeated.position && stack.irregular());
        match stack.shifted() {
            Some(Shift::Tilt) => warn(Code::GantryTilt, true),
            Some(Shift::Uneven) => warn(Code::ShiftedSlices, true),
            None => {}
        }
        spacing = stack.spacing();
        (found.order, found.stack) = (order, Some(stack));
    }
    let count = if found.stack.is_some() { found.order.len() } else { slices.len() };
    reject(Code::TooFewSlices, count < rules.min_slices);
    let own: Vec<f64> = slices.iter().filter_map(|s| s.plane.slice_thickness).filter(|&t| t > 0.0).collect();
    let allowed = rules.min_thickness..=rules.max_thickness;
    if own.len() == slices.len() {
        reject(Code::ThicknessOutOfRange, own.iter().any(|t| !allowed.contains(t)));
        found.slice_thickness = own.first().copied();
        let sparse = spacing.is_some_and(|s| own.iter().all(|t| s > 2.0 * t + POSITION_TOLERANCE));
        if sparse {
            found.warnings.push(Code::SparseSlices);
        }
    } else {
        reject(Code::ThicknessMissing, spacing.is_none());
        reject(Code::ThicknessOutOfRange, spacing.is_some_and(|s| !allowed.contains(&s)));
        found.slice_thickness = spacing;
        found.warnings.extend(spacing.map(|_| Code::ThicknessFromSpacing));
    }
    if (rules.min_slices..COMFORTABLE_SLICES).contains(&count) {
        found.warnings.push(Code::FewSlices);
    }
    if slices.iter().any(|s| (s.header.rows, s.header.columns) != (512, 512)) {
        found.warnings.push(Code::UnusualMatrix);
    }
    reasons.sort();
    found.reasons = reasons;
    found.warnings.sort();
    found
}

/// The slices as a stack, if each of them can be placed.
fn stack(slices: &[Slice<'_>]) -> Option<(Stack, Vec<usize>)> {
    let first = slices.first()?;
    let (directions, spacing) = first.plane.drawable()?;
    let positions: Option<Vec<[f64; 3]>> =
        slices.iter().map(|s| s.plane.position.filter(|_| s.plane.drawable().is_some())).collect();
    let size = [first.header.rows as usize, first.header.columns as usize];
    // No patient is larger than this, and no table longer.
    let near = |position: &[f64; 3]| position.iter().all(|x| x.abs() <= FARTHEST);
    let positions = positions.filter(|all| all.iter().all(near));
    (size[0] > 0 && size[1] > 0)
        .then_some(())
        .and(positions)
        .map(|p| Stack::new(directions, size, spacing, &p))
}

fn same_size(a: &Slice<'_>, b: &Slice<'_>) -> bool {
    // The same value is sometimes written with a different number of digits.
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= PIXEL_SPACING_TOLERANCE * a.abs();
    let spacing = match (a.plane.pixel_spacing, b.plane.pixel_spacing) {
        (Some(a), Some(b)) => a.iter().zip(&b).all(near),
        (a, b) => a.is_none() && b.is_none(),
    };
    spacing && (a.header.rows, a.header.columns) == (b.header.rows, b.header.columns)
}

fn same_orientation(a: &Plane, b: &Plane) -> bool {
    match (a.orientation, b.orientation) {
        (Some(a), Some(b)) => a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= ORIENTATION_TOLERANCE),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Which slices are present more than once.
struct Repeated {
    /// Whether different slices have the same position.
    position: bool,
    /// Whether different slices have the same instance UID.
    instance: bool,
    /// For each place in the order, whether its slice equals one before it.
    dropped: Vec<bool>,
}

impl Repeated {
    fn find(
        slices: &[Slice<'_>],
        stack: &Stack,
        order: &[usize],
        same: &dyn Fn(usize, usize) -> bool,
    ) -> Repeated {
        let (mut position, mut dropped) = (false, vec![false; order.len()]);
        let mut kept = 0;
        for at in 1..order.len() {
            let apart: f64 = (0..3).map(|a| (stack.origins[at][a] - stack.origins[kept][a]).powi(2)).sum();
            let along = stack.origins[at][2] - stack.origins[kept][2];
            if along > POSITION_TOLERANCE {
                kept = at;
            } else if !position
                && apart.sqrt() <= POSITION_TOLERANCE
                // Frames of one file may share a position for good reason: phases, energies.
                && !std::ptr::eq(slices[order[kept]].header, slices[order[at]].header)
                && same(order[kept], order[at])
            {
                dropped[at] = true;
            } else {
                position = true;
            }
        }
        let mut names: Vec<(&str, *const Header)> = (0..order.len())
            .filter(|at| !dropped[*at])
            .map(|at| slices[order[at]].header)
            .map(|header| (header.sop_instance_uid.as_str(), std::ptr::from_ref(header)))
            .filter(|(name, _)| !name.is_empty())
            .collect();
        names.sort_unstable();
        names.dedup();
        let instance = names.windows(2).any(|pair| pair[0].0 == pair[1].0);
        Repeated { position, instance, dropped }
    }

    fn without(&self, mut stack: Stack, mut order: Vec<usize>) -> (Stack, Vec<usize>) {
        let mut kept = self.dropped.iter().map(|dropped| !dropped);
        order.retain(|_| kept.next().unwrap_or(true));
        let mut kept = self.dropped.iter().map(|dropped| !dropped);
        stack.origins.retain(|_| kept.next().unwrap_or(true));
        (stack, order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { min_slices: 4, min_thickness: 1.0, max_thickness: 5.0 };

    fn slice(z: f64) -> Header {
        let plane = Plane {
            position: Some([-100.0, -90.0, z]),
            orientation: Some([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
            pixel_spacing: Some([0.7, 0.7]),
            slice_thickness: Some(2.0),
            in_hu: true,
        };
        Header {
            sop_instance_uid: format!("1.{z}"),
            modality: "CT".into(),
            rows: 512,
            columns: 512,
            samples: 1,
            has_pixels: true,
            planes: vec![plane],
            ..Header::default()
        }
    }

    fn stack() -> Vec<Header> {
        [4.0, 0.0, 2.0, 6.0, 8.0].map(slice).to_vec()
    }

    fn found(headers: &[Header], same: bool) -> Assessment {
        let headers: Vec<&Header> = headers.iter().collect();
        let slices: Vec<Slice<'_>> = slices(&headers).into_iter().map(|(_, _, slice)| slice).collect();
        assess(&slices, &RULES, &|_, _| same)
    }

    fn edited(edit: &dyn Fn(&mut Vec<Header>)) -> Assessment {
        let mut headers = stack();
        edit(&mut headers);
        found(&headers, false)
    }

    #[test]
    fn a_good_stack_is_ordered_by_position_and_not_by_the_order_of_its_files() {
        let found = found(&stack(), false);
        assert_eq!(found.reasons, []);
        assert_eq!(found.order, [1, 2, 0, 3, 4]);
        assert_eq!(found.stack.and_then(|s| s.spacing()), Some(2.0));
        assert_eq!(found.warnings, [Code::FewSlices]);
    }

    #[test]
    fn each_fault_has_its_reason_and_all_that_apply_are_given() {
        let edit = |f: &dyn Fn(&mut Vec<Header>)| edited(f).reasons;
        let plane = |f: &'static dyn Fn(&mut Plane)| edit(&move |h| f(&mut h[2].planes[0]));
        assert_eq!(edit(&|h| h[1].modality = "MR".into()), [Code::NotCt]);
        let segmentation = "1.2.840.10008.5.1.4.1.1.66.4";
        assert_eq!(edit(&|h| h[1].class = segmentation.into()), [Code::NotACtImage]);
        assert_eq!(edit(&|h| h[1].image_type = "LOCALIZER".into()), [Code::Localizer]);
        assert_eq!(edit(&|h| h[1].image_type = "MPR".into()), [Code::DerivedReformat]);
        assert_eq!(plane(&|p| p.in_hu = false), [Code::NotInHu]);
        assert_eq!(edit(&|h| h.truncate(3)), [Code::TooFewSlices]);
        assert_eq!(plane(&|p| p.slice_thickness = Some(7.0)), [Code::ThicknessOutOfRange]);
        assert_eq!(edit(&|h| h[2].rows = 256), [Code::MixedSize]);
        assert_eq!(plane(&|p| p.position = None), [Code::GeometryMissing]);
        let across = Some([0.0, 1.0, 0.0, 0.0, 0.0, -1.0]);
        assert_eq!(edit(&|h| h[2].planes[0].orientation = across), [Code::MixedOrientation]);
        assert_eq!(edit(&|h| drop(h.remove(2))), [Code::MissingSlice]);
        assert_eq!(
            edit(&|h| h[4].sop_instance_uid = h[3].sop_instance_uid.clone()),
            [Code::RepeatedInstance]
        );
        let two = edit(&|h| {
            h[0].modality = "MR".into();
            h[1].planes[0].slice_thickness = Some(9.0);
        });
        assert_eq!(two, [Code::NotCt, Code::ThicknessOutOfRange]);
    }

    #[test]
    fn a_slice_that_is_there_twice_is_dropped_if_its_pixels_are_the_same() {
        let mut headers = stack();
        headers.push(slice(4.0));
        let twice = found(&headers, true);
        assert_eq!((twice.reasons, twice.order), (vec![], vec![1, 2, 0, 3, 4]));
        assert!(twice.warnings.contains(&Code::RepeatedSlice));
        headers[5].sop_instance_uid = "1.77".into();
        assert_eq!(found(&headers, false).reasons, [Code::RepeatedPosition]);
    }

    #[test]
    fn tilt_and_irregular_distances_are_told_and_no_reason() {
        let tilted = edited(&|headers| {
            for header in headers {
                let [x, y, z] = header.planes[0].position.unwrap_or_default();
                header.planes[0].position = Some([x, y + 0.3 * z, z]);
            }
        });
        assert_eq!((tilted.reasons, tilted.warnings), (vec![], vec![Code::GantryTilt, Code::FewSlices]));
        let irregular = edited(&|h| h[4].planes[0].position = Some([-100.0, -90.0, 8.5]));
        assert_eq!(irregular.warnings, [Code::IrregularSpacing, Code::FewSlices]);
        let thick = edited(&|h| h.iter_mut().for_each(|h| h.planes[0].slice_thickness = None));
        assert_eq!((thick.reasons, thick.slice_thickness), (vec![], Some(2.0)));
    }

    #[test]
    fn a_coronal_stack_is_ordered_along_its_own_normal() {
        let headers = [3.0, 1.0, 2.0, 0.0].map(|y| {
            let mut header = slice(y);
            header.planes[0].position = Some([0.0, y, 0.0]);
            header.planes[0].orientation = Some([1.0, 0.0, 0.0, 0.0, 0.0, -1.0]);
            header
        });
        // x cross -z is +y: from the front to the back.
        let found = found(&headers, false);
        assert_eq!((found.order, found.reasons), (vec![3, 1, 2, 0], vec![]));
    }

    #[test]
    fn every_code_has_its_own_word_and_says_what_it_means() {
        let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(
            Code::ALL.iter().all(|c| c.doc().starts_with("Rejected: ") || c.doc().starts_with("Warning: "))
        );
    }
}
