//! Twenty thousand damaged files: no panic escapes, and what a file claims takes neither memory nor
//! time. The files are read in a child process with limited memory, so that an abort fails the test
//! and not the machine.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ctpipe_ct::{AlignedBuffer, Image, scan};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Set for the child process.
const CHILD: &str = "CTPIPE_TEST_MUTATIONS";
const COUNT: usize = 20_000;
/// Address space in addition to what the child has at its start. Frames of these files have 4 KB,
/// and each may take 64 MB; the test's own threads and buffers take the rest.
const MEMORY: u64 = 256 << 20;

/// The files to damage: one in each transfer syntax, a multi-frame file, and one with fragments.
fn seeds() -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "dcm"));
    paths.sort();
    // JPEG 2000 and JPEG XL may run in a child process of their own, in which a crash is an answer.
    // `isolated.rs` and the program itself test that. The JPEG 2000 decoder of this crate has its
    // own test (`codec/jpeg2000`).
    let inner = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        !name.contains("j2k") && !name.starts_with("jxl")
    };
    paths.iter().filter(|path| inner(path)).map(|path| fs::read(path).expect("a fixture")).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Flips bits, truncates, splices with another file, or replaces a length with a harmful one.
fn damaged(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => {
                for _ in 0..=random.below(8) {
                    let at = random.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << random.below(8);
                    }
                }
            }
            1 => bytes.truncate(at),
            2 => {
                let other = &seeds[random.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ => {
                let hurt: u32 = [0, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF][random.below(4)];
                for (byte, value) in bytes.iter_mut().skip(at).zip(hurt.to_le_bytes()) {
                    *byte = value;
                }
            }
        }
    }
    bytes
}

fn read_all() {
    let pages = fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = pages.split(' ').next().and_then(|n| n.parse().ok()).expect("pages");
    let limit = pages * rustix::param::page_size() as u64 + MEMORY;
    setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: None }).expect("a limit");
    let seeds = seeds();
    assert!(seeds.len() > 20);
    let mut random = Random(20_261_123);
    let mut decoded = 0_usize;
    let mut room = AlignedBuffer::default();
    for number in 0..COUNT {
        let bytes = damaged(&mut random, &seeds);
        let started = Instant::now();
        let _ = scan(&bytes[..], &mut Vec::new());
        if let Ok(image) = Image::from_bytes(bytes) {
            // A file may claim a million frames; after the first missing frame, all are missing.
            let read = |index| image.frame(index, &mut room).is_ok();
            decoded += (0..image.frames()).map(read).take_while(|read| *read).count();
        }
        // Not a measurement: this only catches something that hangs on the slowest machine.
        assert!(started.elapsed() < Duration::from_secs(20), "mutation {number}");
    }
    // Otherwise only the first bytes would have been looked at.
    assert!(decoded > COUNT / 10, "{decoded}");
}

#[test]
fn damaged_files_cost_neither_the_process_nor_memory() {
    if std::env::var_os(CHILD).is_some() {
        read_all();
        return;
    }
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "damaged_files_cost_neither_the_process_nor_memory", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(30).collect();
    assert!(output.status.success(), "{}: {}", output.status, last.join("\n"));
}
