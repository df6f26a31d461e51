//! Snapshots of whole outputs. After an intended change, `INSTA_UPDATE=always` writes the snapshots
//! again; read their diff.

use crate::harness::{Said, Sandbox};

const PIPELINE: &str = "\
stages:
  lower:
    run: tr A-Z a-z < \"$IN_DATA\" > $OUT/out; echo $PARAM_MARK >> $OUT/out
    inputs: { data: data.txt }
    params: { mark: 1 }
    outputs: [out]
  count:
    run: 'cat \"$IN_TEXT\"/out > $OUT/n$PARAM_K; echo \"{\\\"n\\\": $PARAM_K}\" > $OUT/metrics.json'
    inputs: { text: lower }
    matrix: { k: [1, 2] }
    outputs: [metrics.json]
  both:
    run: cat \"$IN_COUNTS\"/*/metrics.json > $OUT/all
    inputs: { counts: count }
    outputs: [all]
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", PIPELINE);
    sandbox.write("data.txt", "Some Text\n");
    sandbox
}

/// Replaces every hash, time, date and duration in a text, because they differ from run to run.
fn constant(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split_inclusive([' ', '\n', '(', ')', ',', ';', '[', ']', '@', '"']) {
        let end =
            word.len() - usize::from(word.ends_with([' ', '\n', '(', ')', ',', ';', '[', ']', '@', '"']));
        let (inner, after) = word.split_at(end);
        let is_hash = inner.len() >= 8 && inner.bytes().all(|byte| byte.is_ascii_hexdigit());
        let stamp = inner.split_once('-').map_or(inner, |(stamp, _)| stamp);
        let is_run = stamp.len() == 16 && stamp.ends_with('Z') && stamp.starts_with("20");
        let is_seconds = inner
            .split_once('.')
            .is_some_and(|(a, b)| b.len() == 1 && a.parse::<u32>().is_ok() && b.parse::<u8>().is_ok());
        words.push(if is_hash {
            format!("HASH{after}")
        } else if is_run {
            format!("RUN{after}")
        } else if is_seconds {
            format!("0.0{after}")
        } else {
            word.to_owned()
        });
    }
    words.concat()
}

fn shown(said: &Said) -> String {
    constant(&said.stdout)
}

#[test]
fn the_graph_in_each_format() {
    let sandbox = sandbox();
    let dag = |format: &str| shown(&sandbox.ctpipe(&["dag", "--format", format]).expect(0));
    insta::assert_snapshot!("dag_text", dag("text"));
    insta::assert_snapshot!("dag_mermaid", dag("mermaid"));
    insta::assert_snapshot!("dag_dot", dag("dot"));
}

#[test]
fn the_states_of_a_pipeline_and_why() {
    let sandbox = sandbox();
    insta::assert_snapshot!("status_before", shown(&sandbox.ctpipe(&["status"]).expect(3)));
    sandbox.ctpipe(&["run"]).expect(0);
    insta::assert_snapshot!("status_fresh", shown(&sandbox.ctpipe(&["status"]).expect(0)));
    sandbox.write("data.txt", "Other Text\n");
    let mark = ["--set", "lower.mark=2"];
    let status = sandbox.ctpipe(&["status", mark[0], mark[1]]).expect(3);
    insta::assert_snapshot!("status_changed", shown(&status));
    let why = |stage: &str| shown(&sandbox.ctpipe(&["why", stage, mark[0], mark[1]]).expect(0));
    insta::assert_snapshot!("why_changed", why("lower"));
    insta::assert_snapshot!("why_depends", why("count"));
}

#[test]
fn two_runs_beside_each_other() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["tag", "first"]).expect(0);
    sandbox.write("pipeline.yaml", &PIPELINE.replace("mark: 1", "mark: 2").replace("[1, 2]", "[1, 3]"));
    sandbox.ctpipe(&["run"]).expect(0);
    let said = sandbox.ctpipe(&["compare", "first", "latest"]).expect(0);
    insta::assert_snapshot!("compare", shown(&said));
}
