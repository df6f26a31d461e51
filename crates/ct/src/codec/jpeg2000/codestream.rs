//! The markers of a code stream (ITU-T T.800, annex A): how the image was coded, and whether this
//! decoder supports it.

use std::ops::Range;

/// How all tiles of the single component are coded.
pub(super) struct Coding {
    pub(super) size: Size,
    pub(super) style: Style,
    pub(super) guard_bits: u32,
    /// Exponent and mantissa of each subband's step, from the lowest; a reversible transform has no
    /// mantissa.
    pub(super) steps: Vec<(u32, u32)>,
}

/// The progression order of the packets (table A.16), as far as it matters for one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Layers,
    /// Resolutions, then layers, then precincts.
    Resolutions,
    /// Resolutions, then precincts, then layers.
    ResolutionsByPosition,
    /// Precincts by position whatever their resolution, then layers.
    Position,
}

/// The coding parameters of a code stream, and the packets of each tile in one or several pieces.
pub(super) struct CodeStream<'a> {
    pub(super) coding: Coding,
    /// By tile number.
    pub(super) tiles: Vec<Vec<&'a [u8]>>,
}

const SOD: u16 = 0xFF93;
const EOC: u16 = 0xFFD9;
const SOT: u16 = 0xFF90;

/// Maximum number of tiles.
const MOST_TILES: u64 = 1024;
/// Maximum number of tile-parts of a tile (section A.4.2).
const MOST_PARTS: usize = 255;

/// SOC and SIZ, with which every code stream begins.
pub(super) const START: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u32> {
        Some(u32::from(*self.take(1)?.first()?))
    }

    fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    /// The rest of a marker segment; its length comes next.
    fn segment(&mut self) -> Option<Reader<'a>> {
        let length = usize::from(self.word()?);
        self.take(length.checked_sub(2)?).map(Reader)
    }
}

impl<'a> CodeStream<'a> {
    /// Reads the markers of the code stream at the start of `bytes`; `None` where it is damaged or
    /// not of the kind that this decoder supports.
    pub(super) fn read(bytes: &'a [u8]) -> Option<CodeStream<'a>> {
        let mut reader = Reader(bytes);
        if reader.word()? != 0xFF4F {
            return None;
        }
        let (mut size, mut style, mut steps) = (None, None, None);
        let mut marker = reader.word()?;
        while marker != SOT {
            let mut segment = reader.segment()?;
            match marker {
                0xFF51 => size = Some(Size::read(&mut segment)?),
                0xFF52 => style = Some(Style::read(&mut segment)?),
                0xFF5C => steps = Some(Steps::read(&mut segment)?),
                // Comments and lengths of tiles and packets can be ignored.
                0xFF64 | 0xFF55 | 0xFF57 | 0xFF63 => {}
                // A different coding for one part, another order, packed headers, regions of
                // interest, HTJ2K.
                _ => return None,
            }
            marker = reader.word()?;
        }
        let coding = coding(size?, style?, steps?)?;
        let tiles = tiles(&mut reader, coding.size.tiles() as usize)?;
        Some(CodeStream { coding, tiles })
    }
}

/// The tiles, each in one or several tile-parts.
fn tiles<'a>(reader: &mut Reader<'a>, count: usize) -> Option<Vec<Vec<&'a [u8]>>> {
    let mut tiles = vec![Vec::new(); count];
    loop {
        // After the marker: its length (10), the tile, and the length of the tile-part from the
        // marker on.
        let (whole, mut head) = (reader.0, reader.segment()?);
        let (tile, length) = (head.word()?, head.long()? as usize);
        let part = if length == 0 {
            &whole[..whole.len().checked_sub(2)?]
        } else {
            whole.get(..length.checked_sub(2)?)?
        };
        let mut rest = Reader(part.get(10..)?);
        loop {
            match rest.word()? {
                SOD => break,
                // Lengths of packets, and comments.
                0xFF58 | 0xFF64 => {
                    rest.segment()?;
                }
                _ => return None,
            }
        }
        let parts: &mut Vec<&[u8]> = tiles.get_mut(usize::from(tile))?;
        if parts.len() == MOST_PARTS {
            return None;
        }
        parts.push(rest.0);
        *reader = Reader(&whole[part.len()..]);
        match reader.word()? {
            SOT => {}
            EOC => break,
            _ => return None,
        }
    }
    // A missing tile means damage.
    tiles.iter().all(|parts| !parts.is_empty()).then_some(tiles)
}

/// The image and its tiles on the reference grid (annex B), and the properties of its first
/// component.
pub(in crate::codec) struct Size {
    /// Columns and rows.
    pub(super) image: [Range<u32>; 2],
    /// Where the first tile begins, and the size of each tile.
    tile_origin: [u32; 2],
    tile: [u32; 2],
    pub(in crate::codec) components: usize,
    /// Whether there is a sample at every point of the grid.
    dense: bool,
    pub(super) precision: u32,
    pub(super) signed: bool,
}

impl Size {
    /// Reads the size of the code stream at the start of `bytes`.
    pub(in crate::codec) fn of(bytes: &[u8]) -> Option<Size> {
        let mut reader = Reader(bytes);
        reader.take(START.len())?;
        Size::read(&mut reader.segment()?)
    }

    /// SIZ (section A.5.1).
    fn read(segment: &mut Reader<'_>) -> Option<Size> {
        // Part 15 (HTJ2K) and other extensions announce themselves here.
        let _capabilities = segment.word()?;
        let mut pair = || Some([segment.long()?, segment.long()?]);
        let (end, origin, tile, tile_origin) = (pair()?, pair()?, pair()?, pair()?);
        let components = usize::from(segment.word()?);
        let (depth, steps) = (segment.byte()?, [segment.byte()?, segment.byte()?]);
        let inside = |i: usize| {
            origin[i] < end[i]
                && end[i] < 1 << 30
                && tile[i] > 0
                && tile_origin[i] <= origin[i]
                && tile_origin[i].checked_add(tile[i]).is_some_and(|first| first > origin[i])
        };
        (inside(0) && inside(1)).then(|| Size {
            image: [origin[0]..end[0], origin[1]..end[1]],
            tile_origin,
            tile: tile.map(|size| size.min(1 << 30)),
            components,
            dense: steps == [1, 1],
            precision: (depth & 0x7F) + 1,
            signed: depth >> 7 == 1,
        })
    }

    /// Columns and rows.
    pub(in crate::codec) fn extent(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.image[i].end - self.image[i].start) as usize)
    }

    fn across(&self) -> [u32; 2] {
        [0, 1].map(|i| (self.image[i].end - self.tile_origin[i]).div_ceil(self.tile[i]))
    }

    /// Number of tiles of the image.
    pub(in crate::codec) fn tiles(&self) -> u64 {
        self.across().map(u64::from).iter().product()
    }

    /// Columns and rows of a tile (section B.3).
    pub(super) fn tile(&self, number: usize) -> [Range<u32>; 2] {
        let across = self.across()[0];
        let at = [number as u32 % across, number as u32 / across];
        [0, 1].map(|i| {
            let start = self.tile_origin[i] + at[i] * self.tile[i];
            let image = &self.image[i];
            start.max(image.start)..(start + self.tile[i]).min(image.end)
        })
    }
}

/// How the image is decomposed, cut into code-blocks and put into packets.
pub(super) struct Style {
    /// Whether packets may begin with SOP and their headers end with EPH.
    pub(super) marked: bool,
    pub(super) order: Order,
    pub(super) layers: u32,
    /// Number of decomposition levels.
    pub(super) levels: u32,
    /// Exponents of a code-block's width and height.
    pub(super) block: [u32; 2],
    /// Exponents of a precinct's width and height, for each resolution from the smallest.
    pub(super) precincts: Vec<[u32; 2]>,
    pub(super) reversible: bool,
}

impl Style {
    /// COD (section A.6.1).
    fn read(segment: &mut Reader<'_>) -> Option<Style> {
        let style = segment.byte()?;
        let order = match segment.byte()? {
            0 => Order::Layers,
            1 => Order::Resolutions,
            2 => Order::ResolutionsByPosition,
            3 | 4 => Order::Position,
            _ => return None,
        };
        let layers = u32::from(segment.word()?);
        // Transforms between components: there is only one component.
        segment.byte()?;
        let levels = segment.byte()?;
        let block = [segment.byte()? + 2, segment.byte()? + 2];
        let (passes, transform) = (segment.byte()?, segment.byte()?);
        // The standard's limits (table A.18), and none of the coding-pass variants.
        let usual = block.iter().all(|&exponent| exponent <= 10) && block[0] + block[1] <= 12;
        if layers == 0 || levels > 32 || !usual || passes != 0 || transform > 1 || style & !7 != 0 {
            return None;
        }
        let mut precincts = vec![[15, 15]; levels as usize + 1];
        if style & 1 == 1 {
            for size in &mut precincts {
                let byte = segment.byte()?;
                *size = [byte & 15, byte >> 4];
            }
        }
        // A subband's part of a precinct is half as wide and high.
        let usable = precincts.iter().all(|size| size.iter().all(|&exponent| exponent >= 1));
        usable.then_some(Style {
            marked: style & 6 != 0,
            order,
            layers,
            levels,
            block,
            precincts,
            reversible: transform == 1,
        })
    }
}

struct Steps {
    guard_bits: u32,
    /// 0 for none, 1 for derived from the first, 2 for one step for each subband (table A.28).
    style: u32,
    bands: Vec<(u32, u32)>,
}

impl Steps {
    /// QCD (section A.6.4).
    fn read(segment: &mut Reader<'_>) -> Option<Steps> {
        let style = segment.byte()?;
        let mut bands = Vec::new();
        while !segment.0.is_empty() {
            bands.push(if style % 32 == 0 {
                (segment.byte()? >> 3, 0)
            } else {
                let step = u32::from(segment.word()?);
                (step >> 11, step & 0x7FF)
            });
        }
        Some(Steps { guard_bits: style >> 5, style: style % 32, bands })
    }
}

fn coding(size: Size, style: Style, steps: Steps) -> Option<Coding> {
    let &Style { levels, reversible, .. } = &style;
    let bands = 3 * levels as usize + 1;
    let mut bands_steps = steps.bands;
    match (reversible, steps.style) {
        (true, 0) | (false, 2) => bands_steps.truncate(bands),
        (false, 1) => {
            let &(exponent, mantissa) = bands_steps.first()?;
            // Equation E-5: one bit less for each decomposition level fewer.
            let derived = |band: usize| {
                let halved = levels - (band.saturating_sub(1) / 3) as u32;
                Some(((exponent + halved).checked_sub(levels)?, mantissa))
            };
            bands_steps = (0..bands).map(derived).collect::<Option<_>>()?;
        }
        _ => return None,
    }
    let usable = size.components == 1
        && size.dense
        && (1..=16).contains(&size.precision)
        && size.tiles() <= MOST_TILES
        && bands_steps.len() == bands;
    usable.then_some(Coding { size, style, guard_bits: steps.guard_bits, steps: bands_steps })
}
