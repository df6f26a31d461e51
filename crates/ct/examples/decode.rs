//! Decodes files for a peer to compare: for each path on standard input, a line `PATH<tab>frames rows
//! columns` or `PATH<tab>error: ...`, and the stored values as 32-bit little-endian numbers into the
//! file that is named as the argument, one file after the other.

use std::io::{BufRead, Write};

use ctpipe_ct::Image;
use ctpipe_ct::pixels::PixelError;

fn main() -> std::io::Result<()> {
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

/// Number of frames, rows and columns.
fn append(bytes: Vec<u8>, values: &mut Vec<u8>) -> Result<[usize; 3], PixelError> {
    let image = Image::from_bytes(bytes)?;
    let mut room = Vec::new();
    let mut size = [0, 0];
    for index in 0..image.frames() {
        let frame = image.frame(index, &mut room)?;
        size = [frame.rows, frame.columns];
        values.extend(frame.values().flat_map(i32::to_le_bytes));
    }
    Ok([image.frames(), size[0], size[1]])
}
