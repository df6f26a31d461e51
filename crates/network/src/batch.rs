//! What goes through a network at once: voxels from memory or from the device, labels, and how each volume is
//! changed on its way. Knows no file.

use ctpipe_kernels::augment::Change;

use crate::error::Error;

/// Where the voxels of a batch are.
#[derive(Debug, Clone, Copy)]
pub enum Voxels<'a> {
    /// In memory: `size³` 16-bit voxels each, x fastest; 0 is -1000 HU, 65535 is 400 HU.
    Host(&'a [&'a [u16]]),
    /// On the device, by their numbers in the order in which [`crate::Trainer::keep`] was given them.
    Kept(&'a [usize]),
    /// In memory, one volume after the other, scaled to 0..1 already: for whoever compares with another
    /// implementation.
    Scaled(&'a [f32]),
}

/// Some volumes for a step of training.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Their voxels.
    pub voxels: Voxels<'a>,
    /// 0 or 1 each.
    pub labels: &'a [u8],
    /// How each is changed; empty for not at all. Voxels that are scaled already are taken as they are.
    pub changes: &'a [Change],
}

impl<'a> Batch<'a> {
    /// Volumes from memory as they are.
    pub fn of(volumes: &'a [&'a [u16]], labels: &'a [u8]) -> Batch<'a> {
        Batch { voxels: Voxels::Host(volumes), labels, changes: &[] }
    }

    /// # Errors
    /// When a volume has another size, or there is not one for each label.
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
/// When a volume has another size.
pub(crate) fn check_sizes(size: usize, volumes: &[&[u16]]) -> Result<(), Error> {
    match volumes.iter().find(|volume| volume.len() != size.pow(3)) {
        Some(volume) => Err(Error::VolumeSize { size, found: volume.len() }),
        None => Ok(()),
    }
}
