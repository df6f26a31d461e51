//! Quality gates: the effect of a failure, the release of a model, and the notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::Sandbox;

const PIPELINE: &str = "stages:
  model: { run: 'echo $PARAM_Q > $OUT/m', params: { q: 2 }, outputs: [m] }
  judge:
    run: 'echo \"{\\\"test\\\": {\\\"auc\\\": $(cat $IN_MODEL/m)}, \\\"none\\\": null}\" > $OUT/metrics.json'
    inputs: { model: model }
    outputs: [metrics.json]
    gates: [test.auc >= 1, test.auc < 5]
  after: { run: 'cp $IN_JUDGE/metrics.json $OUT/copy', inputs: { judge: judge }, outputs: [copy] }
";

fn sandbox(pipeline: &str) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", pipeline);
    sandbox
}

fn released(sandbox: &Sandbox) -> Option<String> {
    std::fs::read_to_string(sandbox.path("artifacts/released/metrics.json")).ok()
}

fn page(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.path("artifacts/runs/latest/run.html")).unwrap()
}

#[test]
fn a_no_ends_with_5_keeps_the_last_good_result_and_is_on_the_page() {
    let sandbox = sandbox(PIPELINE);
    sandbox.ctpipe(&["run"]).expect(0);
    let good = released(&sandbox).unwrap();
    assert!(good.contains('2'));
    assert!(page(&sandbox).contains("<td>test.auc &gt;= 1</td><td class=info>passed</td><td>2</td>"));

    sandbox.write("pipeline.yaml", &PIPELINE.replace("q: 2", "q: 7"));
    let said = sandbox.ctpipe(&["run", "--json"]).expect(5);
    // The stages after it are still run: the user will want to see why it failed.
    assert_eq!(said.ran(), ["after", "judge", "model"]);
    let judged: Vec<Value> =
        said.events().into_iter().filter(|event| event["event"] == "gate_judged").collect();
    let passed: Vec<(&str, bool)> = judged
        .iter()
        .map(|judged| (judged["gate"].as_str().unwrap(), judged["passed"].as_bool().unwrap()))
        .collect();
    assert_eq!(passed, [("test.auc >= 1", true), ("test.auc < 5", false)]);
    assert_eq!(judged[1]["found"], 7.0);
    assert_eq!(said.events().last().unwrap()["exit_code"], 5);
    assert_eq!(released(&sandbox).unwrap(), good);
    assert!(page(&sandbox).contains("<td>test.auc &lt; 5</td><td class=error>failed</td><td>7</td>"));
    let shown = sandbox.ctpipe(&["show", "latest"]).expect(0);
    assert!(shown.stdout.contains("judge: gate failed: test.auc < 5 (it is 7)"), "{}", shown.stdout);

    // A fresh stage is judged again: a bad model does not become good overnight.
    sandbox.ctpipe(&["run"]).expect(5);
    // Without the stage, its gate is not judged.
    sandbox.ctpipe(&["run", "model"]).expect(0);
    // Neither a collection nor an audit objects to a released artifact.
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    assert_eq!(released(&sandbox).unwrap(), good);
    sandbox.ctpipe(&["audit"]).expect(0);

    sandbox.write("pipeline.yaml", &PIPELINE.replace("q: 2", "q: 3"));
    sandbox.ctpipe(&["run"]).expect(0);
    assert!(released(&sandbox).unwrap().contains('3'));
}

#[test]
fn a_gate_on_what_is_not_there_is_a_no_that_says_why() {
    for (gate, said) in [
        ("test.acu >= 1", "there is no metric \"test.acu\" (did you mean \"test.auc\"?)"),
        ("none.delta >= -0.02", "none is empty"),
        ("test > 0", "not a number"),
    ] {
        let sandbox = sandbox(&PIPELINE.replace("test.auc < 5", gate));
        let first = sandbox.ctpipe(&["run"]).expect(5);
        assert!(first.stderr.contains(said), "{gate}: {}", first.stderr);
        assert!(released(&sandbox).is_none());
    }
    // The second time, the error comes before any stage runs.
    let sandbox = sandbox(&PIPELINE.replace("test.auc < 5", "test.acu < 5"));
    sandbox.ctpipe(&["run"]).expect(5);
    let second = sandbox.ctpipe(&["run"]).expect(5);
    let early = second.stderr.find("names a metric that is not in metrics.json so far").unwrap();
    assert!(early < second.stderr.find("fresh").unwrap(), "{}", second.stderr);
}

#[test]
fn a_gate_that_cannot_be_read_is_shown_in_its_place() {
    let broken = sandbox(&PIPELINE.replace("test.auc < 5", "test.auc = 5"));
    let said = broken.ctpipe(&["run"]).expect(2);
    assert!(said.stderr.contains("pipeline.yaml:7:"), "{}", said.stderr);
    assert!(said.stderr.contains("\"test.auc = 5\" is not a gate"), "{}", said.stderr);
    let hook = sandbox(&format!("notify: {{ webhook: secret }}\n{PIPELINE}"));
    let said = hook.ctpipe(&["run"]).expect(2);
    assert!(said.stderr.contains("must be an address") && !said.stderr.contains("secret"), "{}", said.stderr);
}

#[test]
fn a_command_is_told_of_a_no_and_of_a_failure_and_of_nothing_else() {
    let notify = "notify: { command: 'cat > told.json; echo \"$CTPIPE_TEXT\" >> told.txt' }\n";
    let told = |sandbox: &Sandbox| std::fs::read_to_string(sandbox.path("told.txt")).unwrap_or_default();
    let sandbox = sandbox(&format!("{notify}{PIPELINE}"));
    sandbox.ctpipe(&["run"]).expect(0);
    assert_eq!(told(&sandbox), "");
    sandbox.ctpipe(&["run", "--set", "model.q=9"]).expect(5);
    assert!(told(&sandbox).ends_with("1 gate(s) failed\n"), "{}", told(&sandbox));
    let json: Value = serde_json::from_slice(&std::fs::read(sandbox.path("told.json")).unwrap()).unwrap();
    assert_eq!((&json["exit_code"], &json["gates"][0]["gate"]), (&5.into(), &"test.auc < 5".into()));
    let failing = PIPELINE.replace("cp $IN_JUDGE/metrics.json $OUT/copy", "echo of Jane Doe >&2; exit 3");
    sandbox.write("pipeline.yaml", &format!("{notify}{failing}"));
    let said = sandbox.ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("Jane Doe"));
    assert!(told(&sandbox).ends_with("after failed\n"), "{}", told(&sandbox));
    let json = std::fs::read_to_string(sandbox.path("told.json")).unwrap();
    assert!(json.contains("\"after\"") && !json.contains("Jane"), "{json}");
    // A failure of the notice is reported, and changes nothing.
    sandbox.write("pipeline.yaml", &format!("notify: {{ command: exit 4 }}\n{failing}"));
    let said = sandbox.ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("the notify command ended with"), "{}", said.stderr);
    // A merge conflict in the lock, found at night.
    sandbox.write("pipeline.yaml", &format!("{notify}{PIPELINE}"));
    sandbox.ctpipe(&["run", "--lock"]).expect(0);
    let lock = std::fs::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    sandbox.write("pipeline.lock", &format!("<<<<<<< HEAD\n{lock}"));
    sandbox.ctpipe(&["run"]).expect(2);
    assert!(
        told(&sandbox).ends_with("could not start, exit code 2: the lock contains a merge conflict\n"),
        "{}",
        told(&sandbox)
    );
    // A mistake on the command line is reported only to its user.
    let before = told(&sandbox);
    sandbox.ctpipe(&["run", "nothing"]).expect(2);
    assert_eq!(told(&sandbox), before);
}

#[test]
fn what_no_variable_and_no_pipe_holds_is_told_all_the_same() {
    let gates = (0..150).map(|n| format!("a.{}{n} > 1", "long".repeat(250))).collect::<Vec<_>>().join(", ");
    let sandbox = sandbox(&format!(
        "notify: {{ command: 'echo \"$CTPIPE_GATES\" | wc -c > told.txt' }}\nstages:\n  judge:\n    \
         run: 'echo {{}} > $OUT/metrics.json'\n    outputs: [metrics.json]\n    gates: [{gates}]\n"
    ));
    let said = sandbox.ctpipe(&["run"]).expect(5);
    assert!(!said.stderr.contains("could not notify"), "{}", said.stderr);
    let length: usize = std::fs::read_to_string(sandbox.path("told.txt")).unwrap().trim().parse().unwrap();
    assert!((16_000..20_000).contains(&length), "{length}");
}

#[test]
fn the_page_of_a_run_that_failed_says_what_failed_and_what_was_not_tried() {
    let sandbox = sandbox(
        &PIPELINE
            .replace("echo \\\"{", "exit 3; echo \\\"{")
            .replace("run: 'echo \"{", "run: 'exit 3; echo \"{"),
    );
    sandbox.ctpipe(&["run"]).expect(1);
    let page = page(&sandbox);
    assert!(page.contains("judge: failed; after: not run."), "{page}");
    assert!(page.contains("<th scope=row>after</th><td></td><td></td><td>not run</td>"), "{page}");
    assert!(!page.contains("report.html"), "there is none");
}

/// As with `2>&1 | head -1`.
#[test]
fn a_reader_that_goes_away_ends_no_run() {
    let sandbox = sandbox(&PIPELINE.replace("test.auc < 5", "test.auc < 1"));
    let mut run = sandbox.command(&["run"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(run.stderr.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("run "), "{first}");
    assert_eq!(run.wait().unwrap().code(), Some(5));
    let said = sandbox.ctpipe(&["history", "--json"]).expect(0);
    assert!(said.stdout.contains("\"exit_code\": 5"), "{}", said.stdout);
}

#[test]
fn each_gated_stage_has_its_link_beside_what_is_released() {
    let more = "  sanity:\n    run: 'echo {\\\"n\\\": 1} > $OUT/metrics.json'\n    inputs: { model: model }\n    \
         outputs: [metrics.json]\n    gates: [n >= 1]\n";
    let sandbox = sandbox(&format!("{PIPELINE}{more}"));
    sandbox.ctpipe(&["run"]).expect(0);
    for stage in ["judge", "sanity"] {
        let link = sandbox.path(&format!("artifacts/released.{stage}"));
        assert_eq!(
            link.canonicalize().unwrap(),
            sandbox.path(&format!("artifacts/{stage}")).canonicalize().unwrap()
        );
    }
    sandbox.ctpipe(&["audit"]).expect(0);
}

#[test]
fn a_webhook_is_posted_to_and_one_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            if number == 1 {
                // A redirect to another place, to which the notice would not be sent again.
                let _ = stream.read(&mut [0; 4096]);
                stream
                    .write_all(b"HTTP/1.1 301 Moved\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n")
                    .unwrap();
                continue;
            }
            if number > 1 {
                // The last client gets no answer until it has closed the connection.
                let _ = stream.set_read_timeout(Some(Duration::from_mins(2)));
                let _ = stream.read_to_end(&mut Vec::new());
                continue;
            }
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(given) = line.to_lowercase().strip_prefix("content-length:") {
                    length = given.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n").unwrap();
            sender.send(String::from_utf8(body).unwrap()).unwrap();
        }
    });
    let sandbox = sandbox(&format!("notify: {{ webhook: $CTPIPE_TEST_HOOK }}\n{PIPELINE}"));
    let run = |address: Option<String>| {
        let mut command = sandbox.command(&["run", "--set", "model.q=9"]);
        command.env_remove("CTPIPE_TEST_HOOK").env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        if let Some(address) = address {
            command.env("CTPIPE_TEST_HOOK", address);
        }
        crate::harness::said(&mut command).expect(5)
    };
    let unset = run(None);
    assert!(unset.stderr.contains("$CTPIPE_TEST_HOOK, which is not set"), "{}", unset.stderr);
    let told = run(Some(format!("http://{address}/hook")));
    assert!(!told.stderr.contains("could not notify"), "{}", told.stderr);
    let body: Value = serde_json::from_str(&received.recv().unwrap()).unwrap();
    assert_eq!(body["gates"][0]["found"], 9.0);
    assert!(body["text"].as_str().unwrap().contains("1 gate(s) failed"));
    let moved = run(Some(format!("http://{address}/hook")));
    assert!(moved.stderr.contains("the webhook answered 301"), "{}", moved.stderr);
    let hung = run(Some(format!("http://{address}/hook")));
    assert!(hung.stderr.contains("the webhook did not answer"), "{}", hung.stderr);
}

#[test]
fn the_graph_is_drawn_in_every_form_with_states_and_reasons() {
    let sandbox = sandbox(
        &PIPELINE
            .replace("params: { q: 2 }", "matrix: { q: [2, 3] }")
            .replace("judge:\n", "judge:\n    matrix: model\n")
            .replace("copy], ", "copy]")
            .replace("inputs: { judge: judge }", "inputs: { judge: judge@q=2 }"),
    );
    let dag = |form: &str| sandbox.ctpipe(&["dag", "--format", form]).expect(0).stdout;
    let text = dag("text");
    assert!(text.contains("model (2 instances)") && text.contains("judge (2 instances) <- model"), "{text}");
    assert!(text.contains("run: there is no result yet"), "{text}");
    sandbox.ctpipe(&["run"]).expect(0);
    assert!(dag("text").contains("fresh: none of its inputs has changed  ["));
    let mermaid = dag("mermaid");
    assert!(
        mermaid.starts_with("flowchart TD\n")
            && mermaid.contains("s0 --> s1")
            && mermaid.contains("s1 --> s2"),
        "{mermaid}"
    );
    assert!(!mermaid.contains(":::stale"));
    let dot = dag("dot");
    assert!(dot.starts_with("digraph") && dot.contains("\"judge\" -> \"after\";"), "{dot}");
    let html = dag("html");
    for said in ["<svg", "judge reads model", "none of its inputs has changed", "after"] {
        assert!(html.contains(said), "{said}");
    }
    // The page works offline: it contains no address but that of the vector format.
    assert!(
        !html.contains("http") || html.matches("http").count() == html.matches("http://www.w3.org").count()
    );
    let json: Value = serde_json::from_str(&sandbox.ctpipe(&["dag", "--json"]).expect(0).stdout).unwrap();
    assert_eq!(
        (&json[1]["stage"], &json[1]["reads"][0], &json[1]["stale"]),
        (&"judge".into(), &"model".into(), &false.into())
    );
}

#[test]
fn an_experiment_releases_nothing_and_a_profile_has_its_own() {
    let profile = format!("{PIPELINE}profiles: {{ demo: {{ model: {{ params: {{ q: 4 }} }} }} }}\n");
    let sandbox = sandbox(&profile);
    let said = sandbox.ctpipe(&["run", "--set", "model.q=3"]).expect(0);
    assert!(said.stderr.contains("nothing is released, because --set"), "{}", said.stderr);
    assert_eq!(released(&sandbox), None);
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["run", "--profile", "demo"]).expect(0);
    assert!(released(&sandbox).unwrap().contains('2'));
    let demo = std::fs::read_to_string(sandbox.path("artifacts/released@demo/metrics.json")).unwrap();
    assert!(demo.contains('4'), "{demo}");
}

/// The nightly loop compares tonight's model with the released one, which does not exist on the
/// first night.
#[test]
fn tonights_model_is_compared_with_the_released_one() {
    let sandbox = Sandbox::new();
    let nightly = crate::harness::PIPELINE.replace(
        "model: train, volumes: preprocess, split: split, series: ingest }\n",
        "model: train, volumes: preprocess, split: split, series: ingest, baseline: released.evaluate }\n    \
         gates: [test.accuracy.value >= 0, comparison.delta_sensitivity.value >= -2 if comparison]\n",
    );
    assert!(nightly.contains("gates"));
    sandbox.write("pipeline.yaml", &nightly);
    let first = sandbox.ctpipe(&["run", "--to", "evaluate"]).expect(0);
    assert!(first.stderr.contains("does not apply: there is no comparison"), "{}", first.stderr);
    // The model is released together with its evaluation.
    assert!(sandbox.path("artifacts/released/model.safetensors").exists());
    let metrics = || -> Value {
        let text = std::fs::read(sandbox.path("artifacts/evaluate/metrics.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    assert!(
        sandbox.path("artifacts/released.evaluate/metrics.json").exists()
            && metrics()["comparison"].is_null()
    );
    // Another night, another model.
    sandbox.write("pipeline.yaml", &nightly.replace("epochs: 2", "epochs: 1"));
    sandbox.ctpipe(&["run", "--to", "evaluate"]).expect(0);
    assert!(metrics()["comparison"]["samples"].as_u64() > Some(0));
    // From then on the model is compared with itself until something changes: two nights later
    // nothing is run.
    sandbox.ctpipe(&["run", "--to", "evaluate"]).expect(0);
    sandbox.ctpipe(&["run", "--to", "evaluate"]).expect(0);
    let quiet = sandbox.ctpipe(&["run", "--to", "evaluate", "--json"]).expect(0);
    assert!(quiet.ran().is_empty(), "{}", quiet.stdout);
    // The inputs of the comparison are kept, and an audit traces the model back to them.
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    sandbox.ctpipe(&["audit"]).expect(0);
    assert!(page(&sandbox).contains("<svg"), "the run's page has a drawing");
}
