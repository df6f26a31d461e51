//! A DICOM file: preamble, file meta information, and the data set after them (PS3.10 chapter 7).
//! The preamble and the meta information may be missing or damaged.

use std::borrow::Cow;

use flate2::{Decompress, FlushDecompress, Status};

use super::dataset::{DataSet, Element, Encoding};
use super::problem::Problem;
use super::syntax::Syntax;

/// What precedes the data set.
#[derive(Debug, Clone)]
pub(crate) struct Part10<'a> {
    /// Empty where the file does not say.
    pub(crate) transfer_syntax: String,
    /// Media Storage SOP Class UID (0002,0002); empty where the file does not say.
    pub(crate) class: String,
    pub(crate) syntax: Syntax,
    body: &'a [u8],
    start: usize,
}

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The highest compression ratio of DEFLATE.
const RATIO: usize = 1032;

impl<'a> Part10<'a> {
    /// Finds the data set; `None` where the bytes are not DICOM.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Part10<'a>> {
        let marked = bytes.get(128..132) == Some(b"DICM");
        let start = if marked { &bytes[132..] } else { bytes };
        let (meta, body) = meta(start);
        if !marked && meta.is_empty() && !looks_like_a_data_set(body) {
            return None;
        }
        let of = |tag| {
            let element: &Element<'_> = meta.iter().find(|e| e.tag == tag)?;
            let text = std::str::from_utf8(element.value).ok()?;
            Some(text.trim_matches(['\0', ' ']).to_owned())
        };
        let class = of(0x0002_0002).unwrap_or_default();
        let transfer_syntax = of(0x0002_0010).filter(|uid| !uid.is_empty());
        let transfer_syntax = transfer_syntax.unwrap_or_else(|| {
            let uid = match Encoding::guess(body) {
                Some(Encoding { big_endian: true, .. }) => BIG_ENDIAN,
                Some(Encoding { explicit: true, .. }) => EXPLICIT,
                _ => IMPLICIT,
            };
            uid.to_owned()
        });
        let start = bytes.len() - body.len();
        Some(Part10 { syntax: Syntax::of(&transfer_syntax), transfer_syntax, class, body, start })
    }

    /// Where the data set begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// The data set's bytes, at most `limit` of them where it is deflated, and whether these are
    /// all.
    pub(crate) fn body(&self, complete: bool, limit: usize) -> Result<(Cow<'a, [u8]>, bool), Problem> {
        if self.syntax != Syntax::Deflated {
            return Ok((Cow::Borrowed(self.body), complete));
        }
        let (bytes, ended) = inflate(self.body, limit, complete)?;
        Ok((Cow::Owned(bytes), ended))
    }
}

/// The elements of group 0002, whatever their group length says, and the bytes after them.
fn meta(bytes: &[u8]) -> (Vec<Element<'_>>, &[u8]) {
    // Always explicit little endian, except from writers that forget it.
    let encoding = match bytes.get(..6) {
        Some([2, 0, _, _, a, b]) if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Encoding::EXPLICIT,
        _ => Encoding::IMPLICIT,
    };
    let mut elements = Vec::new();
    let mut at = 0;
    while bytes.get(at..at + 2) == Some(&[2, 0]) {
        match DataSet::element(bytes, at, encoding) {
            Some((element, next)) => {
                elements.push(element);
                at = next;
            }
            None => break,
        }
    }
    (elements, &bytes[at.min(bytes.len())..])
}

/// Files without a preamble begin with group 0008 in practice. Some of its first elements must
/// follow each other in order, which text or a picture does not do by chance.
fn looks_like_a_data_set(body: &[u8]) -> bool {
    let Some(encoding) = Encoding::guess(body) else { return false };
    let mut last = 0;
    let mut at = 0;
    for count in 0..3 {
        let Some((element, next)) = DataSet::element(body, at, encoding) else { return count > 1 };
        let group = element.tag >> 16;
        if group != 0x0008 || element.tag <= last || element.tag > 0x0008_FFFF {
            return false;
        }
        (last, at) = (element.tag, next);
    }
    true
}

/// Inflates up to `limit` bytes, and returns whether the stream ended before that.
pub(crate) fn inflate(bytes: &[u8], limit: usize, complete: bool) -> Result<(Vec<u8>, bool), Problem> {
    let limit = limit.min(bytes.len().saturating_mul(RATIO));
    let mut out = Vec::new();
    let ended = inflate_steps(bytes, &mut out, |out| limit.saturating_sub(out.len()))?;
    // A truncated file gives what is there.
    Ok((out, ended.unwrap_or(complete)))
}

/// `length` bytes from `start` on, or fewer where the stream ends earlier. The bytes before them
/// are inflated and dropped, so memory does not grow with the file.
pub(crate) fn inflate_from(bytes: &[u8], start: u64, length: usize) -> Result<Vec<u8>, Problem> {
    let mut skip = start;
    let mut out = Vec::new();
    let mut cut = |out: &mut Vec<u8>| {
        let drop = skip.min(out.len() as u64);
        out.drain(..drop as usize);
        skip -= drop;
        if skip > 0 { STEP } else { length.saturating_sub(out.len()) }
    };
    inflate_steps(bytes, &mut out, &mut cut)?;
    cut(&mut out);
    out.truncate(length);
    Ok(out)
}

const STEP: usize = 1 << 16;

/// Inflates while `room` asks for more. Returns whether the stream ended there, and `None` where it
/// stops before its end.
fn inflate_steps(
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut room: impl FnMut(&mut Vec<u8>) -> usize,
) -> Result<Option<bool>, Problem> {
    let mut state = Decompress::new(false);
    loop {
        let room = STEP.min(room(out));
        if room == 0 {
            return Ok(Some(false));
        }
        out.reserve(room);
        let before = (state.total_in(), out.len());
        let rest = bytes.get(state.total_in() as usize..).unwrap_or_default();
        let status = state.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| Problem::Deflate)?;
        match status {
            Status::StreamEnd => return Ok(Some(true)),
            _ if (state.total_in(), out.len()) == before => return Ok(None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_pictures_are_no_data_sets() {
        assert!(Part10::open(b"study_uid,series_uid,pathology\n1,2,0\n").is_none());
        assert!(Part10::open(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").is_none());
        assert!(Part10::open(&[0; 4096]).is_none());
        assert!(Part10::open(b"").is_none());
        assert!(Part10::open(b"DICM").is_none());
    }
}
