//! The forward pass of a block with any number of channels.

use std::ops::Range;

use super::{Call, Keep, Kept, Moments, Normal, PARTS, Part, Results, lanes, parts};
use crate::Isa;
use crate::buffers::{Buffer, give, take};
use crate::conv::{self, Conv, Filters};
use crate::gemm::{Gemm, gemm};
use crate::layout::{Extent, LANES, Layout, Volumes, pitch};
use crate::norm::{Affine, pool, sums};
use crate::parallel::{cut, each, ranges};

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

/// A pooled slice and the positions of its maxima.
type Pair<'a> = (&'a mut [f32], &'a mut [u8]);

/// A sample and a range of its pooled slices.
type Run = (usize, Range<usize>);

/// A block with any number of channels, whose convolution results are really computed.
struct Any<'a> {
    isa: Isa,
    extent: Extent,
    conv: Conv,
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

    /// Number of values in a pooled slice.
    fn pooled_plane(&self) -> usize {
        let [_, h, w] = self.extent.pooled().size;
        h * w * pitch(self.conv.to)
    }

    /// Convolution results of all parts and, if requested, mean and variance of each channel.
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

    /// Applies BatchNorm, projection, ReLU and pooling to a pair of slices from `d` on.
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

pub(super) fn forward(call: Call<'_>, x: Volumes<'_>) -> Results {
    let Call { isa, extent, block, statistics: _, keep } = call;
    let x = x.channels_last(extent, block.from);
    let conv = Conv { size: extent.size, from: block.from, to: block.to };
    let projection = block.skip.map(|[weight, _]| transpose(weight, block.from, block.to));
    let any = Any { isa, extent, conv, x: &x, projection };
    let filters = Filters::new(isa, block.weight, block.from, block.to, false);
    let parts = parts(extent, PARTS);
    let from_batch = call.by_batch();
    let at_once = keep == Keep::Nothing && !from_batch;
    let (results, moments) =
        if at_once { (Vec::new(), None) } else { any.convolve(&filters, &parts, from_batch) };
    let normal = Normal::new(call, moments);
    let scale = lanes(block.to, |c| normal.scale(block, c));
    let shift = lanes(block.to, |c| normal.shift(block, c));
    let affine = Affine { scale: &scale, shift: &shift };

    let mut output = take(extent.pooled().len(block.to, Layout::ChannelsLast));
    let mut positions = vec![0_u8; if keep == Keep::Nothing { 0 } else { output.len() }];
    let (depth, plane, pooled_plane) = (extent.size[0], any.plane(), any.pooled_plane());
    // A few slices at a time: enough to share what neighbours have in common, and few enough to
    // stay in the cache.
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
            // The results are not needed again, so they are pooled while they are in the cache.
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
    let kept = if keep == Keep::Nothing {
        give(results);
        Kept::default()
    } else {
        Kept { results, positions, correlation: None }
    };
    Results { output, normal, kept }
}
