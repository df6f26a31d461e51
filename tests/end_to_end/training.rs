//! Training through the command line: killed, stopped, damaged, watched, and configured wrongly.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::{Sandbox, files_below, said};

/// A small and long training, with a checkpoint after (nearly) every step.
const LONG: [&str; 12] = [
    "run",
    "--to",
    "train",
    "--set",
    "preprocess.size=16",
    "--set",
    "train.epochs=60",
    "--set",
    "train.ema_decay=0.9",
    "--set",
    "train.checkpoint_minutes=0.00001",
    "--json",
];

/// All stages before train are done, and no training with these parameters has run.
fn prepared() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ctpipe(&["run", "--to", "split", "--set", "preprocess.size=16"]).expect(0);
    sandbox
}

/// The result of an undisturbed training.
fn undisturbed() -> String {
    let sandbox = prepared();
    sandbox.ctpipe(&LONG).expect(0);
    sandbox.manifest("train")["content"].as_str().expect("a digest").to_owned()
}

fn started(sandbox: &Sandbox) -> Child {
    sandbox.command(&LONG).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// The records of checkpoints, newest last.
fn checkpoints(sandbox: &Sandbox) -> Vec<PathBuf> {
    let work = sandbox.path("artifacts/work");
    let all = if work.exists() { files_below(&work) } else { Vec::new() };
    all.into_iter().filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

/// Waits until the training has written this many checkpoints, or has ended.
fn wait_for_checkpoints(sandbox: &Sandbox, child: &mut Child, count: usize) {
    let began = Instant::now();
    while checkpoints(sandbox).len() < count && began.elapsed() < Duration::from_mins(1) {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before its checkpoint");
        sleep(Duration::from_millis(1));
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill").success());
}

/// A training that a signal stopped after this many checkpoints.
fn interrupted(name: &str, count: usize) -> Sandbox {
    let sandbox = prepared();
    let mut child = started(&sandbox);
    wait_for_checkpoints(&sandbox, &mut child, count);
    signal(&child, name);
    assert_eq!(child.wait().expect("a child").code(), Some(130));
    sandbox
}

/// The lines of train in a run with `--json`.
fn lines(sandbox: &Sandbox, code: i32) -> Vec<String> {
    let events = sandbox.ctpipe(&LONG).expect(code).events();
    let said = events.into_iter().filter(|event| event["event"] == "log" && event["stage"] == "train");
    said.map(|event| event["text"].as_str().expect("a text").to_owned()).collect()
}

fn content(sandbox: &Sandbox) -> String {
    sandbox.manifest("train")["content"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_training_that_is_killed_at_random_steps_ends_in_the_same_bits() {
    let expected = undisturbed();
    let sandbox = prepared();
    let mut survived = 0;
    for round in 0..200_u64 {
        let mut child = started(&sandbox);
        // The first checkpoint ensures progress in every round; then comes an irregular delay.
        let before = checkpoints(&sandbox);
        let began = Instant::now();
        while checkpoints(&sandbox) == before && began.elapsed() < Duration::from_mins(1) {
            if child.try_wait().expect("a child").is_some() {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_micros(round * 7919 % 60_000));
        let ended = child.try_wait().expect("a child");
        if ended.is_none() {
            child.kill().expect("kill");
        }
        if child.wait().expect("a child").success() {
            break;
        }
        survived += 1;
    }
    assert!(survived >= 3, "it was killed {survived} times only");
    sandbox.ctpipe(&LONG).expect(0);
    assert_eq!(content(&sandbox), expected);
    assert!(!sandbox.path("artifacts/work/train").exists(), "nothing is left of the work");
}

#[test]
fn sigterm_writes_a_checkpoint_first_and_the_next_run_goes_on_from_that_step() {
    let sandbox = prepared();
    let mut child = started(&sandbox);
    wait_for_checkpoints(&sandbox, &mut child, 1);
    let before = checkpoints(&sandbox).pop();
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("a child").code(), Some(130));
    let stopped = checkpoints(&sandbox).pop();
    assert!(stopped > before, "{stopped:?} {before:?}");
    let text = fs::read_to_string(stopped.expect("a checkpoint")).expect("a record");
    let course: serde_json::Value =
        serde_json::from_str(text.lines().nth(1).expect("two lines")).expect("JSON");
    let (epoch, step) = (&course["course"]["epoch"], &course["course"]["step"]);
    let lines = lines(&sandbox, 0);
    let expected = format!("continues from a checkpoint: epoch {epoch}, after step {step} of ");
    assert!(lines.iter().any(|line| line.starts_with(&expected)), "{expected} in {lines:?}");
    assert_eq!(content(&sandbox), undisturbed());
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() {
    let sandbox = interrupted("-INT", 2);
    let newest = checkpoints(&sandbox).pop().expect("a checkpoint");
    let tensors = newest.with_extension("safetensors");
    let mut bytes = fs::read(&tensors).expect("its tensors");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&tensors, bytes).expect("written");
    let lines = lines(&sandbox, 0);
    let name = newest.file_name().expect("a name").to_string_lossy().into_owned();
    let said = |what: &[&str]| lines.iter().any(|line| what.iter().all(|what| line.contains(what)));
    assert!(said(&[&name, "is not used", "is damaged"]), "{lines:?}");
    assert!(said(&["continues from a checkpoint"]), "{lines:?}");
    assert_eq!(content(&sandbox), undisturbed());
}

#[test]
fn force_begins_anew_and_a_training_leaves_what_tensorboard_reads() {
    let sandbox = interrupted("-TERM", 1);
    let mut forced = LONG.to_vec();
    forced.extend(["--force", "--from", "train"]);
    let events = sandbox.ctpipe(&forced).expect(0).events();
    assert!(!events.iter().any(|event| event["text"].as_str().is_some_and(|text| text.contains("goes on"))));
    let key = sandbox.manifest("train")["key_hash"].as_str().expect("a key").to_owned();
    let live = sandbox.path("artifacts/live/train").join(&key[..12]);
    // The files of the interrupted training are removed together with its checkpoint.
    let files = files_below(&live);
    let names: Vec<String> =
        files.iter().map(|file| file.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    assert!(names.len() == 1 && names[0].starts_with("events.out.tfevents."), "{names:?}");
    assert!(fs::metadata(&files[0]).expect("a file").len() > 1000);
    assert_eq!(content(&sandbox), undisturbed());
}

#[test]
fn a_forced_training_that_was_interrupted_goes_on_when_it_is_forced_again() {
    let sandbox = prepared();
    sandbox.ctpipe(&LONG).expect(0);
    let mut forced = LONG.to_vec();
    forced.extend(["--force", "--from", "train"]);
    let command = || sandbox.command(&forced);
    let mut child = command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    wait_for_checkpoints(&sandbox, &mut child, 1);
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("a child").code(), Some(130));
    // Without the flag, there is nothing to do.
    assert!(sandbox.ctpipe(&LONG).expect(0).ran().is_empty());
    let run = said(&mut command()).expect(0);
    assert!(run.stdout.contains("continues from a checkpoint"), "{}", run.stdout);
    assert_eq!(run.outcomes()["train"], "identical");
    assert!(!sandbox.path("artifacts/work/train").exists());
}

/// Files that block the folders of unfinished work and of the training logs.
#[test]
fn what_cannot_be_watched_or_kept_is_said_and_stops_nothing() {
    let sandbox = prepared();
    for folder in ["artifacts/live", "artifacts/work"] {
        let _ = fs::remove_dir_all(sandbox.path(folder));
        sandbox.write(folder, "in the way");
    }
    let run = sandbox.ctpipe(&LONG[..5]).expect(0);
    assert!(run.stderr.contains("no TensorBoard files can be written"), "{}", run.stderr);
    assert!(run.stderr.contains("there will be no checkpoints"), "{}", run.stderr);
}

#[test]
fn a_checkpoint_starts_another_training() {
    let sandbox = interrupted("-TERM", 1);
    let tensors = checkpoints(&sandbox).pop().expect("a checkpoint").with_extension("safetensors");
    fs::copy(tensors, sandbox.path("start.safetensors")).expect("copied");
    let mut arguments = LONG[..5].to_vec();
    arguments.extend(["--set", "train.init_from=start.safetensors"]);
    sandbox.ctpipe(&arguments).expect(0);
    // The error names what the network lacks and what it does not have.
    arguments.extend(["--set", "train.residual=false"]);
    let run = sandbox.ctpipe(&arguments).expect(2);
    assert!(
        run.stderr.contains("skip.0.") && run.stderr.contains("this network does not have"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_loss_that_is_no_number_stops_with_its_series_and_what_to_try() {
    let sandbox = prepared();
    let mut arguments = LONG[..5].to_vec();
    for set in ["optimizer=sgd", "lr=10", "weight_decay=10", "schedule=constant", "epochs=100"] {
        arguments.extend(["--set".to_owned(), format!("train.{set}")].map(|text| &*text.leak()));
    }
    let run = sandbox.ctpipe(&arguments).expect(1);
    for expected in ["in epoch ", "step ", "the last finite loss was", "lr than 10", "clip_norm=1"] {
        assert!(run.stderr.contains(expected), "{expected} in {}", run.stderr);
    }
    let labels = fs::read_to_string(sandbox.path("data/training_data.csv")).expect("labels");
    let named = labels.lines().skip(1).filter_map(|line| line.split(',').nth(1));
    assert!(named.into_iter().any(|series| run.stderr.contains(series)), "{}", run.stderr);
    assert!(!sandbox.path("artifacts/train").exists());
}

#[test]
fn memory_that_is_not_there_is_missed_before_the_training_and_not_in_it() {
    let sandbox = prepared();
    let run = sandbox
        .ctpipe(&["run", "--to", "train", "--set", "train.width=512", "--set", "train.hidden_size=65536"])
        .expect(1);
    assert!(run.stderr.contains("are free; not even one volume fits"), "{}", run.stderr);
    // As on a cluster that limits the memory of a job.
    let limited = |batch: &str| {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_ctpipe");
        let sets =
            "--set preprocess.size=64 --set train.width=128 --set train.hidden_size=2 --set train.epochs=1";
        let line =
            format!("ulimit -v 1300000; exec {program} run --to train {sets} --set train.batch_size={batch}");
        said(command.args(["-c", &line]).current_dir(sandbox.path(".")))
    };
    let run = limited("8").expect(1);
    assert!(run.stderr.contains("batch_size 8 needs about"), "{}", run.stderr);
    assert!(run.stderr.contains("batch_size 4 with accumulate 2 makes steps of 8 volumes"), "{}", run.stderr);
}

#[test]
fn mistakes_in_parameters_of_training_are_told_before_anything_runs() {
    let sandbox = Sandbox::new();
    for (set, expected) in [
        ("width=0", "width must be a whole number from 1 to 512 (channels), found 0"),
        (
            "optimizer=adamm",
            "optimizer must be one of: adam, adamw, sgd, found \"adamm\" (did you mean \"adam\"?)",
        ),
        ("schedule=cosin", "did you mean \"cosine\"?"),
        ("arch=resnet", "arch must be one of: cnn3d, cnn3d_gap, found \"resnet\""),
        ("noise_probability=2", "noise_probability must be a number from 0 to 1"),
        ("learning_rate=1", "learning_rate"),
        ("device=cuda", "no CUDA device"),
        ("device=gpu", "expected auto, cpu, cuda or cuda:N"),
    ] {
        let run = sandbox.ctpipe(&["run", "--set", &format!("train.{set}")]).expect(2);
        assert!(run.stderr.contains(expected), "{set}: {}", run.stderr);
    }
    assert!(!sandbox.path("artifacts/store").exists());
}

#[test]
fn an_address_of_a_tracking_server_is_checked_before_anything_runs_and_holds_no_secret() {
    let sandbox = Sandbox::new();
    for (uri, expected) in [
        ("127.0.0.1:5000", "tracking_uri must begin with http:// or https://"),
        ("https://me:secret@example.org", "MLFLOW_TRACKING_PASSWORD in the environment"),
    ] {
        let uri = format!("train.tracking_uri={uri}");
        let run = sandbox.ctpipe(&["run", "--set", "train.tracking=mlflow", "--set", &uri]).expect(2);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert!(!run.stderr.contains("me:secret@"), "{}", run.stderr);
    }
}

/// A listener that accepts connections and never answers.
#[test]
fn a_tracking_server_that_hangs_stops_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    let sandbox = prepared();
    let mut arguments = LONG[..5].to_vec();
    let uri = format!("train.tracking_uri={address}");
    arguments.extend(["--set", "train.tracking=mlflow", "--set", &uri]);
    let run = sandbox.ctpipe(&arguments).expect(0);
    assert!(run.stderr.contains(&format!("MLflow at {address}: timeout")), "{}", run.stderr);
    drop(listener);
}

/// The server is a port without a listener.
#[test]
fn a_tracking_server_that_is_down_stops_nothing() {
    let sandbox = prepared();
    let mut arguments =
        vec!["run", "--to", "train", "--set", "preprocess.size=16", "--set", "train.tracking=mlflow"];
    arguments.extend(["--set", "train.tracking_uri=http://127.0.0.1:9"]);
    let run = sandbox.ctpipe(&arguments).expect(0);
    assert!(run.stderr.contains("MLflow at http://127.0.0.1:9"), "{}", run.stderr);
    assert!(run.stderr.contains("metrics were not sent"), "{}", run.stderr);
    // A training that is repeated for an audit does not report to a server.
    let again = ["audit", "--rerun"].into_iter().chain(arguments[2..].iter().copied());
    let audit = sandbox.ctpipe(&again.collect::<Vec<_>>()).expect(0);
    assert!(audit.stdout.contains("train run again: the same bytes"), "{}", audit.stdout);
    assert!(!audit.stderr.contains("MLflow"), "{}", audit.stderr);
    let told = content(&sandbox);
    // The tracking server is not part of the result.
    assert!(
        sandbox
            .ctpipe(&["run", "--json", "--to", "train", "--set", "preprocess.size=16"])
            .expect(0)
            .ran()
            .is_empty()
    );
    assert_eq!(content(&sandbox), told);
    let model =
        fs::read_to_string(Path::new(&sandbox.path("artifacts/train/model.json"))).expect("the model");
    assert!(!model.contains("tracking") && !model.contains("127.0.0.1"));
}
