//! What a training reads: samples by part, volumes on demand. Knows no file format.

use std::error::Error;

use ctpipe_network::{Purpose, Stream};
use ctpipe_tables::shards::Volumes;

/// One volume and its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its number in the source.
    pub volume: usize,
    /// 0 or 1.
    pub label: u8,
}

/// Cubes of voxels by number, all of one size.
pub trait VolumeSource {
    /// Edge of a volume in voxels.
    ///
    /// # Errors
    /// When none can be looked at.
    fn edge(&self) -> Result<usize, Box<dyn Error + Send + Sync>>;

    /// Reads some of them, in the order asked for.
    ///
    /// # Errors
    /// When one cannot be read.
    fn read(&self, volumes: &[usize]) -> Result<Vec<Vec<u16>>, Box<dyn Error + Send + Sync>>;

    /// What people know a volume by.
    fn name(&self, volume: usize) -> String {
        format!("volume {volume}")
    }
}

/// Volumes that are in memory anyway.
pub struct InMemory(pub Vec<Vec<u16>>);

impl VolumeSource for InMemory {
    fn edge(&self) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let voxels = self.0.first().ok_or("there are no volumes")?.len();
        let edge = (1..=voxels).find(|edge| edge.pow(3) >= voxels).unwrap_or_default();
        if edge.pow(3) == voxels { Ok(edge) } else { Err(format!("{voxels} voxels are no cube").into()) }
    }

    fn read(&self, volumes: &[usize]) -> Result<Vec<Vec<u16>>, Box<dyn Error + Send + Sync>> {
        let get = |&index: &usize| self.0.get(index).cloned().ok_or(format!("there is no volume {index}"));
        Ok(volumes.iter().map(get).collect::<Result<_, _>>()?)
    }
}

/// Volumes of an artifact of preprocess, read batch by batch: memory does not grow with the set.
pub(crate) struct FromShards {
    pub(crate) volumes: Volumes,
    pub(crate) series_uids: Vec<String>,
}

impl VolumeSource for FromShards {
    fn edge(&self) -> Result<usize, Box<dyn Error + Send + Sync>> {
        Ok(self.volumes.edge()?)
    }

    fn read(&self, volumes: &[usize]) -> Result<Vec<Vec<u16>>, Box<dyn Error + Send + Sync>> {
        let uids: Vec<&str> = volumes.iter().map(|&index| self.series_uids[index].as_str()).collect();
        Ok(self.volumes.read(&uids)?)
    }

    fn name(&self, volume: usize) -> String {
        self.series_uids.get(volume).map_or_else(|| format!("volume {volume}"), Clone::clone)
    }
}

/// What to learn from, what to choose the epoch by. The test part is not here.
pub struct Dataset<'a> {
    /// To learn from.
    pub train: Vec<Sample>,
    /// To choose the epoch by; may be empty.
    pub val: Vec<Sample>,
    /// Where the volumes are.
    pub volumes: &'a dyn VolumeSource,
}

/// Samples of each class.
pub(crate) fn class_counts(samples: &[Sample]) -> [usize; 2] {
    let pathology = samples.iter().filter(|sample| sample.label == 1).count();
    [samples.len() - pathology, pathology]
}

/// The samples of an epoch in their order, which depends on seed and epoch alone.
///
/// Weighted: as many draws as there are samples, with replacement; a class is drawn by the toss of a
/// coin, then one of its samples. Otherwise: each sample once, shuffled.
pub(crate) fn epoch_order(samples: &[Sample], weighted: bool, seed: u64, epoch: u32) -> Vec<Sample> {
    let stream = &mut Stream::at(seed, Purpose::Sampler, u64::from(epoch));
    let mut order = samples.to_vec();
    if !weighted {
        stream.shuffle(&mut order);
        return order;
    }
    let by_class = [0, 1].map(|class| samples.iter().filter(|s| s.label == class).collect::<Vec<_>>());
    for slot in &mut order {
        let class = &by_class[stream.below(2) as usize];
        if let Some(sample) = class.get(stream.below(class.len() as u32) as usize) {
            *slot = **sample;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Sample> {
        (0..1000).map(|volume| Sample { volume, label: u8::from(volume < 100) }).collect()
    }

    #[test]
    fn the_weighted_sampler_draws_both_classes_alike_and_repeats_samples() {
        let order = epoch_order(&samples(), true, 42, 1);
        let [_, pathology] = class_counts(&order);
        // 1000 tosses: four standard deviations are 63.
        assert!((437..=563).contains(&pathology), "{pathology}");
        let mut distinct: Vec<usize> = order.iter().map(|s| s.volume).collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() < 800);
    }

    #[test]
    fn without_it_every_sample_comes_once_in_a_seeded_order() {
        let mut order = epoch_order(&samples(), false, 42, 1);
        assert_ne!(order, samples());
        assert_ne!(order, epoch_order(&samples(), false, 42, 2));
        assert_eq!(order, epoch_order(&samples(), false, 42, 1));
        order.sort_by_key(|sample| sample.volume);
        assert_eq!(order, samples());
    }
}
