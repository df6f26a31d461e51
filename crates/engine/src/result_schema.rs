//! The JSON schemas of what commands print with `--json` as one value, by the command's name. Knows no command.

use serde_json::{Map, Value, json};

use crate::json_schema::{
    field, list_of, map_of, number, one_of, optional, or_null, record, reference, text, truth, whole, words,
};

/// By the command's name what it prints, and what those hold.
pub(crate) fn results() -> Map<String, Value> {
    let all = [
        ("status", list_of(status())),
        ("why", one_of(vec![why(), list_of(why())])),
        ("history", list_of(history())),
        ("show", show()),
        ("compare", compare()),
        ("tag", map_of(text())),
        ("gc", gc()),
        ("audit", audit()),
        ("key", key()),
        ("maker", maker()),
        ("finding", finding()),
        ("stage_record", stage_record()),
        ("difference", difference()),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn status() -> Value {
    let instance = record(
        "for an instance of a matrix",
        vec![field("of", text(), "the stage in the pipeline file"), field("axes", map_of(json!({})), "")],
    );
    record(
        "a stage as status and run --dry-run show it",
        vec![
            field("stage", text(), ""),
            field("decision", reference("state"), ""),
            field("key", or_null(text()), "BLAKE3 of its key; null while an input is not known"),
            optional("instance", instance, ""),
        ],
    )
}

fn why() -> Value {
    record(
        "a stage as why shows it; all instances of a stage are a list",
        vec![
            field("stage", text(), ""),
            field("decision", reference("state"), ""),
            field("key_hash", or_null(text()), "BLAKE3 of its key; null while an input is not known"),
            field("key", or_null(reference("key")), ""),
            field("current_key", or_null(reference("key")), "that of the artifact that is current"),
        ],
    )
}

fn history() -> Value {
    record(
        "a run, the newest first; one that has no record has run, tags and problem alone",
        vec![
            field("run", text(), "its name under artifacts/runs/"),
            field("tags", list_of(text()), ""),
            optional("started", text(), "UTC"),
            optional("seconds", number(), ""),
            optional("exit_code", whole(), ""),
            optional("ran", list_of(text()), "stages that did something"),
            optional("failed", list_of(text()), ""),
            optional(
                "results",
                map_of(text()),
                "stages that no other read to the digest of what they came to",
            ),
            optional("metrics", map_of(map_of(metric())), "by stage"),
            optional("problem", text(), "why its record is not there or not to be trusted"),
        ],
    )
}

fn show() -> Value {
    record(
        "a run in full",
        vec![
            field("run", text(), "its name under artifacts/runs/"),
            field("tags", list_of(text()), ""),
            field("started", text(), "UTC"),
            field("seconds", number(), ""),
            field("exit_code", whole(), ""),
            field("maker", reference("maker"), ""),
            field("whole", truth(), "is its record as it was written?"),
            field("results", map_of(text()), "stages that no other read to the digest of what they came to"),
            field(
                "stages",
                or_null(list_of(reference("stage_record"))),
                "null in a record of an earlier ctpipe",
            ),
            field("gates", list_of(reference("gate")), "what each gate said"),
            field("failures", map_of(text()), "stage to its error"),
        ],
    )
}

fn stage_record() -> Value {
    record(
        "what a run used or made of a stage",
        vec![
            field("stage", text(), ""),
            field("outcome", reference("outcome"), ""),
            field("key_hash", text(), "BLAKE3 of its key"),
            field("content", text(), "BLAKE3 of what its artifact holds"),
            field("key", reference("key"), ""),
            field("reads", map_of(text()), "port to the stage that is read there"),
            optional("metrics", map_of(metric()), "key metrics"),
        ],
    )
}

fn compare() -> Value {
    let parting = record(
        "",
        vec![
            field("stage", text(), ""),
            field("reasons", list_of(reference("reason")), "from the first to the second"),
            field("same_key", truth(), "have they one key and two results?"),
        ],
    );
    let pair = record(
        "",
        vec![
            field("stage", text(), ""),
            field("name", text(), "dotted"),
            field("a", metric(), "null where it is undefined or not there"),
            field("b", metric(), ""),
            field("key", truth(), "is it a key metric, or one that was asked for?"),
        ],
    );
    let differences = || list_of(reference("difference"));
    record(
        "two runs",
        vec![
            field("a", text(), "the first run"),
            field("b", text(), "the second"),
            field("parts", or_null(parting), "the first stage at which they part"),
            field("common", whole(), "stages that both have"),
            field("only", map_of(text()), "stages that one of them has, and which"),
            field("params", differences(), ""),
            field("inputs", differences(), "digests of what the user gave to read"),
            field("metrics", list_of(pair), "those that differ, and the key ones"),
        ],
    )
}

fn difference() -> Value {
    let value = || json!({});
    record(
        "a thing with two values; null where it has none",
        vec![
            field("stage", text(), ""),
            field("name", text(), ""),
            field("a", value(), "in the first run"),
            field("b", value(), "in the second"),
        ],
    )
}

fn gc() -> Value {
    let removed = record(
        "",
        vec![
            field("path", text(), "below artifacts/"),
            field("bytes", whole(), "what it frees: what something else shares counts for nothing"),
        ],
    );
    record(
        "what was collected",
        vec![
            field("dry_run", truth(), "was nothing removed in truth?"),
            field("removed", list_of(removed), ""),
            field("freed", whole(), "bytes"),
            field("left", whole(), "bytes in artifacts/"),
            field("artifacts", whole(), "artifacts that are left"),
            field("over", whole(), "bytes by which what has to stay is more than --max-size"),
        ],
    )
}

fn audit() -> Value {
    let input = record(
        "",
        vec![
            field("port", text(), ""),
            field("leads_to", text(), "the stage or the path that holds it, or why nothing does"),
            field("digest", text(), "as the key has it"),
        ],
    );
    let link = record(
        "",
        vec![
            field("stage", text(), ""),
            field("key_hash", text(), ""),
            field("content", text(), ""),
            field("made", text(), "when, and by whom"),
            field("inputs", list_of(input), ""),
            field("whole", truth(), "is all of it as its manifest says?"),
        ],
    );
    let rerun = record(
        "",
        vec![
            field("stage", text(), ""),
            field("key_hash", text(), ""),
            field("same", truth(), "did it make the same bytes?"),
            field("files", whole(), "that were compared"),
            field("seconds", number(), ""),
        ],
    );
    record(
        "also in audit.json",
        vec![
            field("started", text(), "UTC"),
            field("seconds", number(), ""),
            field("maker", reference("maker"), "who audited"),
            field("run", or_null(text()), "the run that was audited; null for the whole store"),
            field("artifacts", whole(), "that were looked at"),
            field("files", whole(), "that were read"),
            field("bytes", whole(), "that were read"),
            field("findings", list_of(reference("finding")), "what is not in order"),
            field("notes", list_of(reference("finding")), "what is worth knowing"),
            field("chain", list_of(link), "from each result back to what it was made from"),
            field("reruns", list_of(rerun), "stages that were run again"),
        ],
    )
}

fn finding() -> Value {
    let kinds = words(&[
        "output_altered",
        "missing",
        "extra_file",
        "unreadable",
        "mode",
        "manifest",
        "items",
        "misplaced",
        "link",
        "data_changed",
        "input_missing",
        "lock",
        "record",
        "not_reproduced",
        "cannot_rerun",
    ]);
    record(
        "one thing that is not in order, or is worth knowing",
        vec![
            field("kind", kinds, ""),
            field("place", text(), "below artifacts/, or beside the pipeline file"),
            field("text", text(), "what"),
            field("advice", text(), "what to do"),
        ],
    )
}

fn key() -> Value {
    record(
        "what identifies a result",
        vec![
            field("stage", text(), "its kind"),
            field("version", whole(), ""),
            field("params", map_of(json!({})), ""),
            field("inputs", map_of(text()), "port to content digest"),
            field("seed", or_null(whole()), "for a stage that uses it"),
            field("facts", map_of(text()), "of the machine, that change the bytes"),
            field("lineage", map_of(text()), "port to key, for a stage that shows how its inputs came about"),
        ],
    )
}

fn maker() -> Value {
    let fields = ["version", "commit", "compiler", "instruction_set"].map(|name| field(name, text(), ""));
    record("who made something", fields.into())
}

/// A number, or null where it is undefined.
fn metric() -> Value {
    or_null(number())
}
