//! The volumes that stay on a GPU for a whole training. Knows no step.

use std::collections::HashMap;

use ctpipe_network::{Device, Trainer, mean};

use crate::data::{Dataset, Sample};
use crate::epochs::read;
use crate::error::TrainError;
use crate::memory;
use crate::watcher::Watcher;

/// Volumes that are read and brought there at a time.
const CHUNK: usize = 64;

/// Where on the device a volume is, and its mean; nothing for a CPU, which reads them batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Shelf(HashMap<usize, (usize, f32)>);

impl Shelf {
    /// Brings the training's and the validation's volumes there, if they leave room for the work.
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
                "the volumes take {} of the {} that are free on {device}: they are brought there batch by batch, \
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
        watcher.info(&format!("{} volumes are on {device}, {}", samples.len(), memory::gigabytes(bytes)));
        Ok(shelf)
    }

    /// Numbers on the device and means of these samples; `None` where they are not there.
    pub(crate) fn numbers(&self, samples: &[Sample]) -> Option<(Vec<usize>, Vec<f32>)> {
        samples
            .iter()
            .map(|sample| self.0.get(&sample.volume).copied())
            .collect::<Option<Vec<_>>>()
            .filter(|found| !found.is_empty())
            .map(|found| found.into_iter().unzip())
    }
}
