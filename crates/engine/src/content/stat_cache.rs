//! Remembers a file's digest under its size, times and inode, so that unchanged files are not
//! read again.
//!
//! An entry is kept only for a file that had been quiet for [`SETTLED`] when it was hashed: a
//! file written within the clock's granularity of its hashing could change again without its
//! times showing it. The coarsest clock met in practice is FAT's, two seconds.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, hash_map};
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
use ctpipe_disk::AlignedBuffer;
use ctpipe_stage::FileDigest;
use ctpipe_stage::encoding::{number, piece, put};

use crate::error::{Error, Result};
use crate::sys::files;

const SETTLED: Duration = Duration::from_secs(2);
const HEADER: &[u8] = b"ctpipe stat cache 4\n";

/// The metadata that distinguish two states of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
}

impl Stat {
    fn of(metadata: &Metadata) -> Stat {
        // Nanoseconds cover the years 1677 to 2262; times outside this range lose precision.
        let ns = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Stat {
            size: metadata.len(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// A cached file.
#[derive(Debug, Clone)]
struct Entry {
    /// The position of its name in the buffer of all names.
    name: Range<usize>,
    stat: Stat,
    digest: Hash,
}

/// Entries by the path's bytes. All names share one buffer, so that several hundred thousand names
/// can be read and freed without an allocation for each.
#[derive(Debug, Default)]
struct Known {
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// Entries by a hash of the name. Two names with the same hash share an entry, so the second
    /// file is read every time.
    places: HashMap<u64, usize, BuildHasherDefault<AsItIs>>,
    /// The entries that the loaded file does not contain.
    fresh: BTreeSet<usize>,
}

/// A hasher for values that are hashes already.
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

    /// The position of the entry that this call added or changed.
    fn set(&mut self, name: &[u8], stat: Stat, digest: Hash) -> Option<usize> {
        match self.places.entry(Known::hash(name)) {
            hash_map::Entry::Occupied(place) => {
                let entry = &mut self.entries[*place.get()];
                let is_news =
                    self.names[entry.name.clone()] == *name && (entry.stat, entry.digest) != (stat, digest);
                is_news.then(|| {
                    (entry.stat, entry.digest) = (stat, digest);
                    *place.get()
                })
            }
            hash_map::Entry::Vacant(place) => {
                place.insert(self.entries.len());
                let start = self.names.len();
                self.names.extend_from_slice(name);
                self.entries.push(Entry { name: start..self.names.len(), stat, digest });
                Some(self.entries.len() - 1)
            }
        }
    }

    /// The size of all entries, in bytes.
    fn length(&self) -> usize {
        self.names.len() + self.entries.len() * FIXED
    }

    /// Appends a part of the file to `bytes`: the BLAKE3 of its entries, their length, and the
    /// entries. An entry has its four numbers, the digest and the name.
    fn put_part<'a>(&self, bytes: &mut Vec<u8>, entries: impl Iterator<Item = &'a Entry>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; HEAD]);
        for Entry { name, stat: Stat { size, mtime_ns, ctime_ns, inode }, digest } in entries {
            for number in [*size, mtime_ns.cast_unsigned(), ctime_ns.cast_unsigned(), *inode] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(digest.as_bytes());
            put(bytes, &self.names[name.clone()]);
        }
        let (head, entries) = bytes[start..].split_at_mut(HEAD);
        let (sum, length) = head.split_at_mut(blake3::OUT_LEN);
        sum.copy_from_slice(blake3::hash(entries).as_bytes());
        length.copy_from_slice(&(entries.len() as u64).to_le_bytes());
    }

    /// Adds the entries of the first part in these bytes and returns the rest, or `None` where the
    /// part is damaged.
    fn add_part<'a>(&mut self, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        let sum = rest.split_off(..blake3::OUT_LEN)?;
        let mut bytes = piece(&mut rest)?;
        if blake3::hash(bytes).as_bytes() != sum {
            return None;
        }
        let most = bytes.len() / FIXED;
        self.names.reserve(bytes.len() - most * FIXED);
        self.entries.reserve(most);
        self.places.reserve(most);
        while !bytes.is_empty() {
            let [size, mtime, ctime, inode] = [(); 4].map(|()| number(&mut bytes));
            let stat = Stat {
                size: size?,
                mtime_ns: mtime?.cast_signed(),
                ctime_ns: ctime?.cast_signed(),
                inode: inode?,
            };
            let digest = Hash::from_bytes(bytes.split_off(..blake3::OUT_LEN)?.try_into().ok()?);
            self.set(piece(&mut bytes)?, stat, digest);
        }
        Some(rest)
    }
}

/// The size of an entry without its name, in bytes.
const FIXED: usize = 4 * 8 + blake3::OUT_LEN + 8;
/// The size of a part's header, in bytes.
const HEAD: usize = blake3::OUT_LEN + 8;

/// Maps a path to its metadata and digest. The cache is stored in one file: a header and parts,
/// each with its BLAKE3. Entries of a later part replace those of an earlier one. Entries of this
/// process are used like those of earlier processes, because a run checks its inputs again after
/// each stage and must not read them again.
#[derive(Debug, Default)]
pub struct StatCache {
    enabled: bool,
    known: RwLock<Known>,
    /// The length of the loaded file, if it was undamaged: new parts can be appended.
    good: Option<usize>,
}

impl StatCache {
    /// A cache that stores nothing: every file is read (`--paranoid`).
    pub fn disabled() -> StatCache {
        StatCache::default()
    }

    /// Reads the cache. A missing or unreadable cache counts as empty, because it only saves time.
    /// Everything after a damaged part is ignored, because a digest with a flipped bit would get
    /// into keys.
    pub fn load(path: &Path) -> StatCache {
        let bytes = fs::read(path).unwrap_or_default();
        let mut known = Known::default();
        let mut rest = bytes.strip_prefix(HEADER);
        while let Some(bytes) = rest.filter(|rest| !rest.is_empty()) {
            rest = known.add_part(bytes);
        }
        StatCache { enabled: true, known: RwLock::new(known), good: rest.map(|_| bytes.len()) }
    }

    /// The digest of the file at `path`; the caller passes its metadata.
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
        // The metadata are read again afterwards: a file that changed meanwhile is not cached.
        if size == stat.size
            && settled(stat, started)
            && fs::metadata(path).is_ok_and(|m| Stat::of(&m) == stat)
        {
            self.remember(path, stat, digest);
        }
        Ok(FileDigest { size, digest: digest.to_hex().to_string() })
    }

    /// Stores the digest of a file that the caller has just written or read and that no other
    /// process writes. Such a file does not have to be unmodified for long.
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
            let news = known.set(path.as_os_str().as_bytes(), stat, digest);
            known.fresh.extend(news);
        }
    }

    /// Writes the cache. Entries of files that this process did not use are kept, so that `status`
    /// of one profile does not remove the entries of another. New entries are appended until a
    /// fifth of the file is out of date. Call this once per process, because saved entries still
    /// count as new.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let Ok(known) = self.known.read() else {
            return Ok(());
        };
        if !self.enabled || known.fresh.is_empty() {
            return Ok(());
        }
        let length = HEADER.len() + HEAD + known.length();
        let there = fs::metadata(path).ok().and_then(|metadata| usize::try_from(metadata.len()).ok());
        if let Some(good) = self.good.filter(|good| there == Some(*good)) {
            let mut fresh = Vec::new();
            known.put_part(&mut fresh, known.fresh.iter().map(|&place| &known.entries[place]));
            let is_long = 4 * (good + fresh.len()) > 5 * length;
            // A file that this user may not write can still be replaced.
            if !is_long && files::append_checked(path, &fresh).is_ok() {
                return Ok(());
            }
        }
        let mut all = Vec::with_capacity(length);
        all.extend_from_slice(HEADER);
        known.put_part(&mut all, known.entries.iter());
        files::write_checked(path, &all)
    }
}

fn settled(stat: Stat, now: SystemTime) -> bool {
    let now_ns = now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos().cast_signed());
    i128::from(stat.mtime_ns.max(stat.ctime_ns)) + SETTLED.as_nanos().cast_signed() <= now_ns
}

/// The number of bytes that are read and hashed at a time.
const STEP: usize = 128 << 10;

thread_local! {
    static ROOM: RefCell<AlignedBuffer> = RefCell::default();
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
    use std::ffi::OsStr;

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

    /// Damage in the first part loses everything. Damage in the second part loses only that part.
    #[test]
    fn what_stands_behind_a_flipped_bit_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, saved) = (dir.path().join("f"), dir.path().join("cache"));
        fs::write(&file, "bytes").unwrap();
        let digest = StatCache::disabled().digest(&file, &fs::metadata(&file).unwrap()).unwrap();
        let vouch = |name: &str| {
            let (file, cache) = (dir.path().join(name), StatCache::load(&saved));
            fs::write(&file, "bytes").unwrap();
            cache.vouch(&file, &digest);
            cache.save(&saved).unwrap();
            fs::read(&saved).unwrap()
        };
        let known = || StatCache::load(&saved).known.read().unwrap().entries.len();
        let first = vouch("f");
        let good = vouch("g");
        assert_eq!((known(), &good[..first.len()]), (2, &first[..]));
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&saved, flipped).unwrap();
            assert_eq!(known(), usize::from(at >= first.len()), "byte {at}");
        }
        for end in 0..good.len() {
            fs::write(&saved, &good[..end]).unwrap();
            assert_eq!(known(), usize::from(end >= first.len()), "cut at {end}");
            // A truncated file is not appended to.
            if end != HEADER.len() && end != first.len() {
                vouch("h");
                assert_eq!(known(), 1 + usize::from(end >= first.len()), "after a cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_new_is_put_behind_the_rest_until_a_fifth_is_out_of_date() {
        let dir = tempfile::tempdir().unwrap();
        let saved = dir.path().join("cache");
        let save = |changed: Range<u64>, inode: u64| {
            let cache = StatCache::load(&saved);
            for file in changed {
                let stat = Stat { size: 5, mtime_ns: 10, ctime_ns: 11, inode };
                cache.remember(Path::new(&format!("/data/{file:03}")), stat, Hash::from_bytes([1; 32]));
            }
            cache.save(&saved).unwrap();
            fs::read(&saved).unwrap()
        };
        let first = save(0..100, 1);
        assert_eq!(save(0..100, 1), first, "nothing new");
        let second = save(0..20, 2);
        assert!(second.starts_with(&first) && second.len() > first.len());
        let third = save(0..20, 3);
        assert_eq!(third.len(), first.len(), "all of it anew");
        let known = StatCache::load(&saved).known.into_inner().unwrap();
        let inodes: Vec<u64> = known.entries.iter().map(|entry| entry.stat.inode).collect();
        assert_eq!(inodes, [vec![3; 20], vec![1; 80]].concat());
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
    fn entries_survive_a_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let stat = Stat { size: 5, mtime_ns: 10, ctime_ns: -11, inode: 12 };
        let (first, second) = (&b"/data/a b\n.dcm"[..], &b"/data/\xE0"[..]);
        let cache = StatCache::load(&dir.path().join("cache"));
        let path = |name| Path::new(OsStr::from_bytes(name));
        cache.remember(path(first), stat, Hash::from_bytes([1; 32]));
        cache.remember(path(second), stat, Hash::from_bytes([2; 32]));
        cache.remember(path(first), Stat { size: 6, ..stat }, Hash::from_bytes([3; 32]));
        cache.save(&dir.path().join("cache")).unwrap();
        let read = StatCache::load(&dir.path().join("cache"));
        assert_eq!(read.recall(path(first)), Some((Stat { size: 6, ..stat }, Hash::from_bytes([3; 32]))));
        assert_eq!(read.recall(path(second)), Some((stat, Hash::from_bytes([2; 32]))));
        let known = read.known.into_inner().unwrap();
        assert_eq!((known.get(b"/data/a b").is_none(), known.entries.len(), known.fresh.len()), (true, 2, 0));
    }
}
