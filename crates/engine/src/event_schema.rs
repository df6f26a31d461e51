//! The JSON schema of the stream that `run --json` prints: one [`crate::Event`] a line. Knows no terminal, and makes no
//! event. `tests/end_to_end/events.rs` holds it against one of every event, and against what runs print.

use serde_json::{Map, Value, json};

use crate::json_schema::{
    Field, field, list_of, number, one_of, optional, or_null, record, reference, tagged, text, whole, word,
    words,
};
use crate::result_schema;

const ABOUT: &str = "One line of what \"ctpipe run --json\" prints on standard output; people's text is on standard error. \
    The first line is run_started and the last one run_finished, unless ctpipe was killed. A run that could not begin (exit code 2 \
    or 75) prints no line. A stage that was interrupted has no stage_finished. Lines of stages that run side by side are mixed. \
    Later versions may add events and fields: pass over what you do not know. What the other commands print with --json, as one \
    value, is among the definitions: status (also run --dry-run), why, history, show, compare, tag, gc and audit.";

/// The schema (JSON Schema draft 7) of one line; what other commands print with `--json` is among its definitions.
pub fn schema() -> Value {
    let mut definitions = shared();
    definitions.extend(result_schema::results());
    let lines = events();
    let each: Vec<Value> = lines.iter().map(|(name, _)| reference(name)).collect();
    definitions.extend(lines.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The events of a run of ctpipe",
        "description": ABOUT,
        "oneOf": each,
        "definitions": definitions,
    })
}

/// Each event in the order of a run.
fn events() -> Vec<(&'static str, Value)> {
    let stage = || field("stage", text(), "its name in the pipeline");
    let level = || field("level", reference("level"), "");
    let decided = states()
        .into_iter()
        .map(|(doc, fields)| tagged("event", "decided", doc, [stage()].into_iter().chain(fields).collect()));
    let event = |name, doc: &str, fields| (name, tagged("event", name, doc, fields));
    vec![
        event(
            "run_started",
            "the run began",
            vec![
                field("run", text(), "its name under artifacts/runs/"),
                field("stages", list_of(text()), "the stages that it covers, in order"),
            ],
        ),
        event(
            "preflight",
            "something that was looked at before anything was started",
            vec![
                field("stage", text(), "the stage that looked; empty for ctpipe itself"),
                level(),
                field("text", text(), ""),
            ],
        ),
        ("decided", one_of(decided.collect())),
        event("stage_started", "a stage began to work", vec![stage()]),
        event(
            "progress",
            "how far a stage is",
            vec![
                stage(),
                field("done", whole(), "of total, this much is done"),
                field("total", whole(), "0 where it is not known"),
                field("unit", text(), "what is counted"),
                field("note", text(), "something short"),
            ],
        ),
        event(
            "log",
            "something that is said",
            vec![
                field("stage", text(), "the stage that says it; empty for ctpipe itself"),
                level(),
                field("text", text(), ""),
            ],
        ),
        event(
            "stage_finished",
            "a stage is done; one that was fresh has no such event",
            vec![
                stage(),
                field("outcome", reference("outcome"), ""),
                field("key", text(), "BLAKE3 of its key"),
                field("content", text(), "BLAKE3 of what its artifact holds"),
                field("seconds", number(), "how long it worked; 0 for one that was restored"),
                field(
                    "peak_memory",
                    or_null(whole()),
                    "bytes of the process meanwhile, where the system tells",
                ),
                optional("items", reference("reuse"), "for a stage that keeps items"),
            ],
        ),
        event(
            "stage_failed",
            "a stage did not succeed, or could not be tried",
            vec![stage(), field("error", text(), "the error and its causes")],
        ),
        event(
            "lock_differs",
            "a stage is not what the lock says (run --locked)",
            vec![
                stage(),
                field(
                    "what",
                    words(&["key", "content", "stage"]),
                    "what differs; stage: it is in one and not in the other",
                ),
                field("expected", text(), "what the lock says; empty where it says nothing"),
                field("found", text(), "what the run came to; empty where the pipeline has no such stage"),
                field("because", list_of(text()), "what is known to explain it"),
            ],
        ),
        event("gate_judged", "a quality gate was asked; once all stages are done", judged()),
        event(
            "run_finished",
            "the run is over",
            vec![
                field("run", text(), "its name under artifacts/runs/"),
                field(
                    "exit_code",
                    whole(),
                    "0 done or fresh, 1 a stage failed, 2 usage or configuration, 4 not what the lock says, 5 a gate said no, 130 interrupted",
                ),
                field("seconds", number(), "how long it took"),
            ],
        ),
    ]
}

/// What a gate said.
fn judged() -> Vec<Field> {
    vec![
        field("stage", text(), "the stage whose metrics.json was looked at"),
        field("gate", text(), "as it is written"),
        field("passed", json!({ "type": "boolean" }), "did it say yes"),
        field("found", or_null(number()), "the number; null where there is none"),
        optional("why", text(), "why there is none, which counts as a no"),
    ]
}

/// What may be decided, with the fields of each.
fn states() -> Vec<(&'static str, Vec<Field>)> {
    let state = |name: &str| field("state", word(name), "");
    let reasons = || field("reasons", list_of(reference("reason")), "why");
    vec![
        ("nothing has to be done", vec![state("fresh")]),
        ("an earlier result of the same key is made current", vec![state("restore"), reasons()]),
        ("it runs", vec![state("will"), reasons()]),
        (
            "it runs unless the stages before it make what they made before",
            vec![
                state("may"),
                field("depends_on", list_of(text()), "those stages"),
                optional("reasons", list_of(reference("reason")), "what differs already"),
            ],
        ),
    ]
}

/// Why a stage has to run.
fn reasons() -> Vec<Value> {
    let reason = |name: &str, doc: &str, fields: Vec<Field>| tagged("reason", name, doc, fields);
    let port = || field("port", text(), "which input");
    let anything = || json!({});
    vec![
        reason("never_run", "there is no result yet", vec![]),
        reason("forced", "--force", vec![]),
        reason(
            "param_changed",
            "a parameter, or the seed, has another value; null where it has none",
            vec![field("name", text(), ""), field("old", anything(), ""), field("new", anything(), "")],
        ),
        reason(
            "input_changed",
            "an input holds other bytes",
            vec![port(), field("items", or_null(reference("files")), "the files, where they are known")],
        ),
        reason(
            "version_changed",
            "the stage's code makes other bytes than it used to",
            vec![field("old", text(), "kind and version"), field("new", text(), "kind and version")],
        ),
        reason(
            "fact_changed",
            "a fact of the machine that changes the bytes is another",
            vec![
                field("name", text(), ""),
                field("old", or_null(text()), ""),
                field("new", or_null(text()), ""),
            ],
        ),
        reason("lineage_changed", "an input came about in another way", vec![port()]),
        reason(
            "output_altered",
            "a file of the artifact was altered or removed",
            vec![field("path", text(), "below the artifact")],
        ),
        reason(
            "not_as_locked",
            "run --locked, and the lock's result of the same key is in the store",
            vec![],
        ),
        reason(
            "manifest_unreadable",
            "the artifact's manifest cannot be used",
            vec![field("problem", text(), "")],
        ),
        reason("input_missing", "an input is not there", vec![port()]),
    ]
}

/// What several events and results hold.
fn shared() -> Map<String, Value> {
    let decision = states().into_iter().map(|(doc, fields)| record(doc, fields));
    let outcome = "fresh: nothing had to be done; restored: an earlier result of the same key was made current; made: it ran; identical: \
        it ran and made the bytes that were there; different: it ran and made other bytes under the same key, and both are kept; \
        as_is: used as it was (--from)";
    let mut outcomes = words(&["fresh", "restored", "made", "identical", "different", "as_is"]);
    outcomes["description"] = outcome.into();
    let paths = ["changed", "added", "removed"].map(|name| field(name, list_of(text()), ""));
    let all = [
        ("level", words(&["info", "warning", "error"])),
        ("outcome", outcomes),
        ("reason", one_of(reasons())),
        ("state", one_of(decision.collect())),
        (
            "files",
            record("how two inputs differ: paths below the input, empty where it is a file", paths.into()),
        ),
        ("gate", record("what a quality gate said", judged())),
        (
            "reuse",
            record(
                "items of a stage that keeps some",
                vec![
                    field("items", whole(), "all"),
                    field("reused", whole(), "taken from an earlier artifact"),
                ],
            ),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}
