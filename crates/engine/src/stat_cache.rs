//! Remembers a file's digest under its size, times and inode, so that unchanged files are not
//! read again. Knows nothing of stages.
//!
//! An entry is kept only for a file that had been quiet for [`SETTLED`] when it was hashed: a
//! file written within the clock's granularity of its hashing could change again without its
//! times showing it. The coarsest clock met in practice is FAT's, two seconds.

use std::cell::RefCell;
use std::collections::{HashMap, hash_map};
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::RwLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;
use ctpipe_disk::Room;

use crate::bytes::{number, piece, put};
use crate::error::{Error, Result};
use crate::tree::FileDigest;

const SETTLED: Duration = Duration::from_secs(2);
const HEADER: &[u8] = b"ctpipe stat cache 3\n";

/// All that tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
}

impl Stat {
    fn of(metadata: &Metadata) -> Stat {
        // Nanoseconds last from 1677 to 2262; beyond, times are told apart as far as they go.
        let ns = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Stat {
            size: metadata.len(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// What is known of a file.
#[derive(Debug, Clone)]
struct Entry {
    /// Where its name stands among all names.
    name: Range<usize>,
    stat: Stat,
    digest: Hash,
}

/// Entries by the path's bytes. All names are in one piece of memory: some hundred thousand are read in and let go
/// without a call of the allocator for each.
#[derive(Debug, Default)]
struct Known {
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// By a hash of the name. Two names of one hash are one place: the file of the second is read every time.
    places: HashMap<u64, usize, BuildHasherDefault<AsItIs>>,
    /// Is there anything that the file does not have from which this was read?
    news: bool,
}

/// The hash of what is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Known {
    fn hash(name: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(name);
        hasher.finish()
    }

    fn get(&self, name: &[u8]) -> Option<&Entry> {
        let entry = &self.entries[*self.places.get(&Known::hash(name))?];
        (self.names[entry.name.clone()] == *name).then_some(entry)
    }

    fn set(&mut self, name: &[u8], stat: Stat, digest: Hash) {
        match self.places.entry(Known::hash(name)) {
            hash_map::Entry::Occupied(place) => {
                let entry = &mut self.entries[*place.get()];
                if self.names[entry.name.clone()] != *name {
                    return;
                }
                (entry.stat, entry.digest) = (stat, digest);
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(self.entries.len());
                let start = self.names.len();
                self.names.extend_from_slice(name);
                self.entries.push(Entry { name: start..self.names.len(), stat, digest });
            }
        }
        self.news = true;
    }

    /// Each entry as its four numbers, the digest and the name.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.names.len() + self.entries.len() * FIXED);
        for Entry { name, stat: Stat { size, mtime_ns, ctime_ns, inode }, digest } in &self.entries {
            for number in [*size, mtime_ns.cast_unsigned(), ctime_ns.cast_unsigned(), *inode] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(digest.as_bytes());
            put(&mut bytes, &self.names[name.clone()]);
        }
        bytes
    }

    /// `None` where the bytes end within an entry.
    fn from_bytes(mut bytes: &[u8]) -> Option<Known> {
        let most = bytes.len() / FIXED;
        let mut known = Known {
            names: Vec::with_capacity(bytes.len() - most * FIXED),
            entries: Vec::with_capacity(most),
            places: HashMap::with_capacity_and_hasher(most, BuildHasherDefault::default()),
            news: false,
        };
        while !bytes.is_empty() {
            let [size, mtime, ctime, inode] = [(); 4].map(|()| number(&mut bytes));
            let stat = Stat {
                size: size?,
                mtime_ns: mtime?.cast_signed(),
                ctime_ns: ctime?.cast_signed(),
                inode: inode?,
            };
            let digest = Hash::from_bytes(bytes.split_off(..32)?.try_into().ok()?);
            known.set(piece(&mut bytes)?, stat, digest);
        }
        Some(Known { news: false, ..known })
    }
}

/// Bytes of an entry but for its name.
const FIXED: usize = 4 * 8 + 32 + 8;

/// Path to stat and digest, read from and written to one file: a header, the BLAKE3 of what follows, and the
/// entries. What this process finds stands in the same place as what an earlier one left: a run looks at its inputs
/// again after each stage, and must not read them again.
#[derive(Debug, Default)]
pub struct StatCache {
    enabled: bool,
    known: RwLock<Known>,
}

impl StatCache {
    /// A cache that remembers nothing: every file is read (`--paranoid`).
    pub fn disabled() -> StatCache {
        StatCache::default()
    }

    /// Reads the cache; a missing, unreadable or damaged one is an empty one, since it only saves time. A digest in which
    /// a bit has flipped would stand in keys.
    pub fn load(path: &Path) -> StatCache {
        let bytes = fs::read(path).unwrap_or_default();
        let checked = || {
            let (sum, body) = bytes.strip_prefix(HEADER)?.split_at_checked(32)?;
            (*blake3::hash(body).as_bytes() == *sum).then(|| Known::from_bytes(body))?
        };
        StatCache { enabled: true, known: RwLock::new(checked().unwrap_or_default()) }
    }

    /// Digest of the file at `path`, whose metadata the caller has at hand.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn digest(&self, path: &Path, metadata: &Metadata) -> Result<FileDigest> {
        let stat = Stat::of(metadata);
        if let Some((known, digest)) = self.recall(path)
            && known == stat
        {
            return Ok(FileDigest { size: stat.size, digest: digest.to_hex().to_string() });
        }
        #[allow(clippy::disallowed_methods)] // this clock never reaches an output
        let started = SystemTime::now();
        let (size, digest) = hash(path).map_err(|e| Error::io("cannot read", path, e))?;
        // Taken again after reading: a file that changed meanwhile is not remembered.
        if size == stat.size
            && settled(stat, started)
            && fs::metadata(path).is_ok_and(|m| Stat::of(&m) == stat)
        {
            self.remember(path, stat, digest);
        }
        Ok(FileDigest { size, digest: digest.to_hex().to_string() })
    }

    /// Takes the digest of a file from who knows it because it wrote the file, or has just read it, and
    /// knows that nobody else writes there. Such a file need not have been quiet for long.
    pub fn vouch(&self, path: &Path, file: &FileDigest) {
        if let Ok(metadata) = fs::symlink_metadata(path)
            && metadata.len() == file.size
            && let Ok(digest) = Hash::from_hex(&file.digest)
        {
            self.remember(path, Stat::of(&metadata), digest);
        }
    }

    fn recall(&self, path: &Path) -> Option<(Stat, Hash)> {
        let known = self.known.read().ok()?;
        known.get(path.as_os_str().as_bytes()).map(|entry| (entry.stat, entry.digest))
    }

    fn remember(&self, path: &Path, stat: Stat, digest: Hash) {
        if self.enabled
            && let Ok(mut known) = self.known.write()
        {
            known.set(path.as_os_str().as_bytes(), stat, digest);
        }
    }

    /// Writes what this process knows, atomically. Entries of files that were not asked for are
    /// kept, so that `status` of one profile does not forget the files of another.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let Ok(known) = self.known.read() else {
            return Ok(());
        };
        if !self.enabled || !known.news {
            return Ok(());
        }
        let body = known.to_bytes();
        crate::files::write_checked(path, &[HEADER, blake3::hash(&body).as_bytes(), &body].concat())
    }
}

fn settled(stat: Stat, now: SystemTime) -> bool {
    let now_ns = now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos().cast_signed());
    i128::from(stat.mtime_ns.max(stat.ctime_ns)) + SETTLED.as_nanos().cast_signed() <= now_ns
}

/// Bytes that are read and hashed at a time.
const STEP: usize = 128 << 10;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

fn hash(path: &Path) -> io::Result<(u64, Hash)> {
    ROOM.with_borrow_mut(|room| {
        let room = room.with(STEP, 0);
        let mut file = File::open(path)?;
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
        loop {
            match file.read(room) {
                Ok(0) => return Ok((size, hasher.finalize())),
                Ok(count) => {
                    hasher.update(&room[..count]);
                    size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_just_written_is_never_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (file, saved) = (dir.path().join("f"), dir.path().join("cache"));
        fs::write(&file, "young").unwrap();
        let cache = StatCache::load(&saved);
        cache.digest(&file, &fs::metadata(&file).unwrap()).unwrap();
        cache.save(&saved).unwrap();
        assert!(StatCache::load(&saved).known.read().unwrap().entries.is_empty());
    }

    #[test]
    fn an_entry_of_another_stat_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "bytes").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        let lie = "0".repeat(64);
        let with = |stat: Stat| {
            let cache = StatCache::load(&dir.path().join("none"));
            cache.remember(&file, stat, Hash::from_hex(&lie).unwrap());
            cache.digest(&file, &metadata).unwrap().digest
        };
        assert_eq!(with(Stat::of(&metadata)), lie);
        assert_ne!(with(Stat { inode: 1, ..Stat::of(&metadata) }), lie);
    }

    #[test]
    fn a_file_that_this_process_has_hashed_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "bytes").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        let cache = StatCache::load(&dir.path().join("none"));
        let seen = "1".repeat(64);
        cache.remember(&file, Stat::of(&metadata), Hash::from_hex(&seen).unwrap());
        assert_eq!(cache.digest(&file, &metadata).unwrap().digest, seen);
    }

    #[test]
    fn a_flipped_bit_anywhere_makes_it_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let (file, saved) = (dir.path().join("f"), dir.path().join("cache"));
        fs::write(&file, "bytes").unwrap();
        let cache = StatCache::load(&saved);
        let digest = StatCache::disabled().digest(&file, &fs::metadata(&file).unwrap()).unwrap();
        cache.vouch(&file, &digest);
        cache.save(&saved).unwrap();
        let known = || StatCache::load(&saved).known.read().unwrap().entries.len();
        assert_eq!(known(), 1);
        let good = fs::read(&saved).unwrap();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&saved, flipped).unwrap();
            assert_eq!(known(), 0, "byte {at}");
        }
    }

    #[test]
    fn a_file_that_was_vouched_for_is_believed_until_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "bytes").unwrap();
        let cache = StatCache::load(&dir.path().join("none"));
        let seen = FileDigest { size: 5, digest: "1".repeat(64) };
        let now = || cache.digest(&file, &fs::metadata(&file).unwrap()).unwrap();
        cache.vouch(&file, &FileDigest { size: 4, ..seen.clone() });
        assert_ne!(now(), seen, "what is said of another file");
        cache.vouch(&file, &seen);
        assert_eq!(now(), seen);
        fs::write(&file, "longer bytes").unwrap();
        assert_ne!(now().digest, seen.digest);
        StatCache::disabled().vouch(&file, &seen);
    }

    #[test]
    fn entries_survive_a_round_trip_and_a_cut_is_found() {
        let stat = Stat { size: 5, mtime_ns: 10, ctime_ns: -11, inode: 12 };
        let (first, second) = (&b"/data/a b\n.dcm"[..], &b"/data/\xE0"[..]);
        let mut known = Known::default();
        known.set(first, stat, Hash::from_bytes([1; 32]));
        known.set(second, stat, Hash::from_bytes([2; 32]));
        known.set(first, Stat { size: 6, ..stat }, Hash::from_bytes([3; 32]));
        let bytes = known.to_bytes();
        let read = Known::from_bytes(&bytes).unwrap();
        let found = |name: &[u8]| read.get(name).map(|entry| (entry.stat, entry.digest));
        assert_eq!(found(first), Some((Stat { size: 6, ..stat }, Hash::from_bytes([3; 32]))));
        assert_eq!(found(second), Some((stat, Hash::from_bytes([2; 32]))));
        assert_eq!((found(b"/data/a b"), read.entries.len(), read.news), (None, 2, false));
        let whole = [0, FIXED + first.len(), bytes.len()];
        for end in 0..=bytes.len() {
            assert_eq!(Known::from_bytes(&bytes[..end]).is_some(), whole.contains(&end), "{end}");
        }
    }
}
