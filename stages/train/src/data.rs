//! What a training reads: the samples of each set, and volumes on demand. Knows no file format.

use std::error::Error;

use crate::error::TrainError;

use ctpipe_network::{Purpose, Stream};
use ctpipe_tables::shards::Volumes;

/// One volume and its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The number of the volume in the source.
    pub volume: usize,
    /// The label: 0 or 1.
    pub label: u8,
}

/// A source of numbered cubes of voxels, all of one size.
pub trait VolumeSource {
    /// The edge of a volume in voxels.
    ///
    /// # Errors
    /// If no volume can be read.
    fn edge(&self) -> Result<usize, Box<dyn Error + Send + Sync>>;

    /// Reads the volumes with these numbers, in this order.
    ///
    /// # Errors
    /// If one of them cannot be read.
    fn read(&self, volumes: &[usize]) -> Result<Vec<Vec<u16>>, Box<dyn Error + Send + Sync>>;

    /// The name of a volume in messages.
    fn name(&self, volume: usize) -> String {
        format!("volume {volume}")
    }
}

/// Volumes that are already in memory.
pub struct InMemory(pub Vec<Vec<u16>>);

impl VolumeSource for InMemory {
    fn edge(&self) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let voxels = self.0.first().ok_or("there are no volumes")?.len();
        let edge = (1..=voxels).find(|edge| edge.pow(3) >= voxels).unwrap_or_default();
        if edge.pow(3) == voxels {
            Ok(edge)
        } else {
            Err(format!("{voxels} voxels do not form a cube").into())
        }
    }

    fn read(&self, volumes: &[usize]) -> Result<Vec<Vec<u16>>, Box<dyn Error + Send + Sync>> {
        let get = |&index: &usize| self.0.get(index).cloned().ok_or(format!("there is no volume {index}"));
        Ok(volumes.iter().map(get).collect::<Result<_, _>>()?)
    }
}

/// The volumes of an artifact of preprocess, read batch by batch, so that memory does not grow with
/// the data set.
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

/// The training and validation sets. The test set is not part of it.
pub struct Dataset<'a> {
    /// The training set.
    pub train: Vec<Sample>,
    /// The validation set, on which the epoch is chosen; may be empty.
    pub val: Vec<Sample>,
    /// The source of the volumes.
    pub volumes: &'a dyn VolumeSource,
}

/// The number of samples of each class.
pub(crate) fn class_counts(samples: &[Sample]) -> [usize; 2] {
    let pathology = samples.iter().filter(|sample| sample.label == 1).count();
    [samples.len() - pathology, pathology]
}

/// The samples of an epoch in order, which depends only on seed and epoch.
///
/// If weighted, as many samples are drawn as there are, with replacement: first a class by the toss
/// of a coin, then one of its samples. Otherwise each sample comes once, shuffled.
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

/// The volumes of some samples.
pub(crate) fn read(data: &Dataset<'_>, samples: &[Sample]) -> Result<Vec<Vec<u16>>, TrainError> {
    let numbers: Vec<usize> = samples.iter().map(|sample| sample.volume).collect();
    data.volumes.read(&numbers).map_err(TrainError::Volumes)
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
