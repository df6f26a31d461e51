//! What all codecs share: the shape of a frame, its samples, and the error when there are none.

/// What the data set says about a frame. A stream that disagrees is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) columns: usize,
    /// Bits per sample in [`Decoded`]: 8, 16 or 32.
    pub(crate) bits: usize,
    /// Whether the data set interprets its samples as signed.
    pub(crate) signed: bool,
}

impl Shape {
    pub(crate) fn samples(self) -> usize {
        self.rows * self.columns
    }

    pub(crate) fn bytes(self) -> usize {
        self.samples() * (self.bits / 8)
    }

    /// Number of bits above a JPEG 2000 sample that its sign is extended into. If the data set says
    /// signed but the stream says unsigned, the highest bit of the stream is the sign.
    pub(super) fn sign_bits(self, signed: bool, precision: u32) -> u32 {
        if self.signed && !signed { 32 - precision.clamp(1, 32) } else { 0 }
    }
}

/// `rows x columns` samples, row by row, little endian.
pub(crate) type Decoded = Vec<u8>;

/// Why a frame could not be decoded. Of the file's values, the text holds only sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The stream is damaged.
    #[error("{codec}: {problem}")]
    Damaged {
        /// The codec.
        codec: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The stream contradicts the data set.
    #[error("{codec}: the stream is {found}, the data set says {expected}")]
    Mismatch {
        /// The codec.
        codec: &'static str,
        /// What the stream holds.
        found: String,
        /// What the data set says.
        expected: String,
    },
}

impl CodecError {
    pub(super) fn damaged(codec: &'static str, problem: &(impl ToString + ?Sized)) -> CodecError {
        CodecError::Damaged { codec, problem: problem.to_string() }
    }
}

/// Refuses a stream of a different size before anything is allocated for it.
pub(super) fn expect_size(codec: &'static str, found: [usize; 3], shape: Shape) -> Result<(), CodecError> {
    let [rows, columns, components] = found;
    if [rows, columns, components] == [shape.rows, shape.columns, 1] {
        return Ok(());
    }
    Err(CodecError::Mismatch {
        codec,
        found: format!("{rows} x {columns} of {components} components"),
        expected: format!("{} x {} of one", shape.rows, shape.columns),
    })
}

/// Samples as bytes of the shape's width; wider samples are truncated.
pub(super) fn pack(samples: impl Iterator<Item = i32>, shape: Shape) -> Decoded {
    // One loop for each width, so that several samples are written at once.
    fn fill<const N: usize>(to: &mut [u8], samples: impl Iterator<Item = i32>) {
        for (to, sample) in to.as_chunks_mut::<N>().0.iter_mut().zip(samples) {
            to.copy_from_slice(&sample.to_le_bytes()[..N]);
        }
    }
    let mut out = vec![0; shape.bytes()];
    match shape.bits {
        8 => fill::<1>(&mut out, samples),
        16 => fill::<2>(&mut out, samples),
        _ => fill::<4>(&mut out, samples),
    }
    out
}
