//! Stages that run a user's command: its environment, the parts of it that belong to the key, and
//! that none of its processes outlives the run.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::{Sandbox, said};

const PIPELINE: &str = "\
stages:
  count:
    run: sh scripts/count.sh 'a  b'
    inputs: { the-data: data }
    outputs: [lines.txt]
    params: { mark: \"x y\", times: 2 }
  twice:
    run: cat \"$IN_COUNTED/lines.txt\" \"$IN_COUNTED/lines.txt\" > \"$OUT/twice.txt\"
    inputs: { counted: count }
    outputs: [twice.txt]
";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", PIPELINE);
    let script = "cat \"$IN_THE_DATA\"/* > $OUT/lines.txt\nenv | sort > env.txt\necho \"$1|$PARAM_MARK\"\n";
    sandbox.write("scripts/count.sh", script);
    sandbox.write("data/one", "1\n");
    sandbox
}

/// A pipeline with one command.
fn with(command: &str) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "pipeline.yaml",
        &format!("stages:\n  own:\n    run: |\n      {command}\n    outputs: [out]\n"),
    );
    sandbox
}

#[test]
fn a_command_finds_its_inputs_and_parameters_and_is_cached_like_any_stage() {
    let sandbox = sandbox();
    let run = || sandbox.ctpipe(&["run", "--json"]).expect(0);
    let first = run();
    assert_eq!(first.ran(), ["count", "twice"]);
    assert!(first.stdout.contains("a  b|x y"), "what it says is shown: {}", first.stdout);
    let read = |file: &str| fs::read_to_string(sandbox.path(&format!("artifacts/{file}"))).unwrap();
    assert_eq!(read("twice/twice.txt"), "1\n1\n");
    let env = fs::read_to_string(sandbox.path("env.txt")).unwrap();
    let names: Vec<&str> = env.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let allowed = [
        "CUDA_VISIBLE_DEVICES",
        "HOME",
        "IN_THE_DATA",
        "LANG",
        "OUT",
        "PARAM_MARK",
        "PARAM_TIMES",
        "PATH",
        "PWD",
        "SHLVL",
        "OLDPWD",
        "_",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    assert!(env.contains("PARAM_TIMES=2\n") && names.contains(&"OUT"), "{env}");
    assert!(run().ran().is_empty());

    sandbox.write("data/two", "2\n");
    assert_eq!(run().ran(), ["count", "twice"]);
    assert_eq!(read("twice/twice.txt"), "1\n2\n1\n2\n");
    // The script of the command is one of its inputs. The stage is fresh after a second run because
    // the output is the same.
    let script = fs::read_to_string(sandbox.path("scripts/count.sh")).unwrap();
    sandbox.write("scripts/count.sh", &format!("{script}# more\n"));
    let why = sandbox.ctpipe(&["why", "count"]).expect(0);
    assert!(why.stdout.contains("input scripts/count.sh changed"), "{}", why.stdout);
    assert_eq!(run().ran(), ["count"]);
    let why = sandbox.ctpipe(&["why", "count", "--set", "count.mark=z"]).expect(0);
    assert!(why.stdout.contains("mark changed from \"x y\" to \"z\""), "{}", why.stdout);
    sandbox.write("pipeline.yaml", &PIPELINE.replace("'a  b'", "c"));
    let why = sandbox.ctpipe(&["why", "count"]).expect(0);
    assert!(why.stdout.contains("run changed from"), "{}", why.stdout);
}

#[test]
fn a_command_that_fails_says_why_and_leaves_what_was_there() {
    let sandbox = with("echo before; echo 'no such scanner' >&2; touch $OUT/out; exit 7");
    let said = sandbox.ctpipe(&["run"]).expect(1);
    let expected = "its command failed: exit status: 7\n  no such scanner";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    assert!(!sandbox.path("artifacts/own").exists());
    assert_eq!(fs::read_dir(sandbox.path("artifacts/tmp")).map_or(0, Iterator::count), 0);

    let said = with("touch $OUT/other").ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("it did not write out, which its `outputs` declare"), "{}", said.stderr);
    let said = with("echo x > file; ln -s $PWD/file $OUT/out").ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("its output out is a link; outputs must be files"), "{}", said.stderr);
    // A command has no standard input, so a prompt gets no answer.
    with("cat > $OUT/out").ctpipe(&["run"]).expect(0);
}

#[test]
fn what_is_written_wrongly_is_told_with_its_place() {
    let refused = |stage: &str, expected: &str| {
        let sandbox = Sandbox::empty();
        sandbox.write("pipeline.yaml", &format!("stages:\n  own: {stage}\n"));
        let said = sandbox.ctpipe(&["run"]).expect(2);
        assert!(said.stderr.contains(expected), "expected {expected:?} in:\n{}", said.stderr);
        assert!(!sandbox.path("artifacts/own").exists());
    };
    refused("{ run: [a, b] }", "pipeline.yaml:2:15: \"run\" must be a shell command, found a list");
    refused("{ run: x, uses: train }", "keep one");
    refused("{ run: x, outputs: [../out] }", "an output is a path below $OUT, such as summary.csv");
    refused("{ run: x, outputs: [/out] }", "an output is a path below $OUT");
    refused("{ run: x, outputs: [a, a] }", "output \"a\" is given twice");
    refused("{ uses: train, outputs: [a] }", "those of a built-in stage are fixed");
    refused(
        "{ run: x, params: { a: [1] } }",
        "a parameter of a command is a text, a number, or true or false",
    );
    refused(
        "{ run: x, params: { a-b: 1, a_b: 2 } }",
        "parameters a-b and a_b would become the same variable",
    );
    refused("{ run: x, params: { run: 1 } }", "a parameter of a command cannot be called run");
    refused("{ run: x, inputs: { a: own } }", "the stages depend on each other in a cycle: own -> own");
    refused("{ run: x, inputs: { a: missing.txt } }", "missing.txt");
    for (name, expected) in [
        ("tags", "artifacts/tags has another use"),
        ("store", "has another use"),
        ("all", "means every stage"),
    ] {
        let sandbox = Sandbox::empty();
        sandbox.write("pipeline.yaml", &format!("stages:\n  {name}: {{ run: x }}\n"));
        let said = sandbox.ctpipe(&["run"]).expect(2);
        assert!(said.stderr.contains(expected), "expected {expected:?} in:\n{}", said.stderr);
    }
}

#[test]
fn a_stage_is_tried_again_and_its_time_is_bounded() {
    let sandbox = Sandbox::empty();
    let pipeline = |more: &str| {
        let run = "echo x >> $PWD/tries; test $(wc -l < $PWD/tries) = 3 && touch $OUT/out";
        sandbox
            .write("pipeline.yaml", &format!("stages:\n  own:\n    run: {run}\n    outputs: [out]\n{more}"));
    };
    pipeline("    retries: 1\n");
    let said = sandbox.ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("exit status: 1; attempt 2 of 2 follows in 1s"), "{}", said.stderr);
    assert_eq!(said.stderr.matches("follows in").count(), 1);
    // The number of attempts is not part of the key.
    pipeline("    retries: 2\n    timeout: 1h\n");
    let said = sandbox.ctpipe(&["run"]).expect(0);
    assert!(!said.stderr.contains("follows in"), "the third attempt succeeds: {}", said.stderr);
    pipeline("");
    assert!(sandbox.ctpipe(&["run", "--json"]).expect(0).ran().is_empty());

    sandbox.write(
        "pipeline.yaml",
        "stages:\n  own:\n    run: sleep 600 & echo $! > pid; wait\n    timeout: 1s\n",
    );
    let said = sandbox.ctpipe(&["run"]).expect(1);
    assert!(said.stderr.contains("it was stopped after its timeout of 1s"), "{}", said.stderr);
    let pid = fs::read_to_string(sandbox.path("pid")).unwrap();
    until("what has run too long ends", || !lives(pid.trim()));

    let refused = |line: &str, expected: &str| {
        sandbox.write("pipeline.yaml", &format!("stages:\n  own:\n    run: x\n    {line}\n"));
        let said = sandbox.ctpipe(&["run"]).expect(2);
        assert!(said.stderr.contains(expected), "expected {expected:?} in:\n{}", said.stderr);
    };
    refused("timeout: 90", "pipeline.yaml:4:14: timeout must be a time such as 90s, 15m or 2h, found 90");
    refused("retries: -1", "pipeline.yaml:4:14: retries must be a whole number from 0 to 100, found -1");
}

/// A pipeline with these stages; each runs its script before it writes its output.
fn side_by_side(stages: &[(&str, &str, &str)]) -> Sandbox {
    let sandbox = Sandbox::empty();
    let stage = |(name, more, run): &(&str, &str, &str)| {
        format!(
            "  {name}:\n    run: {run}; touch $OUT/{name}\n    outputs: [{name}]\n    timeout: 20s\n{more}"
        )
    };
    let stages: String = stages.iter().map(stage).collect();
    sandbox.write("pipeline.yaml", &format!("stages:\n{stages}"));
    sandbox
}

#[test]
fn independent_stages_run_side_by_side() {
    // Each stage waits for the other.
    let wait =
        |own: &str, other: &str| format!("touch $PWD/{own}; until test -e $PWD/{other}; do sleep 0.02; done");
    let (a, b) = (wait("one", "two"), wait("two", "one"));
    let sandbox =
        side_by_side(&[("a", "", &a), ("b", "", &b), ("last", "    inputs: { a: a, b: b }\n", "true")]);
    let said = sandbox.ctpipe(&["run", "--json", "--jobs", "2"]).expect(0);
    assert_eq!(said.ran(), ["a", "b", "last"]);
    let order: Vec<_> =
        said.events().iter().filter(|e| e["event"] == "stage_finished").map(|e| e["stage"].clone()).collect();
    assert_eq!(order[2], "last");
}

#[test]
fn stages_that_do_not_fit_side_by_side_run_one_after_the_other() {
    let alone = "mkdir $PWD/alone && sleep 0.3 && rmdir $PWD/alone";
    for (more, jobs) in [
        ("    gpus: 1\n", "9"),
        ("    cpus: 4000000000\n", "9"),
        ("    memory: 900000000GB\n", "9"),
        ("", "1"),
    ] {
        let sandbox = side_by_side(&[("a", more, alone), ("b", more, alone), ("c", more, alone)]);
        said(sandbox.command(&["run", "--jobs", jobs]).env("CUDA_VISIBLE_DEVICES", "3")).expect(0);
    }
    // The resources of stages are not part of the key.
    let sandbox = side_by_side(&[("a", "    cpus: 1\n", "true")]);
    sandbox.ctpipe(&["run"]).expect(0);
    let text = fs::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    sandbox.write("pipeline.yaml", &text.replace("cpus: 1", "memory: 1GB"));
    assert!(sandbox.ctpipe(&["run", "--json"]).expect(0).ran().is_empty());
}

#[test]
fn a_command_sees_the_gpus_that_are_its_own_and_no_others() {
    let show = "echo \"$CUDA_VISIBLE_DEVICES\" > $PWD/$PARAM_NAME";
    // Each GPU runs its stage at the same time.
    let wait = |own: &str, other: &str| {
        format!("{show}; until test -e $PWD/{other}; do sleep 0.02; done; cp $PWD/{own} $OUT/")
    };
    let one = |name: &str| format!("    gpus: 1\n    params: {{ name: {name} }}\n");
    let (a, b, c) = (one("first"), one("second"), "    params: { name: none }\n");
    let (wait_a, wait_b) = (wait("first", "second"), wait("second", "first"));
    let sandbox = side_by_side(&[("a", &a, &wait_a), ("b", &b, &wait_b), ("c", c, show)]);
    said(sandbox.command(&["run", "--jobs", "3"]).env("CUDA_VISIBLE_DEVICES", "4,7")).expect(0);
    let read = |file: &str| fs::read_to_string(sandbox.path(file)).unwrap().trim().to_owned();
    let mut seen = [read("first"), read("second")];
    seen.sort();
    assert_eq!((seen, read("none")), (["4".to_owned(), "7".to_owned()], String::new()));
}

#[test]
fn a_stage_that_fails_does_not_cost_the_one_beside_it() {
    let a = "until test -e $PWD/started; do sleep 0.02; done; false";
    let b = "touch $PWD/started; sleep 0.5";
    let stages = [("a", "", "set -e; "), ("b", "", b), ("c", "    inputs: { b: b }\n", "true")];
    let a = format!("{}{a}", stages[0].2);
    let sandbox = side_by_side(&[("a", "", &a), stages[1], stages[2]]);
    let said = sandbox.ctpipe(&["run", "--json", "--jobs", "2"]).expect(1);
    assert_eq!(said.ran(), ["b"], "what was begun is kept, nothing more is begun");
    let said = sandbox.ctpipe(&["run", "--json", "--jobs", "2", "--keep-going"]).expect(1);
    assert_eq!(said.ran(), ["c"]);
}

#[test]
fn what_a_later_ctpipe_has_made_is_not_replaced() {
    let sandbox = sandbox();
    sandbox.ctpipe(&["run"]).expect(0);
    let manifest = sandbox.path("artifacts/twice/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let later =
        text.replace("\"format\": 2", "\"format\": 99").replace("\"checksum\": \"", "\"checksum\": \"0");
    assert_ne!(text, later);
    sandbox.write("artifacts/twice/manifest.json", &later);
    sandbox.write("data/one", "other\n");
    for arguments in [&["run"][..], &["status"], &["run", "--dry-run"]] {
        let said = sandbox.ctpipe(arguments).expect(2);
        let expected = "was written by a later ctpipe (form 99; this one reads up to 2); use that version";
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    assert_eq!(fs::read_to_string(&manifest).unwrap(), later);
    assert_eq!(fs::read_to_string(sandbox.path("artifacts/count/lines.txt")).unwrap(), "1\n");
}

/// Waits until the condition holds.
fn until(what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        sleep(Duration::from_millis(20));
    }
}

/// Whether a process with this number runs.
fn lives(pid: &str) -> bool {
    // A zombie, which only waits for its exit code to be read, does not count.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn what_a_command_starts_ends_with_it_and_with_ctpipe() {
    // Each command starts a process in the background and writes its number.
    let background = "sleep 600 & echo $! > pid";
    let pid =
        |sandbox: &Sandbox| fs::read_to_string(sandbox.path("pid")).unwrap_or_default().trim().to_owned();

    let ended = with(&format!("{background}; touch $OUT/out"));
    ended.ctpipe(&["run"]).expect(0);
    until("the background process of a finished command ends", || !lives(&pid(&ended)));

    for (signal, code) in [("-INT", Some(130)), ("-KILL", None)] {
        let sandbox = with(&format!("{background}; wait"));
        let mut command = sandbox.command(&["run"]);
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        until("the command starts", || !pid(&sandbox).is_empty());
        assert!(lives(&pid(&sandbox)));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), code);
        until("a command does not outlive ctpipe", || !lives(&pid(&sandbox)));
        assert!(!sandbox.path("artifacts/own").exists());
    }

    // On SIGTERM a command may clean up; a second signal does not wait for it.
    let stubborn =
        with("echo $$ > pid; trap 'touch asked' TERM; touch ready; while true; do sleep 0.05; done");
    let mut child = stubborn.command(&["run"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let signal = |child: &std::process::Child| {
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    };
    until("the command starts", || stubborn.path("ready").exists());
    signal(&child);
    until("the command is asked to end", || stubborn.path("asked").exists());
    assert!(child.try_wait().unwrap().is_none(), "it is given time");
    signal(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    until("nor does one that does not listen", || !lives(&pid(&stubborn)));
}
