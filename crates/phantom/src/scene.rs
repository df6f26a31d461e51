//! Assembles a series: a body in its pose, its vessels, its lesions and the scanner's table; and
//! cuts slices of it.
//!
//! The label enters here, and only as the choice to draw lesions.

use crate::Options;
use crate::acquisition::Acquisition;
use crate::anatomy::{AIR, Anatomy};
use crate::cohort::Series;
use crate::lesion::{self, Lesion};
use crate::noise;
use crate::plane::{Plane, Tube};
use crate::pose::Pose;
use crate::random::{Purpose, Random};
use crate::vessels;

pub(crate) struct Scene {
    pub(crate) acquisition: Acquisition,
    pub(crate) lesions: Vec<Lesion>,
    anatomy: Anatomy,
    pose: Pose,
    /// In patient mm.
    tubes: Vec<Tube>,
    seed: u64,
    series: usize,
}

impl Scene {
    pub(crate) fn draw(series: &Series, options: &Options) -> Self {
        let stream = |purpose, item| Random::new(options.seed, purpose, item, 0);
        let mut body = stream(Purpose::Anatomy, series.patient.number);
        let mut anatomy = Anatomy::draw(series.patient.sex, &mut body);
        let mut breath = stream(Purpose::Breath, series.index);
        anatomy.breathe(&mut breath);
        let pose = Pose::draw(&mut breath);
        let tubes = vessels::grow(&anatomy, &mut body)
            .into_iter()
            .map(|tube| Tube { ends: tube.ends.map(|end| pose.to_patient(end)), ..tube })
            .collect();
        let acquisition = Acquisition::draw(
            options.matrix,
            anatomy.body,
            pose.origin,
            &mut stream(Purpose::Acquisition, series.index),
        );
        let lesions = if series.pathological {
            lesion::draw(&anatomy, &pose, &mut stream(Purpose::Lesion, series.index))
        } else {
            Vec::new()
        };
        Self { acquisition, lesions, anatomy, pose, tubes, seed: options.seed, series: series.index }
    }

    /// The stored values of a slice, counted from the feet, in rows.
    pub(crate) fn slice(&self, slice: usize) -> Vec<i32> {
        let scan = &self.acquisition;
        let columns = usize::from(scan.matrix);
        let mut hu = self.averaged_over_thickness(scan.z(slice));
        let mut random = Random::new(self.seed, Purpose::Noise, self.series, slice);
        noise::add_quantum(&mut hu, columns, scan.noise_sd, &mut random);
        let centre = 0.5 * (columns as f64 - 1.0);
        let radius = 0.5 * columns as f64;
        hu.iter()
            .enumerate()
            .map(|(index, &hu)| {
                let [row, column] = [index / columns, index % columns].map(|i| i as f64 - centre);
                match scan.padding {
                    Some(padding) if row * row + column * column > radius * radius => padding,
                    _ => scan.format.store(hu),
                }
            })
            .collect()
    }

    /// Thick slices blur oblique structures: slices above 2 mm are the mean of two planes.
    fn averaged_over_thickness(&self, z: f64) -> Vec<f64> {
        let thickness = self.acquisition.slice_thickness;
        if thickness <= 2.0 {
            return self.plane(z).hu;
        }
        let mut lower = self.plane(z - 0.25 * thickness).hu;
        let upper = self.plane(z + 0.25 * thickness).hu;
        for (a, b) in lower.iter_mut().zip(&upper) {
            *a = f64::midpoint(*a, *b);
        }
        lower
    }

    /// HU without noise on a plane without thickness.
    fn plane(&self, z: f64) -> Plane {
        let scan = &self.acquisition;
        let columns = usize::from(scan.matrix);
        let mut plane = Plane::new(z, scan.corner(), scan.pixel_spacing(), columns);
        for index in 0..plane.hu.len() {
            let [x, y, _] = plane.place(index / columns, index % columns);
            plane.hu[index] = scan.table.hu(x, y).unwrap_or(AIR);
        }
        self.anatomy.paint(&self.pose, &mut plane);
        for tube in &self.tubes {
            tube.paint(&mut plane);
        }
        for lesion in &self.lesions {
            lesion.paint(&mut plane);
        }
        plane
    }
}
