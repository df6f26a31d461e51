//! One plane of the image while it is painted, and the painting of tubes on it.

/// A square plane across the z axis, with HU in rows.
pub(crate) struct Plane {
    /// Patient z in mm.
    pub(crate) z: f64,
    /// Patient x and y of the first voxel's centre, in mm.
    pub(crate) corner: [f64; 2],
    /// Distance between voxel centres, in mm.
    pub(crate) spacing: f64,
    pub(crate) columns: usize,
    pub(crate) hu: Vec<f64>,
    /// The share of each voxel that is lung, 0 to 1.
    pub(crate) lung: Vec<f64>,
}

impl Plane {
    pub(crate) fn new(z: f64, corner: [f64; 2], spacing: f64, columns: usize) -> Self {
        let voxels = columns * columns;
        Self { z, corner, spacing, columns, hu: vec![0.0; voxels], lung: vec![0.0; voxels] }
    }

    /// Patient position of a voxel's centre, in mm.
    pub(crate) fn place(&self, row: usize, column: usize) -> [f64; 3] {
        [self.corner[0] + column as f64 * self.spacing, self.corner[1] + row as f64 * self.spacing, self.z]
    }

    /// The share of a voxel inside a surface that is `depth` mm away (negative outside).
    pub(crate) fn cover(&self, depth: f64) -> f64 {
        (0.5 + depth / self.spacing).clamp(0.0, 1.0)
    }

    /// Calls `paint` with the index and the position of every voxel within `reach` mm of `centre`
    /// in x and y; with none when the plane is farther away than that in z.
    pub(crate) fn near(
        &mut self,
        centre: [f64; 3],
        reach: f64,
        mut paint: impl FnMut(&mut Self, usize, [f64; 3]),
    ) {
        if (centre[2] - self.z).abs() > reach {
            return;
        }
        let [columns, rows] = [0, 1].map(|axis| {
            let middle = (centre[axis] - self.corner[axis]) / self.spacing;
            let half = reach / self.spacing;
            // A cast from a negative number gives 0, which leaves out the part outside the plane.
            (middle - half).ceil() as usize..((middle + half).floor() + 1.0) as usize
        });
        for row in rows.start..rows.end.min(self.columns) {
            for column in columns.start..columns.end.min(self.columns) {
                let place = self.place(row, column);
                paint(self, row * self.columns + column, place);
            }
        }
    }

    /// Moves a voxel towards `hu` by a share of 0 to 1.
    pub(crate) fn blend(&mut self, index: usize, hu: f64, share: f64) {
        let value = &mut self.hu[index];
        *value += (hu - *value) * share;
    }
}

/// A straight piece of vessel or airway, tapered, with round ends. Lengths are in mm, values in HU.
#[derive(Clone, Debug)]
pub(crate) struct Tube {
    pub(crate) ends: [[f64; 3]; 2],
    pub(crate) radii: [f64; 2],
    pub(crate) hu: f64,
}

impl Tube {
    /// Depth of a position inside the tube, in mm (negative outside).
    pub(crate) fn depth(&self, place: [f64; 3]) -> f64 {
        let [from, to] = self.ends;
        let axis = sub(to, from);
        let offset = sub(place, from);
        let t = (dot(offset, axis) / dot(axis, axis)).clamp(0.0, 1.0);
        let nearest = [0, 1, 2].map(|i| offset[i] - t * axis[i]);
        self.radii[0] + t * (self.radii[1] - self.radii[0]) - norm(nearest)
    }

    pub(crate) fn paint(&self, plane: &mut Plane) {
        let [from, to] = self.ends;
        let margin = self.radii[0].max(self.radii[1]) + plane.spacing;
        if plane.z < from[2].min(to[2]) - margin || plane.z > from[2].max(to[2]) + margin {
            return;
        }
        // A vessel thinner than a voxel fills only a part of it.
        let fill = (2.0 * self.radii[0].min(self.radii[1]) / plane.spacing).min(1.0);
        let centre = [0, 1, 2].map(|i| f64::midpoint(from[i], to[i]));
        let reach = 0.5 * norm(sub(to, from)) + margin;
        plane.near(centre, reach, |plane, index, place| {
            let share = plane.cover(self.depth(place));
            if share > 0.0 {
                plane.blend(index, self.hu, share * fill);
            }
        });
    }
}

pub(crate) fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|i| a[i] - b[i])
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn norm(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_in_a_tapered_tube_is_what_geometry_says() {
        let tube = Tube { ends: [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]], radii: [4.0, 2.0], hu: 40.0 };
        assert!((tube.depth([5.0, 0.0, 0.0]) - 3.0).abs() < 1e-12);
        assert!((tube.depth([5.0, 0.0, 7.0]) - (3.0 - 7.0)).abs() < 1e-12);
        // Beyond the end, where the radius is 2: 3 and 4 make 5.
        assert!((tube.depth([13.0, 4.0, 0.0]) - (2.0 - 5.0)).abs() < 1e-12);
    }

    #[test]
    fn a_painted_tube_fills_its_cross_section() {
        let mut plane = Plane::new(0.0, [-31.5, -31.5], 1.0, 64);
        let tube = Tube { ends: [[3.0, 2.0, -20.0], [3.0, 2.0, 20.0]], radii: [8.0, 8.0], hu: 1.0 };
        tube.paint(&mut plane);
        let area: f64 = plane.hu.iter().sum();
        assert!((area - std::f64::consts::PI * 64.0).abs() < 3.0, "{area} mm2");
    }

    #[test]
    fn what_lies_outside_the_plane_is_left_out() {
        let mut plane = Plane::new(0.0, [-31.5, -31.5], 1.0, 64);
        let mut seen = 0;
        plane.near([-40.0, 0.0, 0.0], 10.0, |_, _, [x, _, _]| {
            assert!(x <= -30.0);
            seen += 1;
        });
        plane.near([-400.0, 900.0, 0.0], 10.0, |_, _, _| seen += 1000);
        plane.near([0.0, 0.0, 30.0], 10.0, |_, _, _| seen += 1000);
        assert!((20..100).contains(&seen), "{seen} voxels");
    }
}
