//! The 3x3x3 convolution of a few slices at a time, forward and backward, through Winograd's tiles.
//!
//! Everything is channels-last. A part is a range of a sample's slices; what a part needs of its
//! neighbours it transforms again, so that parts are independent of each other.

use std::ops::Range;

use crate::Isa;
use crate::buffers::Buffer;
use crate::gemm::{Gemm, gemm};
use crate::layout::{LANES, pitch};
use crate::parallel::{cut, each};
use crate::winograd::{
    Blocks, FREQUENCIES, Place, Tiles, add_input_gradient, filter_gradient, transform_filters,
    transform_input, transform_output,
};

/// One convolution's extent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv {
    pub(crate) size: [usize; 3],
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Conv {
    pub(crate) fn tiles(self) -> Tiles {
        Tiles::of(self.size[1], self.size[2])
    }

    pub(crate) fn pitches(self) -> (usize, usize) {
        (pitch(self.from), pitch(self.to))
    }

    /// Values of a slice of the input and of the output.
    pub(crate) fn plane(self, channels: usize) -> usize {
        self.size[1] * self.size[2] * pitch(channels)
    }

    /// Slices that are worked on together: enough tiles to make a product of.
    fn slab(self) -> usize {
        (256 / self.tiles().count()).clamp(1, self.size[0])
    }

    /// Values of a private copy of the weights' gradient.
    pub(crate) fn gradient_len(self) -> usize {
        FREQUENCIES * 3 * self.from * pitch(self.to)
    }
}

/// Filters, transformed and in the order in which a product reads them.
pub(crate) struct Filters {
    /// `[frequency][block][kd][rows][width]`.
    values: Buffer,
    rows: usize,
    blocks: Blocks,
}

impl Filters {
    /// From `[to, from, 27]`. Forward, rows are input and columns output channels; for the gradient
    /// of the input it is the other way round, with rows up to the pitch.
    pub(crate) fn new(isa: Isa, weight: &[f32], from: usize, to: usize, transposed: bool) -> Filters {
        let (rows, columns) = if transposed { (pitch(to), from) } else { (from, to) };
        let value = |row: usize, column: usize, tap: usize| {
            let (output, input) = if transposed { (row, column) } else { (column, row) };
            if output < to && input < from { weight[(output * from + input) * 27 + tap] } else { 0.0 }
        };
        let blocks = Blocks::of(pitch(columns));
        let frequency = 3 * rows * blocks.channels;
        let mut values = Buffer::new(FREQUENCIES * frequency);
        // Sixteen columns, reordered to [27][rows][16], then transformed in vectors.
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
            let place = Place { start: block * 3 * rows * blocks.width + inside, width: blocks.width };
            transform_filters(isa, filters, rows, place, &mut pieces);
        }
        Filters { values, rows, blocks }
    }

    /// Offset of slice `kd` in one block of one frequency.
    fn offset(&self, frequency: usize, block: usize, kd: usize) -> usize {
        ((frequency * self.blocks.count() + block) * 3 + kd) * self.rows * self.blocks.width
    }
}

/// Transformed slices that are kept while a part walks along its sample.
struct Ring {
    values: Buffer,
    len: usize,
    slots: usize,
    /// The slice after the last one that is here.
    next: usize,
}

impl Ring {
    fn new(len: usize, slots: usize, first: usize) -> Ring {
        Ring { values: Buffer::new(len * slots), len, slots, next: first }
    }

    fn offset(&self, slice: usize) -> usize {
        slice % self.slots * self.len
    }

    fn slot(&mut self, slice: usize) -> &mut [f32] {
        let start = self.offset(slice);
        &mut self.values[start..start + self.len]
    }
}

/// The transformed input, slice by slice.
struct Inputs<'a> {
    ring: Ring,
    bordered: Buffer,
    conv: Conv,
    x: &'a [f32],
}

impl<'a> Inputs<'a> {
    fn new(conv: Conv, x: &'a [f32], slots: usize, first: usize) -> Inputs<'a> {
        let tiles = conv.tiles();
        let channels = pitch(conv.from);
        let [h, w] = tiles.padded();
        Inputs {
            ring: Ring::new(FREQUENCIES * tiles.stride(channels), slots, first),
            bordered: Buffer::zeroed(h * w * channels),
            conv,
            x,
        }
    }

    fn advance(&mut self, isa: Isa, end: usize) {
        let [_, h, w] = self.conv.size;
        let channels = pitch(self.conv.from);
        let tiles = self.conv.tiles();
        while self.ring.next < end {
            let slice = self.ring.next;
            let plane = &self.x[slice * h * w * channels..][..h * w * channels];
            let row = tiles.padded()[1] * channels;
            for (y, from) in plane.chunks_exact(w * channels).enumerate() {
                self.bordered[(y + 1) * row + channels..][..w * channels].copy_from_slice(from);
            }
            transform_input(isa, &self.bordered, tiles, channels, self.ring.slot(slice));
            self.ring.next += 1;
        }
    }
}

/// Slices `d + kd - 1` that exist, with their `kd`.
fn neighbours(d: usize, depth: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..3)
        .filter_map(move |kd| (d + kd).checked_sub(1).filter(|slice| *slice < depth).map(|slice| (kd, slice)))
}

/// The convolution, without its bias, of slices `planes` of the sample `x`.
pub(crate) fn forward(
    isa: Isa,
    conv: Conv,
    x: &[f32],
    filters: &Filters,
    planes: Range<usize>,
    y: &mut [f32],
) {
    let [depth, h, w] = conv.size;
    let tiles = conv.tiles();
    let (from, to) = conv.pitches();
    let slab = conv.slab();
    let mut inputs = Inputs::new(conv, x, slab + 2, planes.start.saturating_sub(1));
    let stride = tiles.stride(to);
    let mut products = Buffer::new(slab * FREQUENCIES * stride);
    let mut slices = y.chunks_exact_mut(h * w * to);
    for start in planes.clone().step_by(slab) {
        let end = planes.end.min(start + slab);
        inputs.advance(isa, depth.min(end + 1));
        for f in 0..FREQUENCIES {
            for block in 0..filters.blocks.count() {
                for d in start..end {
                    let mut taps = [(0, 0); 3];
                    let mut count = 0;
                    for (kd, slice) in neighbours(d, depth) {
                        let a = inputs.ring.offset(slice) + f * tiles.stride(from);
                        taps[count] = (a, filters.offset(f, block, kd));
                        count += 1;
                    }
                    gemm(
                        isa,
                        Gemm {
                            m: tiles.count(),
                            n: filters.blocks.width / LANES,
                            k: conv.from,
                            taps: &taps[..count],
                            a: &inputs.ring.values,
                            a_m: from,
                            a_k: 1,
                            b: &filters.values,
                            b_k: filters.blocks.width,
                            c: &mut products[((d - start) * FREQUENCIES + f) * stride..]
                                [block * filters.blocks.width..],
                            c_m: to,
                            accumulate: false,
                        },
                    );
                }
            }
        }
        for d in start..end {
            let Some(plane) = slices.next() else { unreachable!("room for {planes:?}") };
            let products = &products[(d - start) * FREQUENCIES * stride..][..FREQUENCIES * stride];
            transform_output(isa, products, tiles, [h, w], to, plane);
        }
    }
}

/// What a slice of the results' gradient is made from.
pub(crate) trait Gradient {
    /// Writes slice `d` as `[frequency][block][tile][width]`.
    fn transform(&self, d: usize, to: &mut [f32]);
}

/// Adds a part's share to the weights' gradient (`[frequency][kd][from][pitch(to)]`) and, where
/// `transposed` filters are given, writes the gradient of its slices of the input.
pub(crate) fn backward(
    isa: Isa,
    conv: Conv,
    x: &[f32],
    gradient: &impl Gradient,
    planes: Range<usize>,
    weight: &mut [f32],
    input: Option<(&Filters, &mut [f32])>,
) {
    let [depth, h, w] = conv.size;
    let tiles = conv.tiles();
    let (from, to) = conv.pitches();
    let slab = conv.slab();
    let first = planes.start.saturating_sub(1);
    let mut inputs = Inputs::new(conv, x, slab + 2, first);
    let mut gradients = Ring::new(FREQUENCIES * tiles.stride(to), slab + 2, first);
    let mut input = input.map(|(filters, dx)| (InputGradient::new(conv, filters, slab), dx));
    for start in planes.clone().step_by(slab) {
        let end = planes.end.min(start + slab);
        inputs.advance(isa, depth.min(end + 1));
        while gradients.next < depth.min(end + 1) {
            let d = gradients.next;
            gradient.transform(d, gradients.slot(d));
            gradients.next += 1;
        }
        add_weight_gradient(isa, conv, &inputs.ring, &gradients, start..end, weight);
        if let Some((input, dx)) = &mut input {
            let plane = h * w * from;
            let dx = &mut dx[(start - planes.start) * plane..(end - planes.start) * plane];
            input.write(isa, &gradients, start..end, dx);
        }
    }
}

/// `dU += T Y` over the tiles of these slices, for every frequency and slice of the filter.
fn add_weight_gradient(
    isa: Isa,
    conv: Conv,
    inputs: &Ring,
    gradients: &Ring,
    planes: Range<usize>,
    weight: &mut [f32],
) {
    let tiles = conv.tiles();
    let (from, to) = conv.pitches();
    let blocks = Blocks::of(to);
    let mut taps = Vec::new();
    for f in 0..FREQUENCIES {
        for kd in 0..3 {
            for block in 0..blocks.count() {
                taps.clear();
                for d in planes.clone() {
                    if let Some((_, slice)) = neighbours(d, conv.size[0]).find(|(k, _)| *k == kd) {
                        let b =
                            gradients.offset(d) + f * tiles.stride(to) + block * tiles.count() * blocks.width;
                        taps.push((inputs.offset(slice) + f * tiles.stride(from), b));
                    }
                }
                if taps.is_empty() {
                    continue;
                }
                let product = Gemm {
                    m: conv.from,
                    n: blocks.width / LANES,
                    k: tiles.count(),
                    taps: &taps,
                    a: &inputs.values,
                    a_m: 1,
                    a_k: from,
                    b: &gradients.values,
                    b_k: blocks.width,
                    c: &mut weight[(f * 3 + kd) * conv.from * to + block * blocks.width..],
                    c_m: to,
                    accumulate: true,
                };
                gemm(isa, product);
            }
        }
    }
}

/// Room in which the gradient of the input is made, a slab at a time.
struct InputGradient<'a> {
    conv: Conv,
    filters: &'a Filters,
    products: Buffer,
    bordered: Buffer,
}

impl<'a> InputGradient<'a> {
    fn new(conv: Conv, filters: &'a Filters, slab: usize) -> InputGradient<'a> {
        let tiles = conv.tiles();
        let (from, _) = conv.pitches();
        let [rows, columns] = tiles.padded();
        InputGradient {
            conv,
            filters,
            products: Buffer::new(slab * FREQUENCIES * tiles.stride(from)),
            bordered: Buffer::new(rows * columns * from),
        }
    }

    /// `B (U Y)` of these slices.
    fn write(&mut self, isa: Isa, gradients: &Ring, planes: Range<usize>, dx: &mut [f32]) {
        let [depth, h, w] = self.conv.size;
        let tiles = self.conv.tiles();
        let (from, to) = self.conv.pitches();
        let (blocks, columns) = (Blocks::of(to), self.filters.blocks);
        let stride = tiles.stride(from);
        let mut taps = Vec::new();
        for f in 0..FREQUENCIES {
            for column in 0..columns.count() {
                for d in planes.clone() {
                    taps.clear();
                    // Slice d of the input went into the results d + 1 - kd.
                    for (flipped, slice) in neighbours(d, depth) {
                        for block in 0..blocks.count() {
                            let a = gradients.offset(slice)
                                + f * tiles.stride(to)
                                + block * tiles.count() * blocks.width;
                            let b = self.filters.offset(f, column, 2 - flipped)
                                + block * blocks.width * columns.width;
                            taps.push((a, b));
                        }
                    }
                    let product = Gemm {
                        m: tiles.count(),
                        n: columns.width / LANES,
                        k: blocks.width,
                        taps: &taps,
                        a: &gradients.values,
                        a_m: blocks.width,
                        a_k: 1,
                        b: &self.filters.values,
                        b_k: columns.width,
                        c: &mut self.products[((d - planes.start) * FREQUENCIES + f) * stride..]
                            [column * columns.width..],
                        c_m: from,
                        accumulate: false,
                    };
                    gemm(isa, product);
                }
            }
        }
        let row = tiles.padded()[1] * from;
        for (slice, plane) in dx.chunks_exact_mut(h * w * from).enumerate() {
            self.bordered.fill(0.0);
            let products = &self.products[slice * FREQUENCIES * stride..][..FREQUENCIES * stride];
            add_input_gradient(isa, products, tiles, from, &mut self.bordered);
            for (y, to) in plane.chunks_exact_mut(w * from).enumerate() {
                to.copy_from_slice(&self.bordered[(y + 1) * row + from..][..w * from]);
            }
        }
    }
}

/// The weights' gradient `[to, from, 27]` from the private copies, summed in their order.
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
