//! CNN3D on Burn: model, device, loss, training step, inference, weights in and out.
//!
//! The public interface is not generic: a [`Device`] picks Burn's backend inside, so that Burn is
//! instantiated in this crate alone and an edit anywhere else does not pay for it.
//!
//! On a CPU the blocks, the linear layers and Adam are operations of our own (`fused`, on
//! `ctpipe-kernels`); on any other backend, and for filters that have no kernel, they are composed of
//! Burn's (`composed`).
//!
//! ```
//! use ctpipe_network::{Config, Device, Loss, LossKind, Trainer, Weights};
//!
//! let config = Config { size: 16, width: 1, hidden_size: 4, ..Config::default() };
//! let mut trainer = Trainer::new(&Weights::init(&config, 42), 1e-4, 42, Device::Cpu)?;
//! let (dark, bright) = (vec![0_u16; config.voxels()], vec![u16::MAX; config.voxels()]);
//! let loss = Loss { kind: LossKind::CrossEntropy, alpha: 0.75, gamma: 2.0, class_weights: [1.0; 2] };
//! let before = trainer.step(&[&dark, &bright], &[0, 1], &loss, 1e-2)?;
//! assert!(before.is_finite());
//! assert_eq!(trainer.logits(&[&dark])?.len(), 1);
//! # Ok::<(), ctpipe_network::Error>(())
//! ```

mod adam;
mod composed;
mod config;
mod device;
mod error;
mod forward;
mod fused;
mod loss;
mod operations;
mod random;
mod session;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod weights;

pub use config::{BLOCKS, Config};
pub use device::{Device, instruction_set};
pub use error::Error;
pub use loss::{Loss, LossKind, probability};
pub use random::{Purpose, Stream};
pub use session::Seen;
pub use weights::Weights;

use burn::backend::{Autodiff, Flex};
use session::{Infer, Inference, Train, Training};

/// Volumes that go through the network at once when it only answers.
const INFERENCE_BATCH: usize = 8;

/// A network that learns.
pub struct Trainer(Box<dyn Train>);

impl Trainer {
    /// Starts from `weights` with a fresh Adam; `seed` is for the dropout masks.
    ///
    /// # Errors
    /// When there is no such network, the device is not in this build, or `CTPIPE_ISA` asks for what the
    /// CPU has not.
    pub fn new(weights: &Weights, weight_decay: f64, seed: u64, device: Device) -> Result<Trainer, Error> {
        weights.config().check()?;
        Ok(Trainer(match device {
            Device::Cpu => {
                device::cpu()?;
                let device = burn::backend::flex::FlexDevice;
                Box::new(Training::<Autodiff<Flex>>::new(weights, weight_decay, seed, device))
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => {
                let device = burn::backend::cuda::CudaDevice::new(index);
                Box::new(Training::<Autodiff<burn::backend::Cuda>>::new(weights, weight_decay, seed, device))
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => return Err(Error::Device("this ctpipe was built without cuda".to_owned())),
        }))
    }

    /// One step of forward, backward and Adam on volumes of size³ 16-bit voxels (0 is -1000 HU, 65535
    /// is 400 HU) with a label 0 or 1 each. Returns the loss before the step.
    ///
    /// # Errors
    /// When a volume has another size.
    pub fn step(&mut self, volumes: &[&[u16]], labels: &[u8], loss: &Loss, lr: f64) -> Result<f32, Error> {
        Ok(self.0.step(normalise(self.0.size(), volumes)?, labels, loss, lr, None))
    }

    /// The same step on voxels that are scaled to 0..1 already, and what it computed on the way: for
    /// whoever holds it against another implementation.
    ///
    /// # Errors
    /// When `voxels` are not those of a volume a label.
    pub fn step_seen(
        &mut self,
        voxels: Vec<f32>,
        labels: &[u8],
        loss: &Loss,
        lr: f64,
    ) -> Result<(f32, Seen), Error> {
        let size = self.0.size();
        if labels.is_empty() || voxels.len() != labels.len() * size.pow(3) {
            return Err(Error::VolumeSize { size, found: voxels.len() / labels.len().max(1) });
        }
        let mut seen = Seen::default();
        let value = self.0.step(voxels, labels, loss, lr, Some(&mut seen));
        Ok((value, seen))
    }

    /// As [`Network::logits`], with the weights as they are now.
    ///
    /// # Errors
    /// When a volume has another size.
    pub fn logits(&self, volumes: &[&[u16]]) -> Result<Vec<[f32; 2]>, Error> {
        logits(self.0.as_ref(), volumes)
    }

    /// The weights as they are now.
    pub fn weights(&self) -> Weights {
        self.0.weights()
    }
}

// The memory that steps pass on to each other is of no use to what comes after.
impl Drop for Trainer {
    fn drop(&mut self) {
        ctpipe_kernels::buffers::clear();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ctpipe_kernels::buffers::clear();
    }
}

/// A network that only answers.
pub struct Network(Box<dyn Infer>);

impl Network {
    /// A network with these weights.
    ///
    /// # Errors
    /// When there is no such network, the device is not in this build, or `CTPIPE_ISA` asks for what the
    /// CPU has not.
    pub fn new(weights: &Weights, device: Device) -> Result<Network, Error> {
        weights.config().check()?;
        Ok(Network(match device {
            Device::Cpu => {
                device::cpu()?;
                Box::new(Inference::<Flex>::new(weights, burn::backend::flex::FlexDevice))
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => {
                let device = burn::backend::cuda::CudaDevice::new(index);
                Box::new(Inference::<burn::backend::Cuda>::new(weights, device))
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => return Err(Error::Device("this ctpipe was built without cuda".to_owned())),
        }))
    }

    /// Two logits for each volume of size³ 16-bit voxels.
    ///
    /// # Errors
    /// When a volume has another size.
    pub fn logits(&self, volumes: &[&[u16]]) -> Result<Vec<[f32; 2]>, Error> {
        logits(self.0.as_ref(), volumes)
    }
}

impl Network {
    /// Two logits for each volume of size³ voxels that are scaled to 0..1 already, one volume after the other.
    ///
    /// # Errors
    /// When `voxels` are not whole volumes.
    pub fn logits_of(&self, voxels: Vec<f32>) -> Result<Vec<[f32; 2]>, Error> {
        let size = self.0.size();
        if !voxels.len().is_multiple_of(size.pow(3)) {
            return Err(Error::VolumeSize { size, found: voxels.len() % size.pow(3) });
        }
        Ok(self.0.logits(voxels).as_chunks::<2>().0.to_vec())
    }
}

fn logits<T: Infer + ?Sized>(network: &T, volumes: &[&[u16]]) -> Result<Vec<[f32; 2]>, Error> {
    let mut all = Vec::with_capacity(volumes.len());
    for batch in volumes.chunks(INFERENCE_BATCH) {
        let logits = network.logits(normalise(network.size(), batch)?);
        all.extend_from_slice(logits.as_chunks::<2>().0);
        ctpipe_kernels::buffers::step();
    }
    Ok(all)
}

/// 16-bit voxels to 0..1.
fn normalise(size: usize, volumes: &[&[u16]]) -> Result<Vec<f32>, Error> {
    let mut values = Vec::with_capacity(volumes.len() * size.pow(3));
    for volume in volumes {
        if volume.len() != size.pow(3) {
            return Err(Error::VolumeSize { size, found: volume.len() });
        }
        values.extend(volume.iter().map(|&voxel| f32::from(voxel) / f32::from(u16::MAX)));
    }
    Ok(values)
}
