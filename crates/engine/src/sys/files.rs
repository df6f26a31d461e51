//! Small file operations that must survive a crash.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::sys::fault;

/// Writes a file so that a reader sees the old bytes or the new ones, never a mixture.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, true)
}

/// Like [`write_atomically`], but does not wait for the disk: after a power cut the file may be
/// incomplete. Suits files that only save time and are checked against a digest whenever they are
/// read.
pub(crate) fn write_checked(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, false)
}

/// Appends bytes to a file. A kill or a power cut may leave only part of them, so this also suits
/// only files that are checked against digests.
pub(crate) fn append_checked(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fault::point()?;
    let mut file = File::options().append(true).open(path)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    fault::point()?;
    file.write_all(second)?;
    fault::point()
}

fn replace(path: &Path, bytes: &[u8], lasting: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fault::point()?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    fault::point()?;
    file.write_all(second)?;
    if lasting {
        file.as_file().sync_all()?;
    }
    // tempfile creates private files; the group has to be able to read these.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    fault::point()?;
    file.persist(path)?;
    fault::point()?;
    if lasting { sync_folder(folder) } else { Ok(()) }
}

/// Like [`write_atomically`], for a file among the user's own: what a kill leaves behind lies in
/// `staging` and not beside the file, unless the two are on different file systems.
pub(crate) fn write_by_way_of(staging: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fault::point()?;
    // A link is followed: the file that it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    fs::create_dir_all(staging)?;
    let fresh = staging.join("fresh");
    write_atomically(&fresh, bytes)?;
    match fs::rename(&fresh, path) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => write_atomically(path, bytes)?,
        other => other?,
    }
    fault::point()?;
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Points `link` to `target` with one rename out of `staging`, a folder on the same file system.
pub(crate) fn point(link: &Path, target: &Path, staging: &Path) -> io::Result<()> {
    let folder = link.parent().unwrap_or(Path::new("."));
    let staging = tempfile::tempdir_in(staging)?;
    let fresh = staging.path().join("link");
    fault::point()?;
    symlink(target, &fresh)?;
    fault::point()?;
    fs::rename(&fresh, link)?;
    fault::point()?;
    sync_folder(folder)
}

/// Gives this user access to a folder and all below it, so that it can be read, kept and removed: a
/// stage may have copied a read-only folder.
pub(crate) fn open_folders(folder: &Path) -> io::Result<()> {
    let permissions = fs::metadata(folder)?.permissions();
    if permissions.mode() & 0o700 != 0o700 {
        fs::set_permissions(folder, fs::Permissions::from_mode(permissions.mode() | 0o700))?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a folder and everything in it, even what is read-only.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            open_folders(folder)?;
            fs::remove_dir_all(folder)
        }
        other => other,
    }
}

/// Does the error mean that nothing can be written there, rather than that the disk fails?
pub(crate) fn cannot_be_written(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Flushes a folder's entries, so that a rename in it survives a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
