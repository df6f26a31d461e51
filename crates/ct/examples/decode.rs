//! Decodes files so that another program can compare them. For each path on standard input it
//! prints a line `PATH<tab>frames rows columns` or `PATH<tab>error: ...`. It writes the stored
//! values of all files, one after the other, to the file named by the argument, as 32-bit
//! little-endian numbers. `--time PATH REPEATS` prints the seconds that decoding the first frame
//! takes.

use std::io::{BufRead, Write};
use std::time::Instant;

use ctpipe_ct::pixels::PixelError;
use ctpipe_ct::{AlignedBuffer, Image};

fn main() -> std::io::Result<()> {
    if let [_, option, path, repeats] = &std::env::args().collect::<Vec<String>>()[..]
        && option == "--time"
    {
        return time(path, repeats.parse().map_err(std::io::Error::other)?);
    }
    let out = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("usage: decode OUT < PATHS"))?;
    let mut out = std::io::BufWriter::new(std::fs::File::create(out)?);
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let bytes = std::fs::read(&path)?;
        let mut values: Vec<u8> = Vec::new();
        match append(bytes, &mut values) {
            Ok([frames, rows, columns]) => {
                out.write_all(&values)?;
                println!("{path}\t{frames} {rows} {columns}");
            }
            Err(error) => println!("{path}\terror: {error}"),
        }
    }
    out.flush()
}

/// Seconds to decode the first frame after the file has been read and parsed: the median of
/// `repeats`.
fn time(path: &str, repeats: usize) -> std::io::Result<()> {
    let image = Image::from_bytes(std::fs::read(path)?).map_err(std::io::Error::other)?;
    let mut room = AlignedBuffer::default();
    let mut seconds = Vec::with_capacity(repeats);
    for _ in 0..repeats.max(1) {
        let started = Instant::now();
        let frame = image.frame(0, &mut room).map_err(std::io::Error::other)?;
        seconds.push(started.elapsed().as_secs_f64());
        std::hint::black_box(&frame.bytes);
    }
    seconds.sort_by(f64::total_cmp);
    println!("{}", seconds[seconds.len() / 2]);
    Ok(())
}

/// Number of frames, rows and columns.
fn append(bytes: Vec<u8>, values: &mut Vec<u8>) -> Result<[usize; 3], PixelError> {
    let image = Image::from_bytes(bytes)?;
    let mut room = AlignedBuffer::default();
    let mut size = [0, 0];
    for index in 0..image.frames() {
        let frame = image.frame(index, &mut room)?;
        size = [frame.rows, frame.columns];
        let start = values.len();
        values.resize(start + 4 * frame.rows * frame.columns, 0);
        for (to, value) in values[start..].as_chunks_mut::<4>().0.iter_mut().zip(frame.values()) {
            *to = value.to_le_bytes();
        }
    }
    Ok([image.frames(), size[0], size[1]])
}
