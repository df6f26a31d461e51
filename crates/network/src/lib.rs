//! CNN3D on Burn: model, device, loss, training step, inference, and reading and writing weights.
//!
//! The public interface is not generic: a [`Device`] selects Burn's backend internally. Burn is
//! therefore instantiated only in this crate, and a change anywhere else does not recompile it.
//!
//! On a CPU, the blocks, the linear layers and Adam are our own operations (`fused`, based on
//! `ctpipe-kernels`). On any other backend, and for filters without a kernel, they are composed of
//! Burn's operations (`composed`).
//!
//! ```
//! use ctpipe_network::{Batch, Config, Device, Learning, Loss, LossKind, Trainer, Voxels, Weights};
//!
//! let config = Config { size: 16, width: 1, hidden_size: 4, ..Config::default() };
//! let mut trainer = Trainer::new(&Weights::init(&config, 42), Learning::default(), 42, Device::Cpu)?;
//! let (dark, bright) = (vec![0_u16; config.voxels()], vec![u16::MAX; config.voxels()]);
//! let loss = Loss { kind: LossKind::CrossEntropy, ..Loss::default() };
//! trainer.step(&Batch::of(&[&dark, &bright], &[0, 1]), &loss, 1e-2)?;
//! assert!(trainer.losses()[0].is_finite());
//! assert_eq!(trainer.logits(Voxels::Host(&[&dark]))?.len(), 1);
//! # Ok::<(), ctpipe_network::Error>(())
//! ```

mod arch;
mod batch;
mod composed;
mod config;
mod device;
mod error;
mod explain;
mod fused;
#[cfg(feature = "gpu")]
mod gpu;
mod loss;
mod operations;
mod optimizer;
mod probe;
mod profile;
mod random;
mod session;
mod shelf;
mod signatures;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod weights;

pub use arch::Arch;
pub use batch::{Batch, Voxels};
pub use config::{BLOCKS, Config, Outline};
pub use ctpipe_kernels::augment::{Change, Noise, mean};
pub use device::{Device, Precision, instruction_set, why_no_gpu};
pub use error::Error;
#[cfg(feature = "cuda")]
pub use gpu::trial::Trial;
pub use loss::{Loss, LossKind, probability};
pub use optimizer::{Learning, OptimizerKind};
pub use profile::Layer;
pub use random::{Purpose, Stream, sin_cos};
pub use session::Seen;
pub use state::{Counts, State};
pub use weights::Weights;

use batch::check_sizes;
use burn::backend::{Autodiff, Flex};
use explain::{Explain, Explaining};
use session::{Infer, Inference, Train, Training};

/// Runs an expression for a device, with the device's backend and the backend's own device type.
macro_rules! on {
    ($device:expr, |$backend:ident, $at:ident| $body:expr) => {
        match $device {
            Device::Cpu => {
                type $backend = Flex;
                device::cpu()?;
                let $at = burn::backend::flex::FlexDevice;
                $body
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(index) => {
                type $backend = burn::backend::Cuda;
                let $at = burn::backend::cuda::CudaDevice::new(index);
                $body
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(_) => return Err(Error::Device("this ctpipe was built without CUDA".to_owned())),
        }
    };
}

/// A network in training.
pub struct Trainer(Box<dyn Train>);

impl Trainer {
    /// Starts from `weights` with a new optimiser; `seed` is for the dropout masks.
    ///
    /// # Errors
    /// When there is no such network, this build does not support the device, or the CPU does not
    /// support what `CTPIPE_ISA` requests.
    pub fn new(weights: &Weights, learning: Learning, seed: u64, device: Device) -> Result<Trainer, Error> {
        weights.config().check()?;
        Ok(Trainer(on!(device, |B, at| Box::new(Training::<Autodiff<B>>::new(weights, learning, seed, at)))))
    }

    /// Puts volumes of size³ 16-bit voxels where the device can read them quickly, for
    /// [`Voxels::Kept`]. Their indices continue after those of the volumes that are already there.
    ///
    /// # Errors
    /// When a volume has a different size.
    pub fn keep(&mut self, volumes: &[&[u16]]) -> Result<(), Error> {
        check_sizes(self.0.size(), volumes)?;
        self.0.keep(volumes);
        Ok(())
    }

    /// Forward and backward pass on a part of a step; [`Trainer::update`] then updates the weights.
    /// `labels` are those of the whole step, because the loss is the mean over all of them. With a
    /// frozen BatchNorm, parts of any size add up to the gradient of the whole step.
    ///
    /// # Errors
    /// When the batch is empty or incomplete, or its volumes have a different size.
    pub fn add(&mut self, batch: &Batch<'_>, loss: &Loss, labels: &[u8]) -> Result<(), Error> {
        batch.check(self.0.size(), self.0.kept())?;
        self.0.add(batch, loss, loss.divisor(labels), None);
        Ok(())
    }

    /// Updates the weights along the gradients that were added since the last update.
    pub fn update(&mut self, lr: f64) {
        self.0.update(lr);
    }

    /// Discards everything that was added since the last step.
    pub fn abandon(&mut self) {
        self.0.abandon();
    }

    /// One step on one batch.
    ///
    /// # Errors
    /// As [`Trainer::add`].
    pub fn step(&mut self, batch: &Batch<'_>, loss: &Loss, lr: f64) -> Result<(), Error> {
        self.add(batch, loss, batch.labels)?;
        self.update(lr);
        Ok(())
    }

    /// The same step, with its intermediate results, for comparisons with other implementations.
    ///
    /// # Errors
    /// As [`Trainer::add`].
    pub fn step_seen(&mut self, batch: &Batch<'_>, loss: &Loss, lr: f64) -> Result<Seen, Error> {
        batch.check(self.0.size(), self.0.kept())?;
        let mut seen = Seen::default();
        self.0.add(batch, loss, loss.divisor(batch.labels), Some(&mut seen));
        self.update(lr);
        Ok(seen)
    }

    /// The loss of each step since the last call, before the step's update. This waits for a GPU.
    pub fn losses(&mut self) -> Vec<f32> {
        self.0.losses()
    }

    /// Like [`Network::logits`], with the current weights (their moving average, if one is kept).
    ///
    /// # Errors
    /// When a volume has a different size.
    pub fn logits(&self, voxels: Voxels<'_>) -> Result<Vec<[f32; 2]>, Error> {
        logits(self.0.as_ref(), voxels, self.0.kept())
    }

    /// The current weights (their moving average, if one is kept).
    pub fn weights(&self) -> Weights {
        self.0.weights()
    }

    /// The complete state, for a checkpoint between two steps.
    pub fn state(&self) -> State {
        self.0.state()
    }

    /// Restores a state, so that training continues as if it had never stopped.
    pub fn restore(&mut self, state: &State) {
        self.0.restore(state);
    }
}

// The memory that steps pass on to each other is of no use to anything else.
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

/// A network for inference only.
pub struct Network(Box<dyn Infer>);

impl Network {
    /// A network with these weights.
    ///
    /// # Errors
    /// When there is no such network, this build does not support the device, or the CPU does not
    /// support what `CTPIPE_ISA` requests.
    pub fn new(weights: &Weights, device: Device) -> Result<Network, Error> {
        weights.config().check()?;
        Ok(Network(on!(device, |B, at| Box::new(Inference::<B>::new(weights, at)))))
    }

    /// Two logits for each volume.
    ///
    /// # Errors
    /// When a volume has a different size.
    pub fn logits(&self, voxels: Voxels<'_>) -> Result<Vec<[f32; 2]>, Error> {
        logits(self.0.as_ref(), voxels, 0)
    }
}

/// A network that explains its output, which is the logit of pathology minus the logit of normal.
pub struct Explainer(Box<dyn Explain>);

impl Explainer {
    /// A network with these weights.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn new(weights: &Weights, device: Device) -> Result<Explainer, Error> {
        weights.config().check()?;
        Ok(Explainer(on!(device, |B, at| Box::new(Explaining::<Autodiff<B>>::new(weights, at)))))
    }

    /// The gradient of the output with respect to each voxel (Simonyan et al. 2014), for volumes of
    /// size³ values in 0..1, one after the other.
    ///
    /// # Errors
    /// When the values do not form whole volumes.
    pub fn gradients(&self, values: &[f32]) -> Result<Vec<f32>, Error> {
        self.by_volume(values, |some, all| all.extend(self.0.gradients(some)))
    }

    /// Grad-CAM (Selvaraju et al. 2017): the output of the last block, each channel weighted by the
    /// mean of its gradient, where the sum speaks for pathology. The map is enlarged to the grid of
    /// the volumes.
    ///
    /// # Errors
    /// When the values do not form whole volumes.
    pub fn grad_cam(&self, values: &[f32]) -> Result<Vec<f32>, Error> {
        self.by_volume(values, |some, all| {
            let (maps, edge) = self.0.cam(some);
            for map in maps.chunks(edge.pow(3)) {
                all.extend(explain::enlarged(map, edge, self.0.size()));
            }
        })
    }

    fn by_volume(&self, values: &[f32], explain: impl Fn(&[f32], &mut Vec<f32>)) -> Result<Vec<f32>, Error> {
        let voxels = self.0.size().pow(3);
        if !values.len().is_multiple_of(voxels) {
            return Err(Error::VolumeSize { size: self.0.size(), found: values.len() % voxels });
        }
        let mut all = Vec::with_capacity(values.len());
        for some in values.chunks(voxels * self.0.batch()) {
            explain(some, &mut all);
            ctpipe_kernels::buffers::step();
        }
        Ok(all)
    }
}

impl Drop for Explainer {
    fn drop(&mut self) {
        ctpipe_kernels::buffers::clear();
    }
}

/// Where the time of a step goes on a device: each part by itself on random numbers, medians of
/// `repeats`.
///
/// # Errors
/// When there is no such network, or this build does not support the device.
pub fn layers(
    config: &Config,
    device: Device,
    precision: Precision,
    batch: usize,
    repeats: usize,
) -> Result<Vec<Layer>, Error> {
    config.check()?;
    let precision = if device == Device::Cpu { Precision::F32 } else { precision };
    Ok(on!(device, |B, at| profile::layers::<Autodiff<B>>(config, precision, batch, repeats, &at)))
}

/// Every kernel that this ctpipe knows at every product of a training step, if its name is
/// selected. Each result is reported as soon as it is known.
///
/// # Errors
/// When there is no such network.
#[cfg(feature = "cuda")]
pub fn trials(
    config: &Config,
    index: usize,
    precision: Precision,
    batch: usize,
    chosen: &dyn Fn(&str) -> bool,
    found: &dyn Fn(&Trial),
) -> Result<(), Error> {
    config.check()?;
    let device = burn::backend::cuda::CudaDevice::new(index);
    let of = std::marker::PhantomData::<burn::backend::Cuda>;
    gpu::trial::trials(of, config, batch, precision, &device, chosen, found);
    Ok(())
}

/// What the network sees of a volume of `size³` voxels after a change, for looking at it.
///
/// # Errors
/// When the volume has a different size.
pub fn render(size: usize, volume: &[u16], change: &Change) -> Result<Vec<f32>, Error> {
    check_sizes(size, &[volume])?;
    let mut values = vec![0.0; volume.len()];
    ctpipe_kernels::augment::render(
        device::isa(),
        size,
        &[volume],
        std::slice::from_ref(change),
        &mut values,
    );
    Ok(values)
}

fn logits<T: Infer + ?Sized>(network: &T, voxels: Voxels<'_>, kept: usize) -> Result<Vec<[f32; 2]>, Error> {
    let (size, most) = (network.size(), network.batch());
    let mut all = Vec::new();
    let mut answer = |part: Voxels<'_>| {
        all.extend_from_slice(network.logits(part).as_chunks::<2>().0);
        ctpipe_kernels::buffers::step();
    };
    match voxels {
        Voxels::Host(volumes) => {
            check_sizes(size, volumes)?;
            volumes.chunks(most).for_each(|part| answer(Voxels::Host(part)));
        }
        Voxels::Kept(numbers) => {
            if let Some(&number) = numbers.iter().find(|&&number| number >= kept) {
                return Err(Error::Batch(format!("there is no volume {number} on the device, only {kept}")));
            }
            numbers.chunks(most).for_each(|part| answer(Voxels::Kept(part)));
        }
        Voxels::Scaled(values) => {
            if !values.len().is_multiple_of(size.pow(3)) {
                return Err(Error::VolumeSize { size, found: values.len() % size.pow(3) });
            }
            values.chunks(most * size.pow(3)).for_each(|part| answer(Voxels::Scaled(part)));
        }
    }
    Ok(all)
}
