//! Augmentation: draws how each sample is changed in an epoch, by the configuration's probabilities
//! and ranges. Touches no voxel.

use ctpipe_network::{Change, Noise, Purpose, Stream, mean, sin_cos};

use crate::config::Config;

/// Number of positions in an epoch, each of which has its own random stream.
const PLACES: u64 = 1 << 32;

/// Draws the changes of the samples of a training.
#[derive(Debug, Clone)]
pub(crate) struct Augmentation {
    config: Config,
    seed: u64,
}

/// Whether any change can ever happen.
pub(crate) fn is_on(config: &Config) -> bool {
    let probabilities = [
        config.rotate_probability,
        config.rotate_any_probability,
        config.flip_probability,
        config.scale_probability,
        config.shift_probability,
        config.contrast_probability,
        config.brightness_probability,
        config.noise_probability,
    ];
    config.augment && probabilities.iter().any(|&p| p > 0.0)
}

impl Augmentation {
    /// `None` if nothing is ever changed.
    pub(crate) fn new(config: &Config, seed: u64) -> Option<Augmentation> {
        is_on(config).then(|| Augmentation { config: config.clone(), seed })
    }

    /// Whether the means of volumes are needed.
    pub(crate) fn needs_means(&self) -> bool {
        self.config.contrast_probability > 0.0
    }

    /// The change of the sample at a position in the order of an epoch, for a volume of `edge³`
    /// voxels with this mean. The draws depend only on seed, epoch and position.
    pub(crate) fn draw(&self, epoch: u32, place: usize, edge: usize, mean: f32) -> Change {
        let number = u64::from(epoch) * PLACES + place as u64;
        let mut draw = Draw(Stream::at(self.seed, Purpose::Augmentation, number));
        let config = &self.config;
        // Everything is drawn, whether it happens or not, so that one probability does not shift
        // the draws of the others.
        let turn = draw.within(config.rotate_probability, config.rotate_degrees);
        let tilt = draw.within(config.rotate_any_probability, config.rotate_any_degrees);
        let axis = draw.direction();
        let flip = draw.happens(config.flip_probability);
        let scale = 1.0 + draw.within(config.scale_probability, config.scale_range);
        let moves = draw.happens(config.shift_probability);
        let shift = [(); 3].map(|()| draw.0.symmetric() * config.shift_range * edge as f64);
        let shift = if moves { shift } else { [0.0; 3] };
        let contrast = 1.0 + draw.within(config.contrast_probability, config.contrast_range);
        let brightness = 1.0 + draw.within(config.brightness_probability, config.brightness_range);
        let noisy = draw.happens(config.noise_probability);
        let deviation = draw.0.unit() * config.noise_range as f32;
        let key = [(); 3].map(|()| draw.0.word());
        Change {
            sampled_at: sampled_at(edge, turn, (axis, tilt), flip, scale, shift),
            gain: (contrast * brightness) as f32,
            offset: (f64::from(mean) * (1.0 - contrast) * brightness) as f32,
            noise: (noisy && deviation > 0.0).then_some(Noise { deviation, key }),
        }
    }
}

/// The means that [`Augmentation::draw`] needs, of volumes in memory.
pub(crate) fn means(augmentation: &Augmentation, volumes: &[&[u16]]) -> Vec<f32> {
    let of = |volume: &&[u16]| if augmentation.needs_means() { mean(volume) } else { 0.0 };
    volumes.iter().map(of).collect()
}

struct Draw(Stream);

impl Draw {
    fn happens(&mut self, probability: f64) -> bool {
        f64::from(self.0.unit()) < probability
    }

    /// Uniform between minus and plus `range` if it happens, otherwise 0.
    fn within(&mut self, probability: f64, range: f64) -> f64 {
        let (happens, value) = (self.happens(probability), self.0.symmetric() * range);
        if happens { value } else { 0.0 }
    }

    /// A uniformly distributed point on the unit sphere (by Archimedes' theorem its height is
    /// uniform, and so is its angle).
    fn direction(&mut self) -> [f64; 3] {
        let (z, angle) = (self.0.symmetric(), self.0.symmetric() * std::f64::consts::PI);
        let (sin, cos) = sin_cos(angle);
        let radius = (1.0 - z * z).max(0.0).sqrt();
        [radius * cos, radius * sin, z]
    }
}

/// Where the voxels of the result lie in the volume, as the rows of a matrix applied to
/// `[x, y, z, 1]`. `None` if they stay in place.
fn sampled_at(
    edge: usize,
    turn: f64,
    (axis, tilt): ([f64; 3], f64),
    flip: bool,
    scale: f64,
    shift: [f64; 3],
) -> Option<[[f32; 4]; 3]> {
    if turn == 0.0 && tilt == 0.0 && !flip && scale == 1.0 && shift == [0.0; 3] {
        return None;
    }
    // The map goes from result to volume, so each change is undone in the opposite order: shift,
    // scale, rotations, flip. A rotation is undone by its transpose.
    let turned = transposed(product(rotation([0.0, 0.0, 1.0], turn), rotation(axis, tilt)));
    let mirror = if flip { -1.0 } else { 1.0 };
    let centre = (edge as f64 - 1.0) / 2.0;
    Some([0, 1, 2].map(|row| {
        let sign = if row == 0 { mirror } else { 1.0 };
        let by = turned[row].map(|value| sign * value / scale);
        let start = centre - (0..3).map(|column| by[column] * (centre + shift[column])).sum::<f64>();
        [exact(by[0]), exact(by[1]), exact(by[2]), exact(start)]
    }))
}

/// Rounds a value that is a whole number but for its last digits, so that voxels that stay in their
/// plane are recognised as such.
fn exact(value: f64) -> f32 {
    let whole = value.round();
    if (value - whole).abs() < 1e-12 { whole as f32 } else { value as f32 }
}

/// A rotation by `degrees` about a unit vector (Rodrigues' formula).
fn rotation([x, y, z]: [f64; 3], degrees: f64) -> [[f64; 3]; 3] {
    let (s, c) = sin_cos(degrees.to_radians());
    let k = 1.0 - c;
    [
        [c + x * x * k, x * y * k - z * s, x * z * k + y * s],
        [y * x * k + z * s, c + y * y * k, y * z * k - x * s],
        [z * x * k - y * s, z * y * k + x * s, c + z * z * k],
    ]
}

fn product(a: [[f64; 3]; 3], b: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    a.map(|row| [0, 1, 2].map(|column| (0..3).map(|k| row[k] * b[k][column]).sum()))
}

fn transposed(a: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    [0, 1, 2].map(|row| [0, 1, 2].map(|column| a[column][row]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ctpipe_network::render;

    use super::*;

    const EDGE: usize = 16;

    /// A configuration in which nothing ever happens.
    fn still() -> Config {
        Config {
            rotate_probability: 0.0,
            flip_probability: 0.0,
            brightness_probability: 0.0,
            noise_probability: 0.0,
            ..Config::default()
        }
    }

    fn changes(config: &Config, seed: u64, count: usize) -> Vec<Change> {
        let augmentation = Augmentation::new(config, seed).unwrap();
        (0..count).map(|place| augmentation.draw(3, place, EDGE, 0.25)).collect()
    }

    /// A grey volume with one bright voxel off the centre.
    fn volume() -> Vec<u16> {
        let mut volume = vec![20_000; EDGE.pow(3)];
        volume[at(11, 8, 8)] = 60_000;
        volume
    }

    fn at(x: usize, y: usize, z: usize) -> usize {
        (z * EDGE + y) * EDGE + x
    }

    /// Where the brightest voxel is, and how bright.
    fn brightest(values: &[f32]) -> (usize, f32) {
        let all = values.iter().copied().enumerate();
        all.fold((0, 0.0), |best, (index, value)| if value > best.1 { (index, value) } else { best })
    }

    fn seen(change: &Change) -> Vec<f32> {
        render(EDGE, &volume(), change).unwrap()
    }

    /// The voxels of a cube with edge 16, rotated by 90 degrees, anticlockwise if x points right
    /// and y up: (x, y) comes from (y, 15 - x), by hand.
    #[test]
    fn a_quarter_turn_about_the_bodys_axis_moves_each_voxel_to_its_place() {
        let rows = sampled_at(EDGE, 90.0, ([0.0, 0.0, 1.0], 0.0), false, 1.0, [0.0; 3]);
        let volume: Vec<u16> = (0..EDGE.pow(3)).map(|i| (i * 13) as u16).collect();
        let turned = render(EDGE, &volume, &Change { sampled_at: rows, ..Change::NONE }).unwrap();
        for (x, y, z) in [(0, 0, 0), (3, 9, 2), (15, 0, 15), (7, 8, 4)] {
            assert_eq!(turned[at(x, y, z)], f32::from(volume[at(y, 15 - x, z)]) / 65_535.0);
        }
        // The same rotation, as one about an axis of any direction.
        assert_eq!(rows, sampled_at(EDGE, 0.0, ([0.0, 0.0, 1.0], 90.0), false, 1.0, [0.0; 3]));
    }

    #[test]
    fn turns_stay_within_their_range_and_happen_as_often_as_asked() {
        let config = Config { rotate_probability: 0.3, rotate_degrees: 10.0, ..still() };
        let angles: Vec<f64> = changes(&config, 1, 4000)
            .iter()
            .filter_map(|change| change.sampled_at)
            .map(|rows| f64::from(rows[1][0]).asin().to_degrees())
            .collect();
        // 4000 draws at 0.3: four standard deviations are 116. The angles are uniform over ±10.
        assert!((1084..=1316).contains(&angles.len()), "{}", angles.len());
        assert!(angles.iter().all(|angle| angle.abs() <= 10.0 + 1e-4));
        let mean = angles.iter().sum::<f64>() / angles.len() as f64;
        let spread = angles.iter().map(|a| a * a).sum::<f64>() / angles.len() as f64;
        assert!(mean.abs() < 0.7 && (spread - 100.0 / 3.0).abs() < 4.0, "{mean} {spread}");
        // A rotation about the body's axis leaves z as it is.
        let flat = |change: &Change| change.sampled_at.is_none_or(|rows| rows[2] == [0.0, 0.0, 1.0, 0.0]);
        assert!(changes(&config, 1, 100).iter().all(flat));
        let any = Config { rotate_any_probability: 1.0, rotate_any_degrees: 20.0, ..still() };
        assert!(!changes(&any, 1, 20).iter().any(flat));
        // A rotation by at most 20 degrees: rows of length one, at right angles to each other.
        for rows in changes(&any, 1, 200).iter().filter_map(|change| change.sampled_at) {
            let dot = |a: usize, b: usize| (0..3).map(|k| rows[a][k] * rows[b][k]).sum::<f32>();
            assert!((dot(0, 0) - 1.0).abs() < 1e-5 && dot(0, 1).abs() < 1e-5 && dot(1, 2).abs() < 1e-5);
            let trace = rows[0][0] + rows[1][1] + rows[2][2];
            assert!((trace - 1.0) / 2.0 >= 20_f32.to_radians().cos() - 1e-5);
        }
        let turned = seen(&changes(&Config { rotate_probability: 1.0, ..still() }, 1, 1)[0]);
        // Rotated about the centre: the bright voxel stays in its slice, and the corners become
        // air.
        assert_eq!(brightest(&turned).0 / (EDGE * EDGE), 8);
        assert!(turned[at(0, 0, 8)] < 20_000.0 / 65_535.0 && turned[at(8, 8, 3)] > 0.3);
    }

    #[test]
    fn left_and_right_are_swapped_half_of_the_time() {
        let config = Config { flip_probability: 0.5, ..still() };
        let all = changes(&config, 7, 1000);
        let flipped: Vec<&Change> = all.iter().filter(|change| change.sampled_at.is_some()).collect();
        // Four standard deviations are 63.
        assert!((437..=563).contains(&flipped.len()), "{}", flipped.len());
        assert_eq!(brightest(&seen(flipped[0])), (at(4, 8, 8), 60_000.0 / 65_535.0));
    }

    #[test]
    fn everything_grows_and_moves_about_the_centre() {
        let config = Config { scale_probability: 1.0, scale_range: 0.5, ..still() };
        for change in changes(&config, 1, 50) {
            let rows = change.sampled_at.unwrap();
            let factor = 1.0 / rows[0][0];
            assert!((0.5..=1.5).contains(&factor) && rows[1][1] == rows[0][0] && rows[0][1] == 0.0);
            // The centre, 7.5, stays.
            assert!((rows[0][0] * 7.5 + rows[0][3] - 7.5).abs() < 1e-5);
            // The corner is sampled at 7.5 - 7.5 / factor, which is air if that is a whole voxel
            // outside.
            assert_eq!(seen(&change)[0] > 0.0, 7.5 / factor - 7.5 < 1.0, "{factor}");
        }
        // Shifted by 3 voxels to the patient's left: what was at 11 is at 14.
        let rows = sampled_at(EDGE, 0.0, ([0.0, 0.0, 1.0], 0.0), false, 1.0, [3.0, 0.0, -2.0]);
        let moved = seen(&Change { sampled_at: rows, ..Change::NONE });
        assert_eq!(brightest(&moved).0, at(14, 8, 6));
        let config = Config { shift_probability: 1.0, shift_range: 0.25, ..still() };
        for change in changes(&config, 1, 50) {
            let by = change.sampled_at.unwrap().map(|row| row[3]);
            assert!(by.iter().all(|by| by.abs() <= 4.0) && by[0] != by[1]);
        }
    }

    #[test]
    fn brightness_multiplies_and_contrast_spreads_about_the_mean() {
        let grey = 20_000.0 / 65_535.0;
        let config = Config { brightness_probability: 1.0, brightness_range: 0.2, ..still() };
        let gains: Vec<f32> = changes(&config, 1, 500).iter().map(|change| change.gain).collect();
        assert!(gains.iter().all(|gain| (0.8..=1.2).contains(gain)));
        assert!(gains.iter().any(|gain| *gain < 0.85) && gains.iter().any(|gain| *gain > 1.15));
        let change = changes(&config, 1, 1)[0];
        assert_eq!(seen(&change)[0], grey * change.gain);

        let config = Config { contrast_probability: 1.0, contrast_range: 0.3, ..still() };
        for change in changes(&config, 1, 50) {
            // The given mean, 0.25, stays; differences from it are multiplied by the factor.
            assert!((0.25 * change.gain + change.offset - 0.25).abs() < 1e-6);
            let expected = 0.25 + (grey - 0.25) * change.gain;
            assert!((seen(&change)[0] - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn noise_is_as_strong_as_drawn_and_different_each_time() {
        let config = Config { noise_probability: 1.0, noise_range: 0.1, ..still() };
        let drawn = changes(&config, 1, 300);
        let deviations: Vec<f32> = drawn.iter().map(|change| change.noise.unwrap().deviation).collect();
        let mean = deviations.iter().sum::<f32>() / 300.0;
        assert!(deviations.iter().all(|d| (0.0..=0.1).contains(d)) && (mean - 0.05).abs() < 0.01, "{mean}");
        let values = seen(&drawn[0]);
        let grey = 20_000.0 / 65_535.0;
        let spread = values.iter().map(|v| (v - grey).powi(2)).sum::<f32>() / values.len() as f32;
        // The standard error of the deviation of 4096 values is about one percent.
        assert!((spread.sqrt() / deviations[0] - 1.0).abs() < 0.1, "{spread}");
        assert_ne!(values, seen(&Change { noise: drawn[1].noise, ..drawn[0] }));
    }

    #[test]
    fn a_draw_depends_on_seed_epoch_and_place_alone() {
        let config = Config { contrast_probability: 0.5, rotate_any_probability: 0.5, ..Config::default() };
        assert_eq!(changes(&config, 5, 30), changes(&config, 5, 30));
        assert_ne!(changes(&config, 5, 30), changes(&config, 6, 30));
        let augmentation = Augmentation::new(&config, 5).unwrap();
        let of = |epoch: u32| (0..30).map(|p| augmentation.draw(epoch, p, EDGE, 0.25)).collect::<Vec<_>>();
        assert!(of(1) != of(2) && of(3) == changes(&config, 5, 30));
        // Without noise, everything else stays the same.
        let quiet: Vec<Change> =
            changes(&config, 5, 30).into_iter().map(|c| Change { noise: None, ..c }).collect();
        assert_eq!(changes(&Config { noise_probability: 0.0, ..config }, 5, 30), quiet);
        assert!(Augmentation::new(&Config { augment: false, ..Config::default() }, 5).is_none());
        assert!(Augmentation::new(&still(), 5).is_none());
    }
}
