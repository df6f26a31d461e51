//! Shell completions and manual pages.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Sandbox, said};

/// The commands that README.md lists.
const CODES: [&str; 8] = ["0", "1", "2", "3", "4", "5", "75", "130"];

/// The commands that `ctpipe --help` lists.
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = sandbox.ctpipe(&["--help"]).expect(0).stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    // The continuation of a description is indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    if Command::new("bash").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("there is no bash: its completion is not tested");
        return;
    }
    let sandbox = Sandbox::empty();
    sandbox.write("ctpipe.bash", &sandbox.ctpipe(&["completions", "bash"]).expect(0).stdout);
    for (line, last, expected) in [
        ("ctpipe hi", "hi", "history"),
        ("ctpipe run --keep", "--keep", "--keep-going"),
        ("ctpipe completions f", "f", "fish"),
        ("ctpipe nothing-like-this", "nothing-like-this", ""),
    ] {
        // As bash calls the completion function of ctpipe.
        let script = format!(
            "source ./ctpipe.bash; [[ $(complete -p ctpipe) == *_ctpipe* ]] || exit 9; COMP_WORDS=({line}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ctpipe ctpipe '{last}' before; echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("bash");
        let said = said(bash.args(["--norc", "-c", &script]).current_dir(sandbox.path(""))).expect(0);
        assert_eq!(said.stdout.trim_end(), expected, "{line}: {}", said.stderr);
    }
    for shell in ["zsh", "fish"] {
        let script = sandbox.ctpipe(&["completions", shell]).expect(0).stdout;
        assert!(commands(&sandbox).iter().all(|command| script.contains(command)), "{shell}");
    }
    let said = sandbox.ctpipe(&["completions", "basj"]).expect(2);
    assert!(said.stderr.contains("'bash'"), "{}", said.stderr);
}

#[test]
fn there_is_a_manual_page_for_each_command_with_its_options_and_the_exit_codes() {
    let sandbox = Sandbox::empty();
    sandbox.ctpipe(&["man", "share/man/man1"]).expect(0);
    let mut names: Vec<String> = commands(&sandbox);
    names.retain(|name| name != "help");
    assert!(names.len() >= 15 && names.contains(&"history".to_owned()), "{names:?}");
    let mut files = vec!["ctpipe.1".to_owned()];
    files.extend(names.iter().map(|name| format!("ctpipe-{name}.1")));
    let there = fs::read_dir(sandbox.path("share/man/man1")).unwrap().count();
    assert_eq!(there, files.len());
    for file in &files {
        let page = fs::read_to_string(sandbox.path(&format!("share/man/man1/{file}"))).unwrap();
        let (_, status) = page.split_once(".SH \"EXIT STATUS\"").unwrap_or_else(|| panic!("{file}: {page}"));
        let codes: Vec<&str> =
            status.lines().filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR")).collect();
        assert_eq!(codes, CODES, "{file}");
        // roff writes a hyphen as \-.
        assert!(page.contains("\\-\\-pipeline"), "{file} has the options of all commands");
    }
    let run = fs::read_to_string(sandbox.path("share/man/man1/ctpipe-run.1")).unwrap();
    assert!(run.contains("\\-\\-keep\\-going"), "{run}");
}
