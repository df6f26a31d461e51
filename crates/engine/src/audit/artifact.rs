//! Checks one artifact against its manifest: every byte, every name, every mode.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ctpipe_disk::to_text;
use ctpipe_stage::{FileDigest, ITEMS, MANIFEST, Manifest};
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::audit::context::AuditContext;
use crate::audit::report::{FindingKind, Report};
use crate::content::StatCache;
use crate::error::{Error, Result};
use crate::key::read_manifest;
use crate::store::{Artifact, number_of};

/// The digests computed so far. A file that several artifacts share by hard links is read once.
#[derive(Default)]
pub(super) struct Reading {
    known: HashMap<(u64, u64), FileDigest>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Reading {
    /// Computes the digests of these files. An unreadable file is reported and still counts as
    /// present.
    fn digests(
        &mut self,
        context: &AuditContext<'_>,
        files: Vec<(String, PathBuf, fs::Metadata)>,
        report: &mut Report,
    ) -> Result<BTreeMap<String, Option<FileDigest>>> {
        let inode = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let read: Vec<_> = files
            .into_par_iter()
            .map(|(name, path, metadata)| {
                context.check_stop()?;
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
                    unreadable(context, &path, &problem, report);
                    None
                }
            };
            found.insert(name, digest);
        }
        Ok(found)
    }
}

/// Reports an unreadable path as a finding; the audit continues.
fn unreadable(context: &AuditContext<'_>, path: &Path, problem: &dyn std::fmt::Display, report: &mut Report) {
    let text = format!("it cannot be read: {problem}");
    report.finding(FindingKind::Unreadable, context.place(path), text, RESTORE);
}

const RESTORE: &str = "restore it from a backup, or remove the artifact and run its stage again";

/// Checks the artifact in `folder`; `None` where its manifest cannot be used.
pub(super) fn check(
    context: &AuditContext<'_>,
    stage: &str,
    folder: &Path,
    reading: &mut Reading,
    report: &mut Report,
) -> Result<Option<Artifact>> {
    let place = context.place(folder);
    let Some(manifest) = manifest(context, folder, report)? else { return Ok(None) };
    names(&manifest, stage, folder, &place, report);
    let there = plain_files(context, folder, report);
    let listed = there.keys().cloned().collect::<Vec<_>>();
    let files = there.into_iter().map(|(name, (path, metadata))| (name, path, metadata)).collect();
    let found = reading.digests(context, files, report)?;
    for (name, file) in manifest.outputs.files() {
        match found.get(name) {
            None => {
                let text = "it is in the manifest but does not exist".to_owned();
                report.finding(FindingKind::Missing, format!("{place}/{name}"), text, RESTORE);
            }
            Some(Some(now)) if file != *now => {
                let text = format!(
                    "its bytes differ: {} bytes with BLAKE3 {}, where the manifest has {} with {}",
                    now.size, now.digest, file.size, file.digest
                );
                report.finding(FindingKind::OutputAltered, format!("{place}/{name}"), text, RESTORE);
            }
            Some(_) => {}
        }
    }
    match (&manifest.items, found.get(ITEMS)) {
        (Some(wanted), Some(Some(now))) if *wanted != now.digest => {
            let text = "it is not the list of items named in the manifest".to_owned();
            report.finding(FindingKind::Items, format!("{place}/{ITEMS}"), text, RESTORE);
        }
        (Some(_), None) => {
            let text = "the manifest names a list of items, which does not exist".to_owned();
            report.finding(FindingKind::Items, format!("{place}/{ITEMS}"), text, RESTORE);
        }
        _ => {}
    }
    let ours = |name: &str| name == MANIFEST || (name == ITEMS && manifest.items.is_some());
    for name in listed.iter().filter(|name| !ours(name) && manifest.outputs.get(name).is_none()) {
        let text = "it is in no manifest".to_owned();
        let advice = "find out who put it there, and move it elsewhere";
        report.finding(FindingKind::ExtraFile, format!("{place}/{name}"), text, advice);
    }
    Ok(Some(Artifact { path: folder.to_path_buf(), manifest }))
}

/// Reads the manifest, if it is valid.
fn manifest(context: &AuditContext<'_>, folder: &Path, report: &mut Report) -> Result<Option<Manifest>> {
    let place = format!("{}/{MANIFEST}", context.place(folder));
    let kind = FindingKind::Manifest;
    match read_manifest(folder) {
        Ok(manifest) => {
            // A change of formatting alone counts, too.
            if fs::read(folder.join(MANIFEST)).ok().as_deref() != Some(manifest.to_json().as_slice()) {
                let text = "its content is right, but its bytes are not those that were written".to_owned();
                report.finding(kind, place, text, RESTORE);
            }
            Ok(Some(manifest))
        }
        Err(Error::Later { found, known, .. }) => {
            let text = format!("a later ctpipe wrote it (form {found}; this one reads up to {known})");
            report.finding(kind, place, text, "audit it with that version");
            Ok(None)
        }
        Err(Error::Manifest { problem, .. }) => {
            report.finding(kind, place, format!("{problem}; its artifact was not checked"), RESTORE);
            Ok(None)
        }
        Err(Error::Io { source, .. }) => {
            let text = format!("it cannot be read ({source}); its artifact was not checked");
            report.finding(kind, place, text, RESTORE);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Checks that the artifact lies where its manifest belongs, and that the manifest is consistent.
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
        let text = format!("it is an artifact of {} but lies among those of {stage}", manifest.stage);
        report.finding(FindingKind::Misplaced, place.to_owned(), text, back);
    }
}

type Files = BTreeMap<String, (PathBuf, fs::Metadata)>;

/// The plain files of an artifact by name. Other entries and writable files are reported.
fn plain_files(context: &AuditContext<'_>, folder: &Path, report: &mut Report) -> Files {
    let mut files = Files::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(problem) => {
                let path = problem.path().unwrap_or(folder).to_path_buf();
                unreadable(context, &path, &io::Error::from(problem), report);
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let (path, place) = (entry.path().to_path_buf(), context.place(entry.path()));
        if !entry.file_type().is_file() {
            let text = "it is not a plain file; an artifact contains only plain files".to_owned();
            report.finding(FindingKind::Mode, place, text, RESTORE);
            continue;
        }
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(problem) => {
                unreadable(context, &path, &io::Error::from(problem), report);
                continue;
            }
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode != 0o444 {
            let text = format!("its mode is {mode:03o}; files of an artifact have 444");
            report.finding(FindingKind::Mode, place, text, "if its bytes are right: chmod 444");
        }
        files.insert(to_text(path.strip_prefix(folder).unwrap_or(&path)), (path, metadata));
    }
    files
}
