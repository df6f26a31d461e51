//! One block of the network as one operation, forward and backward: 3x3x3 convolution (padding 1),
//! BatchNorm, the 1x1x1 projection of the input where there is one, ReLU, and max-pooling by 2.

mod backward;
mod first;
mod forward;

use std::ops::Range;
use std::sync::Arc;

use crate::Isa;
use crate::buffers::{give, take};
use crate::first::Correlation;
use crate::layout::{Extent, Layout, Volumes, channels_first, pitch};
use crate::parallel::ranges;

/// PyTorch's BatchNorm default.
const EPSILON: f64 = 1e-5;
/// Minimum number of parts of a batch in a forward pass. With many parts, the sums of each stay
/// small.
const PARTS: usize = 32;

/// Trainable values of a block, in PyTorch's shapes.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Input channels.
    pub from: usize,
    /// Output channels.
    pub to: usize,
    /// `[to, from, 3, 3, 3]`.
    pub weight: &'a [f32],
    /// `[to]`.
    pub bias: &'a [f32],
    /// BatchNorm's weight, `[to]`.
    pub gamma: &'a [f32],
    /// BatchNorm's bias, `[to]`.
    pub beta: &'a [f32],
    /// Weight `[to, from]` and bias `[to]` of the projection.
    pub skip: Option<[&'a [f32]; 2]>,
}

/// The statistics that BatchNorm normalises with.
#[derive(Debug, Clone, Copy)]
pub enum Statistics<'a> {
    /// The batch's own mean and variance.
    Batch,
    /// These means and variances, `[to]` each.
    Running([&'a [f32]; 2]),
}

/// Which gradients will be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// No gradients: nothing is kept.
    Nothing,
    /// The gradients of the trainable values.
    Weights,
    /// The gradients of the trainable values and of the input.
    Input,
}

/// The results of a block.
pub struct Forward {
    /// `[n, to, d/2, h/2, w/2]` in the requested layout.
    pub output: Vec<f32>,
    /// Means and unbiased variances of the batch, where it was normalised with them.
    pub batch: Option<[Vec<f32>; 2]>,
    /// What [`backward`] needs.
    pub saved: Saved,
}

/// What is kept for the backward pass.
#[derive(Clone)]
pub struct Saved {
    extent: Extent,
    /// Convolution results without bias, channels-last; empty where the path of the first block is
    /// taken.
    results: Vec<f32>,
    positions: Vec<u8>,
    /// Means of the results without bias.
    mean: Vec<f64>,
    inverse: Vec<f64>,
    from_batch: bool,
    keep: Keep,
    correlation: Option<Arc<Correlation>>,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("extent", &self.extent).finish_non_exhaustive()
    }
}

/// Gradients of a block's trainable values and, if they were kept for it, of its input.
pub struct Gradients {
    /// Channels-last.
    pub input: Option<Vec<f32>>,
    /// As in [`Block`].
    pub weight: Vec<f32>,
    /// Zero, whatever the loss, before a BatchNorm that normalises with the batch.
    pub bias: Vec<f32>,
    /// As in [`Block`].
    pub gamma: Vec<f32>,
    /// As in [`Block`].
    pub beta: Vec<f32>,
    /// As in [`Block`].
    pub skip: Option<[Vec<f32>; 2]>,
}

/// A part of one sample: whole pairs of slices.
#[derive(Clone)]
struct Part {
    sample: usize,
    /// Range of pooled slices.
    pooled: Range<usize>,
    /// Range of input slices; the last part may end with an odd one.
    planes: Range<usize>,
}

/// At least `wanted` parts, if there are enough slices.
fn parts(extent: Extent, wanted: usize) -> Vec<Part> {
    let [depth, _, _] = extent.size;
    let each = wanted.div_ceil(extent.n.max(1));
    (0..extent.n)
        .flat_map(|sample| {
            ranges(depth / 2, each).into_iter().map(move |pooled| {
                let end = if pooled.end == depth / 2 { depth } else { 2 * pooled.end };
                Part { sample, planes: 2 * pooled.start..end, pooled }
            })
        })
        .collect()
}

/// Whether the kernels support a block of this shape: filters of 3x3x3, and at least two voxels in
/// each direction.
pub fn covers(kernel: [usize; 3], size: [usize; 3]) -> bool {
    kernel == [3; 3] && size.iter().all(|edge| *edge >= 2)
}

/// One value for each channel, padded with zeros to whole vectors.
fn lanes(channels: usize, value: impl Fn(usize) -> f64) -> Vec<f32> {
    (0..pitch(channels)).map(|c| if c < channels { value(c) as f32 } else { 0.0 }).collect()
}

/// Runs the block on `x` of shape `[n, from, d, h, w]`.
///
/// # Panics
/// When the length of a slice does not match its shape, or [`covers`] returns false.
pub fn forward(
    isa: Isa,
    extent: Extent,
    x: Volumes<'_>,
    block: &Block<'_>,
    statistics: Statistics<'_>,
    keep: Keep,
    layout: Layout,
) -> Forward {
    assert!(covers([3; 3], extent.size), "a block of {:?}", extent.size);
    assert_eq!(block.weight.len(), block.to * block.from * 27, "weights of a different shape");
    let first = block.from == 1 && keep != Keep::Input;
    let call = Call { isa, extent, block, statistics, keep };
    let Results { output: last, normal, kept } =
        if first { first::forward(call, x) } else { forward::forward(call, x) };
    let (batch, saved) = normal.split(call, kept);
    let output = match layout {
        Layout::ChannelsLast => last,
        Layout::ChannelsFirst => {
            let pooled = extent.pooled();
            let mut output = take(pooled.len(block.to, layout));
            channels_first(&last, pooled, block.to, &mut output);
            give(last);
            output
        }
    };
    Forward { output, batch, saved }
}

/// The request for a forward pass.
#[derive(Clone, Copy)]
struct Call<'a> {
    isa: Isa,
    extent: Extent,
    block: &'a Block<'a>,
    statistics: Statistics<'a>,
    keep: Keep,
}

impl Call<'_> {
    fn by_batch(&self) -> bool {
        matches!(self.statistics, Statistics::Batch)
    }

    /// Number of voxels in the batch.
    fn count(&self) -> f64 {
        (self.extent.n * self.extent.voxels()) as f64
    }
}

/// The results of a forward pass.
struct Results {
    /// Channels-last.
    output: Vec<f32>,
    normal: Normal,
    kept: Kept,
}

/// What a backward pass needs besides the statistics, named as in [`Saved`].
#[derive(Default)]
struct Kept {
    results: Vec<f32>,
    positions: Vec<u8>,
    correlation: Option<Arc<Correlation>>,
}

/// Mean and biased variance of each channel.
type Moments = (Vec<f64>, Vec<f64>);

/// Mean and biased variance of the convolution's results without bias, and the update of the
/// running statistics: the mean with bias and the unbiased variance.
struct Normal {
    mean: Vec<f64>,
    inverse: Vec<f64>,
    batch: Option<[Vec<f32>; 2]>,
}

impl Normal {
    fn new(call: Call<'_>, moments: Option<Moments>) -> Normal {
        let (block, count) = (call.block, call.count());
        let bias = |c: usize| f64::from(block.bias[c]);
        match (moments, call.statistics) {
            (Some((mean, var)), _) => {
                let seen = (0..block.to).map(|c| (mean[c] + bias(c)) as f32).collect();
                let unbiased = var.iter().map(|v| (v * count / (count - 1.0).max(1.0)) as f32).collect();
                let inverse = var.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
                Normal { mean, inverse, batch: Some([seen, unbiased]) }
            }
            (None, Statistics::Running([mean, var])) => Normal {
                mean: mean.iter().enumerate().map(|(c, m)| f64::from(*m) - bias(c)).collect(),
                inverse: var.iter().map(|v| 1.0 / (f64::from(*v) + EPSILON).sqrt()).collect(),
                batch: None,
            },
            (None, Statistics::Batch) => unreachable!("a batch's statistics are computed"),
        }
    }

    /// The update of the running statistics, and what is kept.
    fn split(self, call: Call<'_>, kept: Kept) -> (Option<[Vec<f32>; 2]>, Saved) {
        let saved = Saved {
            extent: call.extent,
            results: kept.results,
            positions: kept.positions,
            mean: self.mean,
            inverse: self.inverse,
            from_batch: call.by_batch(),
            keep: call.keep,
            correlation: kept.correlation,
        };
        (self.batch, saved)
    }

    fn scale(&self, block: &Block<'_>, c: usize) -> f64 {
        f64::from(block.gamma[c]) * self.inverse[c]
    }

    fn shift(&self, block: &Block<'_>, c: usize) -> f64 {
        let skip = block.skip.map_or(0.0, |[_, bias]| f64::from(bias[c]));
        f64::from(block.beta[c]) - self.mean[c] * self.scale(block, c) + skip
    }
}

/// The gradients of a block, from the gradient of its output.
///
/// # Panics
/// When nothing was kept, or the length of a slice does not match its shape.
pub fn backward(isa: Isa, saved: Saved, x: Volumes<'_>, block: &Block<'_>, dz: Volumes<'_>) -> Gradients {
    assert!(saved.keep != Keep::Nothing, "nothing was kept for a backward pass");
    let dz = dz.channels_last(saved.extent.pooled(), block.to);
    if saved.results.is_empty() {
        first::backward(isa, &saved, x, block, &dz)
    } else {
        backward::backward(isa, saved, x, block, &dz)
    }
}

impl Saved {
    /// The factor of a channel's gradient on its way back through BatchNorm.
    fn scale(&self, block: &Block<'_>, c: usize) -> f64 {
        f64::from(block.gamma[c]) * self.inverse[c]
    }

    /// The gradients of the vectors, from `Σ dz` and `Σ dz (y - mean)` of each channel.
    fn vectors(&self, block: &Block<'_>, plain: &[f64], weighted: &[f64]) -> Vectors {
        let bias = |c: usize| if self.from_batch { 0.0 } else { (self.scale(block, c) * plain[c]) as f32 };
        Vectors {
            bias: (0..block.to).map(bias).collect(),
            gamma: (0..block.to).map(|c| (weighted[c] * self.inverse[c]) as f32).collect(),
            beta: narrow(plain),
        }
    }
}

/// See [`Gradients`].
struct Vectors {
    bias: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
