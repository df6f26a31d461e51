//! Volumes to tensors: read from memory or from a shelf on the device, changed on the way. Knows no network.

use burn::backend::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use ctpipe_kernels::augment::{self, Change};

use crate::batch::Voxels;
use crate::device::isa;
use crate::operations::Operations;

/// Volumes that stay on the device as 16-bit integers.
pub(crate) trait Shelf<B: Backend>: Default {
    /// Puts more there; numbers go on from those that are there.
    fn keep(&mut self, volumes: &[&[u16]], device: &B::Device);
    /// Volumes that are there.
    fn len(&self) -> usize;
}

/// A backend that volumes are brought to.
pub(crate) trait Loading: Operations {
    /// What it keeps volumes in.
    type Shelf: Shelf<Self>;
    /// Volumes that go through a network at once when it only answers.
    const INFERENCE_BATCH: usize;

    /// `[N, 1, size, size, size]` in 0..1, changed as `changes` say (empty: not at all).
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

/// Rendered by the CPU.
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

/// Values of whole volumes as a tensor.
pub(crate) fn cubes<B: Backend>(values: Vec<f32>, size: usize, device: &B::Device) -> Tensor<B, 5> {
    let n = values.len() / size.pow(3);
    Tensor::from_data(TensorData::new(values, [n, 1, size, size, size]), device)
}
