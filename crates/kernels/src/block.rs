//! One block of the network as one operation: 3x3x3 convolution (padding 1), BatchNorm, the 1x1x1
//! projection of the input where there is one, ReLU, max-pool 2; forward and backward.

use std::ops::Range;

use crate::Isa;
use crate::buffers::{Buffer, give, take};
use crate::conv::{self, Conv, Filters};
use crate::first::{CENTRE, Correlation, Folded, TAPS, gradient_first, pool_first};
use crate::gemm::{Gemm, gemm};
use crate::layout::{Extent, LANES, Layout, Volumes, channels_first, padded, pitch};
use crate::norm::{Affine, Backward, Pooled, gradient_sums, pool, sums, transform_gradient, unpool};
use crate::parallel::{cut, each, ranges};
use crate::winograd::Chunk;

/// PyTorch's BatchNorm default.
const EPSILON: f64 = 1e-5;
/// Parts of a batch in a forward pass, at least: what they sum up is small.
const PARTS: usize = 32;

/// Private copies of the weights' gradient for a batch of `n`. It depends on the data alone, so that
/// sums are the same on any number of threads; it is also the number of threads that a backward pass can
/// use. A part of a sample computes some of its neighbours' work again, which a whole one need not.
fn groups(n: usize) -> usize {
    n.clamp(8, 16)
}

/// Values in all private copies together (256 MB) above which they are not kept all at once.
const LARGE: usize = 1 << 26;

/// Learnt values of a block, in PyTorch's shapes.
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

/// What BatchNorm normalises by.
#[derive(Debug, Clone, Copy)]
pub enum Statistics<'a> {
    /// The batch's own mean and variance.
    Batch,
    /// These means and variances, `[to]` each.
    Running([&'a [f32]; 2]),
}

/// Which gradients will be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None: nothing is kept.
    Nothing,
    /// Those of the learnt values.
    Weights,
    /// Those of the learnt values and of the input.
    Input,
}

/// A block's results.
pub struct Forward {
    /// `[n, to, d/2, h/2, w/2]` in the layout asked for.
    pub output: Vec<f32>,
    /// The batch's means and unbiased variances, where it normalised by them.
    pub batch: Option<[Vec<f32>; 2]>,
    /// What [`backward`] needs.
    pub saved: Saved,
}

/// What is kept for the backward pass.
#[derive(Clone)]
pub struct Saved {
    extent: Extent,
    /// Convolution results without bias, channels-last; empty where the first block's way is taken.
    results: Vec<f32>,
    positions: Vec<u8>,
    /// Of the results without bias.
    mean: Vec<f64>,
    inverse: Vec<f64>,
    from_batch: bool,
    keep: Keep,
    correlation: Option<std::sync::Arc<Correlation>>,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saved").field("extent", &self.extent).finish_non_exhaustive()
    }
}

/// Gradients of a block's learnt values and, if kept for, of its input.
pub struct Gradients {
    /// Channels-last.
    pub input: Option<Vec<f32>>,
    /// As in [`Block`].
    pub weight: Vec<f32>,
    /// In front of a BatchNorm that normalises by the batch: zero, whatever the loss.
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
    /// Pooled slices.
    pooled: Range<usize>,
    /// Slices of the input; the last part has an odd one at the end.
    planes: Range<usize>,
}

/// At least so many parts, where there are enough slices.
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

/// Whether the kernels compute a block of this shape: filters of 3x3x3, at least two voxels each way.
pub fn covers(kernel: [usize; 3], size: [usize; 3]) -> bool {
    kernel == [3; 3] && size.iter().all(|edge| *edge >= 2)
}

/// A value a channel, padded with zeros to whole vectors.
fn lanes(channels: usize, value: impl Fn(usize) -> f64) -> Vec<f32> {
    (0..pitch(channels)).map(|c| if c < channels { value(c) as f32 } else { 0.0 }).collect()
}

/// `[to, from]` to `[from, pitch(to)]`.
fn transpose(weight: &[f32], from: usize, to: usize) -> Vec<f32> {
    let mut transposed = vec![0.0; from * pitch(to)];
    for (o, row) in weight.chunks_exact(from).enumerate() {
        for (i, value) in row.iter().enumerate() {
            transposed[i * pitch(to) + o] = *value;
        }
    }
    transposed
}

/// The block on `x` of `[n, from, d, h, w]`.
///
/// # Panics
/// When a slice has another length than its shape says, or [`covers`] says no.
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
    assert_eq!(block.weight.len(), block.to * block.from * 27, "weights of another shape");
    let first = block.from == 1 && keep != Keep::Input;
    let (last, batch, saved) = if first {
        forward_first(isa, extent, x, block, statistics, keep)
    } else {
        forward_any(isa, extent, x, block, statistics, keep)
    };
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

/// Mean and biased variance of the convolution's results without bias, and what the running
/// statistics are told: the mean with bias and the unbiased variance.
struct Normal {
    mean: Vec<f64>,
    inverse: Vec<f64>,
    batch: Option<[Vec<f32>; 2]>,
}

impl Normal {
    fn new(block: &Block<'_>, count: f64, moments: Option<Moments>, running: Statistics<'_>) -> Normal {
        let bias = |c: usize| f64::from(block.bias[c]);
        match (moments, running) {
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

    fn scale(&self, block: &Block<'_>, c: usize) -> f64 {
        f64::from(block.gamma[c]) * self.inverse[c]
    }

    fn shift(&self, block: &Block<'_>, c: usize) -> f64 {
        let skip = block.skip.map_or(0.0, |[_, bias]| f64::from(bias[c]));
        f64::from(block.beta[c]) - self.mean[c] * self.scale(block, c) + skip
    }
}

type Results = (Vec<f32>, Option<[Vec<f32>; 2]>, Saved);

/// A block on any number of channels, through convolution results that are computed for real.
struct Any<'a> {
    isa: Isa,
    extent: Extent,
    conv: Conv,
    block: &'a Block<'a>,
    /// Channels-last.
    x: &'a [f32],
    /// `[from, pitch(to)]`.
    projection: Option<Vec<f32>>,
}

impl Any<'_> {
    fn sample(&self, sample: usize) -> &[f32] {
        let len = self.extent.size[0] * self.conv.plane(self.conv.from);
        &self.x[sample * len..][..len]
    }

    fn plane(&self) -> usize {
        self.conv.plane(self.conv.to)
    }

    /// Values of a pooled slice.
    fn pooled_plane(&self) -> usize {
        let [_, h, w] = self.extent.pooled().size;
        h * w * pitch(self.conv.to)
    }

    /// Convolution results of all parts and, if asked for, mean and variance of each channel.
    fn convolve(&self, filters: &Filters, parts: &[Part], moments: bool) -> (Vec<f32>, Option<Moments>) {
        let channels = pitch(self.conv.to);
        let mut results = take(self.extent.n * self.extent.size[0] * self.plane());
        let pieces = cut(&mut results, parts.iter().map(|part| part.planes.len() * self.plane()));
        let found = each(parts.iter().zip(pieces).collect(), |_, (part, y): (&Part, &mut [f32])| {
            conv::forward(self.isa, self.conv, self.sample(part.sample), filters, part.planes.clone(), y);
            let mut found = vec![0.0; 2 * channels];
            if moments {
                sums(self.isa, y, channels, &mut found);
            }
            found
        });
        let moments = moments.then(|| {
            let count = (self.extent.n * self.extent.voxels()) as f64;
            let total = |c: usize| found.iter().map(|m| m[c]).sum::<f64>() / count;
            let mean: Vec<f64> = (0..self.conv.to).map(total).collect();
            let var = mean.iter().enumerate().map(|(c, m)| (total(channels + c) - m * m).max(0.0)).collect();
            (mean, var)
        });
        (results, moments)
    }

    /// BatchNorm, projection, ReLU and pool of a pair of slices from `d`.
    fn finish(&self, sample: usize, d: usize, y: &[f32], affine: Affine<'_>, (to, positions): Pair<'_>) {
        let [_, h, w] = self.extent.size;
        let channels = pitch(self.conv.to);
        let skip = self.projection.as_ref().map(|projection| {
            let plane = self.conv.plane(self.conv.from);
            let mut skip = Buffer::new(2 * self.plane());
            let product = Gemm {
                m: 2 * h * w,
                n: channels / LANES,
                k: self.conv.from,
                taps: &[(0, 0)],
                a: &self.sample(sample)[d * plane..(d + 2) * plane],
                a_m: pitch(self.conv.from),
                a_k: 1,
                b: projection,
                b_k: channels,
                c: &mut skip,
                c_m: channels,
                accumulate: false,
            };
            gemm(self.isa, product);
            skip
        });
        pool(self.isa, y, skip.as_deref(), affine, [h, w], to, positions);
    }
}

/// A pooled slice and its positions.
type Pair<'a> = (&'a mut [f32], &'a mut [u8]);

/// A sample and some of its pooled slices.
type Run = (usize, Range<usize>);

/// Mean and biased variance of each channel.
type Moments = (Vec<f64>, Vec<f64>);

fn forward_any(
    isa: Isa,
    extent: Extent,
    x: Volumes<'_>,
    block: &Block<'_>,
    statistics: Statistics<'_>,
    keep: Keep,
) -> Results {
    let x = x.channels_last(extent, block.from);
    let conv = Conv { size: extent.size, from: block.from, to: block.to };
    let projection = block.skip.map(|[weight, _]| transpose(weight, block.from, block.to));
    let any = Any { isa, extent, conv, block, x: &x, projection };
    let filters = Filters::new(isa, block.weight, block.from, block.to, false);
    let parts = parts(extent, PARTS);
    let count = (extent.n * extent.voxels()) as f64;
    let from_batch = matches!(statistics, Statistics::Batch);
    let at_once = keep == Keep::Nothing && !from_batch;
    let (results, moments) =
        if at_once { (Vec::new(), None) } else { any.convolve(&filters, &parts, from_batch) };
    let normal = Normal::new(any.block, count, moments, statistics);
    let (scale, shift) = affine(block, &normal);
    let affine = Affine { scale: &scale, shift: &shift };

    let mut output = take(extent.pooled().len(block.to, Layout::ChannelsLast));
    let mut positions = vec![0_u8; if keep == Keep::Nothing { 0 } else { output.len() }];
    let (depth, plane, pooled_plane) = (extent.size[0], any.plane(), any.pooled_plane());
    // A few slices at a time: enough to share what neighbours have in common, few enough to stay in
    // the cache.
    let runs: Vec<Run> = (0..extent.n)
        .flat_map(|sample| ranges(depth / 2, (depth / 2).div_ceil(4)).into_iter().map(move |d| (sample, d)))
        .collect();
    let lengths = || runs.iter().map(|(_, pooled)| pooled.len() * pooled_plane);
    let places: Vec<Option<&mut [u8]>> = match keep {
        Keep::Nothing => runs.iter().map(|_| None).collect(),
        _ => cut(&mut positions, lengths()).into_iter().map(Some).collect(),
    };
    let work = runs.iter().zip(cut(&mut output, lengths())).zip(places).collect();
    each(work, |_, (((sample, pooled), to), positions): ((&Run, &mut [f32]), _)| {
        let planes = 2 * pooled.start..2 * pooled.end;
        let mut own = Buffer::new(if at_once { planes.len() * plane } else { 0 });
        let y = if at_once {
            // Nobody needs the results again: they are pooled while they are in the cache.
            conv::forward(isa, conv, any.sample(*sample), &filters, planes.clone(), &mut own);
            &own
        } else {
            &results[(sample * depth + planes.start) * plane..][..planes.len() * plane]
        };
        let mut scratch = Vec::new();
        let positions = positions.unwrap_or_else(|| {
            scratch.resize(to.len(), 0);
            &mut scratch
        });
        let pairs = to.chunks_exact_mut(pooled_plane).zip(positions.chunks_exact_mut(pooled_plane));
        for ((d, to), y) in planes.step_by(2).zip(pairs).zip(y.chunks_exact(2 * plane)) {
            any.finish(*sample, d, y, affine, to);
        }
    });
    let mut saved = Saved {
        extent,
        results: Vec::new(),
        positions: Vec::new(),
        mean: normal.mean,
        inverse: normal.inverse,
        from_batch,
        keep,
        correlation: None,
    };
    if keep == Keep::Nothing {
        give(results);
    } else {
        (saved.results, saved.positions) = (results, positions);
    }
    (output, normal.batch, saved)
}

fn affine(block: &Block<'_>, normal: &Normal) -> (Vec<f32>, Vec<f32>) {
    let scale = lanes(block.to, |c| normal.scale(block, c));
    let shift = lanes(block.to, |c| normal.shift(block, c));
    (scale, shift)
}

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

/// The only channel of each voxel.
fn one_channel(x: Volumes<'_>, extent: Extent) -> std::borrow::Cow<'_, [f32]> {
    assert_eq!(x.values.len(), extent.len(1, x.layout), "values of another shape");
    match x.layout {
        Layout::ChannelsFirst => std::borrow::Cow::Borrowed(x.values),
        Layout::ChannelsLast => x.values.iter().step_by(LANES).copied().collect(),
    }
}

fn forward_first(
    isa: Isa,
    extent: Extent,
    x: Volumes<'_>,
    block: &Block<'_>,
    statistics: Statistics<'_>,
    keep: Keep,
) -> Results {
    let x = one_channel(x, extent);
    let count = (extent.n * extent.voxels()) as f64;
    let from_batch = matches!(statistics, Statistics::Batch);
    let correlation = from_batch.then(|| Correlation::of(isa, &x, extent.size));
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
    let normal = Normal::new(block, count, moments, statistics);
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
    let saved = Saved {
        extent,
        results: Vec::new(),
        positions,
        mean: normal.mean,
        inverse: normal.inverse,
        from_batch,
        keep,
        correlation: correlation.map(std::sync::Arc::new),
    };
    (output, normal.batch, saved)
}

impl Correlation {
    /// `(A w_o)_t`.
    fn along(&self, t: usize, weight: &[f32], o: usize) -> f64 {
        (0..TAPS).map(|u| self.products[t][u] * f64::from(weight[o * TAPS + u])).sum()
    }
}

/// The gradients of a block, from that of its output.
///
/// # Panics
/// When nothing was kept, or a slice has another length than its shape says.
pub fn backward(isa: Isa, saved: Saved, x: Volumes<'_>, block: &Block<'_>, dz: Volumes<'_>) -> Gradients {
    assert!(saved.keep != Keep::Nothing, "nothing was kept for a backward pass");
    let dz = dz.channels_last(saved.extent.pooled(), block.to);
    if saved.results.is_empty() {
        backward_first(isa, &saved, x, block, &dz)
    } else {
        backward_any(isa, saved, x, block, &dz)
    }
}

/// BatchNorm's part: from `Σ dz` and `Σ dz (y - mean)`, what turns `dz` into `dy`.
struct Coefficients {
    scale: Vec<f32>,
    slope: Vec<f32>,
    offset: Vec<f32>,
}

fn coefficients(saved: &Saved, block: &Block<'_>, plain: &[f64], weighted: &[f64]) -> Coefficients {
    let count = (saved.extent.n * saved.extent.voxels()) as f64;
    let scale = |c: usize| f64::from(block.gamma[c]) * saved.inverse[c];
    // Running statistics do not depend on the batch: nothing flows back through them.
    let share = if saved.from_batch { 1.0 / count } else { 0.0 };
    Coefficients {
        scale: lanes(block.to, scale),
        slope: lanes(block.to, |c| -scale(c) * saved.inverse[c].powi(2) * weighted[c] * share),
        offset: lanes(block.to, |c| -scale(c) * plain[c] * share),
    }
}

/// `Σ dy` of the whole, the gradient of the bias.
fn bias_gradient(saved: &Saved, block: &Block<'_>, plain: &[f64]) -> Vec<f32> {
    let scale = |c: usize| f64::from(block.gamma[c]) * saved.inverse[c];
    (0..block.to).map(|c| if saved.from_batch { 0.0 } else { (scale(c) * plain[c]) as f32 }).collect()
}

fn backward_any(isa: Isa, saved: Saved, x: Volumes<'_>, block: &Block<'_>, dz: &[f32]) -> Gradients {
    let extent = saved.extent;
    let x = x.channels_last(extent, block.from);
    let conv = Conv { size: extent.size, from: block.from, to: block.to };
    let channels = pitch(block.to);
    let parts = parts(extent, groups(extent.n));
    let mean = lanes(block.to, |c| saved.mean[c]);
    let (plain, weighted) = results_gradient_sums(isa, conv, &saved, dz, &mean, &parts);
    let by = coefficients(&saved, block, &plain, &weighted);
    let by = Backward { scale: &by.scale, slope: &by.slope, mean: &mean, offset: &by.offset };

    let wanted = saved.keep == Keep::Input;
    let shares = Shares {
        isa,
        conv,
        x: &x,
        saved: &saved,
        dz,
        by,
        residual: block.skip.is_some(),
        transposed: wanted.then(|| Filters::new(isa, block.weight, block.from, block.to, true)),
        projection: block.skip.filter(|_| wanted).map(|[weight, _]| rows(weight, block.from)),
    };
    let mut input = wanted.then(|| take(extent.len(block.from, Layout::ChannelsLast)));
    let plane = conv.plane(block.from);
    let mut pieces: Vec<Option<&mut [f32]>> = match &mut input {
        Some(input) => {
            cut(input, parts.iter().map(|part| part.planes.len() * plane)).into_iter().map(Some).collect()
        }
        None => parts.iter().map(|_| None).collect(),
    };
    // A group's parts, one after the other, onto its own copy of the weights' gradient.
    let mut work = Vec::new();
    for range in ranges(parts.len(), groups(extent.n)).into_iter().rev() {
        let pieces = pieces.split_off(range.start);
        work.push(parts[range].iter().zip(pieces).collect::<Vec<_>>());
    }
    work.reverse();
    let (copies, skips) = shares.all(work);

    let mut weight = vec![0.0; block.weight.len()];
    let copies: Vec<&[f32]> = copies.iter().map(|copy| &**copy).collect();
    conv::weight_gradient(isa, conv, &copies, &mut weight);
    let skip = block.skip.map(|_| {
        let value = |o: usize, i: usize| skips.iter().map(|skip| skip[i * channels + o]).sum::<f32>();
        let weight = (0..block.to * block.from).map(|at| value(at / block.from, at % block.from)).collect();
        [weight, narrow(&plain)]
    });
    let gradients = Gradients {
        input,
        weight,
        bias: bias_gradient(&saved, block, &plain),
        gamma: (0..block.to).map(|c| (weighted[c] * saved.inverse[c]) as f32).collect(),
        beta: narrow(&plain),
        skip,
    };
    give(saved.results);
    gradients
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// `[to, from]` with rows padded to whole vectors.
fn rows(weight: &[f32], from: usize) -> Vec<f32> {
    let mut rows = vec![0.0; weight.len() / from * pitch(from)];
    for (to, from_row) in rows.chunks_exact_mut(pitch(from)).zip(weight.chunks_exact(from)) {
        to[..from].copy_from_slice(from_row);
    }
    rows
}

/// `Σ dz` and `Σ dz (y - mean)` of each channel, over the pool's positions.
fn results_gradient_sums(
    isa: Isa,
    conv: Conv,
    saved: &Saved,
    dz: &[f32],
    mean: &[f32],
    parts: &[Part],
) -> (Vec<f64>, Vec<f64>) {
    let [depth, h, w] = conv.size;
    let channels = mean.len();
    let (plane, pooled_plane) = (conv.plane(conv.to), (h / 2) * (w / 2) * channels);
    let sums = each(parts.iter().collect(), |_, part: &Part| {
        let mut sums = vec![0.0; 2 * channels];
        for d in part.pooled.clone() {
            let y = &saved.results[(part.sample * depth + 2 * d) * plane..][..2 * plane];
            let start = (part.sample * (depth / 2) + d) * pooled_plane;
            let (positions, dz) =
                (&saved.positions[start..start + pooled_plane], &dz[start..start + pooled_plane]);
            gradient_sums(isa, y, positions, dz, mean, [h, w], &mut sums);
        }
        sums
    });
    let total = |c: usize| sums.iter().map(|s| s[c]).sum::<f64>();
    ((0..conv.to).map(total).collect(), (channels..channels + conv.to).map(total).collect())
}

/// What every group needs to compute its share of the gradients.
struct Shares<'a> {
    isa: Isa,
    conv: Conv,
    x: &'a [f32],
    saved: &'a Saved,
    dz: &'a [f32],
    by: Backward<'a>,
    residual: bool,
    /// Where the gradient of the input is wanted.
    transposed: Option<Filters>,
    projection: Option<Vec<f32>>,
}

/// A group: parts, each with its place in the input's gradient.
type Group<'a> = Vec<(&'a Part, Option<&'a mut [f32]>)>;

impl Shares<'_> {
    /// The shares of all groups, in their order: copies of the weights' gradient and of the projection's.
    ///
    /// Where all copies at once would be large (wide networks), as many groups run as there are
    /// threads and their copies are added to the first in order: the same sums in the same order.
    fn all(&self, groups: Vec<Group<'_>>) -> (Vec<Buffer>, Vec<Vec<f32>>) {
        let large = groups.len() * self.conv.gradient_len() > LARGE;
        let wave = if large { rayon::current_num_threads() } else { groups.len() };
        let mut waiting = groups.into_iter();
        let (mut copies, mut skips): (Vec<Buffer>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
        loop {
            let now: Vec<Group<'_>> = waiting.by_ref().take(wave.max(1)).collect();
            if now.is_empty() {
                return (copies, skips);
            }
            for (copy, skip) in each(now, |_, group| self.of(group)) {
                skips.push(skip);
                match copies.first_mut() {
                    Some(total) if large => {
                        let parts = total.chunks_mut(1 << 16).zip(copy.chunks(1 << 16)).collect();
                        each(parts, |_, (total, copy): (&mut [f32], &[f32])| {
                            for (total, value) in total.iter_mut().zip(copy) {
                                *total += value;
                            }
                        });
                    }
                    _ => copies.push(copy),
                }
            }
        }
    }

    /// A group's share of the weights' gradient and, where there is one, of the projection's
    /// (`[from, pitch(to)]`); the gradient of its part of the input goes into place.
    fn of(&self, group: Group<'_>) -> (Buffer, Vec<f32>) {
        let [depth, h, w] = self.conv.size;
        let (from, channels) = self.conv.pitches();
        let (plane_in, plane) = (self.conv.plane(self.conv.from), self.conv.plane(self.conv.to));
        let mut weight = Buffer::zeroed(self.conv.gradient_len());
        let mut skip = vec![0.0; if self.residual { self.conv.from * channels } else { 0 }];
        let mut sparse = Buffer::new(if self.residual { plane } else { 0 });
        for (part, mut dx) in group {
            let sample = &self.x[part.sample * depth * plane_in..][..depth * plane_in];
            let gradient = Dense {
                isa: self.isa,
                saved: self.saved,
                dz: self.dz,
                by: self.by,
                sample: part.sample,
                plane,
                pooled_plane: (h / 2) * (w / 2) * channels,
            };
            let input = self.transposed.as_ref().zip(dx.as_deref_mut());
            conv::backward(self.isa, self.conv, sample, &gradient, part.planes.clone(), &mut weight, input);
            if !self.residual {
                continue;
            }
            for d in part.planes.clone() {
                unpool(self.isa, gradient.pooled(d), channels, [h, w], &mut sparse);
                let product = Gemm {
                    m: self.conv.from,
                    n: channels / LANES,
                    k: h * w,
                    taps: &[(0, 0)],
                    a: &sample[d * plane_in..][..plane_in],
                    a_m: 1,
                    a_k: from,
                    b: &sparse,
                    b_k: channels,
                    c: &mut skip,
                    c_m: channels,
                    accumulate: true,
                };
                gemm(self.isa, product);
                let (Some(dx), Some(projection)) = (dx.as_deref_mut(), &self.projection) else { continue };
                let product = Gemm {
                    m: h * w,
                    n: from / LANES,
                    k: self.conv.to,
                    taps: &[(0, 0)],
                    a: &sparse,
                    a_m: channels,
                    a_k: 1,
                    b: projection,
                    b_k: from,
                    c: &mut dx[(d - part.planes.start) * plane_in..][..plane_in],
                    c_m: from,
                    accumulate: true,
                };
                gemm(self.isa, product);
            }
        }
        (weight, skip)
    }
}

/// The gradient of a sample's convolution results, slice by slice, from what was kept.
struct Dense<'a> {
    isa: Isa,
    saved: &'a Saved,
    dz: &'a [f32],
    by: Backward<'a>,
    sample: usize,
    plane: usize,
    pooled_plane: usize,
}

impl Dense<'_> {
    /// The pooled slice of slice `d`; an odd last one has none.
    fn pooled(&self, d: usize) -> Option<Pooled<'_>> {
        let depth = self.saved.extent.size[0] / 2;
        (d / 2 < depth).then(|| {
            let start = (self.sample * depth + d / 2) * self.pooled_plane;
            Pooled {
                positions: &self.saved.positions[start..start + self.pooled_plane],
                dz: &self.dz[start..start + self.pooled_plane],
                first: d % 2 * 4,
            }
        })
    }
}

impl conv::Gradient for Dense<'_> {
    fn transform(&self, layer: usize, chunk: Chunk, to: &mut [f32]) {
        let [depth, h, w] = self.saved.extent.size;
        let slices = 2 * layer..depth.min(2 * layer + 2);
        let start = (self.sample * depth + slices.start) * self.plane;
        let y = &self.saved.results[start..start + slices.len() * self.plane];
        transform_gradient(self.isa, y, self.pooled(2 * layer), self.by, [h, w], chunk, to);
    }
}

fn backward_first(isa: Isa, saved: &Saved, x: Volumes<'_>, block: &Block<'_>, dz: &[f32]) -> Gradients {
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
    // Σ dz (y - mean), with y as the sum over taps that it is.
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
            let scale = f64::from(block.gamma[o]) * saved.inverse[o];
            let dense = saved.correlation.as_ref().map_or(0.0, |correlation| {
                let spread = correlation.along(t, block.weight, o) - saved.mean[o] * correlation.sums[t];
                let slope = saved.inverse[o].powi(2) * weighted[o];
                (slope * spread + plain[o] * correlation.sums[t]) / count
            });
            (scale * (sparse[o][t] - dense)) as f32
        })
        .collect();
    Gradients {
        input: None,
        weight,
        bias: bias_gradient(saved, block, &plain),
        gamma: (0..block.to).map(|o| (weighted[o] * saved.inverse[o]) as f32).collect(),
        beta: narrow(&plain),
        skip: block.skip.map(|_| [sparse.iter().map(|s| s[CENTRE] as f32).collect(), narrow(&plain)]),
    }
}
