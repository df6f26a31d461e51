//! Artifacts of an earlier ctpipe are fresh under this one; `tests/upgrade/make.sh` documents how
//! each set was made.

use std::fs::{self, File};
use std::io::{Read, copy};
use std::os::unix::fs::symlink;
use std::path::Path;

use zip::ZipArchive;

use crate::harness::Sandbox;

/// A folder with the artifacts that this version of ctpipe made from the included data.
fn made_by(version: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let set = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/upgrade/made_by_{version}.zip"));
    let mut archive = ZipArchive::new(File::open(set).unwrap()).unwrap();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let path = sandbox.path(entry.name());
        if entry.is_dir() {
            fs::create_dir_all(path).unwrap();
        } else if entry.is_symlink() {
            let mut target = String::new();
            entry.read_to_string(&mut target).unwrap();
            symlink(target, path).unwrap();
        } else {
            let mut file = File::create(&path).unwrap();
            copy(&mut entry, &mut file).unwrap();
            let mode = entry.unix_mode().unwrap();
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
    }
    sandbox
}

#[test]
fn what_0_1_0_made_is_fresh_locked_and_in_order() {
    let sandbox = made_by("0.1.0");
    let status = sandbox.ctpipe(&["status"]).expect(0);
    assert_eq!(
        status.stdout.lines().filter(|line| line.contains("  fresh: ")).count(),
        8,
        "{}",
        status.stdout
    );
    sandbox.ctpipe(&["run", "--locked", "--dry-run"]).expect(0);
    // Its runs, its tag and its released artifact can be read; every file, manifest and record and
    // the lock are unchanged.
    let audit = sandbox.ctpipe(&["audit"]).expect(0);
    assert!(audit.stdout.contains("no findings"), "{}", audit.stdout);
    assert!(
        !audit.stdout.contains("the record of the run that released it no longer exists"),
        "{}",
        audit.stdout
    );
    let history = sandbox.ctpipe(&["history"]).expect(0);
    assert_eq!(
        history.stdout.lines().filter(|line| line.contains("exit 0")).count(),
        3,
        "{}",
        history.stdout
    );
    let shown = sandbox.ctpipe(&["show", "first"]).expect(0);
    assert!(shown.stdout.contains("train: made, "), "{}", shown.stdout);
    // A run does nothing, and an earlier result is restored.
    let run = sandbox.run();
    assert!(run.outcomes().is_empty(), "{}", run.stdout);
    let other = sandbox.ctpipe(&["run", "--json", "--set", "split.val_size=0.3", "--to", "split"]).expect(0);
    assert_eq!(other.outcomes()["split"], "restored");
}
