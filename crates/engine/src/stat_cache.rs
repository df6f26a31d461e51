//! Remembers a file's digest under its size, times and inode, so that unchanged files are not
//! read again. Knows nothing of stages.
//!
//! An entry is kept only for a file that had been quiet for [`SETTLED`] when it was hashed: a
//! file written within the clock's granularity of its hashing could change again without its
//! times showing it. The coarsest clock met in practice is FAT's, two seconds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;
use ctpipe_disk::Room;

use crate::error::{Error, Result};
use crate::tree::FileDigest;

const SETTLED: Duration = Duration::from_secs(2);
const HEADER: &str = "ctpipe stat cache 2 ";

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

/// What is known of a file. Small: there may be some hundred thousand.
#[derive(Debug, Clone, Copy)]
struct Entry {
    stat: Stat,
    digest: Hash,
    /// Not in the file that the cache was read from.
    news: bool,
}

/// Path to stat and digest, read from and written to one text file. What this process finds stands in
/// the same place as what an earlier one left: a run looks at its inputs again after each stage, and must
/// not read them again.
#[derive(Debug, Default)]
pub struct StatCache {
    enabled: bool,
    /// By the path's bytes: to compare paths part by part takes longer than to ask for the file's times.
    known: Mutex<HashMap<OsString, Entry>>,
}

impl StatCache {
    /// A cache that remembers nothing: every file is read (`--paranoid`).
    pub fn disabled() -> StatCache {
        StatCache::default()
    }

    /// Reads the cache; a missing, unreadable or damaged one is an empty one, since it only saves time. A digest in which
    /// a bit has flipped would stand in keys.
    pub fn load(path: &Path) -> StatCache {
        let text = fs::read_to_string(path).unwrap_or_default();
        let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
        let known = match head.strip_prefix(HEADER) {
            Some(sum) if sum == blake3::hash(body.as_bytes()).to_hex().as_str() => {
                body.lines().filter_map(parse).collect()
            }
            _ => HashMap::new(),
        };
        StatCache { enabled: true, known: Mutex::new(known) }
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
        let known = self.known.lock().ok()?;
        known.get(path.as_os_str()).map(|entry| (entry.stat, entry.digest))
    }

    fn remember(&self, path: &Path, stat: Stat, digest: Hash) {
        if self.enabled
            && let Ok(mut known) = self.known.lock()
        {
            known.insert(path.as_os_str().to_owned(), Entry { stat, digest, news: true });
        }
    }

    /// Writes what this process knows, atomically. Entries of files that were not asked for are
    /// kept, so that `status` of one profile does not forget the files of another.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let Ok(known) = self.known.lock() else {
            return Ok(());
        };
        if !self.enabled || !known.values().any(|entry| entry.news) {
            return Ok(());
        }
        let mut text = String::new();
        for (path, Entry { stat, digest, .. }) in known.iter() {
            // A path with a line break in it is simply hashed every time.
            if let Some(name) = path.to_str().filter(|name| !name.contains('\n')) {
                let Stat { size, mtime_ns, ctime_ns, inode } = stat;
                let _ = writeln!(text, "{size} {mtime_ns} {ctime_ns} {inode} {digest} {name}");
            }
        }
        text.insert_str(0, &format!("{HEADER}{}\n", blake3::hash(text.as_bytes())));
        crate::files::write_atomically(path, text.as_bytes())
    }
}

fn parse(line: &str) -> Option<(OsString, Entry)> {
    let mut parts = line.splitn(6, ' ');
    let stat = Stat {
        size: parts.next()?.parse().ok()?,
        mtime_ns: parts.next()?.parse().ok()?,
        ctime_ns: parts.next()?.parse().ok()?,
        inode: parts.next()?.parse().ok()?,
    };
    let digest = Hash::from_hex(parts.next()?).ok()?;
    Some((OsString::from(parts.next()?), Entry { stat, digest, news: false }))
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
        assert!(StatCache::load(&saved).known.lock().unwrap().is_empty());
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
        let known = || StatCache::load(&saved).known.lock().unwrap().len();
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
    fn lines_survive_a_round_trip_and_damaged_ones_are_dropped() {
        let digest = "a".repeat(64);
        let line = format!("5 10 -11 12 {digest} /data/a b.dcm");
        let (path, Entry { stat, digest: read, .. }) = parse(&line).unwrap();
        assert_eq!((path.to_str().unwrap(), read.to_hex().to_string()), ("/data/a b.dcm", digest));
        assert_eq!((stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode), (5, 10, -11, 12));
        for end in 0..20 {
            assert!(parse(&line[..end]).is_none());
        }
    }
}
