//! The reasons and flags, exit codes, and environment variables.

use std::fmt::Write as _;

use ctpipe_engine::exit_code;

use super::markdown::{code, paragraph, sentence, table};

const REASONS: &str = "A series that cannot be used is a row in `series.parquet` or `volumes.parquet` with `status` rejected \
    and every reason that applies; the run goes on. `ctpipe inspect` prints each with its meaning, and the report counts them.";
const WARNINGS: &str = "A series with a warning is used.";
const FLAGS: &str =
    "A flag says what is unusual about the volume that was made of a series. The series is used.";

pub(super) fn reasons() -> String {
    let rows = |kind: &str| {
        let all = ctpipe_report::meanings(kind).into_iter();
        all.map(|(word, meaning)| [code(word), sentence(&meaning)]).collect::<Vec<_>>()
    };
    let mut page = format!("# Reasons, warnings and flags\n\n## Reasons\n\n{}\n", paragraph(REASONS));
    page += &table(["Reason", "Meaning"], rows("code"));
    let _ = write!(page, "\n## Warnings\n\n{}\n", paragraph(WARNINGS));
    page += &table(["Warning", "Meaning"], rows("warning"));
    let _ = write!(page, "\n## Flags\n\n{}\n", paragraph(FLAGS));
    page += &table(["Flag", "Meaning"], rows("flag"));
    page
}

pub(super) fn exit_codes() -> String {
    let about = "What the process ends with. Scripts and timers act on it.";
    let rows = exit_code::ALL.map(|(number, meaning)| [code(number), sentence(meaning)]);
    format!("# Exit codes\n\n{}\n{}", paragraph(about), table(["Code", "Meaning"], rows))
}

/// Variables that ctpipe reads.
const READ: [(&str, &str); 7] = [
    ("CTPIPE_ISA", "`portable`, `avx2`, `avx512` or `neon`: use the CPU kernels of this instruction set"),
    ("CUDA_VISIBLE_DEVICES", "the GPUs that ctpipe may use"),
    ("CUDA_PATH", "the folder of the CUDA toolkit, where it is not in a usual place"),
    ("LD_LIBRARY_PATH", "where the CUDA driver is looked for, too"),
    ("MLFLOW_TRACKING_USERNAME", "the user for the MLflow server (`train.tracking: mlflow`)"),
    ("MLFLOW_TRACKING_PASSWORD", "that user's password"),
    ("MLFLOW_TRACKING_TOKEN", "a token in the place of both"),
];

/// Variables that are set for the command of a `run:` stage.
const OF_A_STAGE: [(&str, &str); 5] = [
    ("OUT", "the folder to write to; it becomes the artifact"),
    ("IN_<PORT>", "where each input lies; for an input with several, a folder with a link to each"),
    ("PARAM_<NAME>", "each parameter"),
    ("CUDA_VISIBLE_DEVICES", "the GPUs that are the stage's own while it runs; none without `gpus:`"),
    ("PATH, HOME, LANG", "as ctpipe has them; no other variable is passed on"),
];

/// Variables that are set for the command of `notify:`.
const OF_A_NOTICE: [(&str, &str); 6] = [
    ("CTPIPE_TEXT", "what happened, in one line"),
    ("CTPIPE_RUN", "the name of the run"),
    ("CTPIPE_EXIT_CODE", "what the run ended with"),
    ("CTPIPE_FAILED", "the stages that failed"),
    ("CTPIPE_GATES", "the gates that failed"),
    ("CTPIPE_PAGE", "the path of the run's page"),
];

pub(super) fn environment() -> String {
    let part = |title: &str, about: &str, all: &[(&str, &str)]| {
        let rows = all.iter().map(|(name, meaning)| [code(name), sentence(meaning)]);
        format!("\n## {title}\n\n{}\n{}", paragraph(about), table(["Variable", "Meaning"], rows))
    };
    let mut page = "# Environment variables\n".to_owned();
    page += &part(
        "Read by ctpipe",
        "None of them changes what a result is, except that an instruction set is part of the key \
        where it changes bits.",
        &READ,
    );
    page += &part(
        "Given to a stage of your own",
        "The name of an input or a parameter is written in capitals, with `_` for \
        every other character.",
        &OF_A_STAGE,
    );
    page +=
        &part("Given to the command of notify", "The same is on its standard input as JSON.", &OF_A_NOTICE);
    page
}
