//! The commands, one file for each.

mod audit;
mod compare;
mod completions;
mod dag;
mod gc;
mod history;
mod inspect;
mod man;
mod reference;
mod report;
mod run;
mod show;
mod stages;
mod status;
mod synth;
mod tag;
mod why;

use crate::cli::{Cli, Command};

/// Runs the command and returns the exit code.
pub(crate) fn dispatch(cli: &Cli) -> anyhow::Result<u8> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(args) => run::run(global, args),
        Command::Status(args) => status::status(global, args),
        Command::Why(args) => why::why(global, args),
        Command::Dag(args) => dag::dag(global, args),
        Command::Audit(args) => audit::audit(global, args),
        Command::Gc(args) => gc::gc(global, args),
        Command::History(args) => history::history(global, args),
        Command::Show(args) => show::show(global, args),
        Command::Compare(args) => compare::compare(global, args),
        Command::Tag(args) => tag::tag(global, args),
        Command::Stages(args) => stages::stages(global, args),
        Command::Synth(args) => synth::synth(global, args),
        Command::Report(args) => report::report(global, args),
        Command::Inspect(args) => inspect::inspect(global, args),
        Command::Completions(args) => Ok(completions::completions(args)),
        Command::Man(args) => man::man(args),
        Command::Reference(args) => reference::reference(args),
    }
}

/// The exit code for an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<ctpipe_engine::Error>() {
        return error.exit_code();
    }
    if error.is::<inspect::Usage>() {
        return 2;
    }
    match error.downcast_ref::<ctpipe_phantom::Error>() {
        Some(error) => synth::exit_code(error),
        None => 1,
    }
}
