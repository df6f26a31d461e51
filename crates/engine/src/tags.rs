//! Names that people give to runs: `artifacts/tags/<name>` holds a run's name. What a tagged run used is never
//! collected. Knows nothing of what is in a run.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::fault;
use crate::files;
use crate::history::{self, RunRecord, StageRecord};
use crate::store::Store;
use crate::suggest::did_you_mean;

/// Longer than this no tag may be.
const LONGEST: usize = 100;

fn folder(store: &Store) -> PathBuf {
    store.root().join("tags")
}

/// Waits until nobody else puts tags or collects: what gets a tag must not be collected at that very time. A run, which
/// may take hours, does not hold this.
pub(crate) fn hold(store: &Store) -> Result<File> {
    let path = store.root().join("tags.lock");
    let open = || {
        fault::point()?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|e| Error::io("cannot lock", &path, e))
}

/// Every tag, and the run that it is on.
///
/// # Errors
/// When one cannot be read.
pub fn list(store: &Store) -> Result<BTreeMap<String, String>> {
    read(store).into_iter().map(|(name, run)| Ok((name, run?))).collect()
}

/// Every tag that can be read.
pub fn list_whole(store: &Store) -> BTreeMap<String, String> {
    read(store).into_iter().filter_map(|(name, run)| Some((name, run.ok()?))).collect()
}

/// Every tag, and the run that it is on or why that is not known.
fn read(store: &Store) -> BTreeMap<String, Result<String>> {
    let mut tags = BTreeMap::new();
    for entry in fs::read_dir(folder(store)).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // What a kill has left while one was written begins with a dot.
        if is_name(&name) {
            let path = entry.path();
            let run = match fs::read(&path) {
                Err(e) => Err(Error::io("cannot read", &path, e)),
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                    let problem = || {
                        format!(
                            "it should hold the name of a run and holds \"{text}\"; \"ctpipe tag --delete {name}\" removes it"
                        )
                    };
                    if history::is_id(&text) {
                        Ok(text)
                    } else {
                        Err(Error::Manifest { path, problem: problem() })
                    }
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
/// When the name cannot be one or is taken, or the run's record does not tell what it used.
pub fn put(store: &Store, name: &str, run: &str) -> Result<()> {
    if !is_name(name) {
        return Err(Error::Usage(format!(
            "\"{name}\" cannot be a tag: it must be made of letters, digits and _ @ = , . + - (not first), at most {LONGEST}"
        )));
    }
    if name == history::LATEST || history::is_id(name) {
        return Err(Error::Usage(format!("\"{name}\" means a run already; choose another name")));
    }
    let _held = hold(store)?;
    if let Some(old) = read(store).remove(name) {
        let old = old?;
        return if old == run {
            Ok(())
        } else {
            Err(Error::Usage(format!(
                "the tag {name} is on run {old}; to move it, \"ctpipe tag --delete {name}\" first"
            )))
        };
    }
    let record = RunRecord::read_whole(store, run)?;
    let gone = |stage: &&StageRecord| store.holding(&stage.stage, &stage.key_hash, &stage.content).is_none();
    let gone: Vec<&str> =
        record.known_stages()?.iter().filter(gone).map(|stage| stage.stage.as_str()).collect();
    if !gone.is_empty() {
        return Err(Error::Usage(format!(
            "a tag keeps what a run used, and what {run} used of {} is no longer in the store; run the same pipeline again, \
             and tag that",
            gone.join(", ")
        )));
    }
    let path = folder(store).join(name);
    files::write_atomically(&path, format!("{run}\n").as_bytes())
        .map_err(|e| Error::io("cannot write", &path, e))
}

/// Takes a tag away.
///
/// # Errors
/// When there is none of that name; the nearest is suggested.
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
