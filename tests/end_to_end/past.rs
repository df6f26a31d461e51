//! The history of runs: the list, one run, the comparison of two, and their tags.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::proof::{json, read, runs, sandbox};

#[test]
fn the_history_tells_what_ran_and_what_came_of_it() {
    let sandbox = sandbox();
    let none = sandbox.ctpipe(&["show", "latest"]).expect(2);
    assert!(none.stderr.contains("there is no run yet"), "{}", none.stderr);
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["run", "--set", "lower.mark=22"]).expect(0);
    let history = json(&sandbox.ctpipe(&["history", "--json"]).expect(0));
    let [third, second, first] = &history.as_array().unwrap()[..] else { panic!("{history}") };
    assert_eq!(first["ran"].as_array().unwrap().len(), 3);
    assert_eq!(second["ran"], Value::Array(vec![]));
    let mut ran: Vec<&str> = third["ran"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    ran.sort_unstable();
    assert_eq!(ran, ["both", "lower"]);
    // Fresh stages are recorded as well, with the same result.
    assert_eq!(first["results"], second["results"]);
    assert_eq!(third["results"]["both"], sandbox.manifest("both")["content"]);
    // "Some Text
    // 1
    // " twice, and one more digit.
    assert_eq!(
        (&second["metrics"]["both"]["size.value"], &third["metrics"]["both"]["size.value"]),
        (&24.0.into(), &25.0.into())
    );
    let shown = sandbox.ctpipe(&["history", "-n", "1"]).expect(0).stdout;
    assert!(shown.contains("both size.value = 25") && shown.contains("exit 0"), "{shown}");
    assert_eq!(shown.matches("exit").count(), 1);
    let said = sandbox.ctpipe(&["history", "--metric", "size.valeu"]).expect(2);
    assert!(said.stderr.contains("did you mean \"size.value\"?"), "{}", said.stderr);

    let id = third["run"].as_str().unwrap();
    let shown = json(&sandbox.ctpipe(&["show", "latest", "--json"]).expect(0));
    assert_eq!(shown["run"], id);
    assert_eq!(shown["stages"].as_array().unwrap().len(), 3);
    let upper = shown["stages"].as_array().unwrap().iter().find(|s| s["stage"] == "upper").unwrap();
    assert_eq!(
        (&upper["outcome"], &upper["key_hash"]),
        (&"fresh".into(), &sandbox.manifest("upper")["key_hash"])
    );
    // A prefix of a name is enough if it is unique.
    sandbox.ctpipe(&["show", &id[..id.len().min(18)]]).expect(0);
    let said = sandbox.ctpipe(&["show", &id[..4]]).expect(2);
    assert!(said.stderr.contains("is the beginning of 3 runs"), "{}", said.stderr);
    for bad in ["../x", "latst", ""] {
        let said = sandbox.ctpipe(&["show", bad]).expect(2);
        assert!(said.stderr.contains("there is no run or tag"), "{}", said.stderr);
    }
    assert!(sandbox.ctpipe(&["show", "latst"]).stderr.contains("did you mean \"latest\"?"));
}

#[test]
fn a_comparison_names_the_first_stage_at_which_two_runs_part_and_why() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    sandbox.ctpipe(&["tag", "before"]).expect(0);
    sandbox.ctpipe(&["run", "--set", "lower.mark=22"]).expect(0);
    let said = sandbox.ctpipe(&["compare", "before", "latest"]).expect(0).stdout;
    for line in [
        "they first differ at lower:\n  mark changed from 1 to 22",
        "parameters\n  lower.mark: 1 -> 22",
        "  both size.value: 24 -> 25 (+1)",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert!(!said.contains("inputs\n"), "{said}");
    sandbox.write("data.txt", "Other Text\n");
    sandbox.ctpipe(&["run"]).expect(0);
    let compared = json(&sandbox.ctpipe(&["compare", "before", "latest", "--json"]).expect(0));
    assert_eq!(compared["parts"]["reasons"][0]["reason"], "input_changed");
    assert_eq!(compared["inputs"].as_array().unwrap().len(), 2, "{compared}");
    assert_eq!(compared["params"], Value::Array(vec![]));
    let said = sandbox.ctpipe(&["compare", "latest", "latest", "--metric", "size.value"]).expect(0);
    assert!(said.stdout.contains("every stage has the same result"), "{}", said.stdout);
    assert!(said.stdout.contains("both size.value: 26 -> 26"), "{}", said.stdout);
    let said = sandbox.ctpipe(&["compare", "before", "latest", "--metric", "size.vaule"]).expect(2);
    assert!(said.stderr.contains("did you mean \"size.value\"?"), "{}", said.stderr);
    // A metric of a stage that only one of the runs has, as on the morning after a night that
    // failed early.
    let more = "  more: { run: 'echo {\\\"z\\\":2} > $OUT/metrics.json', outputs: [metrics.json] }\n";
    let with_more = read(&sandbox, "pipeline.yaml").replacen("stages:\n", &format!("stages:\n{more}"), 1);
    sandbox.write("pipeline.yaml", &with_more);
    sandbox.ctpipe(&["run"]).expect(0);
    let said = sandbox.ctpipe(&["compare", "before", "latest", "--metric", "z"]).expect(0).stdout;
    assert!(said.contains("more z: undefined -> 2"), "{said}");
    let failing = read(&sandbox, "pipeline.yaml").replace("tr a-z A-Z", "exit 3; tr");
    assert_ne!(failing, read(&sandbox, "pipeline.yaml"));
    sandbox.write("pipeline.yaml", &failing);
    sandbox.ctpipe(&["run"]).expect(1);
    let said = sandbox.ctpipe(&["history", "--metric", "size.vaule"]).expect(2);
    assert!(said.stderr.contains("did you mean \"size.value\"?"), "{}", said.stderr);
    sandbox.ctpipe(&["history", "-n", "1", "--metric", "size.value"]).expect(0);
}

#[test]
fn a_record_of_an_earlier_ctpipe_is_told_and_one_that_was_edited_too() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let id = runs(&sandbox).remove(0);
    let path = format!("artifacts/runs/{id}/run.json");
    let good = read(&sandbox, &path);
    let mut record: Value = serde_json::from_str(&good).unwrap();
    sandbox.write(&path, &good.replacen("\"exit_code\": 0", "\"exit_code\": 1", 1));
    assert!(sandbox.ctpipe(&["show", &id]).expect(0).stdout.contains("this record was altered"));
    let said = sandbox.ctpipe(&["tag", "x", &id]).expect(4);
    assert!(said.stderr.contains("it was altered after it was written"), "{}", said.stderr);
    sandbox.write(&path, &good[..good.len() / 2]);
    for command in [&["show", &id][..], &["compare", &id, &id], &["tag", "x", &id], &["audit", "--run", &id]]
    {
        let said = sandbox.ctpipe(command).expect(4);
        assert!(said.stderr.contains("not the record of a run: EOF"), "{command:?}: {}", said.stderr);
    }
    for field in ["format", "stages", "checksum"] {
        record.as_object_mut().unwrap().remove(field);
    }
    sandbox.write(&path, &record.to_string());
    assert!(sandbox.ctpipe(&["show", &id]).expect(0).stdout.contains("an earlier ctpipe recorded it"));
    sandbox.ctpipe(&["history"]).expect(0);
    for command in [&["compare", &id, &id][..], &["tag", "x", &id], &["audit", "--run", &id]] {
        let said = sandbox.ctpipe(command).expect(2);
        assert!(said.stderr.contains("was recorded by an earlier ctpipe"), "{}", said.stderr);
    }
    record["format"] = 77.into();
    sandbox.write(&path, &record.to_string());
    let said = sandbox.ctpipe(&["show", &id]).expect(2);
    assert!(said.stderr.contains("a later ctpipe (form 77; this one reads up to 1)"), "{}", said.stderr);
    assert!(sandbox.ctpipe(&["history"]).expect(0).stdout.contains("a later ctpipe"));
}

#[test]
fn tags_are_put_listed_refused_and_taken_away() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let id = runs(&sandbox).remove(0);
    sandbox.ctpipe(&["tag", "v1"]).expect(0);
    assert_eq!(json(&sandbox.ctpipe(&["tag", "--json"]).expect(0))["v1"], id.as_str());
    assert!(sandbox.ctpipe(&["history"]).expect(0).stdout.contains("[v1]"));
    assert!(sandbox.ctpipe(&["show", "v1"]).expect(0).stdout.contains(&id));
    sandbox.ctpipe(&["run", "--force"]).expect(0);
    for (arguments, problem) in [
        (&["tag", "v1"][..], "to move it, run \"ctpipe tag --delete v1\" first"),
        (&["tag", "../v2"], "cannot be a tag"),
        (&["tag", "latest"], "is already the name of a run"),
        (&["tag", "v2", "v11"], "did you mean \"v1\"?"),
        (&["tag", "--delete", "v11"], "did you mean \"v1\"?"),
        (&["tag", "--delete", "../../pipeline.yaml"], "there is no tag"),
    ] {
        let said = sandbox.ctpipe(arguments).expect(2);
        assert!(said.stderr.contains(problem), "{arguments:?}: {}", said.stderr);
    }
    sandbox.ctpipe(&["tag", "v1", &id]).expect(0);
    sandbox.ctpipe(&["tag", "--delete", "v1"]).expect(0);
    assert_eq!(sandbox.ctpipe(&["tag"]).expect(0).stdout, "");
}

#[test]
fn a_run_gets_no_tag_while_its_artifacts_may_be_collected_and_a_long_run_is_in_nobodys_way() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let open = |name: &str| {
        std::fs::File::options().write(true).create(true).truncate(false).open(sandbox.path(name))
    };
    // As a run in progress does.
    let run = open("artifacts/lock").unwrap();
    run.lock().unwrap();
    sandbox.ctpipe(&["tag", "meanwhile"]).expect(0);
    run.unlock().unwrap();
    // As a collection or a new tag does.
    let held = open("artifacts/tags.lock").unwrap();
    held.lock().unwrap();
    for command in [&["tag", "later"][..], &["tag", "--delete", "meanwhile"], &["gc", "--keep-runs", "1"]] {
        let mut child = sandbox.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "{command:?} did not wait");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    held.unlock().unwrap();
    sandbox.ctpipe(&["tag", "later"]).expect(0);
    sandbox.ctpipe(&["gc", "--keep-runs", "1"]).expect(0);
    assert_eq!(json(&sandbox.ctpipe(&["tag", "--json"]).expect(0)).as_object().unwrap().len(), 2);
}
