//! Where each frame of encapsulated pixel data lies (PS3.5 section A.4).

use std::io;
use std::ops::Range;

use ctpipe_disk::AlignedBuffer;

use super::dataset::{DataSet, Element, Encoding, ITEM, PIXELS, UNDEFINED, item_head};
use crate::storage::Storage;

const EXTENDED_OFFSETS: u32 = 0x7FE0_0001;
/// Maximum number of fragments of a file; a frame has one or a few.
const MOST_FRAGMENTS: usize = 1 << 20;
/// An item's header, and enough of its value to tell whether a code stream begins there.
const HEAD: usize = 8 + 8;

/// The pixel data of a data set.
pub(crate) fn pixel_data<'d, 'a>(set: &'d DataSet<'a>) -> Option<&'d Element<'a>> {
    PIXELS.iter().rev().find_map(|tag| set.get(*tag))
}

/// Positions in the file of one fragment of a frame.
type Fragment = Range<u64>;

/// The fragments of encapsulated pixel data, and which frame each belongs to.
#[derive(Debug)]
pub(crate) struct Fragments {
    all: Vec<Fragment>,
    frames: Vec<Range<usize>>,
}

impl Fragments {
    /// Walks through the items from `start` to the delimiter or the end of the file.
    pub(crate) fn find(
        set: &DataSet<'_>,
        storage: &Storage,
        start: u64,
        frames: usize,
    ) -> io::Result<Fragments> {
        let encoding = Encoding { explicit: true, ..set.encoding };
        let end = storage.length();
        let mut room = AlignedBuffer::default();
        let mut all: Vec<Fragment> = Vec::new();
        let mut begins = Vec::new();
        let mut offsets = Vec::new();
        let (mut at, mut first) = (start, true);
        while all.len() < MOST_FRAGMENTS {
            let head = storage.at(at, HEAD, &mut room)?;
            let Some((ITEM, length)) = item_head(head, 0, encoding) else { break };
            let from = at + 8;
            // The last one may end with the file, whatever its length says.
            let to = if length == UNDEFINED { end } else { from.saturating_add(u64::from(length)).min(end) };
            let to = to.max(from);
            if first {
                let table = storage.at(from, 4 * frames.min((to - from) as usize / 4), &mut room)?;
                offsets = table.as_chunks::<4>().0.iter().map(|b| u64::from(encoding.u32(*b))).collect();
                first = false;
            } else {
                begins.push(begins_a_stream(&head[8..]));
                all.push(from..to);
            }
            at = to;
        }
        if offsets.is_empty()
            && let Some(extended) = set.get(EXTENDED_OFFSETS)
        {
            offsets = extended.value.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
        }
        // Offsets count from the first item after the table.
        let base = all.first().map_or(0, |fragment| fragment.start);
        let at_offset = |offset: u64| all.partition_point(|fragment| fragment.start - base < offset);
        let frames = if frames <= 1 {
            // One frame takes all fragments.
            std::iter::once(0..all.len()).collect()
        } else if all.len() == frames {
            (0..frames).map(|k| k..k + 1).collect()
        } else if offsets.len() == frames {
            let ends = offsets[1..].iter().map(|&end| at_offset(end)).chain([all.len()]);
            offsets.iter().map(|&start| at_offset(start)).zip(ends).map(|(a, b)| a..b.max(a)).collect()
        } else {
            // There is neither a table nor one fragment for each frame: a frame begins where a code
            // stream does.
            let starts: Vec<usize> = (0..all.len()).filter(|&k| begins[k]).collect();
            let ends = starts.iter().skip(1).copied().chain([all.len()]);
            starts.iter().copied().zip(ends).map(|(a, b)| a..b).take(frames).collect()
        };
        Ok(Fragments { all, frames })
    }

    /// The fragments of a frame; none where there is no such frame.
    pub(crate) fn of(&self, frame: usize) -> &[Fragment] {
        self.frames.get(frame).and_then(|range| self.all.get(range.clone())).unwrap_or_default()
    }
}

/// Whether a code stream begins here: JPEG and JPEG-LS (SOI and a marker), JPEG 2000 (SOC and SIZ,
/// or the signature of its file), or JPEG XL.
fn begins_a_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
        || bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51])
        || bytes.starts_with(&[0xFF, 0x0A])
        || bytes.starts_with(&[0, 0, 0, 12, b'j', b'P'])
        || bytes.starts_with(&[0, 0, 0, 12, b'J', b'X', b'L'])
}
