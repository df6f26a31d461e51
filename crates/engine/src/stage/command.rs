//! A stage of the user's own: a shell command, which gets its inputs and its output folder in
//! environment variables. To the rest of the engine it is a stage like any other.

use std::collections::{BTreeSet, VecDeque};
use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ctpipe_stage::{Level, Output, Param, Port, Stage, StageError, Task};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::sys::fault;

/// The parameter that holds the command.
pub(crate) const RUN: &str = "run";
/// The parameter that lists the files that the command has to write.
pub(crate) const OUTPUTS: &str = "outputs";

/// How often to check whether the command has ended or has to end.
const LOOK: Duration = Duration::from_millis(20);
/// The time between the request to end and the kill.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for output that a process outside the group may still hold open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many lines of standard error an error shows.
const LINES_SHOWN: usize = 20;

/// Starts a guard before the command: a process of its group that waits until the other end of its
/// standard input is closed, which happens when ctpipe ends in any way, and then kills the group.
/// The guard ignores the request to end, because the command may ignore it as well. The command
/// itself has no standard input.
const GUARDED: &str = "exec 3<&0 </dev/null; \
    (trap '' TERM; read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & \
    exec 3<&-; exec sh -c \"$1\"";

/// The stage.
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) folder: PathBuf,
    /// The inputs that the command gets in its environment; files named in its line are inputs as
    /// well.
    pub(crate) ports: BTreeSet<String>,
    pub(crate) outputs: Vec<String>,
}

/// The name of an environment variable.
pub(crate) fn variable(prefix: &str, name: &str) -> String {
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    prefix.chars().chain(name).collect()
}

/// The files below `folder` that a command names, except those that it writes to (`> file`).
pub(crate) fn files_named(folder: &Path, line: &str) -> BTreeSet<String> {
    let between = |c: char| c.is_whitespace() || "'\"`;|&()<>={}$,:".contains(c);
    let below = |word: &str| {
        let mut parts = Path::new(word).components();
        !word.is_empty() && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    };
    let mut files = BTreeSet::new();
    let mut before = String::new();
    for word in line.split_inclusive(between) {
        let (name, end) = match word.char_indices().next_back() {
            Some((at, last)) if between(last) => word.split_at(at),
            _ => (word, ""),
        };
        if !name.is_empty() {
            if below(name) && !before.contains('>') && folder.join(name).is_file() {
                files.insert(name.trim_start_matches("./").to_owned());
            }
            before.clear();
        }
        before.push_str(end);
    }
    files
}

impl Stage for Command {
    fn kind(&self) -> &'static str {
        RUN
    }
    fn version(&self) -> u32 {
        1
    }
    fn doc(&self) -> &'static str {
        "a command of your own"
    }
    fn ports(&self) -> &'static [Port] {
        &[]
    }
    fn params(&self) -> &'static [Param] {
        &[]
    }
    fn outputs(&self) -> &'static [Output] {
        &[]
    }
    fn cpus(&self) -> Option<u32> {
        Some(1)
    }
    fn in_process(&self) -> bool {
        false
    }
    fn promised(&self) -> Vec<String> {
        self.outputs.clone()
    }

    fn run(&self, task: &Task<'_>) -> Result<(), StageError> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(StageError::failed);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", GUARDED, "sh", &self.line]).env_clear();
        command.envs(
            ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        command.env("OUT", absolute(task.out())?);
        // Keeps the folders for as long as the command runs.
        let mut folders = Vec::new();
        for port in &self.ports {
            let path = if let Some(path) = task.optional_input(port) {
                absolute(path)?
            } else {
                let problem =
                    |e| StageError::failed(format!("cannot make a folder of links for {port}: {e}"));
                let folder = gather(task, port).map_err(problem)?;
                let path = absolute(folder.path())?;
                folders.push(folder);
                path
            };
            command.env(variable("IN_", port), path);
        }
        // It sees only the GPUs that belong to it while it runs.
        command.env("CUDA_VISIBLE_DEVICES", task.gpus().join(","));
        let own = task.raw_params().iter().filter(|(name, _)| ![RUN, OUTPUTS].contains(&name.as_str()));
        for (name, value) in own {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            command.env(variable("PARAM_", name), text);
        }
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        command.current_dir(folder).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = fault::point().and_then(|()| command.spawn());
        let child = child.map_err(|e| StageError::failed(format!("cannot start sh: {e}")))?;
        follow(task, child)
    }
}

/// A folder with a link to each input of a port, named by its label. It lies beside the output
/// folder: its path is in no key, and what a kill leaves of it is cleaned up.
fn gather(task: &Task<'_>, port: &str) -> io::Result<tempfile::TempDir> {
    fault::point()?;
    let folder = tempfile::Builder::new()
        .prefix("inputs-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(task.out().parent().unwrap_or(task.out()))?;
    for (label, path) in task.inputs_of(port) {
        symlink(std::path::absolute(path)?, folder.path().join(label))?;
    }
    Ok(folder)
}

/// A process group, killed on drop.
struct Group(Child);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
            // All of them may have ended already.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A line that the command wrote, and whether it is from standard error.
type Line = (bool, String);

fn follow(task: &Task<'_>, mut child: Child) -> Result<(), StageError> {
    let (lines, received) = channel();
    let streams = (child.stdout.take(), child.stderr.take());
    let mut group = Group(child);
    // The command is running.
    fault::point().map_err(StageError::failed)?;
    if let (Some(out), Some(err)) = streams {
        read(out, false, lines.clone());
        read(err, true, lines);
    }
    let mut shown = Shown { task, errors: VecDeque::new() };
    let mut asked: Option<Instant> = None;
    let status = loop {
        shown.until(&received, Instant::now() + LOOK);
        if let Some(status) = group.0.try_wait().map_err(StageError::failed)? {
            break status;
        }
        match asked {
            None if task.stopping() => {
                group.signal(Signal::TERM);
                asked = Some(Instant::now());
            }
            Some(asked) if asked.elapsed() > GRACE => group.signal(Signal::KILL),
            _ => {}
        }
    };
    // A process left in the background would write to an artifact that is being stored.
    drop(group);
    shown.until(&received, Instant::now() + LAST_WORDS);
    if asked.is_some() { Err(StageError::Interrupted) } else { shown.judge(status) }
}

/// Sends the lines of a stream from a thread of its own, which ends with the stream.
fn read(stream: impl Read + Send + 'static, is_error: bool, lines: Sender<Line>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if lines.send((is_error, text)).is_err() {
                return;
            }
            line.clear();
        }
    });
}

struct Shown<'a, 'b> {
    task: &'a Task<'b>,
    errors: VecDeque<String>,
}

impl Shown<'_, '_> {
    /// Shows the lines that arrive until `end`, or until the streams are closed.
    fn until(&mut self, lines: &Receiver<Line>, end: Instant) {
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((is_error, line)) => {
                    self.task.log(Level::Info, line.clone());
                    if is_error {
                        self.errors.push_back(line);
                        if self.errors.len() > LINES_SHOWN {
                            self.errors.pop_front();
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    thread::sleep(end.saturating_duration_since(Instant::now()).min(LOOK));
                    return;
                }
            }
        }
    }

    fn judge(&self, status: ExitStatus) -> Result<(), StageError> {
        if status.success() {
            return Ok(());
        }
        let mut text = format!("its command failed: {status}");
        for line in &self.errors {
            text.push_str("\n  ");
            text.push_str(line);
        }
        Err(StageError::failed(text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_a_command_names_are_found_and_those_that_it_writes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scripts")).unwrap();
        for file in ["scripts/a.py", "b.sh", "c d", "log", "x"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let named = |line: &str| files_named(folder.path(), line).into_iter().collect::<Vec<_>>();
        assert_eq!(named("python scripts/a.py --in=x;sh ./b.sh"), ["b.sh", "scripts/a.py", "x"]);
        assert_eq!(named("sh 'b.sh' <x > log 2>>log"), ["b.sh", "x"]);
        assert_eq!(named("echo >log && sh b.sh"), ["b.sh"]);
        for none in ["", "python scripts /etc/passwd ../x missing", "echo '/x' && ls"] {
            assert!(named(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn variables_are_upper_case_letters_and_digits() {
        assert_eq!(variable("IN_", "the-data.2"), "IN_THE_DATA_2");
    }
}
