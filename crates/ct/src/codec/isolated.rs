//! Runs decoders that could end the process (translated C, or much memory for few bytes) in a child
//! process with limited memory and time. Whatever happens in the child costs one frame.
//!
//! A request consists of [`HEAD`] bytes (codec, rows, columns, bits, signed, length) and the coded
//! frame. An answer consists of a byte (0 for samples, 1 for an error message), a length, and that
//! many bytes.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::frame::{CodecError, Decoded, Shape};
use super::{openjpeg, xl};
use crate::dicom::Syntax;

/// The program that decodes, and its arguments.
static DECODER: OnceLock<(PathBuf, Vec<String>)> = OnceLock::new();

/// Makes the decoders in question run in child processes: `program` with `arguments` must call
/// [`serve_decoder`]. Without this call they run in the process itself, as their tests and
/// benchmarks need it.
pub fn isolate_decoders(program: PathBuf, arguments: Vec<String>) {
    // The first call wins: there is only one program.
    let _ = DECODER.set((program, arguments));
}

const HEAD: usize = 20;
/// Memory that a child may use in addition to the frame, and for each byte of the frame.
const BESIDE: u64 = 48 << 20;
const PER_BYTE: u64 = 16;
/// Time limit for a frame: this, plus one second for each of a number of bytes.
const LEAST: Duration = Duration::from_secs(1);
const BYTES_A_SECOND: f64 = 50e6;

const JPEG_2000: u32 = 1;
const JPEG_XL: u32 = 2;

fn gave_up(codec: &'static str) -> CodecError {
    CodecError::damaged(codec, "the decoder gave up on it")
}

pub(super) fn decode(syntax: Syntax, bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    let Some((program, arguments)) = DECODER.get() else { return here(syntax, bytes, shape) };
    thread_local! {
        static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
    }
    WORKER.with_borrow_mut(|worker| {
        let codec = syntax.name();
        if worker.is_none() {
            let started = Worker::start(program, arguments);
            *worker = Some(started.map_err(|e| CodecError::damaged(codec, &format!("no decoder: {e}")))?);
        }
        let answer = worker.as_mut().map(|worker| worker.ask(syntax, bytes, shape));
        match answer {
            Some(Ok(Ok(samples))) if samples.len() == shape.bytes() => Ok(samples),
            Some(Ok(Err(problem))) => Err(CodecError::damaged(codec, &problem)),
            // The child died, hangs or answers nonsense, so the next frame gets a new one.
            _ => {
                *worker = None;
                Err(gave_up(codec))
            }
        }
    })
}

fn here(syntax: Syntax, bytes: &[u8], shape: Shape) -> Result<Decoded, CodecError> {
    match syntax {
        Syntax::JpegXl => xl::decode(bytes, shape),
        _ => openjpeg::decode(bytes, shape),
    }
}

struct Worker {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Worker {
    fn start(program: &PathBuf, arguments: &[String]) -> io::Result<Worker> {
        // The child has its own process group: Ctrl-C is for this process, and the child ends when
        // its input does.
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Worker { child, to, from }),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn ask(&mut self, syntax: Syntax, bytes: &[u8], shape: Shape) -> io::Result<Result<Decoded, String>> {
        let codec = if syntax == Syntax::JpegXl { JPEG_XL } else { JPEG_2000 };
        let kind = codec | u32::from(shape.signed) << 8 | (shape.bits as u32) << 16;
        let mut head = Vec::with_capacity(HEAD);
        for word in [kind, shape.rows as u32, shape.columns as u32] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        head.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        let limit = LEAST + Duration::from_secs_f64(shape.bytes() as f64 / BYTES_A_SECOND);
        let until = Instant::now() + limit;
        self.to.write_all(&head)?;
        // The child reads everything before it decodes, so this write does not wait for the
        // decoding.
        self.to.write_all(bytes)?;
        self.to.flush()?;
        let mut start = [0; 9];
        self.read(&mut start, until)?;
        let length = u64::from_le_bytes(start[1..].try_into().unwrap_or_default()) as usize;
        if length > shape.bytes().max(1 << 16) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length];
        self.read(&mut answer, until)?;
        Ok(if start[0] == 0 { Ok(answer) } else { Err(String::from_utf8_lossy(&answer).into_owned()) })
    }

    fn read(&mut self, to: &mut [u8], until: Instant) -> io::Result<()> {
        let mut done = 0;
        while done < to.len() {
            let left = until.saturating_duration_since(Instant::now());
            let wait = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            let mut ready = [PollFd::new(&self.from, PollFlags::IN)];
            match poll(&mut ready, Some(&wait)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => match self.from.read(&mut to[done..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => done += count,
                },
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side: decodes requests from standard input until it ends.
///
/// # Errors
/// When a request is truncated, or an answer cannot be written.
pub fn serve_decoder() -> io::Result<()> {
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    let mut head = [0; HEAD];
    loop {
        match from.read_exact(&mut head) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let word = |at: usize| head[at..].first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
        let kind = word(0);
        let shape = Shape {
            rows: word(4) as usize,
            columns: word(8) as usize,
            bits: (kind >> 16) as usize,
            signed: kind >> 8 & 1 == 1,
        };
        let length = head[12..].first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b));
        let mut bytes = Vec::new();
        (&mut from).take(length).read_to_end(&mut bytes)?;
        limit_memory(shape, length);
        let syntax = if kind & 0xFF == JPEG_XL { Syntax::JpegXl } else { Syntax::Jpeg2000 };
        let (status, answer) = match here(syntax, &bytes, shape) {
            Ok(samples) => (0, samples),
            Err(CodecError::Damaged { problem, .. }) => (1, problem.into_bytes()),
            Err(error) => (1, error.to_string().into_bytes()),
        };
        to.write_all(&[status])?;
        to.write_all(&(answer.len() as u64).to_le_bytes())?;
        to.write_all(&answer)?;
        to.flush()?;
    }
}

/// Limits the address space to what this process has now, plus what the frame may take.
fn limit_memory(shape: Shape, length: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    // Without /proc, the time limit must suffice.
    if let Some(pages) = pages {
        let now = pages * rustix::param::page_size() as u64;
        let limit = now + BESIDE + PER_BYTE * shape.bytes() as u64 + length;
        let _ = setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: None });
    }
}
