//! Volumes as tensors: read from memory or from a shelf on the device, and changed on the way.

use burn::backend::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use ctpipe_kernels::augment::{self, Change};

use crate::batch::Voxels;
use crate::device::isa;
use crate::operations::Operations;

/// Volumes that stay on the device as 16-bit integers.
pub(crate) trait Shelf<B: Backend>: Default {
    /// Adds volumes; their indices continue after those of the volumes that are already there.
    fn keep(&mut self, volumes: &[&[u16]], device: &B::Device);
    /// Number of volumes on the shelf.
    fn len(&self) -> usize;
}

/// A backend that volumes can be loaded to.
pub(crate) trait Loading: Operations {
    /// The type that stores volumes.
    type Shelf: Shelf<Self>;
    /// Number of volumes that go through the network at once in inference.
    const INFERENCE_BATCH: usize;

    /// Loads `[N, 1, size, size, size]` in 0..1, changed by `changes` (none if empty).
    fn load(
        shelf: &Self::Shelf,
        voxels: Voxels<'_>,
        changes: &[Change],
        size: usize,
        device: &Self::Device,
    ) -> Tensor<Self, 5>;
}

/// A CPU's shelf is its memory.
#[derive(Default)]
pub(crate) struct InMemory(Vec<Vec<u16>>);

impl<B: Backend> Shelf<B> for InMemory {
    fn keep(&mut self, volumes: &[&[u16]], _: &B::Device) {
        self.0.extend(volumes.iter().map(|volume| volume.to_vec()));
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Loading for Flex {
    type Shelf = InMemory;
    const INFERENCE_BATCH: usize = 8;

    fn load(
        shelf: &InMemory,
        voxels: Voxels<'_>,
        changes: &[Change],
        size: usize,
        device: &Self::Device,
    ) -> Tensor<Self, 5> {
        match voxels {
            Voxels::Scaled(values) => cubes(values.to_vec(), size, device),
            Voxels::Host(volumes) => from_host(volumes, changes, size, device),
            Voxels::Kept(numbers) => {
                let volumes: Vec<&[u16]> = numbers.iter().map(|&number| shelf.0[number].as_slice()).collect();
                from_host(&volumes, changes, size, device)
            }
        }
    }
}

/// Renders volumes on the CPU.
pub(crate) fn from_host<B: Backend>(
    volumes: &[&[u16]],
    changes: &[Change],
    size: usize,
    device: &B::Device,
) -> Tensor<B, 5> {
    let mut values = vec![0.0; volumes.len() * size.pow(3)];
    augment::render(isa(), size, volumes, changes, &mut values);
    cubes(values, size, device)
}

/// The values of whole volumes as a tensor.
pub(crate) fn cubes<B: Backend>(values: Vec<f32>, size: usize, device: &B::Device) -> Tensor<B, 5> {
    let n = values.len() / size.pow(3);
    Tensor::from_data(TensorData::new(values, [n, 1, size, size, size]), device)
}
