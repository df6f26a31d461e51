//! The file `pipeline.lock`, kept in git beside the pipeline file: one block for each stage with
//! its result. The module [`super`] decides when it is written and what differs from it.
//!
//! ```text
//! # ctpipe lock, form 1. Made by `ctpipe run --lock`; do not edit.
//!
//! stage train
//!   key       <BLAKE3>
//!   content   <BLAKE3>
//!   version   train 7
//!   seed      42
//!   fact      "device" "cpu"
//!   input     "volumes" <BLAKE3>
//!   lineage   "volumes" <BLAKE3>
//!   param     "lr" 0.0001
//!   made      ctpipe 0.1.0 avx2
//!   checksum  <BLAKE3>
//! end train
//!
//! stage ...
//! ```
//!
//! Blocks are sorted by name. Between the parts of two neighbours that can change lie three lines
//! that never change and are unique, so that git can merge two branches that changed different
//! stages. `made` says what first made the bytes; it is kept as long as key and content are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ctpipe_stage::{Key, Maker};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Raised when a lock written now could be misread by an older ctpipe.
const FORM: u32 = 1;
const HEAD: &str = "# ctpipe lock, form ";
const TAIL: &str = ". Made by `ctpipe run --lock`; do not edit.";
/// What git puts at the start of lines in a merge conflict.
const MARKERS: [&str; 4] = ["<<<<<<<", "=======", ">>>>>>>", "|||||||"];

/// The result of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// The key, in full; its hash is in the file as well.
    pub key: Key,
    /// Digest of the content of the artifact.
    pub content: String,
    /// The version of ctpipe and the instruction set that made it first.
    pub made: String,
}

impl Block {
    /// The block for a result.
    pub(crate) fn new(key: &Key, content: &str, maker: &Maker) -> Block {
        let made = format!("ctpipe {} {}", maker.version, maker.instruction_set);
        Block { key: key.clone(), content: content.to_owned(), made: made.trim_end().to_owned() }
    }

    fn lines(&self) -> String {
        let Key { stage, version, params, inputs, seed, facts, lineage } = &self.key;
        let mut text = String::new();
        let mut line = |field: &str, value: String| {
            let _ = writeln!(text, "  {field:8}  {value}");
        };
        line("key", self.key.hash());
        line("content", self.content.clone());
        line("version", format!("{stage} {version}"));
        if let Some(seed) = seed {
            line("seed", seed.to_string());
        }
        let quoted = |name: &String| Value::from(name.as_str()).to_string();
        for (name, fact) in facts {
            line("fact", format!("{} {}", quoted(name), quoted(fact)));
        }
        for (port, digest) in inputs {
            line("input", format!("{} {digest}", quoted(port)));
        }
        for (port, hash) in lineage {
            line("lineage", format!("{} {hash}", quoted(port)));
        }
        for (name, value) in params {
            line("param", format!("{} {value}", quoted(name)));
        }
        line("made", self.made.clone());
        text
    }

    fn text(&self, name: &str) -> String {
        let lines = self.lines();
        format!("stage {name}\n{lines}  checksum  {}\nend {name}\n", checksum(name, &lines))
    }

    /// Parses the lines between `stage` and `end`.
    fn parse(lines: &[&str]) -> Option<Block> {
        let empty = Key {
            stage: String::new(),
            version: 0,
            params: BTreeMap::new(),
            inputs: BTreeMap::new(),
            seed: None,
            facts: BTreeMap::new(),
            lineage: BTreeMap::new(),
        };
        let mut block = Block { key: empty, content: String::new(), made: String::new() };
        for line in lines {
            let (field, value) = line.trim_start().split_once(' ')?;
            let value = value.trim_start();
            let key = &mut block.key;
            match field {
                "content" => value.clone_into(&mut block.content),
                "version" => {
                    let (stage, version) = value.rsplit_once(' ')?;
                    stage.clone_into(&mut key.stage);
                    key.version = version.parse().ok()?;
                }
                "seed" => key.seed = Some(value.parse().ok()?),
                "fact" => {
                    let (name, fact) = named(value)?;
                    key.facts.insert(name, serde_json::from_str(fact).ok()?);
                }
                "input" => {
                    let (port, digest) = named(value)?;
                    key.inputs.insert(port, digest.to_owned());
                }
                "lineage" => {
                    let (port, hash) = named(value)?;
                    key.lineage.insert(port, hash.to_owned());
                }
                "param" => {
                    let (name, value) = named(value)?;
                    key.params.insert(name, serde_json::from_str(value).ok()?);
                }
                "made" => value.clone_into(&mut block.made),
                "key" | "checksum" => {}
                _ => return None,
            }
        }
        Some(block)
    }
}

/// A name in quotes, and what follows it.
fn named(text: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let name = values.next()?.ok()?;
    Some((name, text.get(values.byte_offset()..)?.strip_prefix(' ')?))
}

fn checksum(name: &str, lines: &str) -> String {
    blake3::hash(format!("{name}\n{lines}").as_bytes()).to_hex().to_string()
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LockFile {
    /// Stage to its result.
    pub blocks: BTreeMap<String, Block>,
}

impl LockFile {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}{FORM}{TAIL}\n");
        for (name, block) in &self.blocks {
            text.push('\n');
            text += &block.text(name);
        }
        text
    }

    /// Reads and verifies the lock at `path`; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read, a later ctpipe wrote it, it contains a merge conflict, or anything in
    /// it was altered: every such place is named.
    pub fn read(path: &Path) -> Result<Option<LockFile>> {
        let Some(text) = text_of(path)? else { return Ok(None) };
        let (lock, problems) = LockFile::salvage(path, &text)?;
        if text.lines().any(|line| MARKERS.iter().any(|marker| line.starts_with(marker))) {
            return Err(Error::Conflict(path.to_path_buf()));
        }
        if problems.is_empty() { Ok(Some(lock)) } else { Err(damaged(path, problems)) }
    }

    /// The intact blocks of a lock, whatever happened to the others; empty if there is no lock.
    ///
    /// # Errors
    /// If it cannot be read, or a later ctpipe wrote it.
    pub(crate) fn whole_blocks(path: &Path) -> Result<LockFile> {
        let text = text_of(path)?.unwrap_or_default();
        LockFile::salvage(path, &text).map(|(lock, _)| lock)
    }

    /// The intact blocks, and what is wrong with the rest.
    fn salvage(path: &Path, text: &str) -> Result<(LockFile, Vec<String>)> {
        refuse_later(path, text)?;
        let mut lock = LockFile::default();
        let mut problems = Vec::new();
        let lines: Vec<&str> = text.lines().collect();
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            at += 1;
            let Some(name) = line.strip_prefix("stage ") else { continue };
            let inside = lines.get(at..).unwrap_or_default();
            let length = inside.iter().take_while(|line| line.starts_with(' ')).count();
            let block = inside.get(..length).and_then(Block::parse);
            // The block as it would be written is compared with the text, so that even an extra
            // blank is found.
            let there = inside.get(..=length).unwrap_or(inside);
            let written = [&[*line], there].concat().join("\n") + "\n";
            match block.filter(|block| block.text(name) == written) {
                Some(block) => {
                    if lock.blocks.insert(name.to_owned(), block).is_some() {
                        problems.push(format!("it has two blocks of {name}"));
                    }
                }
                None => problems.push(format!("the block of {name} was altered")),
            }
            at += length;
        }
        if problems.is_empty() && lock.text() != text {
            let wanted = lock.text();
            let first = wanted.lines().zip(text.lines()).position(|(ours, theirs)| ours != theirs);
            let line = first.unwrap_or_else(|| wanted.lines().count().min(text.lines().count())) + 1;
            problems.push(format!("line {line} was altered"));
        }
        Ok((lock, problems))
    }
}

/// The text of the lock. Bytes that are not text are replaced, and their block is not intact.
fn text_of(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("cannot read", path, e)),
    }
}

fn refuse_later(path: &Path, text: &str) -> Result<()> {
    let head = text.lines().next().and_then(|line| line.strip_prefix(HEAD)?.strip_suffix(TAIL));
    match head.and_then(|form| form.parse().ok()) {
        Some(found) if found > FORM => Err(Error::Later { path: path.to_path_buf(), found, known: FORM }),
        _ => Ok(()),
    }
}

fn damaged(path: &Path, problems: Vec<String>) -> Error {
    Error::Damaged { path: path.to_path_buf(), problems }
}

/// The other locks beside the pipeline's own, and that one itself, if they exist: those of its
/// profiles, and of other pipeline files of the folder, whose results share `artifacts/`.
pub(crate) fn all_beside(lock: &Path) -> Vec<PathBuf> {
    let folder = lock.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let locks = entries.filter(|path| path.extension().is_some_and(|e| e == "lock") && path.is_file());
    let mut found: Vec<PathBuf> =
        locks.filter(|path| path.file_name() == lock.file_name() || is_ours(path)).collect();
    found.sort();
    found
}

/// Is or was this file a lock of ctpipe? Other programs have files with that extension, too. One
/// line of ours is enough, because any of them may have been altered. A file that cannot be read
/// counts as one: its reader reports the error.
fn is_ours(path: &Path) -> bool {
    let line = |line: &str| line.starts_with(HEAD) || line.starts_with("  checksum  ");
    text_of(path).map_or(true, |text| text.unwrap_or_default().lines().any(line))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn block(lr: f64) -> Block {
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let key = Key {
            stage: "train".into(),
            version: 7,
            params: BTreeMap::from([("lr".into(), lr.into()), ("run".into(), "echo \"a\nb\" ".into())]),
            inputs: map("the port, with a blank", "aa"),
            seed: Some(42),
            facts: map("device", "cpu and more "),
            lineage: map("volumes", "bb"),
        };
        let maker = Maker { version: "0.1.0".into(), ..Maker::default() };
        Block::new(&key, "cc", &maker)
    }

    fn lock() -> LockFile {
        LockFile {
            blocks: [("a", 0.1), ("train@fold=0", 0.2)].map(|(n, lr)| (n.to_owned(), block(lr))).into(),
        }
    }

    fn read(text: &[u8]) -> Result<Option<LockFile>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.lock");
        std::fs::write(&path, text).unwrap();
        LockFile::read(&path)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(lock().text().as_bytes()).unwrap(), Some(lock()));
        assert_eq!(read(LockFile::default().text().as_bytes()).unwrap(), Some(LockFile::default()));
        assert_eq!(LockFile::read(Path::new("/nowhere/pipeline.lock")).unwrap(), None);
    }

    #[test]
    fn the_key_in_a_block_is_the_hash_of_its_fields() {
        let text = lock().text();
        assert!(text.contains(&format!("  key       {}\n", block(0.1).key.hash())), "{text}");
    }

    #[test]
    fn every_single_bit_counts() {
        let bytes = lock().text().into_bytes();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            let bit = at * 5 % 8;
            flipped[at] ^= 1 << bit;
            assert!(read(&flipped).is_err(), "byte {at}, bit {bit}");
        }
        for end in 0..bytes.len() {
            // A cut at the end of a block leaves a lock with fewer stages; a run notices that they
            // are missing.
            let whole = read(&bytes[..end]).ok().flatten();
            assert!(whole.is_none_or(|lock| lock.blocks.len() < 2), "cut after {end} bytes");
        }
    }

    #[test]
    fn a_damaged_block_is_named_and_the_others_are_kept() {
        let text = lock().text().replacen("0.1\n", "0.3\n", 1);
        let error = read(text.as_bytes()).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("the block of a was altered"), "{error}");
        let (salvaged, _) = LockFile::salvage(Path::new("x"), &text).unwrap();
        assert_eq!(salvaged.blocks.keys().collect::<Vec<_>>(), ["train@fold=0"]);
    }

    #[test]
    fn a_conflict_and_a_later_form_are_told_as_such() {
        let text = lock().text();
        let conflict = text.replacen("  content", "<<<<<<< HEAD\n  content", 1);
        let error = read(conflict.as_bytes()).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("merge conflict"), "{error}");
        let error = read(text.replace("form 1", "form 12").as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Later { found: 12, known: 1, .. }), "{error}");
    }
}
