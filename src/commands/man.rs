//! `ctpipe man DIR`: writes a manual page for ctpipe and for each command, from the definition of
//! the command line.

use std::fs;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};
use ctpipe_engine::exit_code;

use crate::cli::{Cli, Man};

pub(crate) fn man(args: &Man) -> anyhow::Result<u8> {
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let commands = shown.cloned().collect::<Vec<_>>();
    for command in commands.into_iter().chain([command]) {
        let page = Page::new(command).manual("ctpipe").source(concat!("ctpipe ", env!("CARGO_PKG_VERSION")));
        let path = args.dir.join(page.get_filename());
        let mut text = Vec::new();
        page.render(&mut text)?;
        exit_status().to_writer(&mut text)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(0)
}

/// The standard section of manual pages for exit codes.
fn exit_status() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit_code::ALL {
        section.control("TP", []);
        section.text([bold(code.to_string())]);
        section.text([roman(meaning)]);
    }
    section
}
