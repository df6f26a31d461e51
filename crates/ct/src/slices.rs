//! Reads the frames of a stack's slices in parallel.

use std::cell::Cell;
use std::thread::LocalKey;

use ctpipe_disk::AlignedBuffer;
use rayon::prelude::*;

use crate::image::Image;
use crate::pixels::{Frame, PixelError};
use crate::source::Source;

/// Memory beyond this size is given back.
const KEPT: usize = 4 << 20;

thread_local! {
    /// Reused from file to file, and from frame to frame.
    static FILE: Cell<AlignedBuffer> = Cell::new(AlignedBuffer::default());
    static FRAME: Cell<AlignedBuffer> = Cell::new(AlignedBuffer::default());
}

/// Calls `each` with each slice and its frame, and returns the results in the order of the sources.
/// Consecutive slices of one file share its opening. In memory at a time, for each thread: two
/// frames and the start of a file.
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

fn keep(room: &'static LocalKey<Cell<AlignedBuffer>>, memory: AlignedBuffer) {
    if memory.capacity() <= KEPT {
        room.set(memory);
    }
}
