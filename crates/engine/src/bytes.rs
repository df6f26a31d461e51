//! Numbers and pieces one behind the other, as digests are taken of them and caches are kept. Knows nothing of what they
//! mean.

/// Adds a piece with its length before it, so that no choice of pieces can imitate another.
pub(crate) fn put(bytes: &mut Vec<u8>, piece: &[u8]) {
    bytes.extend_from_slice(&(piece.len() as u64).to_le_bytes());
    bytes.extend_from_slice(piece);
}

/// Takes a piece that was [put](put) there; `None` where the bytes end before.
pub(crate) fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(bytes)?).ok()?;
    bytes.split_off(..length)
}

/// Takes eight bytes as a number, the lowest first.
pub(crate) fn number(bytes: &mut &[u8]) -> Option<u64> {
    bytes.split_off(..8)?.try_into().ok().map(u64::from_le_bytes)
}
