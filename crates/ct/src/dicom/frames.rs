//! Where each frame of the pixel data lies (PS3.5 section A.4). Decodes nothing.

use std::borrow::Cow;

use super::dataset::{DataSet, Element, Encoding, Items, PIXELS};

const EXTENDED_OFFSETS: u32 = 0x7FE0_0001;

/// The pixel data of a data set.
pub(crate) fn pixel_data<'d, 'a>(set: &'d DataSet<'a>) -> Option<&'d Element<'a>> {
    PIXELS.iter().rev().find_map(|tag| set.get(*tag))
}

/// The coded bytes of one frame of encapsulated pixel data; `None` when there is no such frame.
pub(crate) fn encapsulated<'a>(set: &DataSet<'a>, index: usize, frames: usize) -> Option<Cow<'a, [u8]>> {
    let encoding = Encoding { explicit: true, ..set.encoding };
    let mut items = Items { bytes: pixel_data(set)?.value, at: 0, encoding };
    let offsets: Vec<u64> = {
        let basic = items.next()?;
        let basic = basic.as_chunks::<4>().0.iter().map(|b| u64::from(encoding.u32(*b))).collect::<Vec<_>>();
        match set.get(EXTENDED_OFFSETS) {
            Some(extended) if basic.is_empty() => {
                extended.value.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect()
            }
            _ => basic,
        }
    };
    // Each fragment with its offset from the first byte behind the offset table.
    let base = items.at;
    let mut fragments: Vec<(u64, &'a [u8])> = Vec::new();
    loop {
        let at = items.at;
        match items.next() {
            Some(fragment) => fragments.push(((at - base) as u64, fragment)),
            None => break,
        }
    }
    let own: &[(u64, &[u8])] = if frames <= 1 {
        if index > 0 { &[] } else { &fragments }
    } else if fragments.len() == frames {
        fragments.get(index..=index)?
    } else if offsets.len() == frames {
        let start = offsets[index.min(frames - 1)];
        let end = offsets.get(index + 1).copied().unwrap_or(u64::MAX);
        let first = fragments.partition_point(|(offset, _)| *offset < start);
        let last = fragments.partition_point(|(offset, _)| *offset < end);
        fragments.get(first..last)?
    } else {
        // Neither a table nor one fragment a frame: a frame begins where a code stream does.
        let starts: Vec<usize> = (0..fragments.len()).filter(|&i| begins_a_stream(fragments[i].1)).collect();
        let first = *starts.get(index)?;
        let last = starts.get(index + 1).copied().unwrap_or(fragments.len());
        &fragments[first..last]
    };
    match own {
        [] => None,
        [(_, one)] => Some(Cow::Borrowed(one)),
        many => Some(Cow::Owned(many.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect())),
    }
}

/// JPEG and JPEG-LS (SOI and a marker), JPEG 2000 (SOC and SIZ, or its file's signature), JPEG XL.
fn begins_a_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
        || bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51])
        || bytes.starts_with(&[0xFF, 0x0A])
        || bytes.starts_with(&[0, 0, 0, 12, b'j', b'P'])
        || bytes.starts_with(&[0, 0, 0, 12, b'J', b'X', b'L'])
}
