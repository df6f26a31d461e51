//! TensorBoard's event files: `TFRecord`s of `Event` messages (tensorflow/core/util/event.proto),
//! encoded by hand because only a few fields are needed. Knows nothing about trainings.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Maximum time before values are flushed to the file.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event file that is being written.
pub(crate) struct Events {
    file: BufWriter<File>,
    flushed: Instant,
}

impl Events {
    /// Creates a new file in `folder`, which is read after the existing ones. It discards their
    /// values from step `first` on, because a run that continues from a checkpoint writes these
    /// again.
    pub(crate) fn create(folder: &Path, first: u64) -> io::Result<Events> {
        fs::create_dir_all(folder)?;
        let seconds = now() as u64;
        let mut number = fs::read_dir(folder)?.count();
        let file = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.ctpipe.{number:06}"));
            match File::create_new(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                other => break other?,
            }
        };
        let mut events = Events { file: BufWriter::new(file), flushed: Instant::now() };
        events.event(0, 3, b"brain.Event:2")?;
        if first > 0 {
            // SessionLog { status: START }.
            events.event(first, 7, &number_field(1, 1))?;
        }
        Ok(events)
    }

    /// Writes values at a step.
    pub(crate) fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut of = bytes_field(1, tag.as_bytes());
            of.extend([0x15]); // field 2, 32 bits
            of.extend((*value as f32).to_le_bytes());
            summary.extend(bytes_field(1, &of));
        }
        self.event(step, 5, &summary)?;
        if self.flushed.elapsed() >= PATIENCE { self.flush() } else { Ok(()) }
    }

    /// Writes a text in Markdown.
    pub(crate) fn text(&mut self, tag: &str, text: &str) -> io::Result<()> {
        // SummaryMetadata { plugin_data { plugin_name } }
        let metadata = bytes_field(1, &bytes_field(1, b"text"));
        // TensorProto { dtype: DT_STRING, tensor_shape { dim { size: 1 } }, string_val }
        let mut tensor = number_field(1, 7);
        tensor.extend(bytes_field(2, &bytes_field(2, &number_field(1, 1))));
        tensor.extend(bytes_field(8, text.as_bytes()));
        let mut value = bytes_field(1, tag.as_bytes());
        value.extend(bytes_field(9, &metadata));
        value.extend(bytes_field(8, &tensor));
        self.event(0, 5, &bytes_field(1, &value))?;
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.flush()
    }

    /// Writes an event whose oneof `what` is the given field.
    fn event(&mut self, step: u64, field: u64, what: &[u8]) -> io::Result<()> {
        let mut event = vec![0x09]; // field 1, 64 bits
        event.extend(now().to_le_bytes());
        event.extend(number_field(2, step));
        event.extend(bytes_field(field, what));
        self.file.write_all(&record(&event))
    }
}

/// A `TFRecord`: the length, its checksum, the data, their checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// Seconds since 1970. A clock is allowed here, because the event file is read while a training
/// runs and is not an output.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number_field(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes_field(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// CRC-32C, rotated and with a constant added, as `TFRecord`s require.
fn masked_crc(data: &[u8]) -> u32 {
    let crc = !data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 },
        )
    });
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4: the CRC-32C of 32 zero bytes is 0x8A9136AA; that of "123456789" is
    /// 0xE3069283.
    #[test]
    fn the_checksum_is_the_rfcs() {
        let unmasked = |data: &[u8]| masked_crc(data).wrapping_sub(0xA282_EAD8).rotate_left(15);
        assert_eq!(unmasked(&[0; 32]), 0x8A91_36AA);
        assert_eq!(unmasked(b"123456789"), 0xE306_9283);
    }

    /// 300 as a varint is AC 02 (documentation of protobuf).
    #[test]
    fn numbers_are_varints() {
        assert_eq!(number_field(1, 300), [0x08, 0xAC, 0x02]);
        assert_eq!(bytes_field(2, b"testing"), [&[0x12, 7], b"testing".as_slice()].concat());
    }
}
