//! The bytes of files, and of members of zip archives. Archives are read in place; nothing is ever
//! unpacked to disk.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use zip::ZipArchive;

/// Where a slice can be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The member, where the file is a zip archive.
    pub member: Option<String>,
    /// The frame within it, from 0.
    pub frame: usize,
}

impl Source {
    /// Whether both are frames of one file.
    pub(crate) fn same_file(&self, other: &Source) -> bool {
        self.path == other.path && self.member == other.member
    }
}

/// The first bytes of a zip archive.
pub(crate) const SIGNATURE: &[u8] = b"PK\x03\x04";

pub(crate) type Archive = ZipArchive<BufReader<File>>;

/// A member up to this size is read whatever its ratio: a slice of nothing but air compresses very
/// well.
const SMALL: u64 = 64 << 20;
/// Largest size of a member.
const LARGEST: u64 = 4 << 30;
/// Largest compression ratio of larger members, and of an archive as a whole.
const RATIO: u64 = 200;
/// Largest number of members that are read.
const MOST: usize = 1_000_000;

pub(crate) fn open(path: &Path) -> io::Result<Archive> {
    ZipArchive::new(BufReader::new(File::open(path)?)).map_err(|e| plain(&e))
}

/// What is wrong, without names of files.
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

/// Refuses an archive that would expand far beyond its size.
pub(crate) fn check(archive: &mut Archive, length: u64) -> Result<(), &'static str> {
    if archive.len() > MOST {
        return Err("it has more than a million members");
    }
    // An archive written as a stream has its sizes only in the directory.
    let all = archive.decompressed_size().unwrap_or_else(|| {
        let sizes = (0..archive.len()).map(|index| archive.by_index_raw(index).map_or(0, |m| m.size()));
        sizes.map(u128::from).sum()
    });
    if all > u128::from(length) * u128::from(RATIO) + u128::from(SMALL) {
        return Err("it would grow to more than 200 times its size");
    }
    Ok(())
}

/// Opens the member at an index for reading, with its size, or says why it cannot be read.
pub(crate) fn member_at(archive: &mut Archive, index: usize) -> Result<(impl Read + '_, u64), String> {
    let file = archive.by_index(index).map_err(|e| plain(&e).to_string())?;
    if file.enclosed_name().is_none() {
        return Err("its name leads out of the archive".to_owned());
    }
    let (size, packed) = (file.size(), file.compressed_size());
    fits(size, packed)?;
    Ok((file.take(size), size))
}

/// Checks whether a member may be inflated.
fn fits(size: u64, packed: u64) -> Result<(), String> {
    if size > LARGEST {
        return Err(format!("it would grow to more than {} GB", LARGEST >> 30));
    }
    if size > SMALL && size > packed.saturating_mul(RATIO) {
        return Err(format!("it would grow to more than {RATIO} times its size"));
    }
    Ok(())
}

/// The archive that a thread read last, with its size and time at that point.
type Last = (PathBuf, (u64, Option<SystemTime>), Archive);

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// The bytes of a member.
///
/// # Errors
/// When it cannot be read, or it is larger than the files of a study are.
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
        // The claimed size is trusted up to that of a small member; beyond that, memory grows with
        // the data.
        bytes.reserve_exact(size.min(SMALL) as usize);
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}
