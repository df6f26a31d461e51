//! Volumes in Arrow IPC shards: one record batch a volume, zstd, a 16-bit voxel as two byte planes
//! (high, low), which compress far better apart. pyarrow reads them. Knows no series but its UID.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::CompressionType;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};

use crate::error::{Error, Result};
use crate::rows::VolumeRow;
use crate::table::Table;

/// The folder of the shards in an artifact.
pub const FOLDER: &str = "volumes";

/// Columns: `series_uid`, `edge` (voxels along each axis), `high` and `low` (edge³ bytes each).
fn schema() -> Schema {
    Schema::new(vec![
        Field::new("series_uid", DataType::Utf8, false),
        Field::new("edge", DataType::UInt32, false),
        Field::new("high", DataType::Binary, false),
        Field::new("low", DataType::Binary, false),
    ])
}

/// Writes one shard.
pub struct ShardWriter {
    path: PathBuf,
    writer: FileWriter<BufWriter<File>>,
    batches: u32,
}

impl ShardWriter {
    /// Begins the file at `path`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<ShardWriter> {
        let file = File::create(path).map_err(|e| Error::io("cannot write", path, e))?;
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD));
        let writer = options
            .and_then(|options| FileWriter::try_new_with_options(BufWriter::new(file), &schema(), options))
            .map_err(|e| Error::io("cannot write", path, std::io::Error::other(e)))?;
        Ok(ShardWriter { path: path.to_path_buf(), writer, batches: 0 })
    }

    /// Adds a volume of `edge³` voxels; returns its batch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, series_uid: &str, edge: u32, voxels: &[u16]) -> Result<u32> {
        let high: Vec<u8> = voxels.iter().map(|v| (v >> 8) as u8).collect();
        let low: Vec<u8> = voxels.iter().map(|v| (v & 0xFF) as u8).collect();
        let batch = RecordBatch::try_new(
            Arc::new(schema()),
            vec![
                Arc::new(StringArray::from(vec![series_uid])),
                Arc::new(UInt32Array::from(vec![edge])),
                Arc::new(BinaryArray::from_vec(vec![&high])),
                Arc::new(BinaryArray::from_vec(vec![&low])),
            ],
        );
        batch
            .and_then(|batch| self.writer.write(&batch))
            .map_err(|e| Error::io("cannot write", &self.path, std::io::Error::other(e)))?;
        self.batches += 1;
        Ok(self.batches - 1)
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.writer.finish().map_err(|e| Error::io("cannot write", &self.path, std::io::Error::other(e)))
    }
}

/// The volumes of a preprocess artifact.
pub struct Volumes {
    folder: PathBuf,
    index: BTreeMap<String, (String, u32)>,
}

impl Volumes {
    /// Reads the index of the artifact in `folder`.
    ///
    /// # Errors
    /// When `volumes.parquet` cannot be read.
    pub fn open(folder: &Path) -> Result<Volumes> {
        let index = VolumeRow::read(folder)?
            .into_iter()
            .filter(|row| !row.shard.is_empty())
            .map(|row| (row.series_uid, (row.shard, row.batch)))
            .collect();
        Ok(Volumes { folder: folder.join(FOLDER), index })
    }

    /// Reads the volumes of the series, in the order asked for. Each shard is opened once.
    ///
    /// # Errors
    /// When a series has no volume or a shard is damaged.
    pub fn read(&self, series_uids: &[&str]) -> Result<Vec<Vec<u16>>> {
        let mut by_shard: BTreeMap<&str, Vec<(u32, usize)>> = BTreeMap::new();
        for (place, uid) in series_uids.iter().enumerate() {
            let (shard, batch) = self.index.get(*uid).ok_or_else(|| Error::NoVolume {
                series_uid: (*uid).to_owned(),
                path: self.folder.clone(),
            })?;
            by_shard.entry(shard).or_default().push((*batch, place));
        }
        let mut volumes = vec![Vec::new(); series_uids.len()];
        for (shard, wanted) in by_shard {
            let path = self.folder.join(shard);
            let file = File::open(&path).map_err(|e| Error::io("cannot read", &path, e))?;
            let mut reader =
                FileReader::try_new(BufReader::new(file), None).map_err(|e| Error::format(&path, e))?;
            for (batch, place) in wanted {
                reader.set_index(batch as usize).map_err(|e| Error::format(&path, e))?;
                let batch = reader
                    .next()
                    .ok_or_else(|| Error::format(&path, format!("there is no batch {batch}")))?
                    .map_err(|e| Error::format(&path, e))?;
                volumes[place] = voxels(&batch, series_uids[place]).map_err(|p| Error::format(&path, p))?;
            }
        }
        Ok(volumes)
    }
}

fn voxels(batch: &RecordBatch, series_uid: &str) -> std::result::Result<Vec<u16>, String> {
    let plane = |name: &str| {
        let column = batch.column_by_name(name).and_then(|c| c.as_binary_opt::<i32>());
        column.filter(|c| c.len() == 1).map(|c| c.value(0)).ok_or(format!("column {name} is missing"))
    };
    let uid = batch.column_by_name("series_uid").and_then(|c| c.as_string_opt::<i32>());
    if uid.is_none_or(|uid| uid.len() != 1 || uid.value(0) != series_uid) {
        return Err(format!("it does not hold series {series_uid} where volumes.parquet says"));
    }
    let (high, low) = (plane("high")?, plane("low")?);
    if high.len() != low.len() {
        return Err(format!("{} high bytes and {} low bytes", high.len(), low.len()));
    }
    Ok(high.iter().zip(low).map(|(&h, &l)| u16::from_be_bytes([h, l])).collect())
}

/// Makes the shards' folder below an artifact.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(artifact: &Path) -> Result<PathBuf> {
    let folder = artifact.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|e| Error::io("cannot make", &folder, e))?;
    Ok(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn volumes_come_back_in_the_order_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = make_folder(dir.path()).unwrap();
        let volume = |start: u16| (0..8).map(|i| start + i * 300).collect::<Vec<u16>>();
        let mut rows = Vec::new();
        for (shard, uids) in [("00.arrow", vec!["a", "b"]), ("01.arrow", vec!["c"])] {
            let mut writer = ShardWriter::create(&folder.join(shard)).unwrap();
            for uid in uids {
                let batch = writer.push(uid, 2, &volume(u16::from(uid.as_bytes()[0]))).unwrap();
                let (series_uid, shard) = (uid.to_owned(), shard.to_owned());
                rows.push(VolumeRow { series_uid, shard, batch, ..VolumeRow::default() });
            }
            writer.finish().unwrap();
        }
        VolumeRow::write(&rows, dir.path()).unwrap();
        let volumes = Volumes::open(dir.path()).unwrap();
        let read = volumes.read(&["c", "a", "b"]).unwrap();
        assert_eq!(read, [volume(99), volume(97), volume(98)]);
        assert!(volumes.read(&["d"]).unwrap_err().to_string().contains("no volume of series d"));
    }
}
