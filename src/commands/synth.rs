//! `ctpipe synth DIR`: writes a demonstration data set of chest phantoms.

use std::fs;
use std::io::Write;

use anyhow::Context as _;
use ctpipe_phantom::{Error, Options, write};

use crate::cli::{Global, Synth};
use crate::context;
use crate::printed::Synthesised;
use crate::terminal::{new_bar, print_json, tell};

/// The patients of the demonstration are invented, so their key is not a secret. A fixed key makes
/// every demonstration the same.
const DEMO_KEY: &str = "ctpipe demonstration key: not a secret\n";

pub(crate) fn synth(global: &Global, args: &Synth) -> anyhow::Result<u8> {
    let defaults = Options::default();
    let options = Options {
        patients: args.patients.unwrap_or(defaults.patients),
        matrix: args.matrix.unwrap_or(defaults.matrix),
        seed: args.seed.unwrap_or(defaults.seed),
        syntax: args.syntax,
        ..defaults
    };
    let key = args.dir.join("patient.key");
    if key.exists() {
        // The file may be the secret key of real patients.
        return Err(Error::Occupied(key).into());
    }
    let stop = context::stop_flag()?;
    let bar = new_bar("synth");
    let progress = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message("series");
    };
    let result = write(&args.dir, &options, &stop, &progress);
    bar.finish_and_clear();
    let summary = result?;
    let mut file = fs::File::create_new(&key).with_context(|| format!("cannot make {}", key.display()))?;
    file.write_all(DEMO_KEY.as_bytes()).with_context(|| format!("cannot write {}", key.display()))?;
    if global.json {
        print_json(&Synthesised {
            series: summary.series,
            studies: summary.studies,
            patients: summary.patients,
            files: summary.files,
            bytes: summary.bytes,
            pathological: summary.pathological,
        })?;
    } else {
        tell!(
            "wrote {} series ({} pathological) of {} patients, {} files, {} MB, to {}",
            summary.series,
            summary.pathological,
            summary.patients,
            summary.files,
            summary.bytes / 1_000_000,
            args.dir.display()
        );
    }
    Ok(0)
}

/// 2 for an error in the arguments, 130 for an interruption, 1 for any other error.
pub(crate) fn exit_code(error: &Error) -> u8 {
    match error {
        Error::OutOfRange { .. } | Error::Occupied(_) => 2,
        Error::Interrupted => 130,
        _ => 1,
    }
}
