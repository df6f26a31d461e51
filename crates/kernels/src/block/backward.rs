//! The gradients of a block with any number of channels.

use super::{Block, Gradients, Keep, Part, Saved, Vectors, lanes, narrow, parts};
use crate::Isa;
use crate::buffers::{Buffer, give, take};
use crate::conv::{self, Conv, Filters};
use crate::gemm::{Gemm, gemm};
use crate::layout::{LANES, Layout, Volumes, pitch};
use crate::norm::{Backward, Pooled, gradient_sums, transform_gradient, unpool};
use crate::parallel::{cut, each, ranges};
use crate::winograd::Chunk;

/// Number of private copies of the weights' gradient for a batch of `n`. It depends on the data
/// alone, so that sums are the same on any number of threads. It is also the number of threads that
/// a backward pass can use. A part of a sample repeats some of its neighbours' work, which a whole
/// sample does not need.
fn groups(n: usize) -> usize {
    n.clamp(8, 16)
}

/// Number of values in all private copies together (256 MB) above which not all copies are kept at
/// once.
const LARGE: usize = 1 << 26;

pub(super) fn backward(isa: Isa, saved: Saved, x: Volumes<'_>, block: &Block<'_>, dz: &[f32]) -> Gradients {
    let extent = saved.extent;
    let x = x.channels_last(extent, block.from);
    let conv = Conv { size: extent.size, from: block.from, to: block.to };
    let channels = pitch(block.to);
    let parts = parts(extent, groups(extent.n));
    let mean = lanes(block.to, |c| saved.mean[c]);
    let (plain, weighted) = results_gradient_sums(isa, conv, &saved, dz, &mean, &parts);
    // BatchNorm's share: what turns `dz` into `dy`. Running statistics do not depend on the batch,
    // so nothing flows back through them.
    let count = (extent.n * extent.voxels()) as f64;
    let share = if saved.from_batch { 1.0 / count } else { 0.0 };
    let scale = |c: usize| saved.scale(block, c);
    let slope = lanes(block.to, |c| -scale(c) * saved.inverse[c].powi(2) * weighted[c] * share);
    let offset = lanes(block.to, |c| -scale(c) * plain[c] * share);
    let scale = lanes(block.to, scale);
    let by = Backward { scale: &scale, slope: &slope, mean: &mean, offset: &offset };

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
    // The parts of a group add to the group's own copy of the weights' gradient, one after the
    // other.
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
    let Vectors { bias, gamma, beta } = saved.vectors(block, &plain, &weighted);
    let gradients = Gradients { input, weight, bias, gamma, beta, skip };
    give(saved.results);
    gradients
}

/// `[to, from]` with rows padded to whole vectors.
fn rows(weight: &[f32], from: usize) -> Vec<f32> {
    let mut rows = vec![0.0; weight.len() / from * pitch(from)];
    for (to, from_row) in rows.chunks_exact_mut(pitch(from)).zip(weight.chunks_exact(from)) {
        to[..from].copy_from_slice(from_row);
    }
    rows
}

/// `Σ dz` and `Σ dz (y - mean)` of each channel, over the positions of the pool.
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
    /// Present where the gradient of the input is wanted.
    transposed: Option<Filters>,
    projection: Option<Vec<f32>>,
}

/// A group of parts, each with its place in the input's gradient.
type Group<'a> = Vec<(&'a Part, Option<&'a mut [f32]>)>;

impl Shares<'_> {
    /// The shares of all groups, in their order: copies of the gradients of the weights and of the
    /// projection.
    ///
    /// Where all copies at once would be large (in wide networks), only as many groups run at a
    /// time as there are threads, and their copies are added to the first one in order. This gives
    /// the same sums in the same order.
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

    /// A group's share of the gradient of the weights and, where there is one, of the projection
    /// (`[from, pitch(to)]`). The gradient of its part of the input is written in place.
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

/// Computes the gradient of a sample's convolution results, slice by slice, from what was kept.
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
    /// The pooled slice that slice `d` went into; an odd last slice has none.
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
