//! Every command, as `--help` prints it.

use std::fmt::Write as _;

use clap::CommandFactory;

use super::markdown::paragraph;
use crate::cli::Cli;

/// The width of the help in columns, whatever the terminal has.
const WIDTH: usize = 100;

const ABOUT: &str = "Every command, as `ctpipe COMMAND --help` prints it. Text for people and progress bars go to standard \
    error, and so do warnings; `--json` prints JSON on standard output, whose schema `ctpipe stages --events-schema` prints. \
    What the process ends with is on the page [Exit codes](exit-codes.md).";

pub(super) fn page() -> String {
    let mut command = Cli::command().disable_help_subcommand(true).term_width(WIDTH);
    command.build();
    let mut page = format!("# Commands\n\n{}", paragraph(ABOUT));
    let _ = write!(page, "\n## ctpipe\n\n```text\n{}\n```\n", help(&mut command));
    for command in command.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let _ = write!(
            page,
            "\n## ctpipe {}\n\n```text\n{}\n```\n",
            command.get_name().to_owned(),
            help(command)
        );
    }
    page
}

fn help(command: &mut clap::Command) -> String {
    let text = command.clone().term_width(WIDTH).render_long_help().to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}
