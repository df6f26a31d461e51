//! Unattended nights: runs what the timer and the crontab run, in the same way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Said, Sandbox, copy_tree, said};

/// `whole` reads `part`, which copies a file. Both can be made to fail or to take long.
const PIPELINE: &str = "\
stages:
  part: { run: 'test ! -e $PWD/broken && cat \"$IN_TEXT\" > $OUT/out', inputs: { text: text.txt }, outputs: [out] }
  other: { run: 'echo other > $OUT/out', outputs: [out] }
  whole: { run: 'cat $IN_PART/out $IN_OTHER/out > $OUT/out', inputs: { part: part, other: other }, outputs: [out] }
";

fn project() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("pipeline.yaml", PIPELINE);
    sandbox.write("text.txt", "one\n");
    copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"), &sandbox.path("deploy"));
    sandbox
}

/// The settings of a unit, with its project and program replaced by those of the test.
fn unit(sandbox: &Sandbox, name: &str) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(sandbox.path("deploy").join(name)).unwrap();
    let root = sandbox.path("");
    let text = text
        .replace("/srv/ctpipe", root.to_str().unwrap().trim_end_matches('/'))
        .replace("/usr/local/bin/ctpipe", env!("CARGO_BIN_EXE_ctpipe"));
    let mut settings: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|l| l.split_once('='))
    {
        settings.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    settings
}

/// Runs the command of the service, in the folder and with the small environment that systemd sets.
fn night(sandbox: &Sandbox) -> Command {
    let service = unit(sandbox, "ctpipe.service");
    let only = |name: &str| service[name].first().unwrap().clone();
    let mut words = service["ExecStart"].first().unwrap().split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).current_dir(only("WorkingDirectory")).stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for setting in &service["Environment"] {
        let (name, value) = setting.split_once('=').unwrap();
        command.env(name, value);
    }
    command
}

/// The stages that the last night ran, from the log of all nights.
fn ran(sandbox: &Sandbox) -> Vec<String> {
    let log = fs::read_to_string(sandbox.path("artifacts/nightly.jsonl")).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let begin = events.iter().rposition(|event| event["event"] == "run_started").unwrap();
    let started = events[begin..].iter().filter(|event| event["event"] == "stage_started");
    let mut stages: Vec<String> = started.map(|event| event["stage"].as_str().unwrap().to_owned()).collect();
    stages.sort();
    stages
}

fn runs(sandbox: &Sandbox) -> usize {
    let said = sandbox.ctpipe(&["history", "--json", "-n", "100"]).expect(0);
    serde_json::from_str::<Value>(&said.stdout).unwrap().as_array().unwrap().len()
}

/// Whether systemd accepts this exit code as a success.
fn is_success(sandbox: &Sandbox, code: i32) -> bool {
    let service = unit(sandbox, "ctpipe.service");
    code == 0 || service["SuccessExitStatus"].iter().flat_map(|c| c.split(' ')).any(|c| c == code.to_string())
}

#[test]
fn what_the_timer_runs_brings_up_to_date_what_changed_since_the_last_night_and_collects() {
    let sandbox = project();
    assert!(unit(&sandbox, "ctpipe.timer").contains_key("OnCalendar"));
    said(&mut night(&sandbox)).expect(0);
    assert_eq!(ran(&sandbox), ["other", "part", "whole"]);
    // The second night follows a change: it runs the stages that read it, and nothing else.
    sandbox.write("text.txt", "two\n");
    said(&mut night(&sandbox)).expect(0);
    assert_eq!(ran(&sandbox), ["part", "whole"]);
    assert_eq!(fs::read_to_string(sandbox.path("artifacts/whole/out")).unwrap(), "two\nother\n");
    // The third night follows no change.
    let third = said(&mut night(&sandbox)).expect(0);
    assert!(ran(&sandbox).is_empty());
    assert!(third.stdout.contains("freed"), "what was collected is told: {}", third.stdout);
    // One artifact per stage and one record are left, those of the last run.
    said(night(&sandbox).env("KEEP_RUNS", "1")).expect(0);
    let artifacts = fs::read_dir(sandbox.path("artifacts/store/part")).unwrap().count();
    assert_eq!((artifacts, runs(&sandbox)), (1, 1));
    sandbox.ctpipe(&["audit"]).expect(0);
}

#[test]
fn a_night_that_fails_says_so_collects_nothing_and_is_followed_by_one_that_mends_it() {
    let sandbox = project();
    said(&mut night(&sandbox)).expect(0);
    sandbox.write("text.txt", "two\n");
    sandbox.write("broken", "");
    let failed = said(night(&sandbox).env("KEEP_RUNS", "1")).expect(1);
    assert!(failed.stderr.contains("stage part failed"), "{}", failed.stderr);
    assert!(!failed.stdout.contains("freed") && runs(&sandbox) == 2, "{}", failed.stdout);
    assert_eq!(fs::read_to_string(sandbox.path("artifacts/whole/out")).unwrap(), "one\nother\n");
    // systemd reports the failure, and also a gate that failed.
    assert!(!is_success(&sandbox, 1) && !is_success(&sandbox, 5));
    let told = &unit(&sandbox, "ctpipe.service")["OnFailure"];
    assert_eq!(*told, ["ctpipe-failed@%n.service"]);
    assert!(unit(&sandbox, "ctpipe-failed@.service").contains_key("ExecStart"));
    fs::remove_file(sandbox.path("broken")).unwrap();
    said(&mut night(&sandbox)).expect(0);
    assert_eq!(ran(&sandbox), ["part", "whole"]);
}

#[test]
fn a_night_that_finds_another_run_at_work_leaves_it_alone_and_is_no_failure() {
    let sandbox = project();
    said(&mut night(&sandbox)).expect(0);
    let lock = fs::File::options().write(true).open(sandbox.path("artifacts/lock")).unwrap();
    lock.lock().unwrap();
    let other = said(&mut night(&sandbox)).expect(75);
    assert!(other.stderr.contains("another run is in progress"), "{}", other.stderr);
    assert!(is_success(&sandbox, other.code));
    lock.unlock().unwrap();
    said(&mut night(&sandbox)).expect(0);
}

#[test]
fn a_night_that_is_stopped_waits_for_ctpipe_to_end_and_the_next_one_goes_on() {
    let sandbox = project();
    sandbox
        .write("pipeline.yaml", "stages:\n  slow: { run: 'echo > begun; test -e $PWD/quick || sleep 60' }\n");
    let child = night(&sandbox).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !sandbox.path("begun").exists() && started.elapsed() < Duration::from_mins(1) {
        sleep(Duration::from_millis(20));
    }
    // The signal goes to the script only, as with KillMode=mixed.
    assert_eq!(unit(&sandbox, "ctpipe.service")["KillMode"], ["mixed"]);
    said(Command::new("kill").args(["-TERM", &child.id().to_string()])).expect(0);
    let code = child.wait_with_output().unwrap().status.code().unwrap();
    assert_eq!(code, 130);
    assert!(is_success(&sandbox, code));
    // ctpipe had the time to close its record.
    let shown: Value =
        serde_json::from_str(&sandbox.ctpipe(&["show", "latest", "--json"]).expect(0).stdout).unwrap();
    assert_eq!(shown["exit_code"], 130);
    sandbox.write("quick", "");
    said(&mut night(&sandbox)).expect(0);
}

#[test]
fn the_crontab_runs_the_same() {
    let sandbox = project();
    let text = fs::read_to_string(sandbox.path("deploy/crontab")).unwrap();
    let root = sandbox.path("");
    let text = text
        .replace("/srv/ctpipe", root.to_str().unwrap().trim_end_matches('/'))
        .replace("/usr/local/bin/ctpipe", env!("CARGO_BIN_EXE_ctpipe"));
    // As cron does: with sh, in the user's home, with an almost empty environment.
    let mut cron = Command::new("/bin/sh");
    cron.env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh")
        .current_dir("/")
        .stdin(Stdio::null());
    let mut line = None;
    for entry in text.lines().filter(|line| !line.starts_with('#')) {
        match entry.split_once('=') {
            Some((name, value)) if !name.contains(' ') => {
                cron.env(name, value);
            }
            _ => line = Some(entry),
        }
    }
    let mut fields = line.unwrap().splitn(6, ' ');
    let times: Vec<&str> = fields.by_ref().take(5).collect();
    assert!(times.iter().all(|time| *time == "*" || time.parse::<u8>().is_ok()), "{times:?}");
    let command = fields.next().unwrap();
    let Said { stdout, stderr, .. } = said(cron.args(["-c", command])).expect(0);
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""), "a night that went well is no mail");
    assert_eq!(ran(&sandbox), ["other", "part", "whole"]);
}
