//! Finds the files below a folder, and the members of archives among them, and reads their headers
//! in parallel. Whether a series can be used is decided elsewhere.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{self, AtomicU64};

use ctpipe_disk::{to_path, to_text};
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::header::{Header, Scanned, scan};
use crate::source::{self, Source};

/// One file, or one member of an archive, and what it turned out to be.
#[derive(Debug, Clone)]
pub struct Found {
    /// Path below the folder, with `/`, in the form that [`to_path`] reads.
    pub path: String,
    /// Name of the member, where the file is an archive.
    pub member: Option<String>,
    /// What the file is.
    pub what: Scanned,
}

impl Found {
    /// The header, when it is DICOM.
    pub fn header(&self) -> Option<&Header> {
        match &self.what {
            Scanned::Dicom(header) => Some(header),
            _ => None,
        }
    }

    /// Where a frame of the file can be read.
    pub fn source(&self, root: &Path, frame: usize) -> Source {
        // If the root is the file itself, there is nothing below it.
        let path = if self.path.is_empty() { root.to_owned() } else { root.join(to_path(&self.path)) };
        Source { path, member: self.member.clone(), frame }
    }
}

/// Minimum number of members of an archive that one thread reads in a row. Opening an archive takes
/// time for each of its members.
const MEMBERS: usize = 64;

/// Every file below a folder, sorted by name. No file has been opened yet.
pub struct Listing {
    root: PathBuf,
    entries: Vec<Entry>,
}

enum Entry {
    File(String),
    /// A file or folder that could not be listed.
    Lost(Found),
}

impl Listing {
    /// Lists `root`, or takes it as the only file if it is not a folder. The list is sorted by
    /// name, folder by folder, so that the order is the same on every file system.
    pub fn of(root: &Path) -> Listing {
        let relative = |path: &Path| to_text(path.strip_prefix(root).unwrap_or(path));
        let entry = |entry: walkdir::Result<walkdir::DirEntry>| match entry {
            Ok(entry) => entry.file_type().is_file().then(|| Entry::File(relative(entry.path()))),
            // A loop of links, or a folder that disappeared while it was being read.
            Err(error) => {
                let path = error.path().map(relative).unwrap_or_default();
                // The error's own text holds a full path of this machine.
                let problem = match error.io_error() {
                    Some(e) => format!("cannot be listed: {}", e.kind()),
                    None => "a link that leads back to a folder that it is in".to_owned(),
                };
                Some(Entry::Lost(Found { path, member: None, what: Scanned::Unreadable(problem) }))
            }
        };
        let walk = WalkDir::new(root).follow_links(true).sort_by_file_name();
        Listing { root: root.to_owned(), entries: walk.into_iter().filter_map(entry).collect() }
    }

    /// The files with these names below `root`, which have been listed before: as in
    /// [`Found::path`], with an empty name for `root` itself. They must come [in order](in_order).
    pub fn named<'a>(root: &Path, names: impl Iterator<Item = &'a str>) -> Listing {
        Listing { root: root.to_owned(), entries: names.map(|name| Entry::File(name.to_owned())).collect() }
    }

    /// Reads the headers of all files, in the order of the listing; members of an archive keep its
    /// order.
    ///
    /// `tell` is called with the number of files done and the total; an error from it ends the
    /// search.
    ///
    /// # Errors
    /// The error that `tell` returned.
    pub fn read<E: Send>(&self, tell: &(dyn Fn(u64, u64) -> Result<(), E> + Sync)) -> Result<Vec<Found>, E> {
        let total = self.entries.len() as u64;
        let done = AtomicU64::new(0);
        let found: Vec<Vec<Found>> = self
            .entries
            .par_iter()
            .map(|entry| {
                let found = match entry {
                    Entry::File(path) if path.is_empty() => look(path, &self.root),
                    Entry::File(path) => look(path, &self.root.join(to_path(path))),
                    Entry::Lost(found) => vec![found.clone()],
                };
                tell(done.fetch_add(1, atomic::Ordering::Relaxed) + 1, total)?;
                Ok(found)
            })
            .collect::<Result<_, E>>()?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// The order of [`Listing::of`], except for bytes in names that are not UTF-8. It goes folder by
/// folder, so the separator sorts before every other character.
pub fn in_order<'a>(a: &'a str, b: &'a str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // Their common prefix is long, so it is compared several bytes at a time.
    let words = |name: &'a [u8]| name.as_chunks::<8>().0.iter();
    let same = 8 * words(a).zip(words(b)).take_while(|(a, b)| a == b).count();
    let same = same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count();
    let next = |name: &[u8]| name.get(same).map(|&byte| if byte == b'/' { 0 } else { byte });
    next(a).cmp(&next(b))
}

/// Number of files in an archive, read from its directory; `None` when it cannot be read.
pub fn members(path: &Path) -> Option<usize> {
    let archive = source::open(path).ok()?;
    Some(archive.file_names().filter(|name| !name.ends_with('/')).count())
}

thread_local! {
    /// Reused from file to file.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn scan_here(file: impl Read) -> io::Result<Scanned> {
    ROOM.with_borrow_mut(|room| scan(file, room))
}

fn unreadable(error: &io::Error) -> Scanned {
    Scanned::Unreadable(format!("cannot be read: {}", error.kind()))
}

/// Looks at a file, or at the members of an archive.
fn look(path: &str, file: &Path) -> Vec<Found> {
    let one = |what| vec![Found { path: path.to_owned(), member: None, what }];
    match File::open(file).and_then(scan_here) {
        Ok(Scanned::Archive) => look_into(path, file),
        Ok(what) => one(what),
        Err(error) => one(unreadable(&error)),
    }
}

fn look_into(path: &str, file: &Path) -> Vec<Found> {
    let refused = |problem: String| {
        vec![Found { path: path.to_owned(), member: None, what: Scanned::Unreadable(problem) }]
    };
    let mut archive = match source::open(file) {
        Ok(archive) => archive,
        Err(error) => return refused(error.to_string()),
    };
    let length = std::fs::metadata(file).map_or(0, |m| m.len());
    if let Err(problem) = source::check(&mut archive, length) {
        return refused(format!("an archive that is not read: {problem}"));
    }
    let indices: Vec<usize> = (0..archive.len()).collect();
    let read = |indices: &[usize]| -> Vec<Found> {
        let mut archive = match source::open(file) {
            Ok(archive) => archive,
            Err(error) => return refused(error.to_string()),
        };
        let mut found = Vec::with_capacity(indices.len());
        for &index in indices {
            let name = archive.name_for_index(index).unwrap_or_default().to_owned();
            if name.ends_with('/') {
                continue;
            }
            let what = match source::member_at(&mut archive, index) {
                Ok((file, _)) => match scan_here(file) {
                    // Archives within archives are ignored.
                    Ok(Scanned::Archive) => Scanned::NotDicom,
                    Ok(what) => what,
                    Err(error) => unreadable(&error),
                },
                Err(problem) => Scanned::Unreadable(problem),
            };
            found.push(Found { path: path.to_owned(), member: Some(name), what });
        }
        found
    };
    let share = indices.len().div_ceil(rayon::current_num_threads()).max(MEMBERS);
    indices.par_chunks(share).flat_map_iter(read).collect()
}
