//! What every reader of files needs: file names as text and back ([`names`]), and aligned memory
//! that files are read into ([`aligned_buffer`]). It opens no file.

pub mod aligned_buffer;
pub mod names;

pub use aligned_buffer::AlignedBuffer;
pub use names::{to_path, to_text};
