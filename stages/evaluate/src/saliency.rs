//! Saliency maps: for the most confident true positives, false negatives and false positives of the
//! test set, for the series closest to the threshold, and one over the whole test set. Draws
//! nothing.

use ctpipe_network::{Change, Explainer, Network, Noise, Purpose, Stream, Voxels, Weights, render};
use ctpipe_stage::{StageError, Task};
use ctpipe_tables::json::{Randomised, SaliencyFile};
use ctpipe_tables::shards::Volumes;
use ctpipe_tables::{Part, PredictionRow, SaliencyRow};

/// How maps are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// Number of series of each kind; 0 makes no maps at all.
    pub(crate) cases: usize,
    /// Number of noisy copies that SmoothGrad averages over.
    pub(crate) smooth_grad_samples: usize,
    /// Standard deviation of their noise, on the scale of 0..1.
    pub(crate) smooth_grad_noise: f64,
    /// Edge of the window that is covered, in voxels; 0 makes no occlusion map.
    pub(crate) occlusion_window: usize,
    /// Seed of the noise.
    pub(crate) seed: u64,
}

/// Why a series is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// True positive: pathological and predicted so.
    Hit,
    /// False negative: pathological but predicted normal.
    Miss,
    /// False positive: normal but predicted pathological.
    FalseAlarm,
    /// Closest to the threshold.
    Undecided,
}

impl Case {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Case; 4] = [Case::Hit, Case::Miss, Case::FalseAlarm, Case::Undecided];

    /// The name that stands in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Case::Hit => "hit",
            Case::Miss => "miss",
            Case::FalseAlarm => "false_alarm",
            Case::Undecided => "undecided",
        }
    }

    /// The sort key, the most confident of its kind first; `None` if the series is of another kind.
    fn rank(self, row: &PredictionRow, threshold: f64) -> Option<f64> {
        match (self, row.label == 1, row.decision) {
            (Case::Hit, true, true) | (Case::FalseAlarm, false, true) => Some(-row.probability),
            (Case::Miss, true, false) => Some(row.probability),
            (Case::Undecided, ..) => Some((row.probability - threshold).abs()),
            _ => None,
        }
    }
}

/// The series to explain, each once: at most `most` of each kind. The undecided ones are chosen
/// among those that no other kind took.
pub(crate) fn cases(
    predictions: &[PredictionRow],
    threshold: f64,
    most: usize,
) -> Vec<(Case, &PredictionRow)> {
    let mut chosen: Vec<(Case, &PredictionRow)> = Vec::new();
    for case in Case::ALL {
        let test = predictions.iter().filter(|row| row.split == Part::Test.as_str());
        let mut ranked: Vec<(f64, &PredictionRow)> = test
            .filter(|row| chosen.iter().all(|(_, other)| other.series_uid != row.series_uid))
            .filter_map(|row| Some((case.rank(row, threshold)?, row)))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.series_uid.cmp(&b.1.series_uid)));
        chosen.extend(ranked.into_iter().take(most).map(|(_, row)| (case, row)));
    }
    chosen
}

/// Makes the maps.
struct Maps<'a> {
    explainer: Explainer,
    network: &'a Network,
    settings: &'a Settings,
    size: usize,
}

impl Maps<'_> {
    fn scaled(&self, volume: &[u16]) -> Result<Vec<f32>, StageError> {
        render(self.size, volume, &Change::NONE).map_err(StageError::failed)
    }

    /// Absolute gradients (Simonyan et al. 2014), volume by volume.
    fn gradient(&self, volumes: &[Vec<u16>]) -> Result<Vec<f32>, StageError> {
        let scaled: Result<Vec<_>, _> = volumes.iter().map(|volume| self.scaled(volume)).collect();
        let gradient = self.explainer.gradients(&scaled?.concat()).map_err(StageError::failed)?;
        Ok(gradient.into_iter().map(f32::abs).collect())
    }

    /// The mean of gradients under noise (Smilkov et al. 2017), times the voxel's value, which is 0
    /// for air (section 3.3 of that paper): how much the voxel contributes to the output, where
    /// that speaks for pathology. A pool passes its gradient to one voxel in eight, so neighbours
    /// are smoothed together.
    fn smooth_grad(&self, explainer: &Explainer, volume: &[u16]) -> Result<Vec<f32>, StageError> {
        let samples = self.settings.smooth_grad_samples;
        let mut sum = vec![0.0; volume.len()];
        let all: Vec<usize> = (0..samples).collect();
        for some in all.chunks(AT_ONCE) {
            let mut noisy = Vec::with_capacity(some.len() * volume.len());
            for &sample in some {
                let mut stream = Stream::at(self.settings.seed, Purpose::Explanation, sample as u64);
                let key = [stream.word(), stream.word(), stream.word()];
                let noise = Some(Noise { deviation: self.settings.smooth_grad_noise as f32, key });
                let change = Change { noise, ..Change::NONE };
                noisy.extend(render(self.size, volume, &change).map_err(StageError::failed)?);
            }
            for gradient in explainer.gradients(&noisy).map_err(StageError::failed)?.chunks(volume.len()) {
                sum.iter_mut().zip(gradient).for_each(|(sum, slope)| *sum += slope);
            }
        }
        let values = self.scaled(volume)?;
        let mut map: Vec<f32> =
            sum.iter().zip(values).map(|(sum, value)| sum / samples as f32 * value).collect();
        smooth(&mut map, self.size);
        Ok(map.into_iter().map(|value| value.max(0.0)).collect())
    }

    fn grad_cam(&self, volume: &[u16]) -> Result<Vec<f32>, StageError> {
        self.explainer.grad_cam(&self.scaled(volume)?).map_err(StageError::failed)
    }

    /// By how much the output falls when a window is filled with the volume's mean (Zeiler and
    /// Fergus 2014). Each voxel gets the mean over the windows that contain it, where that speaks
    /// for pathology.
    fn occlusion(&self, volume: &[u16]) -> Result<Vec<f32>, StageError> {
        let (size, window) = (self.size, self.settings.occlusion_window.min(self.size));
        let values = self.scaled(volume)?;
        let mean = (values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64) as f32;
        let answer = |values: &[f32]| -> Result<Vec<f32>, StageError> {
            let logits = self.network.logits(Voxels::Scaled(values)).map_err(StageError::failed)?;
            Ok(logits.iter().map(|[normal, pathology]| pathology - normal).collect())
        };
        let whole = answer(&values)?[0];
        let starts = starts(size, window);
        let mut corners = Vec::with_capacity(starts.len().pow(3));
        for &z in &starts {
            for &y in &starts {
                corners.extend(starts.iter().map(|&x| [x, y, z]));
            }
        }
        let mut sum = vec![0.0_f32; values.len()];
        let mut count = vec![0.0_f32; values.len()];
        for some in corners.chunks(AT_ONCE) {
            let mut covered = values.repeat(some.len());
            for (corner, values) in some.iter().zip(covered.chunks_mut(values.len())) {
                each_voxel(size, window, *corner, |at| values[at] = mean);
            }
            for (corner, left) in some.iter().zip(answer(&covered)?) {
                each_voxel(size, window, *corner, |at| {
                    sum[at] += whole - left;
                    count[at] += 1.0;
                });
            }
        }
        Ok(sum.into_iter().zip(count).map(|(sum, count)| (sum / count).max(0.0)).collect())
    }
}

/// A binomial filter of five voxels along each axis, close to a Gaussian with a deviation of one
/// voxel.
fn smooth(map: &mut [f32], size: usize) {
    let mut line = vec![0.0; size];
    for stride in [1, size, size * size] {
        for start in (0..map.len()).filter(|at| at / stride % size == 0) {
            for (at, value) in line.iter_mut().enumerate() {
                *value = map[start + at * stride];
            }
            for at in 0..size {
                let beside = |by: usize| line[at.saturating_sub(by)] + line[(at + by).min(size - 1)];
                map[start + at * stride] = (6.0 * line[at] + 4.0 * beside(1) + beside(2)) / 16.0;
            }
        }
    }
}

/// Number of volumes, or of changed copies of one, in memory at a time.
const AT_ONCE: usize = 8;

/// Where windows begin along an axis: every half window, and the last one at the end.
fn starts(size: usize, window: usize) -> Vec<usize> {
    let last = size - window;
    let mut starts: Vec<usize> = (0..=last).step_by((window / 2).max(1)).collect();
    if starts.last() != Some(&last) {
        starts.push(last);
    }
    starts
}

fn each_voxel(size: usize, window: usize, [x, y, z]: [usize; 3], mut each: impl FnMut(usize)) {
    for z in z..z + window {
        for y in y..y + window {
            let row = (z * size + y) * size;
            (row + x..row + x + window).for_each(&mut each);
        }
    }
}

/// A map as a row of the table.
fn row(series_uid: &str, case: &str, method: &str, size: usize, map: &[f32]) -> SaliencyRow {
    // The first of equal values, so that the position is the same every time.
    let largest = (0..map.len()).max_by(|&a, &b| map[a].total_cmp(&map[b]).then(b.cmp(&a))).unwrap_or(0);
    let most = map.get(largest).copied().unwrap_or(0.0);
    let byte = |&value: &f32| if most > 0.0 { (value / most * 255.0).round() as u8 } else { 0 };
    SaliencyRow {
        series_uid: series_uid.to_owned(),
        case: case.to_owned(),
        method: method.to_owned(),
        size: size as u32,
        x: (largest % size) as u32,
        y: (largest / size % size) as u32,
        z: (largest / (size * size)) as u32,
        largest: f64::from(most),
        map: map.iter().map(byte).collect(),
    }
}

/// Spearman's rank correlation of two maps of equal size; ties get their mean rank.
fn rank_correlation(a: &[f32], b: &[f32]) -> Option<f64> {
    let ranks = |values: &[f32]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
        let mut ranks = vec![0.0; values.len()];
        let mut place = 0;
        for tied in order.chunk_by(|&i, &j| values[i].total_cmp(&values[j]).is_eq()) {
            let mean = place as f64 + (tied.len() - 1) as f64 / 2.0;
            for &i in tied {
                ranks[i] = mean;
            }
            place += tied.len();
        }
        ranks
    };
    let (a, b) = (ranks(a), ranks(b));
    // The mean of the ranks is the same with and without ties.
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let of_both = (product(&a, &a) * product(&b, &b)).sqrt();
    (of_both > 0.0).then(|| product(&a, &b) / of_both)
}

/// All maps, and how they were made.
///
/// # Errors
/// If volumes cannot be read, or the run is to stop.
pub(crate) fn explain(
    task: &Task<'_>,
    (weights, network, device): (&Weights, &Network, ctpipe_network::Device),
    predictions: &[PredictionRow],
    threshold: f64,
    settings: &Settings,
) -> Result<(Vec<SaliencyRow>, SaliencyFile), StageError> {
    let chosen = cases(predictions, threshold, settings.cases);
    let mut file = SaliencyFile {
        cases: settings.cases as u64,
        smooth_grad_samples: settings.smooth_grad_samples as u64,
        smooth_grad_noise: settings.smooth_grad_noise,
        occlusion_window: settings.occlusion_window as u64,
        randomised: None,
    };
    if chosen.is_empty() {
        return Ok((Vec::new(), file));
    }
    let volumes = Volumes::open(task.input("volumes")?).map_err(StageError::failed)?;
    let explainer = Explainer::new(weights, device).map_err(StageError::failed)?;
    let size = weights.config().size;
    let maps = Maps { explainer, network, settings, size };
    let test: Vec<&PredictionRow> =
        predictions.iter().filter(|row| row.split == Part::Test.as_str()).collect();
    let total = (chosen.len() + test.len()) as u64;
    let mut rows = Vec::new();
    for (done, (case, prediction)) in chosen.iter().enumerate() {
        task.check_stop()?;
        task.progress(done as u64, total, "maps", "");
        let uid = prediction.series_uid.as_str();
        let read = volumes.read(&[uid]).map_err(StageError::failed)?;
        let volume = read.concat();
        let mut add = |method: &str, map: &[f32]| rows.push(row(uid, case.as_str(), method, size, map));
        let smooth = maps.smooth_grad(&maps.explainer, &volume)?;
        add("smooth_grad", &smooth);
        add("gradient", &maps.gradient(&read)?);
        add("grad_cam", &maps.grad_cam(&volume)?);
        if settings.occlusion_window > 0 {
            add("occlusion", &maps.occlusion(&volume)?);
        }
        if done == 0 {
            // Adebayo et al. 2018: a map that reflects what was learnt must change with random
            // weights. The inverted seed gives other weights than those that the training started
            // from, which come from the pipeline's seed.
            let random = Weights::init(weights.config(), !settings.seed);
            let random = Explainer::new(&random, device).map_err(StageError::failed)?;
            let other = maps.smooth_grad(&random, &volume)?;
            file.randomised = rank_correlation(&smooth, &other)
                .map(|correlation| Randomised { series_uid: uid.to_owned(), correlation });
        }
    }
    let mut sum = vec![0.0_f64; size.pow(3)];
    for (batch, some) in test.chunks(AT_ONCE).enumerate() {
        task.check_stop()?;
        task.progress((chosen.len() + batch * AT_ONCE) as u64, total, "maps", "");
        let uids: Vec<&str> = some.iter().map(|row| row.series_uid.as_str()).collect();
        let gradients = maps.gradient(&volumes.read(&uids).map_err(StageError::failed)?)?;
        for gradient in gradients.chunks(sum.len()) {
            sum.iter_mut().zip(gradient).for_each(|(sum, &slope)| *sum += f64::from(slope));
        }
    }
    let mean: Vec<f32> = sum.into_iter().map(|sum| (sum / test.len() as f64) as f32).collect();
    rows.push(row("", "test", "gradient", size, &mean));
    task.progress(total, total, "maps", "");
    Ok((rows, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(uid: &str, label: u32, probability: f64) -> PredictionRow {
        PredictionRow {
            series_uid: uid.to_owned(),
            split: "test".to_owned(),
            label,
            probability,
            decision: probability >= 0.5,
            ..PredictionRow::default()
        }
    }

    #[test]
    fn each_kind_is_chosen_by_certainty_and_no_series_twice() {
        let mut rows = vec![
            prediction("sure hit", 1, 0.9),
            prediction("hit", 1, 0.8),
            prediction("miss", 1, 0.4),
            prediction("sure miss", 1, 0.1),
            prediction("false alarm", 0, 0.7),
            prediction("normal", 0, 0.48),
            prediction("clearly normal", 0, 0.01),
        ];
        rows.push(PredictionRow { split: "train".to_owned(), ..prediction("learnt", 1, 1.0) });
        let chosen = cases(&rows, 0.5, 1);
        let named: Vec<(Case, &str)> =
            chosen.iter().map(|(case, row)| (*case, row.series_uid.as_str())).collect();
        let expected = [
            (Case::Hit, "sure hit"),
            (Case::Miss, "sure miss"),
            (Case::FalseAlarm, "false alarm"),
            (Case::Undecided, "normal"),
        ];
        assert_eq!(named, expected);
        assert!(cases(&rows, 0.5, 0).is_empty());
    }

    #[test]
    fn windows_cover_every_voxel_with_the_last_at_the_end() {
        assert_eq!(starts(64, 24), [0, 12, 24, 36, 40]);
        assert_eq!(starts(64, 64), [0]);
        assert_eq!(starts(10, 1), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_map_is_told_with_its_first_maximum_and_nothing_of_nothing() {
        let mut map = vec![0.0; 64];
        (map[37], map[21], map[50]) = (2.0, 2.0, 1.0);
        let told = row("1.2", "hit", "gradient", 4, &map);
        // 21 = (1 x 4 + 1) x 4 + 1.
        assert_eq!(([told.x, told.y, told.z], told.largest), ([1, 1, 1], 2.0));
        assert_eq!([told.map[21], told.map[37], told.map[50], told.map[0]], [255, 255, 128, 0]);
        assert_eq!(row("", "test", "gradient", 4, &[0.0; 64]).map, [0; 64]);
    }

    #[test]
    fn rank_correlation_is_scipys() {
        // scipy.stats.spearmanr([1, 2, 2, 4, 9], [3, 1, 2, 2, 8]).statistic
        let found = rank_correlation(&[1.0, 2.0, 2.0, 4.0, 9.0], &[3.0, 1.0, 2.0, 2.0, 8.0]);
        assert!(found.is_some_and(|found| (found - 0.289_473_684_210_526_3).abs() < 1e-12), "{found:?}");
        assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
    }

    #[test]
    fn smoothing_spreads_a_point_by_the_binomials_of_four() {
        let mut map = vec![0.0; 729];
        map[(4 * 9 + 4) * 9 + 4] = 4096.0;
        smooth(&mut map, 9);
        let row: Vec<f32> = (0..9).map(|x| map[(4 * 9 + 4) * 9 + x]).collect();
        assert_eq!(row, [0.0, 0.0, 36.0, 144.0, 216.0, 144.0, 36.0, 0.0, 0.0]);
    }
}
