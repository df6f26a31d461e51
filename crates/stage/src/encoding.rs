//! Writes numbers and pieces of bytes one after the other, as digests and caches need them.

/// Appends a piece with its length before it, so that no other sequence of pieces gives the same
/// bytes.
pub fn put(bytes: &mut Vec<u8>, piece: &[u8]) {
    bytes.extend_from_slice(&(piece.len() as u64).to_le_bytes());
    bytes.extend_from_slice(piece);
}

/// Reads a piece that [`put`] wrote; `None` where the bytes end too early.
pub fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(bytes)?).ok()?;
    bytes.split_off(..length)
}

/// Reads eight bytes as a number, lowest byte first.
pub fn number(bytes: &mut &[u8]) -> Option<u64> {
    bytes.split_off(..8)?.try_into().ok().map(u64::from_le_bytes)
}
