//! Runs every command of the README and the tutorials, page by page, as a reader would type it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::said;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The contents of the code fences of a page that hold commands.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut fences = Vec::new();
    let mut open: Option<(String, bool)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((String::new(), language == "sh")),
            (Some(_), Some(_)) => {
                let (fence, is_shell) = open.take().unwrap();
                fences.extend(Some(fence).filter(|_| is_shell));
            }
            (Some((fence, _)), None) => {
                fence.push_str(line);
                fence.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a fence is not closed", page.display());
    fences
}

/// Runs the commands of a page in a shell, in an empty folder, with ctpipe on the PATH.
fn follow(page: &str) {
    let page = root().join(page);
    // The commands that build ctpipe are run by continuous integration.
    let (building, typed): (Vec<String>, Vec<String>) =
        commands(&page).into_iter().partition(|fence| fence.starts_with("make "));
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    for line in building.iter().flat_map(|fence| fence.lines()) {
        let command = line.split('#').next().unwrap().trim();
        assert!(ci.contains(command), "{}: .ci/run does not run \"{command}\"", page.display());
    }
    assert!(!typed.is_empty(), "{} shows no command", page.display());
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_ctpipe")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(program.to_path_buf())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &typed.join("\n")]).current_dir(folder.path());
    said(shell.env("PATH", path.unwrap()).stdin(Stdio::null())).expect(0);
}

#[test]
fn the_tour_of_the_readme_works_to_the_letter() {
    follow("README.md");
}

#[test]
fn the_first_report_works_to_the_letter() {
    follow("docs/tutorials/first-report.md");
}

#[test]
fn own_data_works_to_the_letter() {
    follow("docs/tutorials/own-data.md");
}

#[test]
fn cross_validation_works_to_the_letter() {
    follow("docs/tutorials/cross-validation.md");
}

#[test]
fn every_tutorial_is_followed_and_the_translation_has_the_same_commands() {
    let tutorials = fs::read_dir(root().join("docs/tutorials")).unwrap();
    let found: BTreeSet<PathBuf> = tutorials.map(|page| page.unwrap().path()).collect();
    let followed = ["first-report.md", "own-data.md", "cross-validation.md"];
    let followed = followed.map(|page| root().join("docs/tutorials").join(page));
    assert_eq!(found, followed.into());
    // Comments are translated; commands are not.
    let typed = |page: &str| {
        let lines = commands(&root().join(page)).join("");
        let lines = lines.lines().map(|line| line.split(" #").next().unwrap().trim_end().to_owned());
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>()
    };
    assert_eq!(typed("docs/tutorials/first-report.md"), typed("docs/ru/first-report.md"));
}
