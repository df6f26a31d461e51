//! Codes the samples of a slice.

/// How the data set and its pixel data are coded (PS3.5, section 10 and annex A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Implicit VR little endian.
    Implicit,
    /// Explicit VR little endian.
    Explicit,
    /// Deflated explicit VR little endian.
    Deflated,
    /// RLE lossless.
    Rle,
    /// JPEG lossless, first-order prediction (process 14, selection value 1).
    JpegLossless,
    /// JPEG-LS lossless.
    JpegLs,
}

impl Syntax {
    /// All syntaxes, with their names on the command line.
    pub const ALL: [(&str, Syntax); 6] = [
        ("implicit", Syntax::Implicit),
        ("explicit", Syntax::Explicit),
        ("deflated", Syntax::Deflated),
        ("rle", Syntax::Rle),
        ("jpeg-lossless", Syntax::JpegLossless),
        ("jpeg-ls", Syntax::JpegLs),
    ];

    pub(crate) fn uid(self) -> &'static str {
        match self {
            Syntax::Implicit => "1.2.840.10008.1.2",
            Syntax::Explicit => "1.2.840.10008.1.2.1",
            Syntax::Deflated => "1.2.840.10008.1.2.1.99",
            Syntax::Rle => "1.2.840.10008.1.2.5",
            Syntax::JpegLossless => "1.2.840.10008.1.2.4.70",
            Syntax::JpegLs => "1.2.840.10008.1.2.4.80",
        }
    }

    /// The samples of a slice with `columns` columns as one coded frame; `None` where they stay
    /// uncoded.
    pub(crate) fn code(self, samples: &[u16], columns: u16) -> Option<Vec<u8>> {
        let mut coded = match self {
            Syntax::Implicit | Syntax::Explicit | Syntax::Deflated => return None,
            Syntax::Rle => rle(samples, usize::from(columns)),
            Syntax::JpegLossless => jpeg_lossless(samples, columns),
            Syntax::JpegLs => {
                let rows = samples.len() / usize::from(columns);
                let mut coded = Vec::new();
                // The encoder refuses only sizes that no phantom has.
                jpegls::encode(samples, u32::from(columns), rows as u32, &mut coded).ok()?;
                coded
            }
        };
        // A fragment has an even length (PS3.5 section A.4).
        if !coded.len().is_multiple_of(2) {
            coded.push(0);
        }
        Some(coded)
    }
}

/// `PackBits` (PS3.5 annex G), line by line: a segment for the high bytes, and one for the low
/// bytes.
fn rle(samples: &[u16], columns: usize) -> Vec<u8> {
    let mut out = vec![0; 64];
    out[0] = 2;
    for (segment, shift) in [8, 0].into_iter().enumerate() {
        let start = out.len() as u32;
        out[4 + 4 * segment..][..4].copy_from_slice(&start.to_le_bytes());
        for line in samples.chunks_exact(columns) {
            let line: Vec<u8> = line.iter().map(|sample| (sample >> shift) as u8).collect();
            pack_bits(&line, &mut out);
        }
        if !out.len().is_multiple_of(2) {
            out.push(0);
        }
    }
    out
}

fn pack_bits(line: &[u8], out: &mut Vec<u8>) {
    let run_at = |at: usize| line[at..].iter().take(128).take_while(|byte| **byte == line[at]).count();
    let mut at = 0;
    while at < line.len() {
        let run = run_at(at);
        if run > 1 {
            out.extend([(257 - run) as u8, line[at]]);
            at += run;
            continue;
        }
        // Up to the next run that is worth ending the literal for.
        let mut end = at + 1;
        while end < line.len() && end - at < 128 && run_at(end) < 3 {
            end += 1;
        }
        out.push((end - at - 1) as u8);
        out.extend_from_slice(&line[at..end]);
        at = end;
    }
}

/// Number of codes of each length (ITU-T T.81, annex C): the table for DC luminance of annex K, and
/// four longer codes for differences of up to 16 bits. The codes are 00, 010 to 110, 1110, 11110
/// and so on.
const LENGTHS: [u8; 16] = [0, 1, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0];

/// The code of a difference of `size` bits, and the length of the code.
fn code(size: u32) -> (u32, u32) {
    match size {
        0 => (0b00, 2),
        1..=5 => (0b010 + size - 1, 3),
        _ => ((1 << (size - 2)) - 2, size - 2),
    }
}

/// JPEG lossless (annex H) with 16 bits, where each sample is predicted by the one on its left.
fn jpeg_lossless(samples: &[u16], columns: u16) -> Vec<u8> {
    let width = usize::from(columns);
    let rows = (samples.len() / width) as u16;
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 11, 16];
    out.extend(rows.to_be_bytes());
    out.extend(columns.to_be_bytes());
    out.extend([1, 1, 0x11, 0]);
    out.extend([0xFF, 0xC4, 0, 2 + 1 + 16 + 17, 0]);
    out.extend(LENGTHS);
    out.extend(0..17);
    out.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 0, 0]);
    let (mut bits, mut held) = (0_u64, 0_u32);
    let mut put = |value: u32, length: u32, out: &mut Vec<u8>| {
        bits = bits << length | u64::from(value);
        held += length;
        while held >= 8 {
            held -= 8;
            let byte = (bits >> held) as u8;
            out.push(byte);
            if byte == 0xFF {
                out.push(0);
            }
        }
    };
    for (index, &sample) in samples.iter().enumerate() {
        let predicted = match (index / width, index % width) {
            (0, 0) => 1 << 15,
            (_, 0) => samples[index - width],
            _ => samples[index - 1],
        };
        let difference = sample.wrapping_sub(predicted).cast_signed();
        let size = 16 - difference.unsigned_abs().leading_zeros();
        let (code, length) = code(size);
        put(code, length, &mut out);
        // 32768 needs no bits, because it is the only difference of this size.
        if size < 16 && size > 0 {
            let value = i32::from(difference) - i32::from(difference < 0);
            put(value.cast_unsigned() & ((1 << size) - 1), size, &mut out);
        }
    }
    // The last byte is padded with ones.
    put(0x7F, 7, &mut out);
    out.extend([0xFF, 0xD9]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_packed_as_in_the_standards_own_words() {
        let packed = |line: &[u8]| {
            let mut out = Vec::new();
            pack_bits(line, &mut out);
            out
        };
        // A run of n is 1 - n and the byte; n different bytes are n - 1 and the bytes (PS3.5
        // section G.3.1).
        assert_eq!(packed(&[7, 7, 7]), [254, 7]);
        assert_eq!(packed(&[1, 2, 3]), [2, 1, 2, 3]);
        assert_eq!(packed(&[1, 2, 2, 2, 9]), [0, 1, 254, 2, 0, 9]);
        assert_eq!(packed(&[5; 130]), [129, 5, 255, 5]);
    }

    #[test]
    fn codes_are_those_that_their_lengths_make() {
        // Annex C: codes count upwards, with a zero appended for each longer length.
        let (mut next, mut size) = (0_u32, 0);
        for (length, count) in (1..).zip(LENGTHS) {
            for _ in 0..count {
                assert_eq!(code(size), (next, length), "{size}");
                (next, size) = (next + 1, size + 1);
            }
            next <<= 1;
        }
        assert_eq!(size, 17);
    }
}
