//! A batch: voxels from memory or from the device, labels, and the changes to each volume.

use ctpipe_kernels::augment::Change;

use crate::error::Error;

/// Where the voxels of a batch are.
#[derive(Debug, Clone, Copy)]
pub enum Voxels<'a> {
    /// In memory: `size³` 16-bit voxels each, x fastest; 0 is -1000 HU, 65535 is 400 HU.
    Host(&'a [&'a [u16]]),
    /// On the device, by their index in the order in which [`crate::Trainer::keep`] received them.
    Kept(&'a [usize]),
    /// In memory, one volume after the other, already scaled to 0..1; for comparisons with other
    /// implementations.
    Scaled(&'a [f32]),
}

/// Volumes for a training step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The voxels of the volumes.
    pub voxels: Voxels<'a>,
    /// The label of each volume, 0 or 1.
    pub labels: &'a [u8],
    /// The change to each volume; empty for no changes. Voxels that are already scaled are used
    /// unchanged.
    pub changes: &'a [Change],
}

impl<'a> Batch<'a> {
    /// Volumes from memory, without changes.
    pub fn of(volumes: &'a [&'a [u16]], labels: &'a [u8]) -> Batch<'a> {
        Batch { voxels: Voxels::Host(volumes), labels, changes: &[] }
    }

    /// # Errors
    /// When a volume has a different size, or the numbers of volumes and labels differ.
    pub(crate) fn check(&self, size: usize, kept: usize) -> Result<(), Error> {
        let voxels = size.pow(3);
        let volumes = match self.voxels {
            Voxels::Host(volumes) => {
                check_sizes(size, volumes)?;
                volumes.len()
            }
            Voxels::Kept(numbers) => {
                if let Some(&number) = numbers.iter().find(|&&number| number >= kept) {
                    return Err(Error::Batch(format!(
                        "there is no volume {number} on the device, only {kept}"
                    )));
                }
                numbers.len()
            }
            Voxels::Scaled(values) if values.len().is_multiple_of(voxels) => values.len() / voxels,
            Voxels::Scaled(values) => return Err(Error::VolumeSize { size, found: values.len() % voxels }),
        };
        let labels = self.labels.len();
        if volumes == 0 || volumes != labels || !(self.changes.is_empty() || self.changes.len() == labels) {
            return Err(Error::Batch(format!(
                "a batch has {volumes} volumes, {labels} labels and {} changes; it needs one of each",
                self.changes.len()
            )));
        }
        Ok(())
    }
}

/// # Errors
/// When a volume has a different size.
pub(crate) fn check_sizes(size: usize, volumes: &[&[u16]]) -> Result<(), Error> {
    match volumes.iter().find(|volume| volume.len() != size.pow(3)) {
        Some(volume) => Err(Error::VolumeSize { size, found: volume.len() }),
        None => Ok(()),
    }
}
