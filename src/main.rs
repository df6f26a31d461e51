//! The command line of ctpipe: reads the arguments, calls the engine, returns the exit code.

// These macros panic if the reader has gone, which must not end a run: `say!` and `tell!` do not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod cli;
mod commands;
mod context;
mod notify;
mod printed;
mod reference;
mod schemas;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

/// The hidden command that decodes frames in a child process (see `ctpipe_ct::isolate_decoders`).
const DECODER: &str = "__decode";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == DECODER) {
        return if ctpipe_ct::serve_decoder().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Ok(program) = std::env::current_exe() {
        ctpipe_ct::isolate_decoders(program, vec![DECODER.to_owned()]);
    }
    let cli = cli::Cli::parse();
    match commands::dispatch(&cli) {
        Ok(code) => ExitCode::from(code),
        // The reader of the output (such as `head`) has seen enough.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::from(commands::exit_code(&error))
        }
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}
