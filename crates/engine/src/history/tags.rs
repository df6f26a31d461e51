//! Names that people give to runs: `artifacts/tags/<name>` holds a run's name. What a tagged run
//! used is never collected.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use ctpipe_stage::did_you_mean;

use super::record::{RunRecord, StageRecord};
use super::run_id::{LATEST, is_id};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::sys::{fault, files};

/// The maximum length of a tag.
const LONGEST: usize = 100;

fn folder(store: &Store) -> PathBuf {
    store.layout.tags()
}

/// Waits until no other process writes tags or collects, so that a run is not collected while it
/// gets a tag. A run, which may take hours, does not hold this lock.
pub(crate) fn hold(store: &Store) -> Result<File> {
    let path = store.layout.tags_lock();
    let open = || {
        fault::point()?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|e| Error::io("cannot lock", &path, e))
}

/// Every tag, and the run that it names.
///
/// # Errors
/// When a tag cannot be read.
pub fn list(store: &Store) -> Result<BTreeMap<String, String>> {
    read(store).into_iter().map(|(name, run)| Ok((name, run?))).collect()
}

/// Every tag that can be read.
pub fn list_whole(store: &Store) -> BTreeMap<String, String> {
    read(store).into_iter().filter_map(|(name, run)| Some((name, run.ok()?))).collect()
}

/// Every tag, with the run that it names or the error.
fn read(store: &Store) -> BTreeMap<String, Result<String>> {
    let mut tags = BTreeMap::new();
    for entry in fs::read_dir(folder(store)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Temporary files that a killed process left begin with a dot.
        if is_name(&name) {
            let path = entry.path();
            let run = match fs::read(&path) {
                Err(e) => Err(Error::io("cannot read", &path, e)),
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    let problem = || {
                        format!(
                            "it should contain the name of a run, but contains \"{text}\"; \"ctpipe tag --delete {name}\" removes it"
                        )
                    };
                    if is_id(&text) { Ok(text) } else { Err(Error::Manifest { path, problem: problem() }) }
                }
            };
            tags.insert(name, run);
        }
    }
    tags
}

/// Puts a tag on a run.
///
/// # Errors
/// When the name is invalid or taken, or the run's record does not contain what the run used.
pub fn put(store: &Store, name: &str, run: &str) -> Result<()> {
    if !is_name(name) {
        return Err(Error::Usage(format!(
            "\"{name}\" cannot be a tag: it must be made of letters, digits and _ @ = , . + - (not first), at most {LONGEST}"
        )));
    }
    if name == LATEST || is_id(name) {
        return Err(Error::Usage(format!("\"{name}\" is already the name of a run; choose another name")));
    }
    let _held = hold(store)?;
    if let Some(old) = read(store).remove(name) {
        let old = old?;
        return if old == run {
            Ok(())
        } else {
            Err(Error::Usage(format!(
                "the tag {name} already names run {old}; to move it, run \"ctpipe tag --delete {name}\" first"
            )))
        };
    }
    let record = RunRecord::read_whole(store, run)?;
    let gone = |stage: &&StageRecord| store.holding(&stage.stage, &stage.key_hash, &stage.content).is_none();
    let gone: Vec<&str> =
        record.known_stages()?.iter().filter(gone).map(|stage| stage.stage.as_str()).collect();
    if !gone.is_empty() {
        return Err(Error::Usage(format!(
            "a tag protects what a run used, but the artifact of {} that {run} used is no longer in the store; run the same pipeline again, and tag that run",
            gone.join(", ")
        )));
    }
    let path = folder(store).join(name);
    files::write_atomically(&path, format!("{run}\n").as_bytes())
        .map_err(|e| Error::io("cannot write", &path, e))
}

/// Removes a tag.
///
/// # Errors
/// When there is no tag of that name; the nearest name is suggested.
pub fn delete(store: &Store, name: &str) -> Result<()> {
    let _held = hold(store)?;
    let tags = read(store);
    if !tags.contains_key(name) {
        let hint = did_you_mean(name, tags.keys().map(String::as_str));
        return Err(Error::Usage(format!("there is no tag \"{name}\"{hint}; \"ctpipe tag\" lists them")));
    }
    let path = folder(store).join(name);
    fault::point().and_then(|()| fs::remove_file(&path)).map_err(|e| Error::io("cannot remove", &path, e))
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_@=,.+-".contains(c);
    name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_tag_is_never_a_path() {
        assert!(["v1", "before-3.0", "train@fold=0,x+y", "_"].iter().all(|name| is_name(name)));
        assert!(!["", "..", ".x", "../x", "a/b", "-x", "a b", "ä", "a\n"].iter().any(|name| is_name(name)));
        assert!(!is_name(&"x".repeat(101)));
    }
}
