//! The parts of a JPEG stream that the entropy decoders need.

use super::frame::CodecError;
use super::huffman::Huffman;

pub(super) const CODEC: &str = "JPEG";

/// What precedes the entropy-coded data.
pub(super) struct Stream<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the entropy-coded data begins.
    pub(super) at: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) precision: u32,
    pub(super) dc: Huffman,
    pub(super) ac: Option<Huffman>,
    pub(super) quantisation: [u16; 64],
    /// MCUs between restart markers; 0 for none.
    pub(super) restart: usize,
    /// Ss and Al of the scan header: predictor and point transform of a lossless scan.
    pub(super) selection: u8,
    pub(super) shift: u32,
}

pub(super) fn damaged(problem: &str) -> CodecError {
    CodecError::damaged(CODEC, problem)
}
