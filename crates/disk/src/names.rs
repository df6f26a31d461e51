//! Paths as text for tables, and back. Names that are not UTF-8 are common on old file shares, and
//! they must be found again.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Precedes the two hexadecimal digits of a byte that is not UTF-8.
const MARK: char = '\u{FFFD}';

/// A path as text. A byte that is not UTF-8, or that belongs to U+FFFD itself, becomes U+FFFD and
/// two hexadecimal digits, so two different paths never give the same text.
pub fn to_text(path: &Path) -> String {
    // Nearly all paths are plain UTF-8.
    if let Some(text) = path.to_str().filter(|text| !text.contains(MARK)) {
        return text.to_owned();
    }
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        let (mut marked, mut bytes) = (chunk.valid().split(MARK), [0; MARK.len_utf8()]);
        MARK.encode_utf8(&mut bytes);
        text.push_str(marked.next().unwrap_or_default());
        for part in marked {
            mark(&mut text, &bytes);
            text.push_str(part);
        }
        mark(&mut text, chunk.invalid());
    }
    text
}

fn mark(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{MARK}{byte:02x}");
    }
}

/// The path that a text in a table stands for.
pub fn to_path(text: &str) -> PathBuf {
    let mut parts = text.split(MARK);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            // We did not write this one.
            None => bytes.extend_from_slice(OsStr::new(&format!("{MARK}{part}")).as_bytes()),
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        let latin = PathBuf::from(OsString::from_vec(b"\xEF\xE0\xF6/1 \xFF.dcm".to_vec()));
        for path in [
            latin,
            PathBuf::from("a/b.dcm"),
            PathBuf::from("\u{FFFD}.dcm"),
            PathBuf::from("\u{FFFD}2e\u{FFFD}2e\u{FFFD}2fx.dcm"),
            PathBuf::from("\u{FFFD}+f"),
            PathBuf::from("ядро/1"),
        ] {
            assert_eq!(to_path(&to_text(&path)), path);
        }
    }
}
