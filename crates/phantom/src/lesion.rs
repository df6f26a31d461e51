//! Places nodules or consolidation inside the lungs, and paints them.
//!
//! Positions are in patient mm, so that a sphere stays a sphere however the body lies.

use crate::anatomy::Anatomy;
use crate::noise::Texture;
use crate::plane::{Plane, Tube, dot, norm, sub};
use crate::pose::Pose;
use crate::random::Random;

/// Extent of the ground glass around a lesion, in mm, and its HU. After 9 epochs on 75 series, a
/// network of width 8 has an AUC of 0.73 to 0.79 without it and of 0.95 to 1.00 with it.
const HALO: f64 = 18.0;
const GROUND_GLASS: f64 = -400.0;

/// HU of a bronchus that still holds air, including its wall.
const BRONCHUS: f64 = -900.0;

/// One lesion: its entry in `truth.csv`, and how it is painted. All of it except the ground glass
/// lies within the semi-axes, apart from a ragged edge.
#[derive(Clone)]
pub(crate) struct Lesion {
    /// Patient mm.
    pub(crate) centre: [f64; 3],
    /// Semi-axes along x, y and z in mm.
    pub(crate) half: [f64; 3],
    pub(crate) matter: Matter,
}

#[derive(Clone)]
pub(crate) enum Matter {
    /// A sphere whose surface rises and falls along a few directions.
    Nodule { hu: f64, bumps: [[f64; 3]; 4] },
    /// A cloud with a ragged edge, clipped to the lung, with bronchi that still hold air.
    Consolidation { hu: [f64; 2], edge: Texture, cloud: Texture, bronchi: Vec<Tube> },
}

/// Draws either six to nine nodules or three or four consolidations, which a network with four
/// channels can learn from 65 series.
pub(crate) fn draw(anatomy: &Anatomy, pose: &Pose, random: &mut Random) -> Vec<Lesion> {
    let mut lesions: Vec<Lesion> = Vec::new();
    if random.chance(0.5) {
        for _ in 0..random.pick([6, 7, 8, 9]) {
            let radius = random.uniform(11.0..16.0);
            let centre = place(anatomy, pose, radius, &lesions, random);
            lesions.push(Lesion {
                centre,
                half: [radius; 3],
                matter: Matter::Nodule {
                    hu: random.uniform(10.0..60.0),
                    bumps: [(); 4].map(|()| random.direction()),
                },
            });
        }
    } else {
        for _ in 0..random.pick([3, 3, 4, 4]) {
            let half = [(); 3].map(|()| random.uniform(32.0..45.0));
            let centre = place(anatomy, pose, 14.0, &lesions, random);
            lesions.push(Lesion { centre, half, matter: consolidation(centre, half, random) });
        }
    }
    lesions
}

/// A position at least `depth` mm inside a lung and clear of the existing lesions; the deepest of
/// many tries where the lungs are too narrow for that.
fn place(anatomy: &Anatomy, pose: &Pose, depth: f64, others: &[Lesion], random: &mut Random) -> [f64; 3] {
    let mut best = ([0.0; 3], -f64::INFINITY);
    for _ in 0..400 {
        let lung = random.pick([&anatomy.lungs[0], &anatomy.lungs[1]]);
        let body = [
            lung.centre[0] + lung.half[0] * random.uniform(-1.0..1.0),
            lung.centre[1] + lung.half[1] * random.uniform(-1.0..1.0),
            random.uniform(lung.base..lung.apex),
        ];
        let patient = pose.to_patient(body);
        let gap = others
            .iter()
            .map(|other| norm(sub(patient, other.centre)) - other.half[0] - depth)
            .fold(f64::INFINITY, f64::min);
        let room = (anatomy.lung_depth(body) - depth).min(gap);
        if room >= 0.0 {
            return patient;
        }
        if room > best.1 {
            best = (patient, room);
        }
    }
    best.0
}

fn consolidation(centre: [f64; 3], half: [f64; 3], random: &mut Random) -> Matter {
    let bronchi = (0..5)
        .map(|_| {
            // Beside the centre and away from it, so that the position in truth.csv is tissue.
            let start = random.direction();
            let distance = random.uniform(10.0..16.0);
            let aside = start.map(|c| c * distance);
            let onwards = random.direction();
            let sign = dot(start, onwards).signum();
            let direction = onwards.map(|c| c * sign);
            let end = |along: f64| [0, 1, 2].map(|i| centre[i] + aside[i] + along * half[i] * direction[i]);
            Tube { ends: [end(0.0), end(0.9)], radii: [2.6, 1.4], hu: BRONCHUS }
        })
        .collect();
    Matter::Consolidation {
        hu: [-150.0, 40.0],
        edge: Texture::new(18.0, random),
        cloud: Texture::new(9.0, random),
        bronchi,
    }
}

impl Lesion {
    /// The kind as written in `truth.csv`.
    pub(crate) fn kind(&self) -> &'static str {
        match self.matter {
            Matter::Nodule { .. } => "nodule",
            Matter::Consolidation { .. } => "consolidation",
        }
    }

    pub(crate) fn paint(&self, plane: &mut Plane) {
        self.paint_halo(plane);
        let reach = 1.4 * self.largest_half() + plane.spacing;
        plane.near(self.centre, reach, |plane, index, place| match &self.matter {
            Matter::Nodule { hu, bumps } => {
                let share = plane.cover(self.nodule_depth(place, bumps));
                plane.blend(index, *hu, share);
            }
            Matter::Consolidation { hu, edge, cloud, bronchi } => {
                let share = self.cloud_share(place, edge) * plane.lung[index];
                if share > 0.0 {
                    let tissue = hu[0] + (hu[1] - hu[0]) * (0.5 + 0.5 * cloud.at(place));
                    let depth = bronchi.iter().map(|bronchus| bronchus.depth(place));
                    let air = plane.cover(depth.fold(-f64::INFINITY, f64::max));
                    plane.blend(index, tissue + (BRONCHUS - tissue) * air, share);
                }
            }
        });
    }

    /// Paints the ground glass around a lesion, in the lung only; it thins out from the edge over
    /// `HALO` mm.
    fn paint_halo(&self, plane: &mut Plane) {
        let largest = self.largest_half();
        let edge = largest / (largest + HALO);
        plane.near(self.centre, largest + HALO, |plane, index, place| {
            let within = (1.0 - self.radius(place, HALO)) / (1.0 - edge);
            let share = within.clamp(0.0, 1.0).sqrt() * plane.lung[index];
            // Vessels continue through ground glass: it only raises what is darker.
            if share > 0.0 && plane.hu[index] < GROUND_GLASS {
                plane.blend(index, GROUND_GLASS, share);
            }
        });
    }

    fn largest_half(&self) -> f64 {
        self.half.iter().copied().fold(0.0, f64::max)
    }

    /// 1 on an ellipsoid `margin` mm larger than the lesion's, and less inside it.
    fn radius(&self, place: [f64; 3], margin: f64) -> f64 {
        let offset = sub(place, self.centre);
        norm([0, 1, 2].map(|axis| offset[axis] / (self.half[axis] + margin)))
    }

    fn nodule_depth(&self, place: [f64; 3], bumps: &[[f64; 3]; 4]) -> f64 {
        let offset = sub(place, self.centre);
        let distance = norm(offset);
        let rise: f64 = bumps.iter().map(|bump| (dot(offset, *bump) / distance.max(1e-6)).powi(3)).sum();
        self.half[0] * (1.0 + 0.09 * rise) - distance
    }

    /// The share of a voxel that the cloud fills: all of it in the middle, and nothing beyond a
    /// ragged edge.
    fn cloud_share(&self, place: [f64; 3], edge: &Texture) -> f64 {
        let radius = self.radius(place, 0.0);
        if radius > 1.4 {
            return 0.0;
        }
        ((1.0 + 0.28 * edge.at(place) - radius) / 0.25).clamp(0.0, 1.0)
    }
}
