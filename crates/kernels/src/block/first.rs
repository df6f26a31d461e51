//! A block with one input channel: the first block of the network. Its results are linear in 27
//! taps, so their statistics and gradients follow from correlations, and no results are stored.

use std::sync::Arc;

use super::{
    Block, Call, Gradients, Keep, Kept, Normal, PARTS, Part, Results, Saved, Vectors, lanes, narrow, parts,
};
use crate::Isa;
use crate::buffers::{Buffer, take};
use crate::first::{CENTRE, Correlation, Folded, TAPS, gradient_first, pool_first};
use crate::layout::{Extent, LANES, Layout, Volumes, padded, pitch};
use crate::parallel::each;

/// Samples of one channel, each with a border of zeros.
fn bordered(x: &[f32], extent: Extent) -> Buffer {
    let size = extent.size;
    let voxels = size.iter().map(|edge| edge + 2).product();
    let mut bordered = Buffer::new(extent.n * voxels);
    each(bordered.chunks_exact_mut(voxels).collect(), |n, to| {
        padded(&x[n * extent.voxels()..][..extent.voxels()], size, to);
    });
    bordered
}

/// The single channel of each voxel.
fn one_channel(x: Volumes<'_>, extent: Extent) -> std::borrow::Cow<'_, [f32]> {
    assert_eq!(x.values.len(), extent.len(1, x.layout), "values of a different shape");
    match x.layout {
        Layout::ChannelsFirst => std::borrow::Cow::Borrowed(x.values),
        Layout::ChannelsLast => x.values.iter().step_by(LANES).copied().collect(),
    }
}

pub(super) fn forward(call: Call<'_>, x: Volumes<'_>) -> Results {
    let Call { isa, extent, block, statistics: _, keep } = call;
    let x = one_channel(x, extent);
    let count = call.count();
    let correlation = call.by_batch().then(|| Correlation::of(isa, &x, extent.size));
    let moments = correlation.as_ref().map(|correlation| {
        let weight = |o: usize, t: usize| f64::from(block.weight[o * TAPS + t]);
        let mean: Vec<f64> = (0..block.to)
            .map(|o| (0..TAPS).map(|t| weight(o, t) * correlation.sums[t]).sum::<f64>() / count)
            .collect();
        let var = (0..block.to)
            .map(|o| {
                let square: f64 =
                    (0..TAPS).map(|t| weight(o, t) * correlation.along(t, block.weight, o)).sum();
                (square / count - mean[o] * mean[o]).max(0.0)
            })
            .collect();
        (mean, var)
    });
    let normal = Normal::new(call, moments);
    let channels = pitch(block.to);
    let mut weight = vec![0.0; TAPS * channels];
    for o in 0..block.to {
        for t in 0..TAPS {
            let skip = block.skip.filter(|_| t == CENTRE).map_or(0.0, |[weight, _]| f64::from(weight[o]));
            weight[t * channels + o] =
                (f64::from(block.weight[o * TAPS + t]) * normal.scale(block, o) + skip) as f32;
        }
    }
    let shift = lanes(block.to, |c| normal.shift(block, c));
    let bordered = bordered(&x, extent);
    let pooled = extent.pooled();
    let [_, h, w] = extent.size;
    let border_plane = (h + 2) * (w + 2);
    let pooled_plane = pooled.size[1] * pooled.size[2] * channels;
    let mut output = take(pooled.len(block.to, Layout::ChannelsLast));
    let mut positions = vec![0_u8; output.len()];
    let work = output.chunks_exact_mut(pooled_plane).zip(positions.chunks_exact_mut(pooled_plane)).collect();
    each(work, |index, (to, positions): (&mut [f32], &mut [u8])| {
        let (sample, d) = (index / pooled.size[0], index % pooled.size[0]);
        let start = (sample * (extent.size[0] + 2) + 2 * d) * border_plane;
        let x = &bordered[start..start + 4 * border_plane];
        pool_first(isa, x, Folded { weight: &weight, shift: &shift }, [h, w], to, positions);
    });
    if keep == Keep::Nothing {
        positions = Vec::new();
    }
    let kept = Kept { results: Vec::new(), positions, correlation: correlation.map(Arc::new) };
    Results { output, normal, kept }
}

impl Correlation {
    /// `(A w_o)_t`.
    fn along(&self, t: usize, weight: &[f32], o: usize) -> f64 {
        (0..TAPS).map(|u| self.products[t][u] * f64::from(weight[o * TAPS + u])).sum()
    }
}

pub(super) fn backward(isa: Isa, saved: &Saved, x: Volumes<'_>, block: &Block<'_>, dz: &[f32]) -> Gradients {
    let extent = saved.extent;
    let x = one_channel(x, extent);
    let bordered = bordered(&x, extent);
    let [depth, h, w] = extent.size;
    let channels = pitch(block.to);
    let pooled = extent.pooled();
    let border_plane = (h + 2) * (w + 2);
    let pooled_plane = pooled.size[1] * pooled.size[2] * channels;
    let sums = each(parts(extent, PARTS), |_, part: Part| {
        let mut sums = vec![0.0; (1 + TAPS) * channels];
        for d in part.pooled {
            let start = (part.sample * (depth + 2) + 2 * d) * border_plane;
            let at = (part.sample * pooled.size[0] + d) * pooled_plane;
            let (positions, dz) = (&saved.positions[at..at + pooled_plane], &dz[at..at + pooled_plane]);
            let x = &bordered[start..start + 4 * border_plane];
            gradient_first(isa, x, positions, dz, channels, [h, w], &mut sums);
        }
        sums
    });
    let total = |index: usize| sums.iter().map(|s| s[index]).sum::<f64>();
    let plain: Vec<f64> = (0..block.to).map(total).collect();
    let sparse = |o: usize, t: usize| total((1 + t) * channels + o);
    let sparse: Vec<[f64; TAPS]> = (0..block.to).map(|o| std::array::from_fn(|t| sparse(o, t))).collect();
    // Σ dz (y - mean), with y written as its sum over taps.
    let weighted: Vec<f64> = (0..block.to)
        .map(|o| {
            let along: f64 = (0..TAPS).map(|t| f64::from(block.weight[o * TAPS + t]) * sparse[o][t]).sum();
            along - saved.mean[o] * plain[o]
        })
        .collect();
    let count = (extent.n * extent.voxels()) as f64;
    let weight = (0..block.to)
        .flat_map(|o| (0..TAPS).map(move |t| (o, t)))
        .map(|(o, t)| {
            let dense = saved.correlation.as_ref().map_or(0.0, |correlation| {
                let spread = correlation.along(t, block.weight, o) - saved.mean[o] * correlation.sums[t];
                let slope = saved.inverse[o].powi(2) * weighted[o];
                (slope * spread + plain[o] * correlation.sums[t]) / count
            });
            (saved.scale(block, o) * (sparse[o][t] - dense)) as f32
        })
        .collect();
    let Vectors { bias, gamma, beta } = saved.vectors(block, &plain, &weighted);
    Gradients {
        input: None,
        weight,
        bias,
        gamma,
        beta,
        skip: block.skip.map(|_| [sparse.iter().map(|s| s[CENTRE] as f32).collect(), narrow(&plain)]),
    }
}
