//! What every reader of files needs: their names as text and back ([`names`]), and memory that they are read
//! into ([`room`]). Opens nothing.

pub mod names;
pub mod room;

pub use names::{to_path, to_text};
pub use room::Room;
