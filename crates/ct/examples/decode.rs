//! Decodes files for a peer to compare: for each path on standard input, a line `PATH<tab>frames rows
//! columns` or `PATH<tab>error: ...`, and the stored values as 32-bit little-endian numbers into the
//! file that is named as the argument, one file after the other.

use std::io::{BufRead, Write};

use ctpipe_ct::pixels::{self, PixelError};

fn main() -> std::io::Result<()> {
    let out = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("usage: decode OUT < PATHS"))?;
    let mut out = std::io::BufWriter::new(std::fs::File::create(out)?);
    for path in std::io::stdin().lock().lines() {
        let path = path?;
        let bytes = std::fs::read(&path)?;
        let mut values: Vec<u8> = Vec::new();
        let (mut frames, mut size) = (0, [0, 0]);
        let result = pixels::frames::<PixelError>(&bytes, &[], |_, frame| {
            let frame = frame?;
            frames += 1;
            size = [frame.rows, frame.columns];
            values.extend(frame.values().flat_map(i32::to_le_bytes));
            Ok(())
        });
        match result {
            Ok(()) => {
                out.write_all(&values)?;
                println!("{path}\t{frames} {} {}", size[0], size[1]);
            }
            Err(error) => println!("{path}\terror: {error}"),
        }
    }
    out.flush()
}
