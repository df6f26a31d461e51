//! Packets (ITU-T T.800, annex B): which bytes belong to which code-block.

use super::codestream::{Coding, Order};
use super::passes::Band;
use super::tag_tree::{Bits, TagTree};

/// A code-block and what has been found for it so far.
#[derive(Debug, Default)]
pub(super) struct CodeBlock<'a> {
    /// Its position in the subband, and its width and height.
    pub(super) at: [usize; 2],
    pub(super) size: [usize; 2],
    /// Number of bit planes, without the all-zero ones.
    pub(super) planes: u32,
    pub(super) passes: u32,
    pub(super) pieces: Vec<&'a [u8]>,
    length_bits: u32,
}

/// A subband of one tile.
#[derive(Debug)]
pub(super) struct Subband<'a> {
    pub(super) band: Band,
    /// Its index in the order of the steps.
    pub(super) number: usize,
    /// Its position on its own grid.
    pub(super) at: [u32; 2],
    pub(super) size: [usize; 2],
    pub(super) blocks: Vec<CodeBlock<'a>>,
}

/// One resolution of a tile.
#[derive(Debug)]
pub(super) struct Resolution<'a> {
    pub(super) at: [u32; 2],
    pub(super) size: [usize; 2],
    pub(super) bands: Vec<Subband<'a>>,
    precincts: Vec<Precinct>,
}

/// The blocks of a resolution whose bytes come together, for each subband.
#[derive(Debug)]
struct Precinct {
    /// Row and column of the reference grid at which it begins.
    at: [u64; 2],
    parts: Vec<Part>,
}

/// A precinct's part of one subband.
#[derive(Debug)]
struct Part {
    /// Index of its first block within the subband, and the number of blocks across and down.
    first: usize,
    blocks: [usize; 2],
    included: TagTree,
    empty_planes: TagTree,
}

/// Maximum number of bit planes: samples have 16 bits, a subband adds two, and an encoder's
/// rounding one.
const MOST_PLANES: u32 = 22;

/// Upper limits on the cost of a frame of this size, whatever its bytes say.
pub(super) struct Budget {
    /// Code-blocks and precincts that may still be created. Each has at least 16 x 16 samples on
    /// average, except in a small frame.
    places: u64,
    /// Steps that may still be taken. One step costs about as much as four samples of a coding
    /// pass.
    steps: u64,
}

impl Budget {
    pub(super) fn new(samples: usize, precision: u32) -> Budget {
        let samples = samples as u64;
        // Three passes for each bit plane, and there are a few more bit planes than bits.
        Budget { places: 2048 + samples / 256, steps: samples * u64::from(precision + 4) + (1 << 20) }
    }

    fn place(&mut self, count: usize) -> Option<()> {
        self.places = self.places.checked_sub(count as u64)?;
        Some(())
    }

    fn step(&mut self, count: u64) -> Option<()> {
        self.steps = self.steps.checked_sub(count)?;
        Some(())
    }
}

impl<'a> Resolution<'a> {
    /// The resolutions of the tile that covers `columns` and `rows`, smallest first, still empty.
    pub(super) fn all(
        coding: &Coding,
        tile: [[u32; 2]; 2],
        budget: &mut Budget,
    ) -> Option<Vec<Resolution<'a>>> {
        (0..=coding.style.levels).map(|r| Resolution::new(coding, tile, r, budget)).collect()
    }

    fn new(coding: &Coding, tile: [[u32; 2]; 2], index: u32, budget: &mut Budget) -> Option<Resolution<'a>> {
        let halved = coding.style.levels - index;
        let [start, end] = tile.map(|corner| corner.map(|at| shrink(at, halved)));
        let exponents = coding.style.precincts[index as usize];
        let kinds: &[(Band, [u32; 2])] = if index == 0 {
            &[(Band::LowLow, [0, 0])]
        } else {
            &[(Band::HighLow, [1, 0]), (Band::LowHigh, [0, 1]), (Band::HighHigh, [1, 1])]
        };
        // Precincts are defined on the resolution; a subband's grid is half as fine.
        let finer = u32::from(index > 0);
        let band_halved = halved + finer;
        let mut bands: Vec<Subband<'a>> = Vec::new();
        for (k, &(band, offset)) in kinds.iter().enumerate() {
            let corner = |corner: [u32; 2]| -> [u32; 2] {
                std::array::from_fn(|i| shrink_from(corner[i], offset[i], band_halved))
            };
            let (at, end) = (corner(tile[0]), corner(tile[1]));
            let number = if index == 0 { 0 } else { 3 * index as usize - 2 + k };
            let size = std::array::from_fn(|i| (end[i] - at[i]) as usize);
            bands.push(Subband { band, number, at, size, blocks: Vec::new() });
        }
        let size = std::array::from_fn(|i| (end[i] - start[i]) as usize);
        let mut precincts = Vec::new();
        if size[0] > 0 && size[1] > 0 {
            let cells = |i: usize| start[i] >> exponents[i]..((end[i] - 1) >> exponents[i]) + 1;
            for y in cells(1) {
                for x in cells(0) {
                    budget.place(1)?;
                    let parts = bands.iter_mut().map(|band| {
                        let exponents = exponents.map(|exponent| exponent - finer);
                        Part::new(band, [x, y], exponents, coding.style.block, budget)
                    });
                    // The outermost precincts begin where the tile does.
                    let at = [(1, y), (0, x)].map(|(i, cell)| {
                        let start = u64::from(cell) << exponents[i] << halved;
                        start.max(u64::from(tile[0][i]))
                    });
                    precincts.push(Precinct { at, parts: parts.collect::<Option<_>>()? });
                }
            }
        }
        Some(Resolution { at: start, size, bands, precincts })
    }
}

/// `at / 2^halved`, rounded up.
fn shrink(at: u32, halved: u32) -> u32 {
    u64::from(at).div_ceil(1 << halved) as u32
}

/// The same, shifted by half a step of the finer grid (equation B-15).
fn shrink_from(at: u32, offset: u32, halved: u32) -> u32 {
    if halved == 0 {
        return at;
    }
    let at = u64::from(at).saturating_sub(u64::from(offset) << (halved - 1));
    at.div_ceil(1 << halved) as u32
}

impl Part {
    /// Adds the blocks of a precinct's cell to the blocks of the subband.
    fn new(
        band: &mut Subband<'_>,
        cell: [u32; 2],
        exponents: [u32; 2],
        block: [u32; 2],
        budget: &mut Budget,
    ) -> Option<Part> {
        // The part of the subband that lies in the cell.
        let start: [u32; 2] = std::array::from_fn(|i| band.at[i].max(cell[i] << exponents[i]));
        let end: [u32; 2] = std::array::from_fn(|i| {
            let end = u64::from(cell[i] + 1) << exponents[i];
            end.min(u64::from(band.at[i]) + band.size[i] as u64) as u32
        });
        let first = band.blocks.len();
        let mut blocks = [0, 0];
        if start[0] < end[0] && start[1] < end[1] {
            let exponents: [u32; 2] = std::array::from_fn(|i| block[i].min(exponents[i]));
            let cells = |i: usize| start[i] >> exponents[i]..((end[i] - 1) >> exponents[i]) + 1;
            blocks = [cells(0).len(), cells(1).len()];
            budget.place(blocks[0].checked_mul(blocks[1])?)?;
            for y in cells(1) {
                for x in cells(0) {
                    let low = [x, y];
                    let from: [u32; 2] = std::array::from_fn(|i| start[i].max(low[i] << exponents[i]));
                    let to: [u32; 2] = std::array::from_fn(|i| end[i].min((low[i] + 1) << exponents[i]));
                    band.blocks.push(CodeBlock {
                        at: std::array::from_fn(|i| (from[i] - band.at[i]) as usize),
                        size: std::array::from_fn(|i| (to[i] - from[i]) as usize),
                        ..CodeBlock::default()
                    });
                }
            }
        }
        Some(Part { first, blocks, included: TagTree::new(blocks), empty_planes: TagTree::new(blocks) })
    }
}

/// Gives each block its bytes; `None` where the packets are damaged or incomplete.
pub(super) fn distribute<'a>(
    coding: &Coding,
    parts: &[&'a [u8]],
    resolutions: &mut [Resolution<'a>],
    budget: &mut Budget,
) -> Option<()> {
    // The precincts of each resolution in its own order, which all progressions but one keep.
    let mut places: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut by_position = Vec::new();
    for (r, resolution) in resolutions.iter().enumerate() {
        places.push((0..resolution.precincts.len()).map(|precinct| (r, precinct)).collect());
        by_position.extend(resolution.precincts.iter().enumerate().map(|(k, precinct)| (precinct.at, r, k)));
    }
    let (mut parts, mut bytes) = (parts.iter(), &[][..]);
    let mut next = |layer: u32, (r, precinct): (usize, usize)| {
        // No packet is split between two parts.
        while bytes.is_empty() {
            bytes = parts.next()?;
        }
        bytes = packet(coding, layer, &mut resolutions[r], precinct, bytes, budget)?;
        Some(())
    };
    let layers = 0..coding.style.layers;
    match coding.style.order {
        Order::Layers => {
            for layer in layers {
                places.iter().flatten().try_for_each(|&place| next(layer, place))?;
            }
        }
        Order::Resolutions => {
            for places in places {
                for layer in layers.clone() {
                    places.iter().try_for_each(|&place| next(layer, place))?;
                }
            }
        }
        Order::ResolutionsByPosition => {
            for place in places.into_iter().flatten() {
                layers.clone().try_for_each(|layer| next(layer, place))?;
            }
        }
        Order::Position => {
            by_position.sort_unstable();
            for (_, r, precinct) in by_position {
                layers.clone().try_for_each(|layer| next(layer, (r, precinct)))?;
            }
        }
    }
    Some(())
}

/// Reads a packet (sections B.9 and B.10) and returns the bytes after it.
fn packet<'a>(
    coding: &Coding,
    layer: u32,
    resolution: &mut Resolution<'a>,
    precinct: usize,
    mut bytes: &'a [u8],
    budget: &mut Budget,
) -> Option<&'a [u8]> {
    if coding.style.marked && bytes.starts_with(&[0xFF, 0x91]) {
        bytes = bytes.get(6..)?;
    }
    let mut bits = Bits::new(bytes);
    // Blocks to which this packet contributes, with the length of each contribution.
    let mut found = Vec::new();
    if bits.bit()? == 1 {
        let parts = resolution.precincts.get_mut(precinct)?.parts.iter_mut().zip(&mut resolution.bands);
        for (part_number, (part, band)) in parts.enumerate() {
            let [across, down] = part.blocks;
            budget.step(2 * (across * down) as u64)?;
            let most = (coding.guard_bits + coding.steps[band.number].0).checked_sub(1)?;
            for index in 0..across * down {
                let at = [index % across, index / across];
                let block = &mut band.blocks[part.first + index];
                let started = block.length_bits > 0;
                let included = if started {
                    bits.bit()? == 1
                } else {
                    part.included.below(at, layer + 1, &mut bits)? <= layer
                };
                if !included {
                    continue;
                }
                if !started {
                    let empty = part.empty_planes.below(at, most + 1, &mut bits)?;
                    block.planes = most.checked_sub(empty)?;
                    block.length_bits = 3;
                }
                let passes = passes(&mut bits)?;
                while bits.bit()? == 1 {
                    block.length_bits += 1;
                }
                let length =
                    bits.bits(block.length_bits.checked_add(passes.ilog2()).filter(|&b| b <= 31)?)?;
                block.passes += passes;
                let [width, height] = block.size;
                budget.step(u64::from(passes) * (width * height.div_ceil(4) + 8) as u64)?;
                // One cleanup pass for the first plane, and three passes for each following plane.
                if block.planes == 0 || block.planes > MOST_PLANES || block.passes > 3 * block.planes - 2 {
                    return None;
                }
                found.push((part_number, part.first + index, length as usize));
            }
        }
    }
    bytes = bytes.get(bits.end()..)?;
    if coding.style.marked && bytes.starts_with(&[0xFF, 0x92]) {
        bytes = &bytes[2..];
    }
    for (band, block, length) in found {
        let (piece, rest) = bytes.split_at_checked(length)?;
        resolution.bands[band].blocks[block].pieces.push(piece);
        bytes = rest;
    }
    Some(bytes)
}

/// Reads the number of coding passes (table B.4).
fn passes(bits: &mut Bits<'_>) -> Option<u32> {
    if bits.bit()? == 0 {
        return Some(1);
    }
    if bits.bit()? == 0 {
        return Some(2);
    }
    match bits.bits(2)? {
        3 => match bits.bits(5)? {
            31 => Some(37 + bits.bits(7)?),
            more => Some(6 + more),
        },
        more => Some(3 + more),
    }
}
