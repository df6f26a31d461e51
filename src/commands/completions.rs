//! `ctpipe completions SHELL`: the script with which a shell completes commands and options.

use clap::CommandFactory;
use clap_complete::generate;

use crate::cli::{Cli, Completions};
use crate::terminal::print_bytes;

pub(crate) fn completions(args: &Completions) -> u8 {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "ctpipe", &mut script);
    print_bytes(&script);
    0
}
