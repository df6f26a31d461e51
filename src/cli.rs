//! What can be typed. Says nothing of what it does.

use std::num::NonZero;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

/// What the exit codes mean; the manual pages have them.
pub(crate) const EXIT_CODES: [(u8, &str); 8] = [
    (0, "done, or fresh"),
    (1, "a stage failed"),
    (2, "usage or configuration; nothing was started"),
    (3, "something is stale (status, run --dry-run)"),
    (4, "something does not match (audit, run --locked), or the lock was altered"),
    (5, "a quality gate said no"),
    (75, "another run holds the lock"),
    (130, "interrupted; what was finished is kept"),
];

/// From chest CT DICOM and a labels CSV to a trained 3D CNN, honest statistics and a report.
///
/// Exit codes: 0 done or fresh, 1 a stage failed, 2 usage or configuration, 3 stale (status, run
/// --dry-run), 4 something does not match (run --locked, audit), 5 a quality gate said no, 75 another run holds the
/// lock, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "ctpipe", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The pipeline file; paths in it start from its folder.
    #[arg(long, global = true, value_name = "FILE", default_value = "pipeline.yaml")]
    pub(crate) pipeline: PathBuf,
    /// Apply a profile of the pipeline file.
    #[arg(long, global = true, value_name = "P")]
    pub(crate) profile: Option<String>,
    /// Change a parameter for this command (or the seed: `--set seed=7`).
    #[arg(long, global = true, value_name = "STAGE.PARAM=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring stages up to date; what has not changed is skipped.
    Run(Run),
    /// Show what is stale and why, running nothing.
    Status(Status),
    /// Explain one stage: its state, the reasons, its key.
    Why(Why),
    /// Draw the pipeline: stages, what each reads, its state and why, and how long it took.
    Dag(Dag),
    /// List the runs: when, what ran, how long, what came of it, key metrics.
    History(History),
    /// Show one run in full.
    Show(Show),
    /// Compare two runs: parameters, inputs, metrics, and the first stage at which they part.
    Compare(Compare),
    /// Check everything that was made: every byte against its manifest, every input back to the data, the lock.
    Audit(Audit),
    /// Remove what nothing refers to: never what is current, in a lock, tagged, or in use by a run.
    Gc(Gc),
    /// Give a run a name; what it used is then never collected. Without a name: list the tags.
    Tag(Tag),
    /// List the built-in stages with their inputs, parameters, defaults and ranges.
    Stages(Stages),
    /// Write a synthetic data set: chest phantoms as DICOM, labels, and where the lesions are.
    Synth(Synth),
    /// Say where the report is, or open it.
    Report(Report),
    /// Show what is in DICOM files, folders or zip archives: series, geometry, quality, and what speaks
    /// against them.
    Inspect(Inspect),
    /// Print what a shell needs to complete commands and options.
    Completions(Completions),
    /// Write the manual pages, one a command.
    Man(Man),
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names)] // each is an option of the command line
pub(crate) struct Run {
    /// These stages and what they need (default: all); `train@fold=0` is one instance of a matrix.
    pub(crate) stages: Vec<String>,
    /// This stage and all that follow, on what comes before it as it is.
    #[arg(long, value_name = "STAGE")]
    pub(crate) from: Option<String>,
    /// Nothing after this stage.
    #[arg(long, value_name = "STAGE")]
    pub(crate) to: Option<String>,
    /// Run the selected stages even when they are fresh.
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on with what does not depend on a stage that failed.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Stages at a time, at most [default: as many as there are processors].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// Wait for another run to end instead of refusing.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Read every file instead of believing sizes and times.
    #[arg(long)]
    pub(crate) paranoid: bool,
    /// Write pipeline.lock (pipeline.PROFILE.lock with a profile), for git: what each stage came to. Once it is there,
    /// every run without `--set` keeps it up to date.
    #[arg(long)]
    pub(crate) lock: bool,
    /// Fail with exit code 4 where a stage is not what pipeline.lock says; never change it, and begin no work that it
    /// does not know.
    #[arg(long, conflicts_with = "lock")]
    pub(crate) locked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Read every file instead of believing sizes and times.
    #[arg(long)]
    pub(crate) paranoid: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dag {
    /// How, on standard output; html is one page that works offline.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Forms of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Lines.
    Text,
    /// For Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// A page.
    Html,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
#[allow(clippy::struct_excessive_bools)] // each is an option of the command line
pub(crate) struct Stages {
    /// Print the JSON schema of the pipeline file, for editors.
    #[arg(long)]
    pub(crate) schema: bool,
    /// Print the JSON schema of evaluate's `metrics.json`, for programs that read it.
    #[arg(long)]
    pub(crate) metrics_schema: bool,
    /// Print the JSON schema of the `metrics.json` of folds.
    #[arg(long)]
    pub(crate) folds_schema: bool,
    /// Print the JSON schema of `search.json`.
    #[arg(long)]
    pub(crate) search_schema: bool,
    /// Print the JSON schema of what `run --json` prints, a line, and of what other commands print with --json.
    #[arg(long)]
    pub(crate) events_schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// As many of the newest.
    #[arg(short = 'n', long, value_name = "N", default_value = "20")]
    pub(crate) number: NonZero<usize>,
    /// This metric, too, by its dotted name in a stage's metrics.json (test.auc.value).
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// A run's name or the beginning of one, `latest`, or a tag.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// A run's name or the beginning of one, `latest`, or a tag.
    pub(crate) a: String,
    /// The other.
    pub(crate) b: String,
    /// This metric, whether it differs or not, by its dotted name in a stage's metrics.json.
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Run this stage again in a scratch place, and compare what it makes byte by byte (`all`: every one).
    #[arg(long, value_name = "STAGE")]
    pub(crate) rerun: Option<String>,
    /// Only what this run used and made: its name or the beginning of it, `latest`, or a tag.
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Write audit.json and audit.html here, and run stages again here: nothing in artifacts/ is written.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Wait for a run to end instead of refusing.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Keep what the last N runs used, and their records; without --max-size all else goes.
    #[arg(long, value_name = "N")]
    pub(crate) keep_runs: Option<NonZero<usize>>,
    /// Remove what was last of use longest ago, until artifacts/ is no larger (800MB, 50GB).
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_size: Option<String>,
    /// Say what would go, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait for a run to end instead of refusing.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Letters, digits and _ @ = , . + -
    pub(crate) name: Option<String>,
    /// The run: its name or the beginning of it, `latest`, or another tag.
    #[arg(default_value = "latest")]
    pub(crate) run: String,
    /// Take this tag away.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub(crate) delete: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The stage, or one instance of its matrix (`train@fold=0`).
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
    /// Only this series.
    #[arg(long, value_name = "UID")]
    pub(crate) series: Option<String>,
    /// Write the series in HU on its own grid (`.nii` or `.nii.gz`).
    #[arg(long, value_name = "OUT.nii.gz")]
    pub(crate) nifti: Option<PathBuf>,
    /// Write a contact sheet of the series and of the volume that it becomes.
    #[arg(long, value_name = "OUT.png")]
    pub(crate) png: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where to write; made where it is missing (share/man/man1, say).
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Where to write; must not hold data yet.
    pub(crate) dir: PathBuf,
    /// Patients.
    #[arg(long, value_name = "N")]
    pub(crate) patients: Option<usize>,
    /// Rows and columns of each slice.
    #[arg(long, value_name = "N")]
    pub(crate) matrix: Option<u16>,
    /// The same seed gives the same bytes.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How the files are coded [default: explicit, some implicit].
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
