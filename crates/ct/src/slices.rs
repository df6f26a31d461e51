//! The frames of a stack's slices, read in parallel. Knows nothing of what becomes of them.

use std::cell::Cell;
use std::thread::LocalKey;

use ctpipe_disk::Room;
use rayon::prelude::*;

use crate::image::Image;
use crate::pixels::{Frame, PixelError};
use crate::source::Source;

/// Memory beyond this is given back.
const KEPT: usize = 4 << 20;

thread_local! {
    /// Used again from file to file, and from frame to frame.
    static FILE: Cell<Room> = Cell::new(Room::default());
    static FRAME: Cell<Room> = Cell::new(Room::default());
}

/// What `each` makes of each slice and its frame, in the order of the sources. Slices that follow each
/// other in one file share its opening. In memory at a time: two frames and the start of a file for each
/// thread.
pub(crate) fn each_frame<T: Send>(
    sources: &[&Source],
    each: &(dyn Fn(usize, Result<Frame<'_>, PixelError>) -> T + Sync),
) -> Vec<T> {
    let mut files = Vec::new();
    let mut first = 0;
    for file in sources.chunk_by(|a, b| a.same_file(b)) {
        files.push((first, file));
        first += file.len();
    }
    let of_file = |(first, slices): (usize, &[&Source])| -> Vec<T> {
        let image = match Image::open(slices[0], FILE.take()) {
            Ok(image) => image,
            Err(error) => {
                return (first..first + slices.len()).map(|k| each(k, Err(error.clone()))).collect();
            }
        };
        let of_slice = |(index, slice): (usize, &&Source)| {
            let mut room = FRAME.take();
            let made = each(first + index, image.frame(slice.frame, &mut room));
            keep(&FRAME, room);
            made
        };
        let made = match slices {
            [one] => vec![of_slice((0, one))],
            many => many.par_iter().enumerate().map(of_slice).collect(),
        };
        keep(&FILE, image.into_room());
        made
    };
    let made: Vec<Vec<T>> = files.into_par_iter().map(of_file).collect();
    made.into_iter().flatten().collect()
}

fn keep(room: &'static LocalKey<Cell<Room>>, memory: Room) {
    if memory.capacity() <= KEPT {
        room.set(memory);
    }
}
