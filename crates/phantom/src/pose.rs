//! How a body lies in the scanner: from patient mm (LPS) to the body's own frame and back.
//!
//! The body's frame has its origin in the middle of the chest, with u to the left, v to the back
//! and w to the head.

use crate::random::Random;

#[derive(Clone, Debug)]
pub(crate) struct Pose {
    /// The middle of the chest, in patient mm.
    pub(crate) origin: [f64; 3],
    /// Cosine and sine of the rotation about the long axis.
    turn: [f64; 2],
    /// How far the body leans to the left and to the back, in mm for each mm towards the head.
    lean: [f64; 2],
}

impl Pose {
    /// A body away from the scanner's axis, rotated by up to 6 degrees and leaning by up to 2.
    pub(crate) fn draw(random: &mut Random) -> Self {
        // The tangent of the half-angle gives sine and cosine without the rounding of a C library.
        let t: f64 = random.uniform(-0.052..0.052);
        Self {
            origin: [random.uniform(-12.0..12.0), random.uniform(-15.0..10.0), random.uniform(-900.0..300.0)],
            turn: [1.0 - t * t, 2.0 * t].map(|c| c / (1.0 + t * t)),
            lean: [random.uniform(-0.035..0.035), random.uniform(-0.035..0.035)],
        }
    }

    pub(crate) fn to_body(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        let w = z - self.origin[2];
        let dx = x - self.origin[0] - self.lean[0] * w;
        let dy = y - self.origin[1] - self.lean[1] * w;
        let [cos, sin] = self.turn;
        [cos * dx + sin * dy, cos * dy - sin * dx, w]
    }

    pub(crate) fn to_patient(&self, [u, v, w]: [f64; 3]) -> [f64; 3] {
        let [cos, sin] = self.turn;
        [
            self.origin[0] + self.lean[0] * w + cos * u - sin * v,
            self.origin[1] + self.lean[1] * w + sin * u + cos * v,
            self.origin[2] + w,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn going_to_the_body_and_back_ends_where_it_began() {
        for item in 0..20 {
            let pose = Pose::draw(&mut Random::new(7, Purpose::Breath, item, 0));
            let place = [31.5, -72.25, 118.0];
            let back = pose.to_patient(pose.to_body(place));
            for axis in 0..3 {
                assert!((back[axis] - place[axis]).abs() < 1e-9);
            }
            let [cos, sin] = pose.turn;
            assert!((cos * cos + sin * sin - 1.0).abs() < 1e-12);
        }
    }
}
