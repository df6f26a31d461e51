//! The volumes that stay on a GPU for the whole training. Knows no step.

use std::collections::HashMap;

use ctpipe_network::{Device, Trainer, mean};

use crate::data::read;
use crate::data::{Dataset, Sample};
use crate::error::TrainError;
use crate::memory;
use crate::observer::Watcher;

/// Number of volumes that are read and copied to the device at a time.
const CHUNK: usize = 64;

/// The position of each volume on the device, and its mean; empty for a CPU, which reads volumes
/// batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Shelf(HashMap<usize, (usize, f32)>);

impl Shelf {
    /// Copies the volumes of the training and validation sets to the device, if they leave enough
    /// memory for the training.
    pub(crate) fn fill(
        trainer: &mut Trainer,
        data: &Dataset<'_>,
        device: Device,
        watcher: &mut dyn Watcher,
    ) -> Result<Shelf, TrainError> {
        let mut shelf = Shelf::default();
        if device == Device::Cpu {
            return Ok(shelf);
        }
        let edge = data.volumes.edge().map_err(TrainError::Volumes)?;
        let mut samples: Vec<Sample> = data.train.iter().chain(&data.val).copied().collect();
        samples.sort_by_key(|sample| sample.volume);
        samples.dedup_by_key(|sample| sample.volume);
        let bytes = 2 * edge.pow(3) as u64 * samples.len() as u64;
        if let Some(free) = memory::free(device).filter(|free| bytes > free / 2) {
            watcher.note(&format!(
                "the volumes take {} of the {} that are free on {device}, so they are copied there batch by batch, \
                 which is slower",
                memory::gigabytes(bytes),
                memory::gigabytes(free)
            ));
            return Ok(shelf);
        }
        for part in samples.chunks(CHUNK) {
            let volumes = read(data, part)?;
            let slices: Vec<&[u16]> = volumes.iter().map(Vec::as_slice).collect();
            trainer.keep(&slices)?;
            for (sample, volume) in part.iter().zip(&slices) {
                shelf.0.insert(sample.volume, (shelf.0.len(), mean(volume)));
            }
        }
        watcher.info(&format!(
            "{} volumes are kept on {device}, {}",
            samples.len(),
            memory::gigabytes(bytes)
        ));
        Ok(shelf)
    }

    /// The positions of these samples on the device and their means; `None` if they are not there.
    pub(crate) fn numbers(&self, samples: &[Sample]) -> Option<(Vec<usize>, Vec<f32>)> {
        samples
            .iter()
            .map(|sample| self.0.get(&sample.volume).copied())
            .collect::<Option<Vec<_>>>()
            .filter(|found| !found.is_empty())
            .map(|found| found.into_iter().unzip())
    }
}
