//! Chooses how a series is scanned and stored: geometry, pixel format, order of slices and of
//! files.
//!
//! It depends neither on the label nor on the lesions: its random numbers are drawn before them and
//! from a different stream.

use crate::random::Random;

/// How a series is scanned and written. Lengths are in mm, in patient axes (LPS).
#[derive(Clone, Debug)]
pub(crate) struct Acquisition {
    /// Rows and columns.
    pub(crate) matrix: u16,
    pub(crate) field_of_view: f64,
    /// x and y of the centre of the field of view.
    pub(crate) centre: [f64; 2],
    pub(crate) slices: usize,
    pub(crate) slice_spacing: f64,
    pub(crate) slice_thickness: f64,
    /// z of the slice nearest to the feet.
    pub(crate) lowest: f64,
    pub(crate) noise_sd: f64,
    pub(crate) format: PixelFormat,
    /// Stored value outside the reconstruction circle, if the scanner writes one.
    pub(crate) padding: Option<i32>,
    pub(crate) implicit_vr: bool,
    /// Whether instance 1 is the slice nearest to the head.
    pub(crate) from_head: bool,
    pub(crate) naming: Naming,
    pub(crate) table: Table,
    pub(crate) tube: XRayTube,
    pub(crate) window: Window,
}

/// How the file names of a series relate to its instance numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Naming {
    InOrder,
    Reversed,
    Shuffled,
}

/// The plate under the back, whose upper surface rises to the sides.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// x of the middle, and y of the surface there.
    pub(crate) middle: [f64; 2],
}

/// Settings of the X-ray tube. None of them changes a voxel here.
#[derive(Clone, Debug)]
pub(crate) struct XRayTube {
    pub(crate) kilovolts: u32,
    pub(crate) milliamperes: u32,
    pub(crate) kernel: &'static str,
}

/// The grey window with which a viewer should open the series, in HU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) centre: i32,
    pub(crate) width: i32,
}

/// How HU become stored values (DICOM PS3.3 C.7.6.3 and C.11.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PixelFormat {
    pub(crate) bits_stored: u16,
    pub(crate) signed: bool,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
}

impl PixelFormat {
    const fn new(bits_stored: u16, signed: bool, slope: f64, intercept: f64) -> Self {
        Self { bits_stored, signed, slope, intercept }
    }

    /// The nearest stored value, clamped to the range of the bits.
    pub(crate) fn store(&self, hu: f64) -> i32 {
        let value = ((hu - self.intercept) / self.slope).round() as i32;
        let levels = 1_i32 << self.bits_stored;
        let lowest = if self.signed { -levels / 2 } else { 0 };
        value.clamp(lowest, lowest + levels - 1)
    }
}

const FORMATS: [PixelFormat; 8] = [
    PixelFormat::new(16, true, 1.0, 0.0),
    PixelFormat::new(16, true, 1.0, -1024.0),
    PixelFormat::new(12, false, 1.0, -1024.0),
    PixelFormat::new(12, false, 1.0, -1024.0),
    PixelFormat::new(12, true, 1.0, 0.0),
    PixelFormat::new(14, false, 1.0, -8192.0),
    PixelFormat::new(16, false, 0.5, -1024.0),
    PixelFormat::new(16, false, 0.488_281, -1024.0),
];

/// Slice spacing and thickness in mm: overlapping, contiguous and with gaps.
const SPACINGS: [[f64; 2]; 12] = [
    [3.75, 3.75],
    [4.0, 4.0],
    [4.0, 5.0],
    [4.0, 2.0],
    [5.0, 5.0],
    [5.0, 5.0],
    [5.0, 5.0],
    [5.0, 3.0],
    [5.0, 1.25],
    [6.0, 5.0],
    [6.0, 5.0],
    [6.0, 3.0],
];

impl Acquisition {
    /// A scan of a body with the half-axes `body` and the middle of the chest at `origin`.
    pub(crate) fn draw(matrix: u16, body: [f64; 2], origin: [f64; 3], random: &mut Random) -> Self {
        let needed = 2.0 * body[0] + random.uniform(5.0..40.0);
        let [slice_spacing, slice_thickness] = random.pick(SPACINGS);
        let slices = (random.uniform(285.0..320.0) / slice_spacing).round().max(40.0);
        let middle = origin[2] + random.uniform(-8.0..8.0);
        let format = random.pick(FORMATS);
        let [centre_x, centre_y] = [0; 2].map(|_| random.uniform(-4.0..4.0).round());
        Self {
            matrix,
            field_of_view: needed.round().clamp(320.0, 400.0),
            centre: [centre_x, centre_y],
            slices: slices as usize,
            slice_spacing,
            slice_thickness,
            lowest: tenths(middle - 0.5 * slices * slice_spacing) + 0.05,
            noise_sd: random.uniform(10.0..30.0),
            format,
            padding: random.chance(0.4).then_some(if format.signed { -2000 } else { 0 }),
            implicit_vr: random.chance(0.1),
            from_head: random.chance(0.5),
            naming: random.pick([Naming::InOrder, Naming::Reversed, Naming::Shuffled]),
            table: Table {
                middle: [tenths(random.uniform(-5.0..5.0)), origin[1] + body[1] + random.uniform(3.0..6.0)],
            },
            tube: XRayTube {
                kilovolts: random.pick([100, 120, 120, 140]),
                milliamperes: 80 + 10 * random.below(30) as u32,
                kernel: random.pick(["B30f", "B70f", "STANDARD", "LUNG"]),
            },
            window: random.pick([Window::new(-600, 1500), Window::new(40, 400), Window::new(-500, 1400)]),
        }
    }

    /// Distance between voxel centres in plane, in mm, as the six decimals in the file give it.
    pub(crate) fn pixel_spacing(&self) -> f64 {
        (self.field_of_view / f64::from(self.matrix) * 1e6).round() / 1e6
    }

    /// x and y of the first voxel's centre, in mm, as the four decimals in the file give them.
    pub(crate) fn corner(&self) -> [f64; 2] {
        let half = 0.5 * f64::from(self.matrix - 1) * self.pixel_spacing();
        self.centre.map(|c| ((c - half) * 1e4).round() / 1e4)
    }

    /// z of a slice, counted from the feet, mm.
    pub(crate) fn z(&self, slice: usize) -> f64 {
        ((self.lowest + slice as f64 * self.slice_spacing) * 1e4).round() / 1e4
    }

    /// The instance number of a slice counted from the feet; from 1.
    pub(crate) fn instance_number(&self, slice: usize) -> usize {
        if self.from_head { self.slices - slice } else { slice + 1 }
    }

    /// The number in the file name of each instance, in the order of instance numbers; from 1.
    pub(crate) fn file_numbers(&self, random: &mut Random) -> Vec<usize> {
        let mut numbers: Vec<usize> = (1..=self.slices).collect();
        match self.naming {
            Naming::InOrder => {}
            Naming::Reversed => numbers.reverse(),
            Naming::Shuffled => random.shuffle(&mut numbers),
        }
        numbers
    }
}

impl Window {
    const fn new(centre: i32, width: i32) -> Self {
        Self { centre, width }
    }
}

impl Table {
    /// HU at a position: a carbon skin around a foam core, 220 mm to each side; `None` off the
    /// table.
    pub(crate) fn hu(&self, x: f64, y: f64) -> Option<f64> {
        let across = x - self.middle[0];
        let below = y - self.middle[1] + across * across / 900.0;
        let within = (0.0..=14.0).contains(&below) && across.abs() <= 220.0;
        let skin = !(2.5..=11.5).contains(&below);
        within.then_some(if skin { -80.0 } else { -880.0 })
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn drawn(item: usize) -> Acquisition {
        let mut random = Random::new(3, Purpose::Acquisition, item, 0);
        Acquisition::draw(128, [150.0, 110.0], [2.0, -3.0, -400.0], &mut random)
    }

    #[test]
    fn every_scan_has_enough_slices_and_covers_the_chest() {
        for scan in (0..200).map(drawn) {
            assert!(scan.slices >= 40);
            assert!((1.0..=5.0).contains(&scan.slice_thickness));
            let top = scan.z(scan.slices - 1);
            assert!(scan.lowest < -400.0 - 125.0 && top > -400.0 + 120.0);
            assert!((280.0..=325.0).contains(&(scan.slices as f64 * scan.slice_spacing)));
        }
    }

    #[test]
    fn two_hundred_scans_show_every_variant() {
        let scans: Vec<_> = (0..200).map(drawn).collect();
        for format in FORMATS {
            assert!(scans.iter().any(|s| s.format == format));
        }
        for naming in [Naming::InOrder, Naming::Reversed, Naming::Shuffled] {
            assert!(scans.iter().any(|s| s.naming == naming));
        }
        assert!(scans.iter().any(|s| s.implicit_vr) && scans.iter().any(|s| !s.implicit_vr));
        assert!(scans.iter().any(|s| s.from_head) && scans.iter().any(|s| !s.from_head));
        assert!(scans.iter().any(|s| s.padding.is_some()) && scans.iter().any(|s| s.padding.is_none()));
    }

    #[test]
    fn stored_values_come_back_as_hu_and_are_clamped_to_the_bits() {
        for format in FORMATS {
            for hu in [-1000.0, -850.0, 0.0, 37.0, 700.0] {
                let back = f64::from(format.store(hu)) * format.slope + format.intercept;
                assert!((back - hu).abs() <= 0.5 * format.slope, "{format:?}: {hu} -> {back}");
            }
        }
        assert_eq!(FORMATS[2].store(9000.0), 4095);
        assert_eq!(FORMATS[2].store(-9000.0), 0);
        assert_eq!(FORMATS[4].store(-9000.0), -2048);
        assert_eq!(FORMATS[0].store(1e9), 32767);
    }

    #[test]
    fn file_numbers_are_a_permutation_of_the_kind_that_was_drawn() {
        for (item, scan) in (0..50).map(|i| (i, drawn(i))) {
            let numbers = scan.file_numbers(&mut Random::new(3, Purpose::FileName, item, 0));
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (1..=scan.slices).collect::<Vec<_>>());
            assert_eq!(scan.naming == Naming::InOrder, numbers == sorted);
        }
    }
}
