//! One artifact against its manifest: every byte, every name, every mode. Knows no other artifact.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ctpipe_disk::to_text;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::audit::Ground;
use crate::audit::report::{FindingKind, Report};
use crate::error::{Error, Result};
use crate::items::ITEMS;
use crate::manifest::{MANIFEST, Manifest};
use crate::stat_cache::StatCache;
use crate::store::{Artifact, number_of};
use crate::tree::FileDigest;

/// What has been read so far: a file that several artifacts share, by hard links, is read once.
#[derive(Default)]
pub(super) struct Reading {
    known: HashMap<(u64, u64), FileDigest>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Reading {
    /// Digests of these files; what cannot be read is told, and is there all the same.
    fn digests(
        &mut self,
        ground: &Ground<'_>,
        files: Vec<(String, PathBuf, fs::Metadata)>,
        report: &mut Report,
    ) -> Result<BTreeMap<String, Option<FileDigest>>> {
        let inode = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let read: Vec<_> = files
            .into_par_iter()
            .map(|(name, path, metadata)| {
                ground.check_stop()?;
                let digest = match self.known.get(&inode(&metadata)) {
                    Some(known) => Ok((known.clone(), false)),
                    None => match StatCache::disabled().digest(&path, &metadata) {
                        Ok(digest) => Ok((digest, true)),
                        Err(Error::Io { source, .. }) => Err((path, source)),
                        Err(error) => return Err(error),
                    },
                };
                Ok((name, inode(&metadata), digest))
            })
            .collect::<Result<_>>()?;
        let mut found = BTreeMap::new();
        for (name, inode, digest) in read {
            let digest = match digest {
                Ok((digest, new)) => {
                    if new {
                        self.files += 1;
                        self.bytes += digest.size;
                        self.known.insert(inode, digest.clone());
                    }
                    Some(digest)
                }
                Err((path, problem)) => {
                    unreadable(ground, &path, &problem, report);
                    None
                }
            };
            found.insert(name, digest);
        }
        Ok(found)
    }
}

/// One place that cannot be read is a finding like any other, and keeps nothing else from being looked at.
fn unreadable(ground: &Ground<'_>, path: &Path, problem: &dyn std::fmt::Display, report: &mut Report) {
    let text = format!("it cannot be read: {problem}");
    report.finding(FindingKind::Unreadable, ground.place(path), text, RESTORE);
}

const RESTORE: &str = "restore it from a backup, or remove the artifact and run its stage again";

/// Checks the artifact in `folder`; `None` where its manifest cannot be used.
pub(super) fn check(
    ground: &Ground<'_>,
    stage: &str,
    folder: &Path,
    reading: &mut Reading,
    report: &mut Report,
) -> Result<Option<Artifact>> {
    let place = ground.place(folder);
    let Some(manifest) = manifest(ground, folder, report)? else { return Ok(None) };
    names(&manifest, stage, folder, &place, report);
    let there = plain_files(ground, folder, report);
    let listed = there.keys().cloned().collect::<Vec<_>>();
    let files = there.into_iter().map(|(name, (path, metadata))| (name, path, metadata)).collect();
    let found = reading.digests(ground, files, report)?;
    for (name, file) in manifest.outputs.files() {
        match found.get(name) {
            None => {
                let text = "the manifest has it, and it is not there".to_owned();
                report.finding(FindingKind::Missing, format!("{place}/{name}"), text, RESTORE);
            }
            Some(Some(now)) if file != *now => {
                let text = format!(
                    "it holds other bytes: {} of them, BLAKE3 {}; the manifest says {}, {}",
                    now.size, now.digest, file.size, file.digest
                );
                report.finding(FindingKind::OutputAltered, format!("{place}/{name}"), text, RESTORE);
            }
            Some(_) => {}
        }
    }
    match (&manifest.items, found.get(ITEMS)) {
        (Some(wanted), Some(Some(now))) if *wanted != now.digest => {
            let text = "it is not the list of items that the manifest speaks of".to_owned();
            report.finding(FindingKind::Items, format!("{place}/{ITEMS}"), text, RESTORE);
        }
        (Some(_), None) => {
            let text = "the manifest speaks of a list of items, and it is not there".to_owned();
            report.finding(FindingKind::Items, format!("{place}/{ITEMS}"), text, RESTORE);
        }
        _ => {}
    }
    let ours = |name: &str| name == MANIFEST || (name == ITEMS && manifest.items.is_some());
    for name in listed.iter().filter(|name| !ours(name) && manifest.outputs.get(name).is_none()) {
        let text = "no manifest speaks of it".to_owned();
        let advice = "find out who put it there, and move it away";
        report.finding(FindingKind::ExtraFile, format!("{place}/{name}"), text, advice);
    }
    Ok(Some(Artifact { path: folder.to_path_buf(), manifest }))
}

/// The manifest, when it says something that can be believed.
fn manifest(ground: &Ground<'_>, folder: &Path, report: &mut Report) -> Result<Option<Manifest>> {
    let place = format!("{}/{MANIFEST}", ground.place(folder));
    let kind = FindingKind::Manifest;
    match Manifest::read(folder) {
        Ok(manifest) => {
            // A change that means nothing to a reader of JSON is one, too.
            if fs::read(folder.join(MANIFEST)).ok().as_deref() != Some(manifest.to_json().as_slice()) {
                let text = "it says what it should, in other bytes than those that were written".to_owned();
                report.finding(kind, place, text, RESTORE);
            }
            Ok(Some(manifest))
        }
        Err(Error::Later { found, known, .. }) => {
            let text = format!("a later ctpipe wrote it (form {found}, this one knows {known})");
            report.finding(kind, place, text, "audit it with that one");
            Ok(None)
        }
        Err(Error::Manifest { problem, .. }) => {
            report.finding(kind, place, format!("{problem}; its artifact was not looked at"), RESTORE);
            Ok(None)
        }
        Err(Error::Io { source, .. }) => {
            let text = format!("it cannot be read ({source}); its artifact was not looked at");
            report.finding(kind, place, text, RESTORE);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Does the artifact lie where its manifest belongs, and does the manifest agree with itself?
fn names(manifest: &Manifest, stage: &str, folder: &Path, place: &str, report: &mut Report) {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let back = "put it back under the name of its key, or remove it and run its stage again";
    if manifest.key.hash() != manifest.key_hash {
        let text = format!("its key has the hash {}, not {}", manifest.key.hash(), manifest.key_hash);
        report.finding(FindingKind::Manifest, format!("{place}/{MANIFEST}"), text, RESTORE);
    }
    if manifest.outputs.digest() != manifest.content {
        let text = "its content is not the digest of its outputs".to_owned();
        report.finding(FindingKind::Manifest, format!("{place}/{MANIFEST}"), text, RESTORE);
    }
    if number_of(&name, &manifest.key_hash).is_none() {
        let text = format!("it is the artifact of the key {}", manifest.key_hash);
        report.finding(FindingKind::Misplaced, place.to_owned(), text, back);
    }
    if manifest.stage != stage {
        let text = format!("it is an artifact of {} and lies among those of {stage}", manifest.stage);
        report.finding(FindingKind::Misplaced, place.to_owned(), text, back);
    }
}

type Files = BTreeMap<String, (PathBuf, fs::Metadata)>;

/// The plain files of an artifact by name; what is none is told, and who may write to one.
fn plain_files(ground: &Ground<'_>, folder: &Path, report: &mut Report) -> Files {
    let mut files = Files::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(problem) => {
                let path = problem.path().unwrap_or(folder).to_path_buf();
                unreadable(ground, &path, &io::Error::from(problem), report);
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let (path, place) = (entry.path().to_path_buf(), ground.place(entry.path()));
        if !entry.file_type().is_file() {
            let text = "it is no plain file; artifacts hold nothing else".to_owned();
            report.finding(FindingKind::Mode, place, text, RESTORE);
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(problem) => {
                unreadable(ground, &path, &io::Error::from(problem), report);
                continue;
            }
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode != 0o444 {
            let text = format!("its mode is {mode:03o}, and files of an artifact have 444");
            report.finding(FindingKind::Mode, place, text, "if its bytes are in order: chmod 444");
        }
        files.insert(to_text(path.strip_prefix(folder).unwrap_or(&path)), (path, metadata));
    }
    files
}
