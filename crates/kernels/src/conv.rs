//! The 3x3x3 convolution of a few slices at a time, forward and backward, by Winograd tiles.
//!
//! Everything is channels-last. A part is a range of a sample's slices that begins at an even
//! slice. It recomputes what it needs from its neighbours, so that parts are independent of each
//! other. Within a part the work goes layer by layer (two slices), and within a layer by chunks of
//! tiles that stay in the cache.

use std::ops::Range;

use crate::Isa;
use crate::buffers::Buffer;
use crate::gemm::{Gemm, gemm};
use crate::layout::{LANES, pitch};
use crate::parallel::{cut, each, ranges};
use crate::winograd::{
    Blocks, Chunk, FREQUENCIES, Place, add_input_gradient, bordered, bordered_row, filter_gradient,
    transform_filters, transform_input, transform_output,
};

/// Approximate number of tiles in a chunk: enough rows for a product, and few enough for the cache.
/// (32 and 64 were measured against 128 and 256.)
const TILES: usize = 32;
/// The same for a backward pass whose gradient of the weights is larger than a cache and passes
/// through it once for each chunk.
const TILES_OF_MANY_CHANNELS: usize = 64;

/// The extent of one convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv {
    pub(crate) size: [usize; 3],
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Conv {
    pub(crate) fn pitches(self) -> (usize, usize) {
        (pitch(self.from), pitch(self.to))
    }

    /// Number of values in a slice of the input or the output.
    pub(crate) fn plane(self, channels: usize) -> usize {
        self.size[1] * self.size[2] * pitch(channels)
    }

    /// The chunks of a layer, of about `tiles` tiles each and as even as possible.
    fn chunks(self, tiles: usize) -> Vec<Chunk> {
        let [_, h, w] = self.size;
        let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
        let parts = rows.div_ceil((tiles / columns).max(1));
        let chunk = |range: Range<usize>| Chunk { first: range.start, rows: range.len(), columns };
        ranges(rows, parts).into_iter().map(chunk).collect()
    }

    /// The layers of a part.
    fn layers(planes: &Range<usize>) -> Range<usize> {
        debug_assert!(planes.start.is_multiple_of(2), "a part begins at an even slice");
        planes.start / 2..planes.end.div_ceil(2)
    }

    /// Number of values in a private copy of the weights' gradient.
    pub(crate) fn gradient_len(self) -> usize {
        FREQUENCIES * self.from * pitch(self.to)
    }
}

/// Number of values in the largest chunk, for all frequencies.
fn room(chunks: &[Chunk], channels: usize) -> usize {
    FREQUENCIES * chunks.iter().map(|chunk| chunk.stride(channels)).max().unwrap_or(0)
}

/// Transformed filters, in the order in which a product reads them.
pub(crate) struct Filters {
    /// `[frequency][block][rows][width]`.
    values: Buffer,
    rows: usize,
    blocks: Blocks,
}

impl Filters {
    /// From `[to, from, 27]`. In the forward pass, rows are input channels and columns are output
    /// channels. For the gradient of the input it is the other way round, with rows up to the
    /// pitch.
    pub(crate) fn new(isa: Isa, weight: &[f32], from: usize, to: usize, transposed: bool) -> Filters {
        let (rows, columns) = if transposed { (pitch(to), from) } else { (from, to) };
        let value = |row: usize, column: usize, tap: usize| {
            let (output, input) = if transposed { (row, column) } else { (column, row) };
            if output < to && input < from { weight[(output * from + input) * 27 + tap] } else { 0.0 }
        };
        let blocks = Blocks::of(pitch(columns));
        let frequency = rows * blocks.channels;
        let mut values = Buffer::new(FREQUENCIES * frequency);
        // Sixteen columns, reordered to [27][rows][16], then transformed as vectors.
        let groups: Vec<Buffer> = each((0..blocks.channels / LANES).collect(), |_, group| {
            let mut filters = Buffer::new(27 * rows * LANES);
            for row in 0..rows {
                for lane in 0..LANES {
                    for tap in 0..27 {
                        filters[(tap * rows + row) * LANES + lane] = value(row, group * LANES + lane, tap);
                    }
                }
            }
            filters
        });
        let mut pieces = cut(&mut values, (0..FREQUENCIES).map(|_| frequency));
        for (group, filters) in groups.iter().enumerate() {
            let (block, inside) = (group * LANES / blocks.width, group * LANES % blocks.width);
            let place = Place { start: block * rows * blocks.width + inside, width: blocks.width };
            transform_filters(isa, filters, rows, place, &mut pieces);
        }
        Filters { values, rows, blocks }
    }

    /// Where a block of a frequency begins.
    fn offset(&self, frequency: usize, block: usize) -> usize {
        (frequency * self.blocks.count() + block) * self.rows * self.blocks.width
    }
}

/// The four slices that a layer of tiles reads, with their borders.
struct Slices {
    values: Buffer,
    len: usize,
}

impl Slices {
    fn new(conv: Conv) -> Slices {
        let len = bordered([conv.size[1], conv.size[2]], pitch(conv.from));
        Slices { values: Buffer::zeroed(4 * len), len }
    }

    /// Loads slices `2 layer - 1` to `2 layer + 2` of the sample `x`; a slice that does not exist
    /// is zero.
    fn load(&mut self, conv: Conv, x: &[f32], layer: usize) {
        let [depth, h, w] = conv.size;
        let channels = pitch(conv.from);
        let row = bordered_row(w, channels);
        for (k, to) in self.values.chunks_exact_mut(self.len).enumerate() {
            match (2 * layer + k).checked_sub(1).filter(|slice| *slice < depth) {
                Some(slice) => {
                    let plane = &x[slice * h * w * channels..][..h * w * channels];
                    for (y, from) in plane.chunks_exact(w * channels).enumerate() {
                        to[(y + 1) * row + channels..][..w * channels].copy_from_slice(from);
                    }
                }
                None => to.fill(0.0),
            }
        }
    }

    fn slice(&self, k: usize) -> &[f32] {
        &self.values[k * self.len..][..self.len]
    }

    /// Computes `T` of a chunk.
    fn transform(&self, isa: Isa, conv: Conv, chunk: Chunk, to: &mut [f32]) {
        let slices = [self.slice(0), self.slice(1), self.slice(2), self.slice(3)];
        let channels = pitch(conv.from);
        transform_input(isa, slices, bordered_row(conv.size[2], channels), chunk, channels, to);
    }
}

/// The convolution of slices `planes` of the sample `x`, without its bias.
pub(crate) fn forward(
    isa: Isa,
    conv: Conv,
    x: &[f32],
    filters: &Filters,
    planes: Range<usize>,
    y: &mut [f32],
) {
    let [_, h, w] = conv.size;
    let (from, to) = conv.pitches();
    let chunks = conv.chunks(TILES);
    let mut slices = Slices::new(conv);
    let mut inputs = Buffer::new(room(&chunks, from));
    let mut products = Buffer::new(room(&chunks, to));
    let layers = Conv::layers(&planes);
    for (layer, y) in layers.zip(y.chunks_mut(2 * h * w * to)) {
        slices.load(conv, x, layer);
        for &chunk in &chunks {
            slices.transform(isa, conv, chunk, &mut inputs);
            for f in 0..FREQUENCIES {
                for block in 0..filters.blocks.count() {
                    let product = Gemm {
                        m: chunk.count(),
                        n: filters.blocks.width / LANES,
                        k: conv.from,
                        taps: &[(f * chunk.stride(from), filters.offset(f, block))],
                        a: &inputs,
                        a_m: from,
                        a_k: 1,
                        b: &filters.values,
                        b_k: filters.blocks.width,
                        c: &mut products[f * chunk.stride(to) + block * filters.blocks.width..],
                        c_m: to,
                        accumulate: false,
                    };
                    gemm(isa, product);
                }
            }
            transform_output(isa, &products, chunk, [h, w], to, y);
        }
    }
}

/// A source of the gradient of a convolution's results.
pub(crate) trait Gradient {
    /// Writes a chunk of a layer as `[frequency][block][tile][width]`.
    fn transform(&self, layer: usize, chunk: Chunk, to: &mut [f32]);
}

/// Adds a part's share to the weights' gradient (`[frequency][from][pitch(to)]`). Where
/// `transposed` filters are given, it also writes the gradient of the part's slices of the input.
pub(crate) fn backward(
    isa: Isa,
    conv: Conv,
    x: &[f32],
    gradient: &impl Gradient,
    planes: Range<usize>,
    weight: &mut [f32],
    input: Option<(&Filters, &mut [f32])>,
) {
    let (from, to) = conv.pitches();
    let many = conv.gradient_len() > 1 << 20;
    let chunks = conv.chunks(if many { TILES_OF_MANY_CHANNELS } else { TILES });
    let own = Conv::layers(&planes);
    let mut input = input.map(|(filters, dx)| InputGradient::new(conv, filters, &chunks, planes, dx));
    // The first and the last slice of a part also went into tiles of its neighbours.
    let last = conv.size[0].div_ceil(2);
    let layers =
        if input.is_some() { own.start.saturating_sub(1)..last.min(own.end + 1) } else { own.clone() };
    let mut slices = Slices::new(conv);
    let mut inputs = Buffer::new(room(&chunks, from));
    let mut gradients = Buffer::new(room(&chunks, to));
    for layer in layers.clone() {
        let mine = own.contains(&layer);
        if mine {
            slices.load(conv, x, layer);
        }
        for &chunk in &chunks {
            gradient.transform(layer, chunk, &mut gradients);
            if mine {
                slices.transform(isa, conv, chunk, &mut inputs);
            }
            for f in 0..FREQUENCIES {
                if mine {
                    add_weight_gradient(isa, conv, chunk, f, &inputs, &gradients, weight);
                }
                if let Some(input) = &mut input {
                    input.product(isa, chunk, f, &gradients);
                }
            }
            if let Some(input) = &mut input {
                input.add(isa, chunk, layer);
            }
        }
        if let Some(input) = &mut input {
            input.flush((2 * layer).checked_sub(1));
            input.flush(Some(2 * layer));
        }
    }
    if let Some(input) = &mut input {
        input.flush(Some(2 * layers.end - 1));
    }
}

/// `dU += T Y` over the tiles of a chunk, for one frequency.
fn add_weight_gradient(
    isa: Isa,
    conv: Conv,
    chunk: Chunk,
    f: usize,
    inputs: &[f32],
    gradients: &[f32],
    weight: &mut [f32],
) {
    let (from, to) = conv.pitches();
    let blocks = Blocks::of(to);
    for block in 0..blocks.count() {
        let b = f * chunk.stride(to) + block * chunk.count() * blocks.width;
        let product = Gemm {
            m: conv.from,
            n: blocks.width / LANES,
            k: chunk.count(),
            taps: &[(f * chunk.stride(from), b)],
            a: inputs,
            a_m: 1,
            a_k: from,
            b: gradients,
            b_k: blocks.width,
            c: &mut weight[f * conv.from * to + block * blocks.width..],
            c_m: to,
            accumulate: true,
        };
        gemm(isa, product);
    }
}

/// The gradient of a part's slices of the input, layer by layer.
struct InputGradient<'a> {
    conv: Conv,
    filters: &'a Filters,
    planes: Range<usize>,
    dx: &'a mut [f32],
    products: Buffer,
    /// Slice `s` of the input, with its border, is summed in place `(s + 1) % 4`.
    sums: Buffer,
    len: usize,
    taps: Vec<(usize, usize)>,
}

impl<'a> InputGradient<'a> {
    fn new(
        conv: Conv,
        filters: &'a Filters,
        chunks: &[Chunk],
        planes: Range<usize>,
        dx: &'a mut [f32],
    ) -> InputGradient<'a> {
        let (from, _) = conv.pitches();
        let len = bordered([conv.size[1], conv.size[2]], from);
        let products = Buffer::new(room(chunks, from));
        InputGradient {
            conv,
            filters,
            planes,
            dx,
            products,
            sums: Buffer::zeroed(4 * len),
            len,
            taps: Vec::new(),
        }
    }

    /// `U Y` of one frequency.
    fn product(&mut self, isa: Isa, chunk: Chunk, f: usize, gradients: &[f32]) {
        let (from, to) = self.conv.pitches();
        let (blocks, columns) = (Blocks::of(to), self.filters.blocks);
        for column in 0..columns.count() {
            self.taps.clear();
            for block in 0..blocks.count() {
                let a = f * chunk.stride(to) + block * chunk.count() * blocks.width;
                let b = self.filters.offset(f, column) + block * blocks.width * columns.width;
                self.taps.push((a, b));
            }
            let product = Gemm {
                m: chunk.count(),
                n: columns.width / LANES,
                k: blocks.width,
                taps: &self.taps,
                a: gradients,
                a_m: blocks.width,
                a_k: 1,
                b: &self.filters.values,
                b_k: columns.width,
                c: &mut self.products[f * chunk.stride(from) + column * columns.width..],
                c_m: from,
                accumulate: false,
            };
            gemm(isa, product);
        }
    }

    /// Adds a chunk's `B (U Y)` to the four slices that the chunk read.
    fn add(&mut self, isa: Isa, chunk: Chunk, layer: usize) {
        let channels = pitch(self.conv.from);
        let row = bordered_row(self.conv.size[2], channels);
        // Slice 2 layer - 1 is in place 2 layer % 4: the first or the third.
        let (low, high) = self.sums.split_at_mut(2 * self.len);
        let (first, second) = if layer.is_multiple_of(2) { (low, high) } else { (high, low) };
        let (a, b) = first.split_at_mut(self.len);
        let (c, d) = second.split_at_mut(self.len);
        add_input_gradient(isa, &self.products, row, chunk, channels, [a, b, c, d]);
    }

    /// Writes a complete slice, if it belongs to the part, and clears its place.
    fn flush(&mut self, slice: Option<usize>) {
        let [_, h, w] = self.conv.size;
        let channels = pitch(self.conv.from);
        let row = bordered_row(w, channels);
        let place = slice.map_or(0, |slice| (slice + 1) % 4);
        let sums = &mut self.sums[place * self.len..][..self.len];
        if let Some(slice) = slice.filter(|slice| self.planes.contains(slice)) {
            let to = &mut self.dx[(slice - self.planes.start) * h * w * channels..][..h * w * channels];
            for (y, to) in to.chunks_exact_mut(w * channels).enumerate() {
                to.copy_from_slice(&sums[(y + 1) * row + channels..][..w * channels]);
            }
        }
        sums.fill(0.0);
    }
}

/// The weights' gradient `[to, from, 27]`: the private copies, summed in their order.
pub(crate) fn weight_gradient(isa: Isa, conv: Conv, copies: &[&[f32]], weight: &mut [f32]) {
    let to = pitch(conv.to);
    let lengths = (0..to / LANES).map(|group| LANES.min(conv.to - group * LANES) * conv.from * 27);
    each(cut(weight, lengths), |group, weight| {
        let mut filters = Buffer::new(27 * conv.from * LANES);
        filter_gradient(isa, copies, conv.from, to, group * LANES, &mut filters);
        for (lane, weight) in weight.chunks_exact_mut(conv.from * 27).enumerate() {
            for (row, weight) in weight.chunks_exact_mut(27).enumerate() {
                for (tap, weight) in weight.iter_mut().enumerate() {
                    *weight = filters[(tap * conv.from + row) * LANES + lane];
                }
            }
        }
    });
}
