//! Explains a network's output by gradients of the difference of its logits.

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use crate::arch::Pass;
use crate::config::Config;
use crate::device::Precision;
use crate::operations::Operations;
use crate::session::{download, upload};
use crate::shelf::{Loading, cubes};
use crate::weights::Weights;

/// What the public type needs from a backend.
pub(crate) trait Explain {
    /// Edge of a volume.
    fn size(&self) -> usize;
    /// Number of volumes that it explains at once.
    fn batch(&self) -> usize;
    /// The gradient for each voxel: as many values as were given.
    fn gradients(&self, values: &[f32]) -> Vec<f32>;
    /// The map for each voxel of the last block's output, and its edge.
    fn cam(&self, values: &[f32]) -> (Vec<f32>, usize);
}

/// A network on a tape where only the input has gradients.
pub(crate) struct Explaining<B: AutodiffBackend<InnerBackend: Loading> + Operations> {
    config: Config,
    values: Vec<Tensor<B, 1>>,
    device: B::Device,
}

impl<B: AutodiffBackend<InnerBackend: Loading> + Operations> Explaining<B> {
    pub(crate) fn new(weights: &Weights, device: B::Device) -> Self {
        Explaining { config: weights.config.clone(), values: upload(weights, &device), device }
    }

    /// The logit of pathology minus the logit of normal, summed over volumes. The output of one
    /// volume does not depend on another.
    fn answer(&self, x: Tensor<B, 5>, pass: &mut Pass<'_, B>) -> Tensor<B, 1> {
        let [n, ..] = x.dims();
        let logits = self.config.arch.forward(&self.config, &self.values, x, pass);
        (logits.clone().slice([0..n, 1..2]) - logits.slice([0..n, 0..1])).sum()
    }
}

impl<B: AutodiffBackend<InnerBackend: Loading> + Operations> Explain for Explaining<B> {
    fn size(&self) -> usize {
        self.config.size
    }

    fn batch(&self) -> usize {
        B::InnerBackend::INFERENCE_BATCH
    }

    fn gradients(&self, values: &[f32]) -> Vec<f32> {
        let x: Tensor<B, 5> = cubes(values.to_vec(), self.config.size, &self.device);
        let x = x.require_grad();
        let mut gradients = self.answer(x.clone(), &mut Pass::answer(Precision::F32)).backward();
        match x.grad_remove(&mut gradients) {
            Some(gradient) => download(gradient.reshape([values.len()])),
            // Nothing that was computed depends on the input.
            None => vec![0.0; values.len()],
        }
    }

    fn cam(&self, values: &[f32]) -> (Vec<f32>, usize) {
        let x: Tensor<B, 5> = cubes(values.to_vec(), self.config.size, &self.device);
        let mut kept: Option<Tensor<B, 5>> = None;
        let mut look = |features: Tensor<B, 5>| {
            let leaf = features.detach().require_grad();
            kept = Some(leaf.clone());
            leaf
        };
        let mut pass = Pass { features: Some(&mut look), ..Pass::answer(Precision::F32) };
        let mut gradients = self.answer(x, &mut pass).backward();
        let Some((features, gradient)) = kept.and_then(|leaf| {
            let gradient = leaf.grad_remove(&mut gradients)?;
            Some((leaf.inner(), gradient))
        }) else {
            return (vec![0.0; values.len()], self.config.size);
        };
        let [n, channels, d, h, w] = features.dims();
        let by_channel = |tensor: Tensor<B::InnerBackend, 5>| tensor.reshape([n * channels, d * h * w]);
        let weights = by_channel(gradient).mean_dim(1);
        let map = (by_channel(features) * weights).reshape([n, channels, d * h * w]).sum_dim(1);
        (download(map.clamp_min(0.0).reshape([n * d * h * w])), d)
    }
}

/// Enlarges a map of `edge³` to a grid of `size³`: linear between the centres of its voxels, and
/// constant beyond the outermost centres.
pub(crate) fn enlarged(map: &[f32], edge: usize, size: usize) -> Vec<f32> {
    // For each place: the voxels on both sides, and the share of the second one.
    let places: Vec<(usize, usize, f32)> = (0..size)
        .map(|at| {
            let place = (at as f32 + 0.5) * edge as f32 / size as f32 - 0.5;
            let place = place.clamp(0.0, (edge - 1) as f32);
            let first = place as usize;
            (first, (first + 1).min(edge - 1), place - first as f32)
        })
        .collect();
    let mut out = Vec::with_capacity(size.pow(3));
    for &z in &places {
        for &y in &places {
            for &x in &places {
                let along_x = |z: usize, y: usize| {
                    let row = &map[(z * edge + y) * edge..][..edge];
                    row[x.0] + (row[x.1] - row[x.0]) * x.2
                };
                let along_y = |z: usize| along_x(z, y.0) + (along_x(z, y.1) - along_x(z, y.0)) * y.2;
                out.push(along_y(z.0) + (along_y(z.1) - along_y(z.0)) * z.2);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_enlarged_about_the_centres_of_its_voxels() {
        // By hand: enlarging 2 voxels to 4, these lie at -0.25 (so 0), 0.25, 0.75 and 1.25 (so 1).
        let map: Vec<f32> = (0..8).map(|i| (i % 2) as f32).collect();
        let large = enlarged(&map, 2, 4);
        assert_eq!(large.len(), 64);
        for row in large.chunks(4) {
            assert_eq!(row, [0.0, 0.25, 0.75, 1.0]);
        }
    }
}
