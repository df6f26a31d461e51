//! How a CSV is written: its encoding, its separator, and the line on which each record begins. The
//! csv crate parses the fields.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1251};

/// The bytes as text. The byte order mark decides the encoding. Without one it is UTF-16 if every
/// other byte is zero, UTF-8 if the bytes are valid UTF-8, and otherwise Windows-1251, which
/// spreadsheets in Cyrillic write.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let (encoding, start) = Encoding::for_bom(bytes).unwrap_or_else(|| (guess(bytes), 0));
    encoding.decode_without_bom_handling(&bytes[start..]).0.into_owned()
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(1024)];
    let zeros = |of: usize| sample.iter().skip(of).step_by(2).filter(|&&byte| byte == 0).count();
    match (zeros(0), zeros(1)) {
        (even, odd) if odd > sample.len() / 4 && even < odd => UTF_16LE,
        (even, odd) if even > sample.len() / 4 && odd < even => UTF_16BE,
        _ if std::str::from_utf8(bytes).is_ok() => UTF_8,
        _ => WINDOWS_1251,
    }
}

/// Comma, semicolon or tab: the one that finds most of the `wanted` columns in the first line.
pub(crate) fn separator(text: &str, wanted: &[&str]) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let found = |separator: u8| {
        let names = header.split(char::from(separator)).map(|name| name.trim().trim_matches('"').trim());
        names.filter(|name| wanted.contains(name)).count()
    };
    // `max_by_key` takes the last of equals, so the comma wins a tie.
    [b'\t', b';', b','].into_iter().max_by_key(|&separator| found(separator)).unwrap_or(b',')
}

/// The records of the text, including the header.
pub(crate) struct Records {
    /// For each record, the line on which it begins, from 1, and its number of fields. Empty lines
    /// are not records.
    pub(crate) each: Vec<(usize, usize)>,
    /// The line of a quote that is never closed.
    pub(crate) open: Option<usize>,
    /// The text without empty lines.
    pub(crate) text: String,
}

/// Finds the records. A line break within quotes does not end one.
pub(crate) fn records(text: &str, separator: u8) -> Records {
    let (mut line, mut begun, mut fields) = (1, 1, 1);
    let (mut quoted, mut empty, mut opened) = (false, true, 1);
    let mut each = Vec::new();
    let (mut kept, mut from) = (String::with_capacity(text.len()), 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => {
                quoted = !quoted;
                empty = false;
                opened = line;
            }
            b'\n' => {
                line += 1;
                if !quoted {
                    if !empty {
                        each.push((begun, fields));
                        kept.push_str(&text[from..=at]);
                    }
                    from = at + 1;
                    (begun, fields, empty) = (line, 1, true);
                }
            }
            b'\r' => {}
            _ => {
                fields += usize::from(byte == separator && !quoted);
                empty = false;
            }
        }
    }
    if !empty {
        each.push((begun, fields));
        kept.push_str(&text[from..]);
    }
    Records { each, open: quoted.then_some(opened), text: kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_told_by_mark_by_zeros_and_by_what_is_no_utf_8() {
        let text = "имя,a\n";
        let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        assert_eq!(decode(text.as_bytes()), text);
        assert_eq!(decode(&[b"\xEF\xBB\xBF", text.as_bytes()].concat()), text);
        assert_eq!(decode(&[vec![0xFF, 0xFE], utf16(u16::to_le_bytes)].concat()), text);
        assert_eq!(decode(&[vec![0xFE, 0xFF], utf16(u16::to_be_bytes)].concat()), text);
        let plain: Vec<u8> = "study_uid,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decode(&plain), "study_uid,a\n");
        assert_eq!(decode(b"\xE8\xEC\xFF,a\n"), text, "Windows-1251");
    }

    #[test]
    fn records_begin_where_quotes_say() {
        let text = "a;b\n\"x\ny\";2\n\n3;4;5\n";
        assert_eq!(separator(text, &["b"]), b';');
        let found = records(text, b';');
        assert_eq!((found.each, found.open), (vec![(1, 2), (2, 2), (5, 3)], None));
        assert_eq!(records("a,b\n1,\"2\n3,4\n", b',').open, Some(2));
    }
}
