//! A file's bytes by position: the first of them in memory, the others read on request.
//!
//! It uses positioned reads into reused memory instead of a mapping. This is as fast here, because
//! a page is copied once and stays in the cache of the core that uses it, and a file that is
//! truncated while it is read gives an error instead of a signal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ctpipe_disk::AlignedBuffer;

use crate::dicom::file::{inflate, inflate_from};
use crate::pixels::PixelError;

/// Bytes that are read at once; most slices fit in whole.
const FIRST: u64 = 1 << 20;

/// A file's bytes.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Valid up to `filled`; longer where it was used for another file before.
    room: AlignedBuffer,
    filled: usize,
    rest: Rest,
}

/// What is not in memory.
#[derive(Debug)]
enum Rest {
    Nothing,
    File {
        file: File,
        length: u64,
    },
    /// The deflated data set whose beginning is in memory.
    Deflated(Vec<u8>),
}

impl Storage {
    /// Bytes that are all in memory.
    pub(crate) fn memory(bytes: Vec<u8>) -> Storage {
        Storage { filled: bytes.len(), room: bytes.into(), rest: Rest::Nothing }
    }

    /// Opens a file and reads its first bytes into `room`.
    pub(crate) fn open(file: File, room: AlignedBuffer) -> io::Result<Storage> {
        let length = file.metadata()?.len();
        let mut storage = Storage { room, filled: 0, rest: Rest::File { file, length } };
        storage.fill(FIRST)?;
        Ok(storage)
    }

    /// Reads on, up to `wanted` bytes from the start.
    pub(crate) fn fill(&mut self, wanted: u64) -> io::Result<()> {
        if let Rest::File { file, length } = &self.rest {
            let wanted = wanted.min(*length) as usize;
            let room = &mut self.room.with(wanted, self.filled)[self.filled..];
            let found = read_at(file, room, self.filled as u64)?;
            self.filled += found;
            // The file has become shorter, or all of it has been read.
            if self.filled < wanted || wanted as u64 == *length {
                self.rest = Rest::Nothing;
            }
        }
        Ok(())
    }

    /// The same storage with the data set at `start` inflated, of which up to `limit` bytes are
    /// kept in memory; what precedes the data set is left out.
    pub(crate) fn inflated(mut self, start: usize, limit: usize) -> Result<Storage, PixelError> {
        self.fill(u64::MAX)?;
        let deflated = self.head()[start..].to_vec();
        let (bytes, ended) = inflate(&deflated, limit, true)?;
        let rest = if ended { Rest::Nothing } else { Rest::Deflated(deflated) };
        Ok(Storage { filled: bytes.len(), room: bytes.into(), rest })
    }

    /// The bytes that are in memory.
    pub(crate) fn head(&self) -> &[u8] {
        &self.room.bytes()[..self.filled]
    }

    /// Whether these are all bytes.
    pub(crate) fn complete(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Number of bytes in total; for a deflated data set, an upper limit.
    pub(crate) fn length(&self) -> u64 {
        match &self.rest {
            Rest::Nothing => self.filled as u64,
            Rest::File { length, .. } => *length,
            Rest::Deflated(_) => u64::MAX,
        }
    }

    /// `length` bytes from `start`, or fewer at the end of the file; in `room` where they are not
    /// in memory.
    pub(crate) fn at<'a>(
        &'a self,
        start: u64,
        length: usize,
        room: &'a mut AlignedBuffer,
    ) -> io::Result<&'a [u8]> {
        let end = start.saturating_add(length as u64).min(self.length());
        let start = start.min(end);
        if end <= self.filled as u64 {
            return Ok(&self.room.bytes()[start as usize..end as usize]);
        }
        let length = (end - start) as usize;
        match &self.rest {
            Rest::Nothing => Ok(&[]),
            Rest::File { file, .. } => {
                let room = room.with(length, 0);
                let found = read_at(file, room, start)?;
                Ok(&room[..found])
            }
            Rest::Deflated(bytes) => {
                *room = inflate_from(bytes, start, length).map_err(io::Error::other)?.into();
                Ok(room.bytes())
            }
        }
    }

    /// Returns the memory, to be used for another file.
    pub(crate) fn into_room(self) -> AlignedBuffer {
        self.room
    }
}

/// Fills `to`, or less of it at the end of the file.
fn read_at(file: &File, to: &mut [u8], start: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < to.len() {
        match file.read_at(&mut to[done..], start + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
