//! The command line of ctpipe: reads arguments, calls the engine, turns the outcome into an exit code.

mod cli;
mod commands;
mod context;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal::complain(&error);
            ExitCode::from(commands::exit_code(&error))
        }
    }
}
