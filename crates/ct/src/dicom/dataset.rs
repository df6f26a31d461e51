//! Where the elements of a DICOM data set lie in its bytes (PS3.5 chapter 7). The reader tolerates
//! what scanners and archives really write. It copies nothing, and no length in the file makes it
//! allocate memory.

use super::problem::Problem;

/// Group and element as one number: `0x0010_0020` is (0010,0020).
pub(crate) type Tag = u32;

pub(crate) const ITEM: Tag = 0xFFFE_E000;
const ITEM_END: Tag = 0xFFFE_E00D;
const SEQUENCE_END: Tag = 0xFFFE_E0DD;
/// (7FE0,0008), (7FE0,0009) and (7FE0,0010): nothing after them is needed.
pub(crate) const PIXELS: [Tag; 3] = [0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010];
pub(crate) const UNDEFINED: u32 = 0xFFFF_FFFF;
/// Maximum number of elements of one level. Real files have some hundreds, and some thousands with
/// private ones.
const MOST_ELEMENTS: usize = 1 << 16;
/// Maximum depth of nested sequences; real files have about four.
const DEPTH: usize = 48;

/// How numbers and lengths are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

impl Encoding {
    pub(crate) const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };
    pub(crate) const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// Guesses the encoding from the first element, because files do not always keep to their
    /// transfer syntax.
    pub(crate) fn guess(bytes: &[u8]) -> Option<Encoding> {
        let start: &[u8; 8] = bytes.first_chunk()?;
        let group = u16::from_le_bytes([start[0], start[1]]);
        // Groups are small numbers: the byte that is zero tells the byte order.
        let big_endian = group > 0x00FF && start[0] == 0;
        Some(Encoding { explicit: is_vr([start[4], start[5]]), big_endian })
    }
}

/// One element. The value of a sequence or of encapsulated pixel data is its items, without the
/// delimiter after them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    /// Two letters; zeros where the encoding has no VR.
    pub(crate) vr: [u8; 2],
    pub(crate) value: &'a [u8],
    /// Where the value begins in the bytes that were read.
    pub(crate) start: usize,
    /// The length as written in the file: pixel data may extend past the bytes that were read.
    pub(crate) promised: u32,
}

impl Element<'_> {
    /// Whether the length is undefined: items that end with delimiters.
    pub(crate) fn undefined(&self) -> bool {
        self.promised == UNDEFINED
    }
}

/// The elements of one level, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct DataSet<'a> {
    pub(crate) encoding: Encoding,
    elements: Vec<Element<'a>>,
}

impl<'a> DataSet<'a> {
    /// Reads up to and including the pixel data, or to the end. The bytes themselves decide the
    /// encoding, whatever the transfer syntax says.
    ///
    /// `complete` says that nothing follows `bytes`. Otherwise an element that extends past them is
    /// [`Problem::NeedsMore`]. Pixel data may extend past them in any case.
    pub(crate) fn read(bytes: &'a [u8], complete: bool) -> Result<DataSet<'a>, Problem> {
        let encoding = Encoding::guess(bytes).unwrap_or(Encoding::EXPLICIT);
        DataSet::read_in(bytes, encoding, complete)
    }

    fn read_in(bytes: &'a [u8], encoding: Encoding, complete: bool) -> Result<DataSet<'a>, Problem> {
        let mut elements = Vec::with_capacity(128);
        let mut at = 0;
        while let Some((element, next)) = read_element(bytes, at, encoding, complete, DEPTH)? {
            at = next;
            elements.push(element);
            if elements.len() > MOST_ELEMENTS {
                return Err(Problem::TooMany);
            }
            if PIXELS.contains(&element.tag) {
                break;
            }
        }
        Ok(DataSet { encoding, elements })
    }

    /// The element, if it is present and has a value.
    pub(crate) fn get(&self, tag: Tag) -> Option<&Element<'a>> {
        self.elements.iter().find(|element| element.tag == tag && !element.value.is_empty())
    }

    /// The items of a sequence.
    pub(crate) fn items(&self, tag: Tag) -> impl Iterator<Item = DataSet<'a>> + '_ {
        let sequence = self.get(tag);
        // A sequence without its own VR is written implicitly (PS3.5 section 6.2.2, note 4).
        let unknown = sequence.is_some_and(|s| s.vr == *b"UN" && !s.value.is_empty());
        let encoding = if unknown { Encoding::IMPLICIT } else { self.encoding };
        Items { bytes: sequence.map_or(&[], |s| s.value), at: 0, encoding }
            .filter_map(move |item| DataSet::read_in(item, encoding, true).ok())
    }

    /// Text without padding; `None` when missing or empty. Bytes that are not UTF-8 are read as
    /// Latin-1.
    pub(crate) fn text(&self, tag: Tag) -> Option<String> {
        let value = self.get(tag)?.value;
        let text = match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => value.iter().map(|&byte| char::from(byte)).collect(),
        };
        let text = text.trim_matches(['\0', ' ', '\n', '\r', '\t']);
        // Text that goes to a terminal or into a page must not be able to control it.
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        (!text.is_empty()).then_some(text)
    }

    /// A UID: digits and dots by the standard, and also letters and dashes, which some anonymisers
    /// write.
    pub(crate) fn uid(&self, tag: Tag) -> Option<String> {
        let usual = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        self.text(tag).filter(|uid| uid.len() <= 128 && uid.bytes().all(usual))
    }

    /// Decimal strings, or binary numbers where the VR says so.
    pub(crate) fn numbers(&self, tag: Tag) -> Option<Vec<f64>> {
        let element = self.get(tag)?;
        let binary = |size: usize, number: &dyn Fn(&[u8]) -> f64| {
            Some(element.value.chunks_exact(size).map(number).collect())
        };
        let e = self.encoding;
        match &element.vr {
            b"FD" => binary(8, &|b| {
                let b = b.try_into().unwrap_or_default();
                if e.big_endian { f64::from_be_bytes(b) } else { f64::from_le_bytes(b) }
            }),
            b"FL" => binary(4, &|b| f64::from(f32::from_bits(e.u32(b.try_into().unwrap_or_default())))),
            b"US" => binary(2, &|b| f64::from(e.u16(b.try_into().unwrap_or_default()))),
            b"SS" => binary(2, &|b| f64::from(e.u16(b.try_into().unwrap_or_default()).cast_signed())),
            b"UL" => binary(4, &|b| f64::from(e.u32(b.try_into().unwrap_or_default()))),
            b"SL" => binary(4, &|b| f64::from(e.u32(b.try_into().unwrap_or_default()).cast_signed())),
            _ => {
                let text = std::str::from_utf8(element.value).ok()?;
                text.split('\\').map(|part| decimal(part.trim_matches(['\0', ' ']))).collect()
            }
        }
    }

    /// Exactly `N` finite numbers.
    pub(crate) fn array<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        let numbers: [f64; N] = self.numbers(tag)?.try_into().ok()?;
        numbers.iter().all(|x| x.is_finite()).then_some(numbers)
    }

    /// The first number, if it is finite.
    pub(crate) fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag)?.first().copied().filter(|x| x.is_finite())
    }

    /// An attribute of VR US (or US or SS): its sixteen bits, whatever VR it is written with.
    pub(crate) fn word(&self, tag: Tag) -> Option<u16> {
        let element = self.get(tag)?;
        match (&element.vr, element.value) {
            (b"DS" | b"IS" | b"LO" | b"SH" | b"ST" | b"LT", _) => {
                Some((self.number(tag)? as i64 & 0xFFFF) as u16)
            }
            (b"UL" | b"SL", value) => Some((self.encoding.u32(*value.first_chunk()?) & 0xFFFF) as u16),
            (_, value) => Some(self.encoding.u16(*value.first_chunk()?)),
        }
    }
}

/// A decimal string (PS3.5 section 6.2) as written, or with a comma as the decimal point.
fn decimal(text: &str) -> Option<f64> {
    text.parse().ok().or_else(|| text.replace(',', ".").parse().ok())
}

/// The items of a sequence or of encapsulated pixel data, in order.
pub(crate) struct Items<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    pub(crate) encoding: Encoding,
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (tag, length) = item_head(self.bytes, self.at, self.encoding)?;
        if tag != ITEM {
            return None;
        }
        let start = self.at + 8;
        let end = if length == UNDEFINED {
            let (end, next) = skip_item(self.bytes, start, self.encoding, true, DEPTH).ok()?;
            self.at = next;
            end
        } else {
            // The last item may end early.
            let end = start.saturating_add(length as usize).min(self.bytes.len());
            self.at = end;
            end
        };
        self.bytes.get(start..end)
    }
}

/// Tag and length of an item or delimiter, which never have a VR.
pub(crate) fn item_head(bytes: &[u8], at: usize, encoding: Encoding) -> Option<(Tag, u32)> {
    let head: &[u8; 8] = bytes.get(at..)?.first_chunk()?;
    Some((read_tag(*head, encoding), encoding.u32([head[4], head[5], head[6], head[7]])))
}

fn read_tag(head: [u8; 8], encoding: Encoding) -> Tag {
    let group = encoding.u16([head[0], head[1]]);
    let element = encoding.u16([head[2], head[3]]);
    u32::from(group) << 16 | u32::from(element)
}

fn is_vr(vr: [u8; 2]) -> bool {
    const KNOWN: &[u8] = b"AEASATCSDADSDTFDFLISLOLTOBODOFOLOVOWPNSHSLSQSSSTSVTMUCUIULUNURUSUTUV";
    KNOWN.as_chunks::<2>().0.contains(&vr)
}

/// Whether the length has 32 bits (PS3.5 section 7.1.2).
fn is_long(vr: [u8; 2]) -> bool {
    const LONG: &[u8] = b"OBODOFOLOVOWSQSVUCUNURUTUV";
    LONG.as_chunks::<2>().0.contains(&vr)
}

/// The element at `at` and where the next one begins; `None` at the end.
fn read_element(
    bytes: &[u8],
    at: usize,
    encoding: Encoding,
    complete: bool,
    depth: usize,
) -> Result<Option<(Element<'_>, usize)>, Problem> {
    let rest = &bytes[at.min(bytes.len())..];
    let Some(head) = rest.first_chunk::<8>() else {
        // A few bytes after the last element are padding.
        return if complete { Ok(None) } else { Err(Problem::NeedsMore) };
    };
    let tag = read_tag(*head, encoding);
    let delimiter = tag >> 16 == 0xFFFE;
    let vr = [head[4], head[5]];
    let (vr, length, start) = if !encoding.explicit || delimiter || !is_vr(vr) {
        // An element without a VR among elements that have one: it is written implicitly.
        ([0; 2], encoding.u32([head[4], head[5], head[6], head[7]]), at + 8)
    } else if is_long(vr) {
        let Some(length) = rest.get(8..12) else {
            return if complete { Ok(None) } else { Err(Problem::NeedsMore) };
        };
        (vr, encoding.u32([length[0], length[1], length[2], length[3]]), at + 12)
    } else {
        (vr, u32::from(encoding.u16([head[6], head[7]])), at + 8)
    };
    if delimiter {
        // Left over from a sequence whose length is also given.
        let next = at + 8;
        return Ok(Some((Element { tag, vr, value: &[], start: next, promised: 0 }, next)));
    }
    let pixels = PIXELS.contains(&tag);
    if length == UNDEFINED {
        let (end, next) = if pixels {
            fragments_end(bytes, start, encoding)
        } else {
            let inner = if vr == *b"UN" { Encoding::IMPLICIT } else { encoding };
            skip_sequence(bytes, start, inner, complete, depth)?
        };
        let value = bytes.get(start..end).unwrap_or_default();
        return Ok(Some((Element { tag, vr, value, start, promised: length }, next)));
    }
    let promised = length as usize;
    let end = start.saturating_add(promised);
    if end > bytes.len() && !pixels {
        return if complete {
            Err(Problem::Truncated { tag, promised, found: bytes.len().saturating_sub(start) })
        } else {
            Err(Problem::NeedsMore)
        };
    }
    let end = end.min(bytes.len());
    let value = bytes.get(start..end).unwrap_or_default();
    Ok(Some((Element { tag, vr, value, start, promised: length }, end)))
}

/// For a value that ends with the bytes instead of a delimiter.
fn ends(bytes: &[u8], complete: bool) -> Result<(usize, usize), Problem> {
    if complete { Ok((bytes.len(), bytes.len())) } else { Err(Problem::NeedsMore) }
}

/// Where the items that start at `at` end, and where the data after their delimiter begins.
fn skip_sequence(
    bytes: &[u8],
    mut at: usize,
    encoding: Encoding,
    complete: bool,
    depth: usize,
) -> Result<(usize, usize), Problem> {
    if depth == 0 {
        return Err(Problem::TooDeep);
    }
    loop {
        let Some((tag, length)) = item_head(bytes, at, encoding) else {
            return ends(bytes, complete);
        };
        match tag {
            SEQUENCE_END => return Ok((at, at + 8)),
            ITEM if length == UNDEFINED => at = skip_item(bytes, at + 8, encoding, complete, depth - 1)?.1,
            ITEM => {
                at = (at + 8).saturating_add(length as usize);
                if at > bytes.len() {
                    return ends(bytes, complete);
                }
            }
            // Not an item where one is expected: the sequence ends here, as in other readers.
            _ => return Ok((at, at)),
        }
    }
}

/// Where the elements of an item of undefined length end, and where the data after its delimiter
/// begins.
fn skip_item(
    bytes: &[u8],
    mut at: usize,
    encoding: Encoding,
    complete: bool,
    depth: usize,
) -> Result<(usize, usize), Problem> {
    if depth == 0 {
        return Err(Problem::TooDeep);
    }
    loop {
        match item_head(bytes, at, encoding) {
            Some((ITEM_END, _)) => return Ok((at, at + 8)),
            // The sequence's own delimiter without the item's delimiter.
            Some((SEQUENCE_END, _)) => return Ok((at, at)),
            _ => match read_element(bytes, at, encoding, complete, depth)? {
                Some((_, next)) => at = next,
                None => return Ok((bytes.len(), bytes.len())),
            },
        }
    }
}

/// Encapsulated pixel data may end with the file instead of a delimiter.
fn fragments_end(bytes: &[u8], mut at: usize, encoding: Encoding) -> (usize, usize) {
    while let Some((ITEM, length)) = item_head(bytes, at, encoding) {
        let end = (at + 8).saturating_add(length as usize);
        if length == UNDEFINED || end > bytes.len() {
            return (bytes.len(), bytes.len());
        }
        at = end;
    }
    (at, at.saturating_add(8).min(bytes.len()))
}

impl<'a> DataSet<'a> {
    /// The element at `at` and where the next one begins, if there is a complete one.
    pub(crate) fn element(bytes: &'a [u8], at: usize, encoding: Encoding) -> Option<(Element<'a>, usize)> {
        read_element(bytes, at, encoding, true, DEPTH).ok()?
    }
}
