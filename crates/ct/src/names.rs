//! Paths as text for tables, and back. Names that are no UTF-8 are common on old shares; they must be
//! found again.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Stands before the two hexadecimal digits of a byte that is no UTF-8.
const MARK: char = '\u{FFFD}';

/// A path as text; bytes that are no UTF-8 as U+FFFD and two hexadecimal digits.
pub(crate) fn to_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{MARK}{byte:02x}");
        }
    }
    text
}

/// The path that a text in a table stands for.
pub fn to_path(text: &str) -> PathBuf {
    let mut parts = text.split(MARK);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            // A name that holds the mark itself.
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
        for path in [latin, PathBuf::from("a/b.dcm"), PathBuf::from("\u{FFFD}.dcm"), PathBuf::from("ядро/1")]
        {
            assert_eq!(to_path(&to_text(&path)), path);
        }
    }
}
