//! Grows what branches or bends: the vessels of the lungs, the aorta, the trachea and the main
//! bronchi. All positions are in the body's frame.

use crate::anatomy::{AIR, Anatomy};
use crate::plane::{Tube, norm};
use crate::random::Random;

/// Distance that a vessel keeps from the pleura, in mm.
const PLEURA: f64 = 3.0;

/// All tubes of a chest.
pub(crate) fn grow(anatomy: &Anatomy, random: &mut Random) -> Vec<Tube> {
    let mut tubes = aorta(anatomy);
    let calibre = random.uniform(0.7..1.35);
    for side in [-1.0, 1.0] {
        let hilum = [side * anatomy.cavity[0] * 0.16, anatomy.cavity[1] * 0.12, random.uniform(-8.0..8.0)];
        let trunks = 4 + random.below(7);
        for _ in 0..trunks {
            let mut direction = random.direction();
            // Outwards, because the mediastinum is behind a hilum.
            direction[0] = side * (direction[0].abs() + 0.35);
            let vessel = Growth {
                from: hilum,
                direction: unit(direction),
                radius: calibre * random.uniform(3.2..6.0),
                length: random.uniform(26.0..42.0),
                generation: 0,
            };
            branch(&vessel, anatomy, random, &mut tubes);
        }
    }
    tubes.extend(airways(anatomy));
    tubes
}

struct Growth {
    from: [f64; 3],
    direction: [f64; 3],
    radius: f64,
    length: f64,
    generation: u32,
}

/// One piece and what grows from its end: two thinner pieces each time, until the pleura or the
/// capillaries.
fn branch(stem: &Growth, anatomy: &Anatomy, random: &mut Random, tubes: &mut Vec<Tube>) {
    let end_at = |length: f64| [0, 1, 2].map(|i| stem.from[i] + length * stem.direction[i]);
    let mut length = stem.length;
    // The stem itself starts in the hilum, outside the lung.
    while anatomy.lung_depth(end_at(length)) < PLEURA {
        length *= 0.7;
        if length < 4.0 {
            return;
        }
    }
    let to = end_at(length);
    let thin = 0.8 * stem.radius;
    tubes.push(Tube { ends: [stem.from, to], radii: [stem.radius, thin], hu: anatomy.blood_hu });
    if stem.generation == 4 || thin < 0.7 {
        return;
    }
    let sideways = random.direction();
    for sign in [-1.0, 1.0] {
        let spread = sign * random.uniform(0.35..0.75);
        branch(
            &Growth {
                from: to,
                direction: unit([0, 1, 2].map(|i| stem.direction[i] + spread * sideways[i])),
                radius: thin * random.uniform(0.72..0.92),
                length: stem.length * random.uniform(0.65..0.9),
                generation: stem.generation + 1,
            },
            anatomy,
            random,
            tubes,
        );
    }
}

/// Ascending aorta, arch and descending aorta, as a chain of tubes.
fn aorta(anatomy: &Anatomy) -> Vec<Tube> {
    let v = anatomy.cavity[1];
    let course = [
        ([-8.0, -0.25 * v, -30.0], 16.0),
        ([-12.0, -0.22 * v, 25.0], 15.5),
        ([-6.0, -0.10 * v, 44.0], 14.5),
        ([6.0, 0.15 * v, 48.0], 13.5),
        ([15.0, 0.38 * v, 40.0], 12.5),
        ([17.0, 0.42 * v, 20.0], 12.0),
        ([14.0, 0.44 * v, -300.0], 11.0),
    ];
    chain(&course, anatomy.blood_hu)
}

/// Trachea and main bronchi, filled with air.
fn airways(anatomy: &Anatomy) -> Vec<Tube> {
    let v = anatomy.cavity[1] * 0.14;
    let carina = [0.0, v, 18.0];
    let mut tubes = chain(&[([0.0, v, 400.0], 8.5), (carina, 8.5)], AIR);
    for side in [-1.0, 1.0] {
        let hilum = [side * anatomy.cavity[0] * 0.24, v, -12.0];
        tubes.extend(chain(&[(carina, 7.0), (hilum, 5.0)], AIR));
    }
    tubes
}

fn chain(course: &[([f64; 3], f64)], hu: f64) -> Vec<Tube> {
    course
        .windows(2)
        .map(|pair| Tube { ends: [pair[0].0, pair[1].0], radii: [pair[0].1, pair[1].1], hu })
        .collect()
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = norm(v).max(1e-9);
    v.map(|c| c / length)
}
