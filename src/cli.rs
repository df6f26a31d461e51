//! The command line: commands, options and their help.

use std::num::NonZero;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

/// From chest CT DICOM and a labels CSV to a trained 3D CNN, honest statistics and a report.
///
/// Exit codes: 0 done or fresh, 1 a stage failed, 2 usage or configuration error, 3 stale (status,
/// run --dry-run), 4 something does not match (run --locked, audit), 5 a quality gate failed,
/// 75 another run holds the lock, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "ctpipe", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The pipeline file; paths in it are relative to its folder.
    #[arg(long, global = true, value_name = "FILE", default_value = "pipeline.yaml")]
    pub(crate) pipeline: PathBuf,
    /// Apply this profile of the pipeline file.
    #[arg(long, global = true, value_name = "P")]
    pub(crate) profile: Option<String>,
    /// Set a parameter for this command (the seed: `--set seed=7`).
    #[arg(long, global = true, value_name = "STAGE.PARAM=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring stages up to date; skip what has not changed.
    Run(Run),
    /// Show what is stale and why, without running anything.
    Status(Status),
    /// Explain one stage: its state, the reasons and its key.
    Why(Why),
    /// Draw the pipeline: its stages and their inputs, states and durations.
    Dag(Dag),
    /// List the runs: start, stages, duration, outcome and key metrics.
    History(History),
    /// Show one run in full.
    Show(Show),
    /// Compare two runs: parameters, inputs, metrics and the first stage that differs.
    Compare(Compare),
    /// Check every artifact against its manifest, every input back to the data, and the lock.
    Audit(Audit),
    /// Remove artifacts that nothing uses; keep what is current, locked, tagged or in use.
    Gc(Gc),
    /// Give a run a name, which protects its artifacts from gc. Without a name: list the tags.
    Tag(Tag),
    /// List the built-in stages with their inputs and parameters.
    Stages(Stages),
    /// Write a synthetic data set: chest phantoms as DICOM, labels and lesion positions.
    Synth(Synth),
    /// Print the path of the report, or open it.
    Report(Report),
    /// Show what is in DICOM files, folders or zip archives: series, geometry, quality and
    /// the reasons against using them.
    Inspect(Inspect),
    /// Print the completion script for a shell.
    Completions(Completions),
    /// Write the manual pages, one for each command.
    Man(Man),
    /// Write the reference pages of the book.
    #[command(hide = true)]
    Reference(Reference),
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // each is an option of the command line
pub(crate) struct Run {
    /// These stages and what they need (default: all); `train@fold=0` is one matrix instance.
    pub(crate) stages: Vec<String>,
    /// Run this stage and all that follow; take what comes before as it is.
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Stop after this stage.
    #[arg(long, value_name = "STAGE")]
    pub(crate) to: Option<String>,
    /// Run the selected stages even where they are fresh.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// After a failure, go on with the stages that do not depend on it.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// The most stages to run at a time [default: the number of processors].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// Wait until another run ends, instead of refusing.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Read every file instead of trusting sizes and times.
    #[arg(long)]
    pub(crate) paranoid: bool,
    /// Write pipeline.lock (pipeline.PROFILE.lock with a profile), which records the result of
    /// each stage and belongs in git. Once it exists, every run without `--set` updates it.
    #[arg(long)]
    pub(crate) lock: bool,
    /// Exit with code 4 where a stage differs from pipeline.lock; do not change the lock, and
    /// do no work that it does not record.
    #[arg(long, conflicts_with = "lock")]
    pub(crate) locked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Read every file instead of trusting sizes and times.
    #[arg(long)]
    pub(crate) paranoid: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dag {
    /// The format on standard output; html is one page that works offline.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Formats of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines of text.
    Text,
    /// For Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// One page.
    Html,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
#[allow(clippy::struct_excessive_bools)] // each is an option of the command line
pub(crate) struct Stages {
    /// Print the JSON schema of the pipeline file, for editors.
    #[arg(long)]
    pub(crate) schema: bool,
    /// Print the JSON schema of evaluate's `metrics.json`.
    #[arg(long)]
    pub(crate) metrics_schema: bool,
    /// Print the JSON schema of the `metrics.json` of folds.
    #[arg(long)]
    pub(crate) folds_schema: bool,
    /// Print the JSON schema of `search.json`.
    #[arg(long)]
    pub(crate) search_schema: bool,
    /// Print the JSON schema of each line of `run --json`, and of what other commands print with
    /// --json.
    #[arg(long)]
    pub(crate) events_schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// How many runs to list, the newest first.
    #[arg(short = 'n', long, value_name = "N", default_value = "20")]
    pub(crate) number: NonZero<usize>,
    /// Also show this metric of a stage's metrics.json, by its dotted name (test.auc.value).
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A run: its name or the beginning of it, `latest`, or a tag.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// A run: its name or the beginning of it, `latest`, or a tag.
    pub(crate) a: String,
    /// The other run, named likewise.
    pub(crate) b: String,
    /// Show this metric of a stage's metrics.json, by its dotted name, even if it is equal.
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Run this stage again in a scratch folder, and compare its output byte by byte (`all`:
    /// every stage).
    #[arg(long, value_name = "STAGE")]
    pub(crate) rerun: Option<String>,
    /// Check only what this run used and made: its name or the beginning of it, `latest`, or a
    /// tag.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Write audit.json and audit.html here, and run stages again here; do not write to
    /// artifacts/.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Wait until a run ends, instead of refusing.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Keep what the last N runs used, and their records; without --max-size remove all else.
    #[arg(long, value_name = "N")]
    pub(crate) keep_runs: Option<NonZero<usize>>,
    /// Remove what was used least recently, until artifacts/ is no larger than this (800MB,
    /// 50GB).
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_size: Option<String>,
    /// Print what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until a run ends, instead of refusing.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// The name: letters, digits and _ @ = , . + -
    pub(crate) name: Option<String>,
    /// The run: its name or the beginning of it, `latest`, or another tag.
    #[arg(default_value = "latest")]
    pub(crate) run: String,
    /// Remove this tag.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub(crate) delete: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The stage, or one matrix instance (`train@fold=0`).
    pub(crate) stage: String,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Open it in the browser.
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Files, folders or zip archives. Needs no pipeline; `--set ingest.min_slices=8` and the like apply.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Show only this series.
    #[arg(long, value_name = "UID")]
    pub(crate) series: Option<String>,
    /// Write the series in HU on its own grid (`.nii` or `.nii.gz`).
    #[arg(long, value_name = "OUT.nii.gz")]
    pub(crate) nifti: Option<PathBuf>,
    /// Write a contact sheet of the series and of its volume.
    #[arg(long, value_name = "OUT.png")]
    pub(crate) png: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder to write to, such as share/man/man1; it is created if needed.
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// The folder to write to; it must not contain data yet.
    pub(crate) dir: PathBuf,
    /// The number of patients.
    #[arg(long, value_name = "N")]
    pub(crate) patients: Option<usize>,
    /// Rows and columns of each slice.
    #[arg(long, value_name = "N")]
    pub(crate) matrix: Option<u16>,
    /// The seed; the same seed gives the same bytes.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The transfer syntax of the files [default: explicit, some implicit].
    #[arg(long, value_name = "NAME", value_parser = syntax())]
    pub(crate) syntax: Option<ctpipe_phantom::Syntax>,
}

fn syntax() -> impl TypedValueParser<Value = ctpipe_phantom::Syntax> {
    let all = ctpipe_phantom::Syntax::ALL;
    PossibleValuesParser::new(all.map(|(name, _)| name)).try_map(move |given| {
        let found = all.into_iter().find(|(name, _)| *name == given);
        found.map(|(_, syntax)| syntax).ok_or("no such syntax")
    })
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// The folder to write to.
    pub(crate) dir: PathBuf,
    /// Write nothing, and fail where a page is out of date.
    #[arg(long)]
    pub(crate) check: bool,
}
