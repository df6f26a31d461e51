//! Describes a chest: which tissue lies where in the body's own frame, in mm and HU.
//!
//! Vessels and airways are in `vessels`, the position of the body in the scanner in `pose`.

use crate::cohort::Sex;
use crate::noise::Texture;
use crate::plane::Plane;
use crate::pose::Pose;
use crate::random::Random;

pub(crate) const AIR: f64 = -1000.0;

/// An upright half-ellipsoid above its middle and a column below it, cut off by the dome of the
/// diaphragm.
#[derive(Clone)]
pub(crate) struct Lung {
    /// u and v of the axis, which bends to the middle towards the apex.
    pub(crate) centre: [f64; 2],
    /// Half-axes across, mm.
    pub(crate) half: [f64; 2],
    pub(crate) apex: f64,
    /// w at which the tapering starts.
    shoulder: f64,
    /// The lowest w of the diaphragm, at the front rim of the lung.
    pub(crate) base: f64,
    dome: f64,
}

/// One patient's chest in one breath.
#[derive(Clone)]
pub(crate) struct Anatomy {
    /// Half-axes of the skin, u and v.
    pub(crate) body: [f64; 2],
    fat: f64,
    /// Half-axes of the cavity inside the ribs.
    pub(crate) cavity: [f64; 2],
    /// The right and the left lung.
    pub(crate) lungs: [Lung; 2],
    heart: [f64; 3],
    heart_half: [f64; 3],
    pub(crate) spine: [f64; 2],
    rib_phase: f64,
    lung_hu: f64,
    /// HU that the lung gains from front to back, because blood pools in its dependent part.
    gravity: f64,
    /// HU of a denser rim along the back, which many healthy people have.
    dependent: f64,
    marbling: Texture,
    marbling_hu: f64,
    fat_hu: f64,
    muscle_hu: f64,
    pub(crate) blood_hu: f64,
    marrow_hu: f64,
    cortex_hu: f64,
}

impl Anatomy {
    pub(crate) fn draw(sex: Sex, random: &mut Random) -> Self {
        let size = match sex {
            Sex::Female => random.uniform(0.92..1.02),
            Sex::Male => random.uniform(0.98..1.08),
        };
        let fat = random.uniform(8.0..20.0);
        let cavity = [size * random.uniform(112.0..128.0), size * random.uniform(76.0..90.0)];
        let body = [cavity[0] + 20.0 + fat, cavity[1] + 22.0 + fat];
        let height = size * random.uniform(205.0..235.0);
        let [right, left] = [-1.0, 1.0].map(|side: f64| Lung {
            centre: [side * cavity[0] * 0.53, 0.0],
            half: [
                cavity[0] * (random.uniform(0.41..0.44) - 0.01 * side),
                cavity[1] * random.uniform(0.82..0.87),
            ],
            apex: height * 0.5 + random.uniform(-4.0..4.0),
            shoulder: height * random.uniform(-0.10..0.05),
            // The liver lifts the right half of the diaphragm.
            base: -height * 0.5 - 6.0 * side,
            dome: random.uniform(30.0..48.0) - 5.0 * side,
        });
        Self {
            body,
            fat,
            cavity,
            lungs: [right, left],
            heart: [cavity[0] * 0.18, -cavity[1] * 0.27, -height * 0.20],
            heart_half: [
                cavity[0] * random.uniform(0.40..0.52),
                cavity[1] * random.uniform(0.48..0.58),
                size * random.uniform(42.0..55.0),
            ],
            spine: [0.0, cavity[1] * 0.70],
            rib_phase: random.uniform(0.0..1.0),
            lung_hu: random.uniform(-875.0..-825.0),
            gravity: random.uniform(20.0..60.0),
            dependent: random.uniform(0.0..50.0),
            marbling: Texture::new(random.uniform(14.0..30.0), random),
            marbling_hu: random.uniform(6.0..18.0),
            fat_hu: random.uniform(-115.0..-90.0),
            muscle_hu: random.uniform(40.0..65.0),
            blood_hu: random.uniform(32.0..58.0),
            marrow_hu: random.uniform(300.0..420.0),
            cortex_hu: random.uniform(520.0..700.0),
        }
    }

    /// Turns to the same patient on another day or in another breath, with fuller or emptier lungs.
    pub(crate) fn breathe(&mut self, random: &mut Random) {
        let fill = random.uniform(-12.0..8.0);
        for lung in &mut self.lungs {
            lung.base -= fill;
            lung.dome += random.uniform(-4.0..4.0);
        }
        // The same tissue loses this density when it fills more space.
        self.lung_hu -= 1.5 * fill;
        self.dependent *= random.uniform(0.5..1.0);
    }

    /// The chest at one height.
    pub(crate) fn level(&self, w: f64) -> Level<'_> {
        let lungs = self.lungs.each_ref().map(|lung| lung.level(w));
        let rise = (w - self.heart[2]) / self.heart_half[2];
        let section = (1.0 - rise * rise).max(0.0).sqrt();
        Level {
            anatomy: self,
            w,
            lungs,
            heart_half: [0, 1].map(|axis| self.heart_half[axis] * section),
            disc: (w / 27.0 + self.rib_phase).rem_euclid(1.0) < 0.2,
            ribs: w < self.lungs[0].apex + 15.0 && w > self.lungs[0].base - 10.0,
        }
    }

    /// Paints everything except vessels, airways and what lies outside the skin.
    pub(crate) fn paint(&self, pose: &Pose, plane: &mut Plane) {
        let level = self.level(plane.z - pose.origin[2]);
        for row in 0..plane.columns {
            for column in 0..plane.columns {
                let place = plane.place(row, column);
                let [u, v, _] = pose.to_body(place);
                let depth = self.skin_depth(u, v);
                let skin = plane.cover(depth);
                if skin <= 0.0 {
                    continue;
                }
                let (hu, lung) = level.voxel([u, v], depth, plane);
                let index = row * plane.columns + column;
                plane.lung[index] = lung;
                plane.blend(index, hu, skin);
            }
        }
    }

    /// Depth below the skin, in mm; exact on the axes.
    fn skin_depth(&self, u: f64, v: f64) -> f64 {
        let square = squared_radius([u, v], self.body);
        // Most voxels outside the body need no square root.
        if square > 1.2 {
            return -f64::INFINITY;
        }
        (1.0 - square.sqrt()) * self.body[1]
    }

    /// Depth of a position inside a lung, in mm (negative outside).
    pub(crate) fn lung_depth(&self, [u, v, w]: [f64; 3]) -> f64 {
        self.level(w).lung_depth([u, v])
    }
}

impl Lung {
    fn level(&self, w: f64) -> Option<LungLevel> {
        let rise = ((w - self.shoulder) / (self.apex - self.shoulder)).max(0.0);
        if rise >= 1.0 {
            return None;
        }
        let taper = (1.0 - rise * rise).sqrt();
        Some(LungLevel {
            centre: [self.centre[0] * (0.7 + 0.3 * taper), self.centre[1]],
            half: self.half.map(|half| half * taper),
        })
    }

    /// Height of the diaphragm below a position; it reaches lower at the back.
    fn floor(&self, [u, v]: [f64; 2]) -> f64 {
        let offset = [u - self.centre[0], v - self.centre[1]];
        let dome = (1.0 - squared_radius(offset, self.half)).max(0.0);
        self.base + self.dome * dome - 0.12 * v
    }
}

struct LungLevel {
    centre: [f64; 2],
    half: [f64; 2],
}

/// The chest at one height `w`.
pub(crate) struct Level<'a> {
    anatomy: &'a Anatomy,
    w: f64,
    lungs: [Option<LungLevel>; 2],
    heart_half: [f64; 2],
    /// Whether the height is between two vertebrae.
    disc: bool,
    ribs: bool,
}

impl Level<'_> {
    /// HU of the tissue at a position inside the skin, and the share of the voxel that is lung.
    fn voxel(&self, place: [f64; 2], depth: f64, plane: &Plane) -> (f64, f64) {
        let a = self.anatomy;
        let mix = |from: f64, to: f64, share: f64| from + (to - from) * share;
        // Two millimetres of skin, then fat, then muscle, then the cavity.
        let mut hu = mix(20.0, a.fat_hu, plane.cover(depth - 2.0));
        hu = mix(hu, a.muscle_hu, plane.cover(depth - a.fat));
        let wall = (squared_radius(place, a.cavity).sqrt() - 1.0) * a.cavity[1];
        if wall > 0.0 {
            hu = mix(hu, a.cortex_hu * 0.8, plane.cover(self.rib_depth(place, wall)));
        }
        let mut lung = 0.0;
        if wall < plane.spacing {
            hu = mix(hu, self.soft_tissue(place), plane.cover(-wall));
            lung = plane.cover(self.lung_depth(place));
            if lung > 0.0 {
                hu = mix(hu, self.lung_hu(place, -wall), lung);
            }
        }
        (self.with_spine(hu, place, plane), lung)
    }

    /// Ribs 9 mm thick and 13 mm high, 27 mm apart, descending towards the front.
    fn rib_depth(&self, [u, v]: [f64; 2], wall: f64) -> f64 {
        // The sternum closes the rib cage in front.
        if v < 0.0 && u.abs() < 18.0 {
            return (4.5 - (wall - 7.0).abs()).min(18.0 - u.abs());
        }
        if !self.ribs {
            return -f64::INFINITY;
        }
        let phase = (self.w - 0.45 * v) / 27.0 + self.anatomy.rib_phase;
        let from_axis = (phase.rem_euclid(1.0) - 0.5).abs() * 27.0;
        (4.5 - (wall - 6.0).abs()).min(6.5 - from_axis)
    }

    /// What fills the cavity where there is no lung: the heart with fat around it, and abdominal
    /// organs.
    fn soft_tissue(&self, [u, v]: [f64; 2]) -> f64 {
        let a = self.anatomy;
        if self.heart_depth([u, v]) > 0.0 {
            return a.blood_hu;
        }
        let lung = &a.lungs[usize::from(u > 0.0)];
        if self.w < lung.floor([u, v]) {
            // Liver on the right, spleen and stomach on the left.
            return if u < 0.3 * a.cavity[0] { 58.0 } else { 44.0 };
        }
        if self.mediastinum_depth([u, v]) > 0.0 {
            return 0.5 * a.fat_hu;
        }
        a.muscle_hu - 10.0
    }

    pub(crate) fn lung_depth(&self, place: [f64; 2]) -> f64 {
        let side = usize::from(place[0] > 0.0);
        let Some(level) = &self.lungs[side] else {
            return -f64::INFINITY;
        };
        let offset = [place[0] - level.centre[0], place[1] - level.centre[1]];
        let square = squared_radius(offset, level.half);
        if square > 1.5 {
            return -f64::INFINITY;
        }
        let rim = (1.0 - square.sqrt()) * level.half[0].min(level.half[1]);
        let wall = (1.0 - squared_radius(place, self.anatomy.cavity).sqrt()) * self.anatomy.cavity[1];
        // The dome is steep at its rim: the shortest way to it is not straight down.
        let above_floor = 0.8 * (self.w - self.anatomy.lungs[side].floor(place));
        rim.min(wall).min(above_floor).min(-self.heart_depth(place)).min(-self.mediastinum_depth(place))
    }

    fn lung_hu(&self, [u, v]: [f64; 2], from_wall: f64) -> f64 {
        let a = self.anatomy;
        let back = v / a.cavity[1];
        let dependent = (1.0 - from_wall / 22.0).max(0.0) * back.max(0.0) * back.max(0.0);
        a.lung_hu + a.gravity * back + a.dependent * dependent + a.marbling_hu * a.marbling.at([u, v, self.w])
    }

    fn heart_depth(&self, [u, v]: [f64; 2]) -> f64 {
        let a = self.anatomy;
        let half = self.heart_half;
        let smallest = half[0].min(half[1]);
        if smallest < 1.0 {
            return -f64::INFINITY;
        }
        let offset = [u - a.heart[0], v - a.heart[1]];
        (1.0 - squared_radius(offset, half).sqrt()) * smallest
    }

    fn mediastinum_depth(&self, place: [f64; 2]) -> f64 {
        let half = [0.17 * self.anatomy.cavity[0], 0.95 * self.anatomy.cavity[1]];
        (1.0 - squared_radius(place, half).sqrt()) * half[0]
    }

    /// Adds a vertebral body with a cortex and discs, the spinal canal, and the arch behind it.
    fn with_spine(&self, hu: f64, [u, v]: [f64; 2], plane: &Plane) -> f64 {
        let a = self.anatomy;
        let [du, dv] = [u - a.spine[0], v - a.spine[1]];
        if du.abs() > 32.0 || !(-22.0..=50.0).contains(&dv) {
            return hu;
        }
        let mix = |from: f64, to: f64, share: f64| from + (to - from) * share;
        let ellipse =
            |centre: f64, half: [f64; 2]| (1.0 - squared_radius([du, dv - centre], half).sqrt()) * half[1];
        let mut hu = hu;
        if !self.disc {
            hu = mix(hu, a.cortex_hu * 0.7, plane.cover(ellipse(24.0, [26.0, 15.0])));
            let process = (4.0 - du.abs()).min(46.0 - dv).min(dv - 24.0);
            hu = mix(hu, a.cortex_hu * 0.7, plane.cover(process));
        }
        hu = mix(hu, 25.0, plane.cover(ellipse(23.0, [10.0, 8.0])));
        let vertebra = ellipse(0.0, [20.0, 15.5]);
        if self.disc {
            return mix(hu, 90.0, plane.cover(vertebra));
        }
        hu = mix(hu, a.cortex_hu, plane.cover(vertebra));
        mix(hu, a.marrow_hu, plane.cover(vertebra - 3.0))
    }
}

/// 1 on the ellipse, less inside.
fn squared_radius([x, y]: [f64; 2], half: [f64; 2]) -> f64 {
    let [s, t] = [x / half[0], y / half[1]];
    s * s + t * t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn drawn(item: usize, sex: Sex) -> Anatomy {
        let mut anatomy = Anatomy::draw(sex, &mut Random::new(5, Purpose::Anatomy, item, 0));
        anatomy.breathe(&mut Random::new(5, Purpose::Breath, item, 0));
        anatomy
    }

    #[test]
    fn lungs_hold_what_people_lying_down_breathe_in_and_stay_within_the_ribs() {
        for item in 0..12 {
            let anatomy = drawn(item, [Sex::Female, Sex::Male][item % 2]);
            let mut voxels = 0;
            for w in (-170..150).step_by(5) {
                let level = anatomy.level(f64::from(w));
                for v in (-100..100).step_by(5) {
                    for u in (-140..140).step_by(5) {
                        let place = [u, v].map(f64::from);
                        if level.lung_depth(place) > 0.0 {
                            voxels += 1;
                            assert!(squared_radius(place, anatomy.cavity) < 1.0, "{place:?}");
                        }
                    }
                }
            }
            // Between residual volume and total capacity of adults: 1.2 to 7 litres (West, 2012).
            let litres = f64::from(voxels) * 125.0 / 1e6;
            assert!((1.2..=7.0).contains(&litres), "{litres} litres");
        }
    }

    #[test]
    fn tissues_have_the_hu_of_textbooks_at_their_places() {
        for item in 0..12 {
            let anatomy = drawn(item, Sex::Female);
            let plane = Plane::new(0.0, [0.0, 0.0], 1.0, 1);
            let hu =
                |w: f64, [u, v]: [f64; 2]| anatomy.level(w).voxel([u, v], anatomy.skin_depth(u, v), &plane).0;
            let heart = hu(anatomy.heart[2], [anatomy.heart[0], anatomy.heart[1]]);
            assert!((30.0..=60.0).contains(&heart), "heart {heart}");
            let lung = hu(20.0, anatomy.lungs[0].centre);
            assert!((-920.0..=-760.0).contains(&lung), "lung {lung}");
            let fat = hu(0.0, [anatomy.body[0] - 5.0, 0.0]);
            assert!((-120.0..=-80.0).contains(&fat), "fat {fat}");
            // A vertebra and its disc are 27 mm high together, the disc a fifth of that.
            let spine = (0..27).map(|w| hu(f64::from(w), anatomy.spine));
            assert!(spine.clone().filter(|hu| *hu >= 300.0).count() >= 20);
            assert!(spine.clone().filter(|hu| (*hu - 90.0).abs() < 1e-9).count() >= 4);
        }
    }
}
