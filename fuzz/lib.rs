//! What the targets share: a file around a coded frame, and the bounds that every file must keep.

use std::time::{Duration, Instant};

use ctpipe_ct::{Image, Room};

/// Rows and columns of a coded frame: those of the fixtures that the corpus starts from.
const ROWS: u16 = 40;
const COLUMNS: u16 = 48;

/// The fuzzer's own hook ends the process at every panic. A panic inside a codec crate that is
/// guarded by `catch_unwind` is not a fault; one that reaches the target still ends the process.
pub fn caught_panics_are_none() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// Decodes a file's first frames. `bytes` that are not a file are taken as a coded frame of the
/// transfer syntax.
pub fn decode(bytes: &[u8], transfer_syntax: &str) {
    let file =
        if bytes.get(128..132) == Some(b"DICM") { bytes.to_vec() } else { wrapped(bytes, transfer_syntax) };
    let started = Instant::now();
    let mut decoded = 0;
    if let Ok(image) = Image::from_bytes(file) {
        let mut room = Room::default();
        for index in 0..image.frames().min(4) {
            let Ok(frame) = image.frame(index, &mut room) else { break };
            assert!(frame.bytes.len() >= frame.rows * frame.columns, "an incomplete frame");
            decoded += frame.bytes.len();
        }
    }
    // Twenty times the promised limit, because the instrumented build is slower.
    let limit = Duration::from_secs_f64(20.0 * (1.0 + decoded as f64 / 50e6));
    assert!(started.elapsed() < limit, "{decoded} bytes took {:?}", started.elapsed());
}

fn wrapped(frame: &[u8], transfer_syntax: &str) -> Vec<u8> {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let mut put = |group: u16, element: u16, vr: &[u8; 2], value: &[u8]| {
        file.extend(group.to_le_bytes());
        file.extend(element.to_le_bytes());
        file.extend(vr);
        file.extend((value.len() as u16).to_le_bytes());
        file.extend(value);
    };
    put(0x0002, 0x0010, b"UI", transfer_syntax.as_bytes());
    for (element, value) in
        [(0x0002, 1), (0x0010, ROWS), (0x0011, COLUMNS), (0x0100, 16), (0x0101, 16), (0x0103, 0)]
    {
        put(0x0028, element, b"US", &value.to_le_bytes());
    }
    file.extend([0xE0, 0x7F, 0x10, 0x00]);
    file.extend(b"OB\0\0\xFF\xFF\xFF\xFF");
    file.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0x00, 0xE0]);
    file.extend((frame.len() as u32).to_le_bytes());
    file.extend(frame);
    file.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    file
}

/// Writes bytes to a file of that name in a temporary folder and calls `read` on it.
pub fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&std::path::Path)) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_ok() {
        read(&path);
    }
}
