//! Files, and members of zip archives, as bytes. Archives are read where they are; nothing is ever
//! unpacked to disk.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ctpipe_disk::Room;
use zip::ZipArchive;

use crate::image::Image;
use crate::pixels::{Frame, PixelError};

/// Where a slice is to be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The member, where the file is a zip archive.
    pub member: Option<String>,
    /// The frame in it, from 0.
    pub frame: usize,
}

impl Source {
    /// Whether both hold the same values in the same unit; one that cannot be read is like no other.
    pub fn same_pixels(&self, other: &Source) -> bool {
        let (mut room_a, mut room_b) = (Room::default(), Room::default());
        let mut same = || {
            let (a, b) = (Image::open(self, Room::default())?, Image::open(other, Room::default())?);
            let (a, b) = (a.frame(self.frame, &mut room_a)?, b.frame(other.frame, &mut room_b)?);
            let unit = |f: &Frame<'_>| (f.rows, f.columns, f.slope, f.intercept);
            Ok::<bool, PixelError>(unit(&a) == unit(&b) && a.values().eq(b.values()))
        };
        same().unwrap_or(false)
    }

    /// Whether both are frames of one file.
    pub(crate) fn same_file(&self, other: &Source) -> bool {
        self.path == other.path && self.member == other.member
    }
}

/// How zip archives begin.
pub(crate) const SIGNATURE: &[u8] = b"PK\x03\x04";

pub(crate) type Archive = ZipArchive<BufReader<File>>;

/// A member of this size is read whatever its ratio: a slice of nothing but air compresses very well.
const SMALL: u64 = 64 << 20;
/// Largest member.
const LARGEST: u64 = 4 << 30;
/// Of larger ones, and of an archive as a whole: bytes made of each byte that is there.
const RATIO: u64 = 200;
/// Most members that are looked at.
const MOST: usize = 1_000_000;

pub(crate) fn open(path: &Path) -> io::Result<Archive> {
    ZipArchive::new(BufReader::new(File::open(path)?)).map_err(|e| plain(&e))
}

/// What is wrong, without the names of files.
fn plain(error: &zip::result::ZipError) -> io::Error {
    use zip::result::ZipError;
    match error {
        ZipError::Io(error) => io::Error::new(error.kind(), "the archive cannot be read"),
        ZipError::InvalidArchive(_) => io::Error::new(io::ErrorKind::InvalidData, "not a usable zip archive"),
        ZipError::UnsupportedArchive(_) => {
            io::Error::new(io::ErrorKind::Unsupported, "encrypted, or compressed in another way than deflate")
        }
        _ => io::Error::other("the archive's member cannot be read"),
    }
}

/// Refuses an archive that would become far more than it is.
pub(crate) fn check(archive: &mut Archive, length: u64) -> Result<(), &'static str> {
    if archive.len() > MOST {
        return Err("it has more than a million members");
    }
    // An archive that was written as a stream has its sizes in the directory alone.
    let all = archive.decompressed_size().unwrap_or_else(|| {
        let sizes = (0..archive.len()).map(|index| archive.by_index_raw(index).map_or(0, |m| m.size()));
        sizes.map(u128::from).sum()
    });
    if all > u128::from(length) * u128::from(RATIO) + u128::from(SMALL) {
        return Err("it would grow to more than 200 times its size");
    }
    Ok(())
}

/// The member at an index for reading, with its size, or what keeps it from being read.
pub(crate) fn member_at(archive: &mut Archive, index: usize) -> Result<(impl Read + '_, u64), String> {
    let file = archive.by_index(index).map_err(|e| plain(&e).to_string())?;
    if file.enclosed_name().is_none() {
        return Err("its name leads out of the archive".to_owned());
    }
    let (size, packed) = (file.size(), file.compressed_size());
    fits(size, packed)?;
    Ok((file.take(size), size))
}

/// Whether a member may be inflated.
fn fits(size: u64, packed: u64) -> Result<(), String> {
    if size > LARGEST {
        return Err(format!("it would grow to more than {} GB", LARGEST >> 30));
    }
    if size > SMALL && size > packed.saturating_mul(RATIO) {
        return Err(format!("it would grow to more than {RATIO} times its size"));
    }
    Ok(())
}

/// The archive that a thread read last, as it was then.
type Last = (PathBuf, (u64, Option<SystemTime>), Archive);

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// The bytes of a member.
///
/// # Errors
/// When they cannot be read, or it is larger than a study's files are.
pub(crate) fn member(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    LAST.with_borrow_mut(|last| {
        let found = std::fs::metadata(path)?;
        let state = (found.len(), found.modified().ok());
        if last.as_ref().is_none_or(|(open, then, _)| open != path || *then != state) {
            *last = Some((path.to_owned(), state, open(path)?));
        }
        let Some((.., archive)) = last else { return Err(io::ErrorKind::NotFound.into()) };
        let index = archive.index_for_name(name).ok_or(io::ErrorKind::NotFound)?;
        let (mut file, size) = member_at(archive, index).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        // The claim is believed as far as a small member goes; what is there makes the rest.
        bytes.reserve_exact(size.min(SMALL) as usize);
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}
